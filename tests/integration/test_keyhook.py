# SPDX-License-Identifier: PostgreSQL
"""A program that answers for its key's password is left alone."""
import pytest


@pytest.mark.parametrize("hook, backends", [("none", 1), ("default", 1), ("mine", 3)])
def test_key_password_hook(run, program, hook, backends):
    bare = run([program("keyhook"), hook], pooled=False)
    pooled = run([program("keyhook"), hook])
    assert bare.stdout == "3 0\n"
    assert pooled.stdout == "%d 0\n" % backends
    assert pooled.stderr == ""
