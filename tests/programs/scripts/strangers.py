# SPDX-License-Identifier: PostgreSQL
"""A thread that Python knows nothing of connects; Python finishes what it got."""
import ctypes

libc = ctypes.CDLL(None)
libpq = ctypes.CDLL("libpq.so.5")
libpq.PQconnectdb.restype = ctypes.c_void_p
libpq.PQconnectdb.argtypes = [ctypes.c_char_p]
libpq.PQfinish.argtypes = [ctypes.c_void_p]

own = libpq.PQconnectdb(b"application_name=own")  # own
thread = ctypes.c_ulong()
conn = ctypes.c_void_p()
assert libc.pthread_create(ctypes.byref(thread), None, libpq.PQconnectdb,
                           ctypes.c_char_p(b"application_name=other")) == 0
assert libc.pthread_join(thread, ctypes.byref(conn)) == 0
libpq.PQfinish(conn)  # other
libpq.PQfinish(own)
