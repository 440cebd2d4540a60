# SPDX-License-Identifier: PostgreSQL
"""A network of its own between a program and a server, which forgets flows when told to, or by a NAT.

The program runs in a network namespace that has one cable, to the server's machine. At its end
nftables may drop what belongs to flows that it is told of, as a NAT or a firewall does that has
forgotten them: in both directions, without a word, while new flows pass.
"""
import contextlib
import glob
import os
import re
import subprocess

from server import HBA, wait_until

PREFIX = "198.18.0.0/15"  # for tests of networks; no host has one of them
SETTINGS = {"listen_addresses": "*"}
ADMITTING = HBA + "host  all  all  %s  scram-sha-256\n" % PREFIX
TABLE = """
table inet fault {
	set forgotten { type inet_service; }
	counter dropped { }
	chain out { type filter hook output priority 0; tcp sport @forgotten counter name dropped drop; }
	chain in { type filter hook input priority 0; tcp dport @forgotten counter name dropped drop; }
	set cut { type inet_service; }
	set refused { type inet_service; }
	set rejected { type inet_service; }
	set unreachable { type inet_service; }
	chain broken {
		type filter hook output priority 1;
		tcp sport @cut counter name dropped reject with tcp reset
		tcp dport @refused tcp flags & (syn | ack) == syn counter name dropped reject with tcp reset
		tcp sport @rejected counter name dropped reject with icmp type admin-prohibited
		tcp dport @unreachable tcp flags & (syn | ack) == syn counter name dropped reject with icmp type admin-prohibited
	}
}
"""
ESTABLISHED = "01"


class Unavailable(Exception):
    """This machine makes no networks."""


