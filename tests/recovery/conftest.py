# SPDX-License-Identifier: PostgreSQL
"""script, network, ...   as for the tests of faults"""
from fault.conftest import (  # noqa: F401
    account, far_server, libpq, network, script, stepwise, tls_server)
