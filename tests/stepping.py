# SPDX-License-Identifier: PostgreSQL
"""Driving tests/programs/stepwise.c, whose connections are made step by step."""


class Steps:
    """A running stepwise program."""

    conninfo = ""

    def __init__(self, script):
        self.script = script
        self.do, self.events, self.end = script.do, script.events, script.end
        self.tell, self.answer, self.answered = script.tell, script.answer, script.answered

    def loop(self, how):
        self.script.do("loop", how)

    def start(self, name):
        """Begins; what it says is nothing, unless that failed."""
        assert self.do("start", name, self.conninfo) == ""

    def drive(self, *names):
        """All of these to success."""
        told = sorted(self.do("drive", " ".join(names)).splitlines())
        assert told == sorted("%s OK" % n for n in names), told

    def connect(self, name):
        """Until it is connected; the pid."""
        self.start(name)
        self.drive(name)
        return self.do("pid", name)

    def step(self, name):
        return self.do("step", name)

    def ready(self, name, ms=10000):
        return self.do("wait", name, ms) == "1"

    def waiting(self, name):
        """Begins a connect for which there is no room; it says so."""
        self.start(name)
        assert self.ready(name)
        assert self.step(name) == "READING"
        assert not self.ready(name, 0)

    def finish(self, *names):
        for name in names if self.script.process.returncode is None else ():
            self.do("finish", name)

    def state(self, name):
        words, _, texts = self.do("state", name).partition("\nerror=")
        error, _, notices = texts.partition("\nnotices=")
        return {**dict(word.split("=") for word in words.split()),
                "error": error, "notices": notices.strip()}

    def lends(self, count):
        """That many at once, and so no room was lost; one more has to wait."""
        names = ["n%d" % i for i in range(count)]
        for name in names:
            self.start(name)
        self.drive(*names)
        self.waiting("more")
        self.finish("more", *names)