def _run(*argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Unavailable("%s: %s" % (" ".join(argv), done.stderr.strip()))
    return done.stdout


def flows(pid, port):
    """The local ports of a process's established connections to that port."""
    mine = set()
    for fd in glob.glob("/proc/%s/fd/*" % pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            mine.add(os.readlink(fd))
    with open("/proc/%s/net/tcp" % pid, encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    return {int(row[1].split(":")[1], 16) for row in rows
            if row[2].endswith(":%04X" % port) and row[3] == ESTABLISHED
            and "socket:[%s]" % row[9] in mine}


class Network:
    """One cable: `before` stands before a program at this end, `address` is the server's."""

    def __init__(self):
        number = os.getpid() % 32768
        self.name = "pqpool-%d" % os.getpid()
        self.cable = "pqp%d" % os.getpid()
        at = "198.%d.%d." % (18 + number // 16384, number // 64 % 256)
        first = number % 64 * 4
        self.address, self.own = at + str(first + 1), at + str(first + 2)
        self.before = ["nsenter", "--net=/run/netns/" + self.name]

    def __enter__(self):
        if os.geteuid() != 0:
            raise Unavailable("only root may make a network")
        try:
            _run("ip", "netns", "add", self.name)
            _run("ip", "link", "add", self.cable, "type", "veth", "peer", "name", "eth0",
                 "netns", self.name)
            _run("ip", "addr", "add", self.address + "/30", "dev", self.cable)
            _run("ip", "link", "set", self.cable, "up")
            self._inside("ip", "addr", "add", self.own + "/30", "dev", "eth0")
            for link in ("lo", "eth0"):
                self._inside("ip", "link", "set", link, "up")
            self._inside("nft", "-f", "-", input=TABLE)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # Both: the kernel takes its time to end a namespace.
        for what in (["link", self.cable], ["netns", self.name]):
            subprocess.run(["ip", what[0], "del", what[1]], check=False, capture_output=True)

    def _inside(self, *argv, **options):
        return _run(*self.before, *argv, **options)

    def other_address(self):
        """A second one of the server's."""
        _, half, rest = self.address.split(".", 2)
        other = "198.%d.%s" % (18 + 19 - int(half), rest)
        _run("ip", "addr", "add", other + "/32", "dev", self.cable)
        self._inside("ip", "route", "add", other + "/32", "via", self.address)
        return other

    def before_with_hosts(self, hosts):
        """Stands before a program that has the file in place of /etc/hosts."""
        return [*self.before, "unshare", "--mount", "sh", "-c",
                'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]

    def env(self, server):
        """The variables that lead to a server that listens at the other end."""
        return {"PGHOST": self.address, "PGHOSTADDR": "", "PGPASSWORD": server.password}

    def forget(self, pid, port):
        """From now on what belongs to the connections that the process has there is dropped."""
        ports = flows(pid, port)
        assert ports, "nothing is connected"
        self._inside("nft", "add", "element", "inet", "fault", "forgotten",
                     "{ %s }" % ", ".join(map(str, ports)))
        return ports

    def cut(self, pid, port, how):
        """What the process sends on its connections there is "dropped", answered by a "reset", or
        "rejected" as a firewall does that says so (ICMP)."""
        ports = flows(pid, port)
        assert ports, "nothing is connected"
        self._inside("nft", "add", "element", "inet", "fault",
                     {"dropped": "forgotten", "reset": "cut", "rejected": "rejected"}[how],
                     "{ %s }" % ", ".join(map(str, ports)))

    def refuse(self, port, how="refused"):
        """New connections there are refused from now on; or "unreachable", by ICMP."""
        self._inside("nft", "add", "element", "inet", "fault", how, "{ %d }" % port)

    def mend(self):
        """All passes again."""
        for name in ("forgotten", "cut", "refused", "rejected", "unreachable"):
            self._inside("nft", "flush", "set", "inet", "fault", name)

    def dropped(self):
        """Packets so far, those that were refused or reset as well."""
        shown = self._inside("nft", "list", "counters")
        return sum(map(int, re.findall(r"packets (\d+)", shown)))

    def await_drop(self, since=0):
        """Waits for a packet to be dropped: the proof of the fault."""
        assert wait_until(lambda: self.dropped() > since), "the fault did not happen"


class Nat(Network):
    """The same with a NAT in the middle, which forgets a flow in which nothing passes for
    `seconds`, and then drops what comes of it."""

    INNER = "192.0.2."  # seen by the two namespaces alone
    RULES = """
table ip nat {
	chain out { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }
	chain pass { type filter hook forward priority 0; ct state invalid counter name dropped drop; }
	counter dropped { }
}
"""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        self.router, self.inner = self.before, self.name + "-in"
        self.before = ["nsenter", "--net=/run/netns/" + self.inner]

    def __enter__(self):
        super().__enter__()
        try:
            self._translate()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        super().__exit__()
        subprocess.run(["ip", "netns", "del", self.inner], check=False, capture_output=True)

    def _translate(self):
        _run("ip", "netns", "add", self.inner)
        self._inside("ip", "link", "add", "inside", "type", "veth", "peer", "name", "eth0",
                     "netns", self.inner)
        self._inside("ip", "addr", "add", self.INNER + "1/30", "dev", "inside")
        self._inside("ip", "link", "set", "inside", "up")
        for words in (["addr", "add", self.INNER + "2/30", "dev", "eth0"], ["link", "set", "eth0", "up"],
                      ["link", "set", "lo", "up"], ["route", "add", "default", "via", self.INNER + "1"]):
            _run(*self.before, "ip", *words)
        self._inside("nft", "-f", "-", input=self.RULES)
        for name, value in (("ipv4/ip_forward", 1), ("netfilter/nf_conntrack_tcp_loose", 0),
                            ("netfilter/nf_conntrack_tcp_timeout_established", self.seconds)):
            self._inside("sh", "-c", "echo %d >/proc/sys/net/%s" % (value, name))

    def _inside(self, *argv, **options):
        return _run(*self.router, *argv, **options)

    def known(self):
        """The flows that it knows now, by the port of the program's end."""
        table = self._inside("cat", "/proc/net/nf_conntrack")
        return set(map(int, re.findall(r" ESTABLISHED .*? sport=(\d+)", table)))
