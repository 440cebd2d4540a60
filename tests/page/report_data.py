# SPDX-License-Identifier: PostgreSQL
"""Data as `pqpool report` writes them, made up: of a busy shop, of little, of nothing, and hostile ones.

    document(template, data)    the page with the data in it, escaped as the command does
"""
import json
import math
import random

PLACE = "@PQPOOL_REPORT_DATA@"
START = 1_764_662_400_000_000  # 2025-12-02 08:00 UTC
SECOND = 1_000_000
SERIES = [m * 10 ** e for e in range(0, 9) for m in (1, 2, 5)]

# What a shop's code looks like: frames from the outside in, mean hold, share of leases.
SHOP = [
    (["main /srv/shop/worker.py:212", "serve /srv/shop/worker.py:141", "handle /srv/shop/web.py:88", "checkout /srv/shop/checkout.py:51", "reserve_stock /srv/shop/stock.py:34"], 42_000, 14),
    (["main /srv/shop/worker.py:212", "serve /srv/shop/worker.py:141", "handle /srv/shop/web.py:88", "checkout /srv/shop/checkout.py:58", "charge /srv/shop/payment.py:97"], 310_000, 6),
    (["main /srv/shop/worker.py:212", "serve /srv/shop/worker.py:141", "handle /srv/shop/web.py:88", "product_page /srv/shop/catalogue.py:23"], 6_300, 60),
    (["main /srv/shop/worker.py:212", "serve /srv/shop/worker.py:141", "handle /srv/shop/web.py:88", "product_page /srv/shop/catalogue.py:31", "similar /srv/shop/search.py:70"], 18_000, 30),
    (["main /srv/shop/worker.py:212", "serve /srv/shop/worker.py:141", "handle /srv/shop/web.py:91", "basket /srv/shop/basket.py:17"], 4_100, 45),
    (["main /srv/shop/worker.py:212", "serve /srv/shop/worker.py:141", "handle /srv/shop/web.py:91", "login /srv/shop/account.py:62"], 9_800, 12),
    (["main /srv/shop/worker.py:212", "nightly /srv/shop/jobs.py:12", "export_orders /srv/shop/jobs.py:40"], 4_800_000, 0.4),
    (["main /srv/shop/worker.py:212", "nightly /srv/shop/jobs.py:15", "newsletter /srv/shop/mail.py:29", "send_all /srv/shop/mail.py:44"], 1_900_000, 1),
    (["main /srv/shop/worker.py:212", "audit /srv/shop/audit.py:9"], 2_400, 20),
]
STATEMENTS = ["SELECT id, title, price FROM products WHERE id = ...", "UPDATE stock SET reserved = reserved + ...",
              "INSERT INTO orders (customer, basket) VALUES (...", "SELECT * FROM orders WHERE exported IS NULL ORDER BY id LIMIT ...",
              "SELECT p.id FROM products p JOIN similar_products s ON s.other = p.id WHERE s.id = ...", "COMMIT", None]
ENDS = ["released"] * 12 + ["kept", "open", "given_away"]


def percentile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def times(values):
    """Count, percentiles and buckets of a list of durations."""
    values = sorted(values)
    buckets, at = [], 0
    for upper in SERIES:
        n = 0
        while at < len(values) and values[at] <= upper:
            n, at = n + 1, at + 1
        buckets.append([upper, n])
    buckets.append([None, len(values) - at])
    return {"count": len(values), "p50_us": percentile(values, .5), "p90_us": percentile(values, .9),
            "p99_us": percentile(values, .99), "max_us": values[-1] if values else None, "buckets": buckets}


