"""`postern login`: a person signs in for a mailbox, and the mail that waited goes."""
import http.server
import json
import os
import pty
import re
import select
import smtplib
import ssl
import subprocess
import time
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest

import support
from entra import APP, TENANT, call
from support import POSTERN, PATIENCE, Process, run, wait_for

USER = "scan@contoso.com"


def sections(s, more="", login=""):
    return f"""
vault: {{ key: "file:{s.folder}/vault.key" }}
tenants:
  - name: contoso
    id: {TENANT}
    domains: [contoso.com]
    app: {{ client_id: {APP} }}
    endpoints: {{ login: "https://localhost:{s.https}", graph: "https://localhost:{s.https}", ca_file: "{s.ca}" }}
mailboxes:
  - address: {USER}
    tenant: contoso
    auth: user
    provider: graph
{login}{more}
routes:
  - {{ through: sender }}
"""


@pytest.fixture
def office(sandbox, relay):
    def make(start=True, more="", login=""):
        s = sandbox()
        key = s.folder / "vault.key"
        key.write_text("00112233445566778899aabbccddeeff" * 2 + "\n")
        key.chmod(0o600)
        return s, relay(sections(s, more, login), start=start)

    return make


def begin(r, folder, *args, name="login"):
    """`postern login` as a process, and what it printed first."""
    p = Process([POSTERN, "login", *args, "--json", "--config", str(r.config)], folder / f"{name}.log")

    def shown():
        lines = [line for line in p.text().splitlines() if line.startswith("{")]
        return json.loads(lines[0]) if lines else not p.alive()

    first = wait_for(shown)
    assert isinstance(first, dict), p.text()
    return p, first


def finish(p):
    code = p.process.wait(PATIENCE) if hasattr(p, "process") else p.popen.wait(PATIENCE)
    return code, p.text()


def approve(s, code, user=USER):
    s.api("POST", "/logins/approve", {"user_code": code, "user": user})


def send(r, subject, sender=USER):
    with smtplib.SMTP("127.0.0.1", r.port, timeout=PATIENCE) as c:
        c.sendmail(sender, ["anna@example.org"], f"From: {sender}\r\nTo: anna@example.org\r\nSubject: {subject}\r\n\r\nx\r\n")


def test_device_code_lets_waiting_mail_go(office, folder):
    s, r = office()
    send(r, "waits for a person")
    wait_for(lambda: "login-needed" in r.cli("queue", "list", "--json") or "login-needed" in r.cli("status"))
    wait_for(lambda: f"postern login {USER}" in r.cli("status") + r.cli("queue", "list") + r.log())
    assert r.rows("login", "--list") == [
        {"mailbox": USER, "user": USER, "tenant": "contoso", "signed_in_at": None, "last_used_at": None}]
    p, shown = begin(r, folder, USER)
    assert shown["verification_uri"].endswith("/devicelogin") and shown["expires_in"] == 900
    approve(s, shown["user_code"])
    code, text = finish(p)
    assert code == 0 and '"signed_in":true' in text, text
    wait_for(lambda: [m["subject"] for m in s.messages()] == ["waits for a person"])
    wait_for(lambda: not r.waiting())
    [token] = [line for line in r.rows("status") if line["type"] == "token"]
    assert (token["tenant"], token["user"], token["refreshes"]) == ("contoso", USER, 1) and "reason" not in token
    [login] = r.rows("login", "--list")
    assert login["signed_in_at"] and login["last_used_at"]
    assert re.search(r"since \d{4}-\d\d-\d\d, last used", r.cli("login", "--list"))
    # Nothing secret anywhere that people look at.
    for place in (r.log(), text, r.cli("login", "--list"), r.cli("status", "--json")):
        assert "eyJ" not in place and "refresh_token" not in place and "device_code" not in place
    assert b"refresh" not in (r.folder / "data" / "vault").read_bytes()


