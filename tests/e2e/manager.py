"""The part of systemd that a service sees: NOTIFY_SOCKET with a store for descriptors, and LISTEN_FDS."""
import array
import os
import socket
import threading

import support
from support import wait_for

STARTER = """
import fcntl, os, sys
fds = [int(n) for n in sys.argv[1].split(",") if n]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 600) for fd in fds]
for fd in fds:
    os.close(fd)
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n, inheritable=True)
    os.close(fd)
if fds:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class Manager:
    """Keeps what the service stores, and passes it to the next process of the service."""

    def __init__(self, folder, relay):
        self.relay = relay
        self.folder = folder
        self.path = folder / "notify.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.stored = []  # (name, descriptor)
        self.seen = []
        self.child = None
        self.runs = 0
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            try:
                data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4 * 16))
            except OSError:
                return
            if data == b"END":
                return
            fds = array.array("i")
            for _, kind, payload in control:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(payload[:len(payload) // 4 * 4])
            fields = dict(line.split("=", 1) for line in data.decode().splitlines())
            if fields.get("FDSTORE") == "1":
                self.stored += [(fields["FDNAME"], fd) for fd in fds]
            elif fields.get("FDSTOREREMOVE") == "1":
                for name, fd in [s for s in self.stored if s[0] == fields["FDNAME"]]:
                    self.stored.remove((name, fd))
                    os.close(fd)
            else:
                for fd in fds:
                    os.close(fd)
            self.seen.append(fields)

    def names(self):
        return sorted(name for name, _ in self.stored)

    def start(self):
        self.runs += 1
        ready = sum("READY" in s for s in self.seen)
        fds = [fd for _, fd in self.stored]
        self.child = support.Process(
            ["/usr/bin/python3", "-c", STARTER, ",".join(map(str, fds)), ":".join(n for n, _ in self.stored),
             support.POSTERN, "serve", "--config", str(self.relay.config)],
            self.folder / f"serve-{self.runs}.log", {"NOTIFY_SOCKET": str(self.path)}, pass_fds=fds)
        wait_for(lambda: sum("READY" in s for s in self.seen) > ready or not self.child.alive())
        assert self.child.alive(), self.child.text()

    def end(self):
        if self.child and self.child.alive():
            self.child.kill()
        ender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ender.sendto(b"END", str(self.path))
        ender.close()
        self.thread.join(support.PATIENCE)
        self.socket.close()
        for _, fd in self.stored:
            os.close(fd)