class Maker:
    """One report: `seed` makes it the same each time."""

    def __init__(self, seed, span_s, bins, pools=1, places=None, leases=60, sessions=40, marks=8):
        self.random = random.Random(seed)
        self.span = span_s * SECOND
        self.bins = bins
        self.frames, self.number = [], {}
        self.counts = dict(pools=pools, places=places or len(SHOP), leases=leases, sessions=sessions, marks=marks)

    def frame(self, name):
        if name not in self.number:
            self.number[name] = len(self.frames)
            self.frames.append(name)
        return self.number[name]

    def duration(self, mean):
        return max(12, int(self.random.lognormvariate(math.log(mean), 0.9)))

    def stack(self, i):
        names, mean, share = SHOP[i % len(SHOP)]
        if i >= len(SHOP):  # more of the like, with other names
            cut = 1 + i % (len(names) - 1)
            names = names[:cut] + ["step_%d /srv/shop/part_%d.py:%d" % (i, i % 97, depth) for depth in range(4 + i % 9)]
            share /= 20
        return names, mean, share

    def pool(self, index, acquired):
        limit, size = (30, 20) if index == 0 else (10 + index, 5 + index)
        width = self.span // self.bins
        busy, drift = [], 0.0
        for i in range(self.bins):
            drift = drift * .97 + self.random.gauss(0, .012)
            crowd = math.exp(-((i / self.bins - .635) / .022) ** 2)  # at half past ten
            wanted = limit * (.36 + .16 * math.sin(i / self.bins * 5 + index) + .75 * crowd + drift)
            busy.append(min(limit * .99, max(.3, wanted)))
        most = [min(limit, int(b * 1.3 + self.random.random() * 2)) for b in busy]
        waiting = [self.random.randrange(1, 14) if m == limit and self.random.random() < .6 else 0 for m in most]
        timeouts = [1 if w > 9 and self.random.random() < .3 else 0 for w in waiting]
        holds = [self.duration(self.random.choices([m for _, m, _ in SHOP], [s for _, _, s in SHOP])[0]) for _ in range(min(acquired, 4000))]
        waits = [self.duration(24_000) for _ in range(sum(waiting))]
        share = acquired / max(1, sum(busy))
        return {
            "name": ["shop@db1:5432/shop", "reports@db2:5432/warehouse", "audit@db1:5432/audit"][index % 3] + ("" if index < 3 else str(index)),
            "limit": limit, "size": size, "acquired": acquired, "waits": len(waits), "timeouts": sum(timeouts), "leaks": 0,
            "bins": {"width_us": width, "count": self.bins, "in_use_max": most, "in_use_avg": [round(b * .85, 2) for b in busy], "waiting_max": waiting,
                     "open_max": [min(limit, max(size if i > 4 else i, m)) for i, m in enumerate(most)], "acquired": [int(b * share) for b in busy], "timeouts": timeouts},
            "hold": {**times(holds), "count": acquired}, "wait": times(waits),
            "what_if": [{"limit": n, "size": n * 2 // 3, "overflow": n - n * 2 // 3, "peak": min(n, limit + 4), "waited": int(len(waits) * max(0, limit + 5 - n) / 5),
                         "wait_p50_us": max(0, (limit + 5 - n) * 4000), "wait_p99_us": max(0, (limit + 5 - n) * 61000),
                         "wait_max_us": max(0, (limit + 5 - n) * 90000), "timeouts": max(0, limit - n) * 3 + (sum(timeouts) if n == limit else 0)}
                        for n in (limit // 2, limit * 2 // 3, limit, limit + 3, limit + 5, limit * 2)],
        }

    def place(self, i):
        names, mean, share = self.stack(i)
        leases = max(1, int(share * 400 * (0.7 + self.random.random())))
        held = int(leases * mean * 1.4)
        query = int(held * self.random.uniform(.15, .8))
        transaction = int((held - query) * self.random.uniform(0, .8))
        return {"pool": 0 if i < len(SHOP) else i % self.counts["pools"], "label": names[-1].split(" ")[1], "stack": [self.frame(n) for n in names], "script": True,
                "leases": leases, "held_us": held, "query_us": query, "transaction_us": transaction, "idle_us": held - query - transaction,
                "p50_us": int(mean * .8), "p99_us": mean * 6, "max_us": mean * 11, "leaks": 0}

    def lease(self, i, places, end):
        place = self.random.randrange(len(places))
        hold = self.duration(90 * SECOND if end in ("leaked", "at_exit") else 3 * SECOND)
        query = int(hold * self.random.uniform(.1, .7))
        pid = 4711 + self.random.randrange(12)
        return {"id": "%d/%d" % (pid, i), "pid": pid, "lease": i, "thread": pid + self.random.randrange(4), "program": "shop-worker", "pool": places[place]["pool"], "place": place,
                "acquired": START + self.random.randrange(self.span), "wait_us": self.random.choice([3, 4, 6, 11, 24_000, 810_000]), "hold_us": hold, "query_us": query,
                "transaction_us": int((hold - query) * self.random.random()), "end": end, "statement": self.random.choice(STATEMENTS),
                "transaction": self.random.choice(["idle", "in transaction", None])}

    def session(self, i):
        pid = 4711 + i % 12
        opened = START + int(self.span * self.random.random() ** 3)
        closed = self.random.choice([None, opened + self.random.randrange(1, max(2, START + self.span - opened + 1))])
        return {"pid": pid, "session": i + 1, "backend": 24_000 + i, "pool": i % self.counts["pools"], "opened": opened, "took_us": self.duration(7_000), "closed": closed,
                "reason": None if closed is None else self.random.choice(["aged", "aged", "surplus", "ping_failed", "exit"]), "borrowed": i % 17 == 3, "leases": self.random.randrange(1, 4000)}

    def marks(self, pools):
        kinds = [("timeout", "no session became free within 1.0 s; 30 of 30 in use, 12 waiting; likely cause: slow work"), ("near_limit", "27 of 30 sessions in use for 5.0 s"),
                 ("server_restart", "8 sessions were found dead within 40 ms"), ("deadlock", "30 threads hold a session each and wait for another"),
                 ("misuse", "PQexec after PQfinish, by thread 4713")]
        made = []
        for i in range(self.counts["marks"]):
            kind, text = kinds[min(len(kinds) - 1, int(self.random.random() ** 2 * 5))]
            at = self.span * (.61 + .05 * self.random.random() if kind in ("timeout", "near_limit") else self.random.random())
            made.append({"time": START + int(at), "kind": kind, "pool": None if kind == "server_restart" and len(pools) == 1 else i % len(pools), "text": text})
        return sorted(made, key=lambda mark: mark["time"])

    def make(self, acquired=182_340):
        counts = self.counts
        pools = [self.pool(i, acquired if i == 0 else acquired // (4 * i)) for i in range(counts["pools"])]
        places = [self.place(i) for i in range(counts["places"])]
        leaks = max(3, counts["leases"] // 20)
        ends = ["leaked"] * (leaks - 1) + ["at_exit"] + [self.random.choice(ENDS) for _ in range(counts["leases"] - leaks)]
        leases = [self.lease(i + 1, places, end) for i, end in enumerate(ends)]
        leases = leases[:leaks] + sorted(leases[leaks:], key=lambda lease: -lease["hold_us"])
        for lease in leases[:leaks]:
            places[lease["place"]]["leaks"] += 1
            pools[lease["pool"]]["leaks"] += 1
        sessions = [self.session(i) for i in range(counts["sessions"])]
        total = {name: sum(pool[name] for pool in pools) for name in ("acquired", "waits", "timeouts", "leaks")}
        return {
            "format": 1, "pqpool": "1.0.0", "logs": [{"file": "shop-worker.%d.log" % (4711 + i), "lines": 30_000 + 71 * i, "unread": 0} for i in range(12)],
            "from": START, "to": START + self.span, "programs": ["shop-worker"], "processes": 12,
            "totals": {**total, "released": total["acquired"] - leaks, "opened": 412, "borrowed": 0, "closed": 390, "kept": 4, "lost_lines": 0},
            "pools": pools, "frames": self.frames, "places": places, "leases": leases, "sessions": sessions,
            "session_ends": {"aged": 241, "surplus": 96, "exit": 35, "ping_failed": 18}, "marks": self.marks(pools),
            "left_out": {"leases": 0, "sessions": 0, "marks": 0, "places": 0},
        }


def shop():
    """A working day of one program with one pool."""
    return Maker(7, 4 * 3600, 1440, marks=14).make()


def several():
    return Maker(11, 3600, 600, pools=3, places=24).make()


def small():
    """Of each thing a few, for what looks at every element."""
    return Maker(5, 600, 60, pools=2, places=6, leases=6, sessions=4, marks=4).make()


def large():
    """What a log of a million events leads to: all lists full."""
    data = Maker(3, 24 * 3600, 4000, pools=6, places=2000, leases=2000, sessions=2000, marks=1000).make(1_000_000)
    data["left_out"] = {"leases": 998_000, "sessions": 1200, "marks": 0, "places": 310}
    return data


def nothing():
    """Of an empty log."""
    totals = dict.fromkeys(["acquired", "released", "opened", "borrowed", "closed", "waits", "timeouts", "leaks", "kept", "lost_lines"], 0)
    return {"format": 1, "pqpool": "1.0.0", "logs": [{"file": "empty.log", "lines": 0, "unread": 0}], "from": None, "to": None, "programs": [], "processes": 0, "totals": totals,
            "pools": [], "frames": [], "places": [], "leases": [], "sessions": [], "session_ends": {}, "marks": [], "left_out": dict.fromkeys(["leases", "sessions", "marks", "places"], 0)}


def one_event():
    """A pool with one lease that was just taken when the log ended."""
    data = nothing()
    times_of_none = {"count": 0, "p50_us": None, "p90_us": None, "p99_us": None, "max_us": None, "buckets": [[upper, 0] for upper in SERIES] + [[None, 0]]}
    pool = {"name": "app@/app", "limit": None, "size": None, "acquired": 1, "waits": 0, "timeouts": 0, "leaks": 0, "hold": times_of_none, "wait": times_of_none, "what_if": [],
            "bins": {"width_us": 1, "count": 1, "in_use_max": [1], "in_use_avg": [1], "waiting_max": [0], "open_max": [1], "acquired": [1], "timeouts": [0]}}
    lease = {"id": "9/1", "pid": 9, "lease": 1, "thread": 9, "program": "app", "pool": 0, "place": None, "acquired": START, "wait_us": 5, "hold_us": 0, "query_us": None,
             "transaction_us": None, "end": "open", "statement": None, "transaction": None}
    data.update({"from": START, "to": START, "programs": ["app"], "processes": 1, "pools": [pool], "leases": [lease]})
    data["totals"].update(acquired=1, opened=1)
    return data


def nulls():
    """Everything that may be unknown is."""
    data = shop()
    for pool in data["pools"]:
        pool.update(limit=None, size=None)
        for name in ("hold", "wait"):
            pool[name].update(p50_us=None, p90_us=None, p99_us=None, max_us=None)
    for place in data["places"]:
        place.update(query_us=None, transaction_us=None, idle_us=None)
    for lease in data["leases"]:
        lease.update(place=None, query_us=None, transaction_us=None, statement=None, transaction=None)
    for session in data["sessions"]:
        session.update(took_us=None, closed=None, reason=None, backend=None)
    for mark in data["marks"]:
        mark.update(pool=None)
    return data


HOSTILE = ["</script><script>window.hostile = 1</script>", "<!-- <script>", "<img src=x onerror='window.hostile = 1'>", "\"'`${window.hostile = 1}", "\x1b[31mred\x07\x00", "a\u2028b\u2029c",
           "\u202egnp.exe", "\ud800", "\U0001f600", "@PQPOOL_REPORT_DATA@", "&lt;b&gt;", "javascript:window.hostile=1", "__proto__", "constructor"]


def hostile():
    """Strings that would do harm where they are taken for something else than text."""
    data = several()
    for i, text in enumerate(HOSTILE):
        data["leases"][i].update(statement=text, program=text)
        data["places"][i].update(label=text, stack=[len(data["frames"])])
        data["frames"].append(text)
        data["session_ends"][text] = 1
        data["sessions"][i].update(reason=text, closed=data["to"])
        data["marks"].append({"time": data["from"] + i, "kind": text, "pool": 0, "text": text})
        data["logs"].append({"file": text, "lines": 1, "unread": 0})
    data["programs"] = HOSTILE
    data["pools"][1]["name"] = HOSTILE[0]
    return data


def document(template, data):
    """The template with the data in it, as the command writes them."""
    text = json.dumps(data, ensure_ascii=False)
    for c in "<>&\u2028\u2029":
        text = text.replace(c, "\\u%04x" % ord(c))
    # A lone half of a character cannot be in a file.
    text = "".join("\\u%04x" % ord(c) if 0xd800 <= ord(c) < 0xe000 else c for c in text)
    assert template.count(PLACE) == 1
    return template.replace(PLACE, text)