def test_forget_ends_it(office, folder):
    s, r = office()
    s.settings(auto_approve=USER)
    run([POSTERN, "login", USER, "--config", str(r.config)])
    send(r, "one")
    wait_for(lambda: len(s.messages()) == 1)
    assert "forgotten" in r.cli("login", "--forget", USER)
    assert "nobody is signed in" in run([POSTERN, "login", "--forget", USER, "--config", str(r.config)], code=67).stderr.decode()
    send(r, "two")
    wait_for(lambda: r.waiting() and "login-needed" in r.cli("status"))
    assert len(s.messages()) == 1


def test_the_ways_a_device_code_ends(office, folder):
    s, r = office(start=False)
    p, shown = begin(r, folder, USER, name="declined")
    s.api("POST", "/logins/deny", {"user_code": shown["user_code"]})
    code, text = finish(p)
    assert code == 77 and "declined" in text
    p, shown = begin(r, folder, USER, name="expired")
    s.api("PUT", "/clock", {"advance_seconds": 901})
    code, text = finish(p)
    assert code == 75 and "expired" in text
    s.settings(apps=[{"client_id": APP, "disabled": True}])
    told = run([POSTERN, "login", USER, "--config", str(r.config)], code=77).stderr.decode()
    assert "AADSTS7000112" in told and len(told.splitlines()) == 2  # and what it means
    s.stop()
    told = run([POSTERN, "login", USER, "--config", str(r.config)], code=69).stderr.decode()
    assert "did not answer" in told
    assert r.rows("login", "--list")[0]["signed_in_at"] is None


def test_somebody_else_signs_in(office, folder):
    s, r = office(start=False)
    p, shown = begin(r, folder, USER)
    approve(s, shown["user_code"], "c@contoso.com")
    code, text = finish(p)
    assert code == 0 and "c@contoso.com has signed in" in text and USER in text


def test_wrong_use(office):
    s, r = office(start=False, more=f"""
  - address: erp@contoso.com
    tenant: contoso
    auth: password
    password: "env:X"
    endpoint: {{ host: localhost, port: 25 }}
""")
    for args, words in ((["nobody@contoso.com"], "no mailbox"), (["erp@contoso.com"], "auth: user")):
        assert words in run([POSTERN, "login", *args, "--config", str(r.config)], code=67).stderr.decode()
    for args in ([], ["--list", USER], ["--list", "--browser"], ["--forget"]):
        assert "usage" in run([POSTERN, "login", *args, "--config", str(r.config)], code=64).stderr.decode()


def follow(s, url, **more):
    """As the browser: the sign-in page, then the loopback address it leads to."""
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    status, headers, page = call(s, "GET", parts.path + "?" + urllib.parse.urlencode({**query, **more}))
    assert status == 302, page
    return headers["Location"]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_browser(office, folder):
    s, r = office()
    p, shown = begin(r, folder, "--browser", USER)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(shown["url"]).query))
    assert query["code_challenge_method"] == "S256" and query["login_hint"] == USER and len(query["state"]) == 43
    home = follow(s, shown["url"], sandbox_user=USER)
    base = home.split("?")[0]
    assert re.fullmatch(r"http://localhost:\d+/?", base)
    # What is not the answer does not end it.
    assert get(base.rstrip("/") + "/favicon.ico")[0] == 404
    assert get(base.rstrip("/") + "/?code=x&state=forged")[0] == 400
    assert p.alive()
    status, page = get(home.replace("localhost:", "127.0.0.1:") if "/?" in home else home.replace("?", "/?"))
    assert status == 200 and "close this page" in page
    code, text = finish(p)
    assert code == 0, text
    assert r.rows("login", "--list")[0]["signed_in_at"]
    send(r, "by browser")
    wait_for(lambda: [m["subject"] for m in s.messages()] == ["by browser"])


