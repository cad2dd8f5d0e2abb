"""A refresh token that changes with each use, and kill -9 at every step of a refresh."""
import fcntl
import http.server
import ssl
import threading
import time
import urllib.error
import urllib.request

import pytest

import support
from entra import APP
from support import POSTERN, PATIENCE, run, wait_for
from test_login import USER, send, sections


class Gate:
    """Stands before the sandbox's token service and can stop a request, or its answer."""

    def __init__(self, folder, sandbox):
        self.ca, cert, key = support.make_certificate(folder)
        self.port = support.free_port()
        self.trust = ssl.create_default_context(cafile=str(sandbox.ca))
        self.sandbox = sandbox
        self.asked, self.answered = threading.Semaphore(0), threading.Semaphore(0)
        self.hold_request = self.hold_answer = False
        self.go = threading.Event()
        self.refreshes = []
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                gate.serve(self, self.rfile.read(int(self.headers["Content-Length"])))

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, handler, body):
        refresh = b"grant_type=refresh_token" in body
        if refresh:
            self.refreshes.append(body)
            self.asked.release()
            if self.hold_request:
                self.go.wait(PATIENCE)
        request = urllib.request.Request(f"https://localhost:{self.sandbox.https}{handler.path}", data=body, method="POST")
        try:
            with urllib.request.urlopen(request, context=self.trust, timeout=PATIENCE) as answer:
                status, data = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, data = error.code, error.read()
        if refresh:
            self.answered.release()
            if self.hold_answer:
                self.go.wait(PATIENCE)
        try:
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
        except OSError:
            pass  # killed meanwhile: that is what this is about

    def open(self):
        self.hold_request = self.hold_answer = False
        self.go.set()

    def close(self):
        self.open()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def office(sandbox, relay, folder):
    gates = []

    def make(strict):
        s = sandbox()
        key = s.folder / "vault.key"
        key.write_text("00112233445566778899aabbccddeeff" * 2 + "\n")
        key.chmod(0o600)
        gate = Gate(folder / "gate", s)
        gates.append(gate)
        # One file of both authorities: the gate's, and the sandbox's for Graph.
        both = folder / "both.pem"
        both.write_text(gate.ca.read_text() + s.ca.read_text())
        text = sections(s).replace(f'login: "https://localhost:{s.https}"', f'login: "https://localhost:{gate.port}"')
        text = text.replace(f'ca_file: "{s.ca}" }}\nmailboxes', f'ca_file: "{both}" }}\nmailboxes')
        assert str(gate.port) in text and str(both) in text
        r = relay(text, general="retry: { first: 1s }", start=False)
        s.settings(auto_approve=USER, refresh_once=strict)
        sign_in(r)
        return s, r, gate

    yield make
    for gate in gates:
        gate.close()


def sign_in(r):
    run([POSTERN, "login", USER, "--config", str(r.config)])


class Locked:
    """Nobody else gets at the vault."""

    def __init__(self, r):
        self.path = r.folder / "data" / "vault.lock"

    def __enter__(self):
        self.file = open(self.path, "r+b")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *args):
        self.file.close()


def kill_while_the_service_works(r, gate):
    gate.hold_request = True
    gate.go.clear()
    r.start()
    send(r, "killed while the service works")
    assert gate.asked.acquire(timeout=PATIENCE)
    r.kill()
    gate.open()
    # The service gives the new token to nobody.
    assert gate.answered.acquire(timeout=PATIENCE)


def kill_before_the_request(r, gate):
    r.start()
    with Locked(r):
        send(r, "killed before the request")
        time.sleep(0.3)  # the worker waits for the lock by now, or it does not: both must work
        r.kill()


def kill_between_answer_and_arrival(r, gate):
    gate.hold_answer = True
    gate.go.clear()
    r.start()
    send(r, "killed between answer and arrival")
    assert gate.answered.acquire(timeout=PATIENCE)
    r.kill()
    gate.open()


def kill_between_arrival_and_write(r, gate):
    gate.hold_answer = True
    gate.go.clear()
    r.start()
    send(r, "killed between arrival and write")
    assert gate.answered.acquire(timeout=PATIENCE)
    with Locked(r):
        gate.open()
        time.sleep(0.3)
        r.kill()


ROUNDS = 3
STEPS = [kill_before_the_request, kill_while_the_service_works, kill_between_answer_and_arrival, kill_between_arrival_and_write]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at(office, step):
    """As at Microsoft, where the old token lives on: nobody has to sign in again."""
    s, r, gate = office(strict=False)
    step(r, gate)
    r.start()
    wait_for(lambda: not r.waiting())
    assert len(s.messages()) == 1


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_where_old_tokens_end(office, step):
    """Where the service has ended the old token and nobody has the new one, the mail waits for `postern login`."""
    s, r, gate = office(strict=True)
    step(r, gate)
    r.start()
    if step is not kill_before_the_request:
        wait_for(lambda: "parked" in r.cli("status") and f"postern login {USER}" in r.cli("status") + r.log())
        assert r.waiting() and not s.messages()
        sign_in(r)
    wait_for(lambda: not r.waiting())
    assert len(s.messages()) == 1


def gone(r):
    """Whether all has left. An attempt that was under way waits long before the next one: nobody waits for that here."""
    if r.waiting():
        r.cli("queue", "retry", "--older", "0s", code=None)
    return not r.waiting()


@pytest.mark.parametrize("strict", [False, True])
def test_killed_right_behind_the_answer(office, strict):
    """Wherever in these milliseconds the end comes: what was handed out is in the vault."""
    s, r, gate = office(strict)
    for n in range(ROUNDS):
        r.start()
        while gate.answered.acquire(blocking=False):
            pass
        send(r, f"message {n}")
        assert gate.answered.acquire(timeout=PATIENCE)
        time.sleep(n * n * 0.01)
        r.kill()
        r.start()
        wait_for(lambda: gone(r) or "parked" in r.cli("status"))
        if r.waiting():
            assert strict  # the answer was lost on its way; no client could have it
            sign_in(r)
            wait_for(lambda: gone(r))
        r.stop()
    assert {m["subject"] for m in s.messages()} == {f"message {n}" for n in range(ROUNDS)}
    assert APP.encode() in gate.refreshes[0]
