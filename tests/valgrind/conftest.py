# SPDX-License-Identifier: PostgreSQL
"""keep   as in the integration tests"""
from integration.conftest import keep  # noqa: F401