class Entra:
    """A sign-in service that gives a device code and refuses what follows with one body."""

    def __init__(self, folder, body):
        ca, cert, key = support.make_certificate(folder / "entra")
        self.ca = ca

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                code = {"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": "https://microsoft.com/devicelogin",
                        "expires_in": 900, "interval": 1}
                self.send_response(200 if "devicecode" in self.path else 400)
                self.end_headers()
                self.wfile.write(json.dumps(code if "devicecode" in self.path else body).encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.https, self.folder = self.server.server_address[1], folder
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.parametrize("body, words, blocked", [
    ({"error": "access_denied", "error_description": "AADSTS530035: Access has been blocked by security defaults. Trace ID: 0"},
     "AADSTS530035: Access has been blocked by security defaults.", True),
    ({"error": "invalid_grant", "error_description": "AADSTS53003: Access has been blocked by Conditional Access policies. Trace ID: 0"},
     "AADSTS53003: Access has been blocked by Conditional Access", True),
    ({"error": "interaction_required", "error_description": "AADSTS999999: Something new. Trace ID: 0"}, "AADSTS999999: Something new", True),
    ({"error": "access_denied"}, "declined", True),
    ({"error": "invalid_client", "error_description": "AADSTS7000112: Application is disabled. Trace ID: 0"}, "AADSTS7000112", False),
])
def test_a_blocked_device_code_names_the_browser(folder, relay, body, words, blocked):
    """Microsoft's own words, and the way that is open."""
    entra = Entra(folder, body)
    key = folder / "vault.key"
    key.write_text("00112233445566778899aabbccddeeff" * 2 + "\n")
    key.chmod(0o600)
    try:
        r = relay(sections(entra), start=False)
        told = run([POSTERN, "login", USER, "--config", str(r.config)], code=77).stderr.decode()
    finally:
        entra.server.shutdown()
        entra.server.server_close()
    assert words in told, told
    assert (f"postern login --browser {USER}" in told) == blocked, told


def test_a_browser_on_another_machine(office, folder):
    """It cannot open the last address: that one is pasted into the terminal."""
    s, r = office()
    master, slave = pty.openpty()
    p = subprocess.Popen([POSTERN, "login", "--browser", USER, "--config", str(r.config)], stdin=slave, stdout=slave, stderr=slave,
                         close_fds=True, env={**os.environ, "NO_COLOR": "1", "DISPLAY": "", "WAYLAND_DISPLAY": ""})
    os.close(slave)
    seen = ""

    def until(words):
        end = time.monotonic() + PATIENCE
        nonlocal seen
        while words not in seen:
            ready, _, _ = select.select([master], [], [], PATIENCE)
            assert ready and time.monotonic() < end, seen
            try:
                seen += os.read(master, 65536).decode().replace("\r\n", "\n")
            except OSError:
                raise AssertionError(seen) from None

    try:
        until("paste that one here.")
        url = re.search(r"^  (https://\S+)$", seen, re.M).group(1)
        os.write(master, b"http://localhost:1/?code=x&state=forged\n")
        until("That is not the address")
        os.write(master, follow(s, url, sandbox_user=USER).encode() + b"\n")
        until("is signed in")
        assert p.wait(PATIENCE) == 0
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        os.close(master)
    assert r.rows("login", "--list")[0]["signed_in_at"]


def test_browser_declined(office, folder):
    s, r = office(start=False)
    p, shown = begin(r, folder, "--browser", USER)
    home = follow(s, shown["url"], sandbox_user=USER, sandbox_answer="decline")
    assert get(home)[0] == 200
    code, text = finish(p)
    assert code == 77 and "declined" in text.lower(), text


def test_delegate_sends_as_a_shared_mailbox(office, folder):
    s, r = office(login="    login: c@contoso.com\n")
    s.settings(delegates={USER: ["c@contoso.com"]}, auto_approve="c@contoso.com")
    run([POSTERN, "login", USER, "--config", str(r.config)])
    send(r, "shared")
    wait_for(lambda: [m["subject"] for m in s.messages()] == ["shared"])
    assert r.rows("login", "--list")[0]["user"] == "c@contoso.com"
