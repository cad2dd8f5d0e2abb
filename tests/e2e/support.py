"""Starts the real binary and the peers of the tests, each in a folder of its own, on loopback only.

Every process that is started here is ended by its id when the test is over.
"""
import itertools
import json
import os
import pathlib
import pty
import select
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", pathlib.Path(__file__).parents[2] / "build"))
POSTERN = str(BUILD / "src" / "cli" / "postern")
DROP = str(BUILD / "src" / "drop" / "postern-drop")
NODE = pathlib.Path(__file__).parent / "node"
PATIENCE = 60  # seconds: how long a test waits for what must come; never a measure of speed


# Ports that no outgoing connection gets (they begin at 32768), and a part of them for each worker, so that
# nobody takes a port between the moment it is found free and the moment a server listens on it.
PORTS_FIRST, PORTS_EACH = 10000, 5000
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
_ports = itertools.count(os.getpid() * 37)


def free_port() -> int:
    for n in _ports:
        port = PORTS_FIRST + _worker * PORTS_EACH + n % PORTS_EACH
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")


def wait_for(what, seconds=PATIENCE, every=0.05):
    """Calls `what` until it gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(every)


def at_a_terminal(words, env):
    """The output of a command whose standard output and error are one terminal."""
    near, far = pty.openpty()
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=far, stderr=far, close_fds=True,
                             env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, **env})
    os.close(far)
    out = b""
    while True:
        if not select.select([near], [], [], PATIENCE)[0]:
            break
        try:
            piece = os.read(near, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    child.wait(PATIENCE)
    os.close(near)
    return out


def listens(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def answers(control):
    """Whether the daemon's loop runs: then all of its sockets are there, not the first alone."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(str(control))
            s.sendall(b"{}\n")
            return bool(s.recv(1))
    except OSError:
        return False


def run(args, code=0, **kw):
    done = subprocess.run(args, capture_output=True, timeout=120, **kw)
    if code is not None:
        assert done.returncode == code, f"{args} gave {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
    return done


def make_certificate(folder: pathlib.Path):
    """A CA and a certificate for localhost and 127.0.0.1; returns (ca, certificate, key)."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, key, csr, cert = (folder / n for n in ("ca.pem", "key.pem", "req.csr", "cert.pem"))
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=test CA", "-keyout", str(folder / "ca.key"), "-out", str(ca)])
    run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
         "-keyout", str(key), "-out", str(csr)])
    ext = folder / "ext.cnf"
    ext.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run(["openssl", "x509", "-req", "-in", str(csr), "-CA", str(ca), "-CAkey", str(folder / "ca.key"),
         "-CAcreateserial", "-days", "2", "-extfile", str(ext), "-out", str(cert)])
    return ca, cert, key


class Process:
    """A child with its output in a file; ended by its own id."""

    def __init__(self, args, log: pathlib.Path, env=None, pass_fds=()):
        self.log = log
        self._file = open(log, "ab")
        self.process = subprocess.Popen(
            args, stdin=subprocess.DEVNULL, stdout=self._file, stderr=self._file, pass_fds=pass_fds,
            env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.process.pid

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds=PATIENCE):
        if self.alive():
            self.process.send_signal(sig)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.process.args[0]} did not end after signal {sig}\n{self.text()[-2000:]}")
        finally:
            self._file.close()
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._file.close()


class Sandbox:
    def __init__(self, folder: pathlib.Path, *args):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.smtp, self.http, self.https, self.hve, self.connector = (free_port() for _ in range(5))
        self.start(*args)

    def start(self, *args):
        """At its ports and folder; also again, after it was stopped."""
        folder = self.folder
        self.process = Process(
            [POSTERN, "sandbox", "--smtp", f"127.0.0.1:{self.smtp}", "--http", f"127.0.0.1:{self.http}",
             "--https", f"127.0.0.1:{self.https}", "--hve", f"127.0.0.1:{self.hve}", "--connector", f"127.0.0.1:{self.connector}",
             "--folder", str(folder), "--events", str(folder / "events.jsonl"), *args],
            folder / "sandbox.log")
        wait_for(lambda: listens(self.http) or not self.process.alive())
        assert self.process.alive(), self.process.text()
        self.ca = folder / "ca.pem"

    def api(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", method=method,
            data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None
        return data

    def get(self, path):
        return json.loads(self.api("GET", path))

    def messages(self):
        return self.get("/messages")

    def raw(self, number) -> bytes:
        return self.api("GET", f"/messages/{number}/raw")

    def verdict(self):
        return self.get("/verdict")

    def fault(self, **spec):
        self.api("POST", "/faults", spec)

    def settings(self, **spec):
        self.api("PUT", "/settings", spec)

    def stop(self):
        return self.process.stop()


class Relay:
    """`postern serve` in a folder. `sections` is YAML text behind the general part."""

    def __init__(self, folder: pathlib.Path, sections: str, general: str = "", listeners: str = "", env=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.env = env
        self.port = free_port()
        self.config = folder / "postern.yaml"
        self.control = folder / "control.sock"
        self.submit = folder / "submit.sock"
        self.maildrop = folder / "maildrop"
        self.maildrop.mkdir(exist_ok=True)
        self.write(sections, general, listeners)
        self.process = None
        self.runs = 0

    def write(self, sections, general="", listeners=""):
        self.config.write_text(f"""
data_dir: {self.folder}/data
maildrop: {self.maildrop}
submit_socket: {self.submit}
control_socket: {self.control}
hostname: relay.example.com
{general}
listeners:
  - address: 127.0.0.1:{self.port}
    no_password_from: [127.0.0.0/8]
{listeners}
{sections}
""")

    def start(self):
        self.runs += 1
        self.process = Process(
            [POSTERN, "serve", "--config", str(self.config)], self.folder / f"serve-{self.runs}.log", self.env)
        wait_for(lambda: (listens(self.port) and answers(self.control)) or not self.process.alive())
        assert self.process.alive(), self.process.text()
        return self

    def log(self) -> str:
        return "".join(p.read_text(errors="replace") for p in sorted(self.folder.glob("serve-*.log")))

    def stop(self):
        code = self.process.stop()
        self.process = None
        return code

    def kill(self):
        self.process.kill()
        self.process = None

    def end(self):
        if self.process:
            self.process.kill()
            self.process = None

    def cli(self, *args, code=0):
        return run([POSTERN, *args, "--config", str(self.config)], code=code).stdout.decode(errors="replace")

    def rows(self, *args):
        """A command's --json lines, parsed."""
        return [json.loads(line) for line in self.cli(*args, "--json").splitlines()]

    def waiting(self):
        return self.rows("queue", "list")


def mailbox(address, sandbox, password_file, limits="", **more) -> str:
    extra = "".join(f"    {k}: {v}\n" for k, v in more.items())
    return f"""
  - address: {address}
    tenant: contoso
    provider: submission
    auth: password
    password: file:{password_file}
    endpoint: {{ host: localhost, port: {sandbox.smtp}, ca_file: "{sandbox.ca}" }}
{f'    limits: {limits}' if limits else ''}
{extra}"""


TENANT = """
tenants:
  - name: contoso
    id: 00000000-0000-0000-0000-000000000000
    domains: [contoso.com]
"""
