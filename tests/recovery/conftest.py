# SPDX-License-Identifier: PostgreSQL
"""script, network, far_server   as for the tests of faults"""
from fault.conftest import far_server, libpq, network, script  # noqa: F401
