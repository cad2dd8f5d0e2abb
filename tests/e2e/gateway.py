"""Three machines in a row: the relay's, a gateway that loses packets without a word when it is told to, the server's.

Each is a network namespace without a process of its own. A namespace belongs to a thread: what a call opens or starts
inside of one stays there, whoever uses it later.
"""
import ctypes
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import threading

import pytest

from support import wait_for

NEWNET, NEWNS = 0x40000000, 0x00020000  # CLONE_ of sched.h
_libc = ctypes.CDLL(None, use_errno=True)

# "6": the same in IPv6. Addresses for documentation, which RFC 6724 prefers to IPv4 as it does real ones.
NEAR, FAR, FAR6 = "10.77.1.2", "10.77.2.2", "2001:db8:2::2"


def _kernel(rc, what):
    if rc:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _in_thread(what):
    """A namespace is left by ending the thread that is in it."""
    done = {}

    def body():
        try:
            done["value"] = what()
        except BaseException as error:  # pylint: disable=broad-except; whoever waits gets it
            done["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in done:
        raise done["error"]
    return done["value"]


def _new_namespace():
    def make():
        _kernel(_libc.unshare(NEWNET), "unshare")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    return _in_thread(make)


def _answers(host):
    """Nobody listens there, which its kernel says."""
    try:
        socket.create_connection((host, 9), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


class Place:
    """One of the machines."""

    def __init__(self):
        self.fd = _new_namespace()

    def do(self, what, *args, hosts=None, **kw):
        """`what` is called inside; `hosts`: the text of /etc/hosts of what it starts."""

        def body():
            _kernel(_libc.setns(self.fd, NEWNET), "setns")
            if hosts:
                _kernel(_libc.unshare(NEWNS), "unshare")
                subprocess.run(["mount", "--make-rprivate", "/"], check=True)
                subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
            return what(*args, **kw)

        return _in_thread(body)

    def ip(self, *words):
        self.do(subprocess.run, ["ip", *words], check=True, stdin=subprocess.DEVNULL)

    def close(self):
        os.close(self.fd)


class Gateway:
    def __init__(self):
        self.near, self.gate, self.far = self.places = [Place() for _ in range(3)]
        for place in self.places:
            place.ip("link", "set", "lo", "up")
            # Else an address is doubted for its first seconds.
            place.do(pathlib.Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text, "0")
        self._link(self.near, 1)
        self._link(self.far, 2)
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.gate.do(pathlib.Path("/proc/sys/net", switch).write_text, "1")
        for far in (FAR, FAR6):
            wait_for(lambda host=far: self.near.do(_answers, host))
        self._listen()

    def _link(self, place, net):
        """`place` and the gateway, by net `net`; all else lies behind the gateway."""
        place.ip("link", "add", "out", "type", "veth", "peer", "name", f"to{net}", "netns",
                 f"/proc/{os.getpid()}/fd/{self.gate.fd}")
        for at, link, host in ((place, "out", 2), (self.gate, f"to{net}", 1)):
            at.ip("addr", "add", f"10.77.{net}.{host}/24", "dev", link)
            at.ip("-6", "addr", "add", f"2001:db8:{net}::{host}/64", "dev", link, "nodad")
            at.ip("link", "set", link, "up")
        place.ip("route", "add", "default", "via", f"10.77.{net}.1")
        place.ip("-6", "route", "add", "default", "via", f"2001:db8:{net}::1")

    # ---- what has come by ----

    def _listen(self):
        self.lock, self.seen, self.told = threading.Lock(), [], 0
        self.packets = self.gate.do(socket.socket, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.packets.bind(("to1", 3))
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self):
        while True:
            try:
                packet, _ = self.packets.recvfrom(65536)
            except OSError:
                return
            if packet[0] >> 4 == 6:
                family, protocol, tcp = 6, packet[6], packet[40:]
            else:
                family, protocol, tcp = 4, packet[9], packet[(packet[0] & 15) * 4:]
            # SYN without ACK: the first packet of a connection, and those that repeat it.
            if protocol == 6 and tcp[13] & 0x12 == 0x02:
                with self.lock:
                    self.seen.append((family, struct.unpack_from(">H", tcp)[0]))

    def ports(self, family=4):
        """Of the connections that the relay has begun, in order."""
        with self.lock:
            return list(dict.fromkeys(port for f, port in self.seen if f == family))

    def families(self):
        """Of the SYNs since the last call, in order: 4 or 6. One of our own comes last, so that none is on its way."""
        with self.near.do(socket.socket) as ours:
            ours.bind((NEAR, 0))
            ours.setblocking(False)
            ours.connect_ex((FAR, 9))
            port = ours.getsockname()[1]
            wait_for(lambda: (4, port) in self.seen)
        with self.lock:
            end = self.seen.index((4, port))
            seen = self.seen[self.told:end]
            # It may be repeated while it is waited for.
            self.seen = [s for s in self.seen if s != (4, port)]
            self.told = end
        return [family for family, _ in seen]

    # ---- what it loses ----

    def forget(self, ports):
        """The connections with these ports of the relay, both ways. New ones are let through."""
        for port in ports:
            for way, end in (("to1", "sport"), ("to2", "dport")):
                self.gate.ip("rule", "add", "pref", "10", "iif", way, "ipproto", "tcp", end, str(port), "blackhole")

    def lose(self, family=4):
        """All packets."""
        for way in ("to1", "to2"):
            self.gate.ip(f"-{family}", "rule", "add", "pref", "5", "iif", way, "blackhole")

    def lose_nothing(self):
        for family in (4, 6):
            for way in ("to1", "to2"):
                self.gate.do(subprocess.run, ["ip", f"-{family}", "rule", "del", "pref", "5", "iif", way], capture_output=True)

    def close(self):
        self.packets.close()
        for place in self.places:
            place.close()


@pytest.fixture
def gateway():
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("SKIPPED LOUDLY: needs root and ip (Debian: iproute2)")
    try:
        made = Gateway()
    except (OSError, AssertionError, subprocess.CalledProcessError) as error:
        pytest.skip(f"SKIPPED LOUDLY: no network namespaces with veth and rules here: {error}")
    yield made
    made.close()
