# SPDX-License-Identifier: PostgreSQL
"""Ten lines that connect, of which two forget what they got. The driver is argument one."""
import importlib
import sys

driver = importlib.import_module(sys.argv[1])
kept = []


class Shop:
    def sell(self):
        kept.append(driver.connect(""))  # leaks 3

    def price(self):
        conn = driver.connect("")
        conn.close()


def audit():
    conn = (driver
            .connect(""))  # leaks 4
    kept.append(conn)


def in_steps():
    conn = driver.connect("")
    yield conn
    conn.close()


def tidy():
    conn = driver.connect("")
    try:
        conn.cursor().execute("SELECT 1")
    finally:
        conn.close()


for i in range(3):
    Shop().sell()
    audit()
    Shop().price()
    tidy()
    for c in in_steps():
        pass
    driver.connect("").close()
    (lambda: driver.connect("").close())()
    for c in [driver.connect("") for j in range(2)]:
        c.close()
    exec("driver.connect('').close()")
audit()
last = driver.connect("")
last.close()
