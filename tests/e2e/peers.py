"""A server that keeps what it gets, and a Postfix of its own beside postern: what both make of the same input."""
import base64
import contextlib
import os
import pathlib
import shutil
import socket
import socketserver
import subprocess
import threading

import support
from support import wait_for

EVERYTHING = ("PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN")


def plain(user, password, authzid=""):
    """The response of AUTH PLAIN."""
    return base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()


class Server(socketserver.ThreadingTCPServer):
    """On a free port of loopback; quiet when its client goes first."""
    daemon_threads = allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, handler, host="127.0.0.1"):
        super().__init__((host, 0), handler)

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, request, client_address):
        pass


@contextlib.contextmanager
def served(server):
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Sink:
    """SMTP on loopback; `got` has (sender, options of MAIL, recipients, message) for each message."""

    def __init__(self, offers=EVERYTHING, host="127.0.0.1"):
        self.got, self.offers, self.lock = [], offers, threading.Lock()
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(text + b"\r\n")

            def body(self):
                lines = []
                for line in self.rfile:
                    if line == b".\r\n":
                        return b"".join(lines)
                    lines.append(line[1:] if line.startswith(b".") else line)
                raise ConnectionError("the client went in the middle of its message")

            def handle(self):
                with contextlib.suppress(OSError):
                    self.talk()

            def talk(self):
                mail, to = None, []
                self.say(b"220 sink.example ESMTP")
                for line in self.rfile:
                    verb, rest = line[:4].upper(), line.rstrip(b"\r\n")
                    if verb == b"EHLO":
                        words = ("sink.example", *sink.offers)
                        self.wfile.write(b"".join(b"250%s%s\r\n" % (b" " if w is words[-1] else b"-", w.encode()) for w in words))
                    elif verb == b"MAIL":
                        path, _, options = rest[10:].partition(b">")
                        mail, to = (path.lstrip(b"<"), options.split()), []
                        self.say(b"250 2.1.0 Ok")
                    elif verb == b"RCPT":
                        to.append(rest[8:].lstrip(b"<").partition(b">")[0])
                        self.say(b"250 2.1.5 Ok")
                    elif verb == b"DATA":
                        self.say(b"354 go on")
                        message = self.body()
                        with sink.lock:
                            sink.got.append((*mail, to, message))
                        self.say(b"250 2.0.0 Ok")
                    elif verb == b"QUIT":
                        self.say(b"221 2.0.0 Bye")
                        return
                    else:
                        self.say(b"250 2.0.0 Ok")

        self.server = Server(Handler, host)
        self.port = self.server.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def take(self):
        with self.lock:
            got, self.got = self.got, []
        return got


class Postfix:
    """Its own instance: configuration, queue and log of its own; everything goes to `sink_port`."""

    def __init__(self, folder: pathlib.Path, sink_port: int):
        self.port = support.free_port()
        self.etc, self.log = folder / "etc", pathlib.Path(f"/var/log/postfix-{self.port}.log")
        spool, data = folder / "spool", folder / "data"
        self.spool = spool
        for d in (self.etc, spool, data):
            d.mkdir(parents=True)
        # Its daemons run as postfix, and the folders above are the test's.
        for d in folder.parents:
            if d != pathlib.Path("/tmp") and str(d).startswith("/tmp/"):
                d.chmod(d.stat().st_mode | 0o055)
        folder.chmod(0o755)
        shutil.chown(data, "postfix")
        for name in ("dynamicmaps.cf", "postfix-files"):
            if os.path.exists(f"/etc/postfix/{name}"):
                shutil.copy(f"/etc/postfix/{name}", self.etc)
        (self.etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
maillog_file = {self.log}
myhostname = relay.example.com
myorigin = contoso.com
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink_port}
disable_dns_lookups = yes
smtp_host_lookup = native
alias_maps =
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_soft_error_limit = 1000
smtpd_client_connection_count_limit = 0
alias_database =
local_transport = error:none
import_environment = MAIL_CONFIG TZ
""")
        (self.etc / "master.cf").write_text(f"""
127.0.0.1:{self.port} inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
""")
        self.run("start")
        wait_for(lambda: support.listens(self.port))

    def run(self, command):
        return subprocess.run(["/usr/sbin/postfix", "-c", str(self.etc), command], capture_output=True, timeout=60, check=False)

    def sendmail(self, args, message: bytes):
        done = subprocess.run(["/usr/sbin/sendmail", "-C", str(self.etc), *args], input=message, capture_output=True, timeout=60,
                              check=False, env={**os.environ, "MAIL_CONFIG": str(self.etc)})
        return done.returncode

    def is_idle(self):
        """In the order in which a message goes: none is missed between two of them."""
        return not any((self.spool / name).is_dir() and any((self.spool / name).iterdir()) for name in ("maildrop", "incoming", "active"))

    def close(self):
        self.run("stop")
        self.log.unlink(missing_ok=True)


def replies_of(sock: socket.socket, file, patience):
    """The next reply, or b"" when none comes in time; b"closed" when the other side hung up."""
    sock.settimeout(patience)
    lines = []
    try:
        while True:
            line = file.readline()
            if not line:
                return b"closed"
            lines.append(line)
            if line[3:4] != b"-":
                return b"".join(lines)
    except (TimeoutError, OSError):
        return b""
