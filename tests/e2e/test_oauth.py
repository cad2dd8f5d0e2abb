"""Signing in with tokens: every flow against oidc-provider, and servers that check each token for themselves."""
import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
import urllib.request

import pytest

import oauth_peers as peers
import support
from support import PATIENCE, POSTERN, free_port, listens, run, wait_for


@pytest.fixture
def made():
    """What has a `.process` is ended by its id."""
    things = []
    yield things
    for t in things:
        if hasattr(t, "stop"):
            t.stop()
        elif t.process.alive():
            t.process.kill()


@pytest.fixture
def oidc(folder, made):
    def make(jwk=None):
        made.append(peers.Oidc(folder / f"oidc{len(made)}", jwk))
        return made[-1]
    return make


def secret_file(folder, name, text):
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def vault(folder):
    key = folder / "vault.key"
    if not key.exists():
        secret_file(folder, "vault.key", os.urandom(32).hex())
    return f"vault: {{ key: file:{key} }}"


def mailbox(address, endpoint, auth="app", more=""):
    return f"""
  - address: {address}
    tenant: contoso
    auth: {auth}
    endpoint: {endpoint}
    limits: {{ share: 100%, messages_per_minute: 0 }}
{more}"""


def send(relay, sender, to="anna@example.org", subject="x"):
    run(["swaks", "--server", f"127.0.0.1:{relay.port}", "--from", sender, "--to", to, "--header", f"Subject: {subject}"])


RETRY = "retry: { first: 1s, ceiling: 2s }"
ROUTES = "\nroutes:\n  - { through: sender }\n"


@pytest.fixture
def app_setup(folder, oidc, made, relay):
    """An app with a secret, smtp-server behind it, and a relay with these mailboxes."""

    def make(addresses=("erp@contoso.com",), secret=peers.SECRET, start=True):
        o = oidc()
        server = peers.SmtpServer(folder / "smtp", o.signing)
        made.append(server)
        path = secret_file(folder, "app.secret", secret)
        tenant = o.tenant(f'client_id: "{peers.SECRET_APP}", secret: "file:{path}"')
        boxes = "mailboxes:" + "".join(mailbox(a, server.endpoint) for a in addresses)
        return o, server, relay(tenant + boxes + ROUTES, general=RETRY, start=start), path
    return make


def lane(relay, address):
    return next(r for r in relay.rows("status") if r["type"] == "lane" and r["lane"].endswith(address))


def test_app_with_a_secret_sends_for_two_mailboxes_by_one_token(app_setup):
    o, server, r, _ = app_setup(("erp@contoso.com", "crm@contoso.com"))
    for sender in ("erp@contoso.com", "crm@contoso.com", "erp@contoso.com"):
        send(r, sender)
    wait_for(lambda: len(server.messages()) == 3)
    assert o.grants() == ["client_credentials"]
    assert {line["auth"] for line in server.lines("auth")} == {"erp@contoso.com", "crm@contoso.com"}


@pytest.mark.parametrize("app, jwt", [(peers.CERT_APP, "ps256"), (peers.CERT_APP_RS256, "rs256")])
@pytest.mark.parametrize("form", ["pem", "pkcs12", "encrypted"])
def test_app_with_a_certificate(folder, oidc, made, relay, app, jwt, form):
    cert, key, jwk = peers.make_app_certificate(folder)
    o = oidc(jwk)
    server = peers.SmtpServer(folder / "smtp", o.signing)
    made.append(server)
    word = secret_file(folder, "passphrase", "correct horse")
    if form == "pkcs12":
        p12 = folder / "app.p12"
        run(["openssl", "pkcs12", "-export", "-in", str(cert), "-inkey", str(key), "-out", str(p12),
             "-passout", f"file:{word}"])
        p12.chmod(0o600)
        how = f'pkcs12: {p12}, passphrase: "file:{word}"'
    elif form == "encrypted":
        locked = folder / "locked.key"
        run(["openssl", "pkey", "-in", str(key), "-aes256", "-passout", f"file:{word}", "-out", str(locked)])
        locked.chmod(0o600)
        how = f'certificate: {cert}, key: "file:{locked}", passphrase: "file:{word}"'
    else:
        how = f'certificate: {cert}, key: "file:{key}"'
    r = relay(o.tenant(f'client_id: "{app}", {how}, jwt: {jwt}') + "mailboxes:" +
              mailbox("erp@contoso.com", server.endpoint) + ROUTES, general=RETRY)
    send(r, "erp@contoso.com")
    wait_for(lambda: server.messages())
    assert o.grants() == ["client_credentials"]


@pytest.mark.parametrize("again", [("reload",), ("mailboxes", "--retry", "erp@contoso.com")])
def test_a_wrong_secret_parks_with_the_cause_and_a_new_one_frees(app_setup, again):
    o, server, r, path = app_setup(secret="not~the~right~value")
    send(r, "erp@contoso.com")
    wait_for(lambda: any("7000215" in json.dumps(row) for row in r.rows("status")))
    assert "not~the~right" not in json.dumps(r.rows("status")) + r.log()
    time.sleep(2)
    tries = len(o.log())
    assert tries <= 3, o.log()  # the door is shut: no hammering
    assert r.waiting() and not server.messages()
    secret_file(path.parent, path.name, peers.SECRET)
    r.cli(*again)
    wait_for(lambda: server.messages())


def test_the_id_of_a_secret_is_seen_before_anybody_is_asked(app_setup):
    pasted = "11111111-aaaa-bbbb-cccc-222222222222"
    o, server, r, path = app_setup(secret=pasted)
    assert "ID of a client secret" in r.cli("check", code=None)
    send(r, "erp@contoso.com")
    wait_for(lambda: "secret" in json.dumps([row for row in r.rows("status") if row.get("reason")]).lower())
    assert pasted not in json.dumps(r.rows("status")) + r.log()
    assert not o.log()
    secret_file(path.parent, path.name, peers.SECRET)
    r.cli("reload")
    wait_for(lambda: server.messages())


def test_the_token_service_is_down_then_lanes_resume(app_setup):
    o, server, r, _ = app_setup()
    o.call("/__fail", status=503, n=2, retry_after=1)
    send(r, "erp@contoso.com")
    wait_for(lambda: server.messages())
    assert [line["status"] for line in o.log()][:3] == [503, 503, 200]
    assert "bounced" not in r.log()


def test_the_token_service_cannot_be_reached(folder, relay, made, oidc):
    o = oidc()
    server = peers.SmtpServer(folder / "smtp", o.signing)
    made.append(server)
    path = secret_file(folder, "app.secret", peers.SECRET)
    tenant = o.tenant(f'client_id: "{peers.SECRET_APP}", secret: "file:{path}"')
    o.process.stop()
    r = relay(tenant + "mailboxes:" + mailbox("erp@contoso.com", server.endpoint) + ROUTES, general=RETRY)
    send(r, "erp@contoso.com")
    wait_for(lambda: any(row.get("reason") for row in r.rows("status") if row["type"] == "lane"))
    assert not server.messages()
    o.start()
    r.cli("queue", "retry", "--mailbox", "erp@contoso.com")
    wait_for(lambda: server.messages())


LIFE = 20  # seconds: a token is fetched when half of it is over, and a machine may stand still for the other half


def test_a_short_life_is_refreshed_ahead_and_never_late(app_setup):
    """The next one is there before anybody sends; the one before it is not used again."""
    o, server, r, _ = app_setup()
    o.call("/__ttl", sec=LIFE)
    for n in range(3):
        if n:
            wait_for(lambda: len(o.grants()) > n)
        send(r, "erp@contoso.com", subject=str(n))
        wait_for(lambda: len(server.messages()) == n + 1)
    assert not [m for m in server.messages() if m["late"]]
    assert not server.lines("refused")
    used = [line["jti"] for line in server.lines("auth")]
    assert used == sorted(used, key=used.index) and len(set(used)) >= 2


@pytest.mark.parametrize("offset", ["+20m", "+50m"])
def test_a_clock_that_is_wrong_does_not_matter(app_setup, offset):
    """Only the time that passes counts: a token is as good when our wall clock is off."""
    o, server, r, _ = app_setup(start=False)
    library = next((p for p in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
                                "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1") if os.path.exists(p)), None)
    if not library:
        pytest.skip("no libfaketime here")
    r.env = {"LD_PRELOAD": library, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    r.start()
    send(r, "erp@contoso.com")
    wait_for(lambda: server.messages())
    assert len(o.grants()) == 1


def test_the_server_refuses_the_token_and_is_not_hammered(app_setup):
    """A token of another issuer: smtp-server says 535, with JSON behind a 334 before it."""
    o, server, r, _ = app_setup()
    server.process.stop()
    other = peers.Oidc(o.folder / "other")
    again = None
    try:
        again = support.Process(
            ["node", str(support.NODE / "xoauth2.mjs"), str(server.port), str(server.output.parent / "key.pem"),
             str(server.output.parent / "cert.pem"), str(other.signing), str(server.output)],
            server.output.parent / "again.log")
        wait_for(lambda: listens(server.port))
        for i in range(5):
            send(r, "erp@contoso.com", subject=str(i))
        wait_for(lambda: lane(r, "erp@contoso.com")["state"] == "parked")
        time.sleep(3)
        assert len(server.lines("refused")) <= 2
        assert len(o.grants()) <= 2
        assert len(r.waiting()) == 5
    finally:
        other.process.kill()
        if again:
            again.kill()


class Login:
    """`postern login` on a terminal, as a person sees it."""

    def __init__(self, relay, *args):
        self.master, slave = pty.openpty()
        self.text = ""
        self.child = subprocess.Popen([POSTERN, "login", *args, "--config", str(relay.config)],
                                      stdin=slave, stdout=slave, stderr=slave, close_fds=True,
                                      env={**{k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")},
                                           "NO_COLOR": "1"})
        os.close(slave)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while data := os.read(self.master, 4096):
                self.text += data.decode(errors="replace")
        except OSError:
            pass

    def wait(self, pattern):
        wait_for(lambda: re.search(pattern, self.text) or self.child.poll() is not None)
        found = re.search(pattern, self.text)
        assert found, self.text
        return found

    def end(self, code=0):
        assert self.child.wait(PATIENCE) == code, self.text
        return self.text


@pytest.fixture
def user_setup(folder, oidc, relay):
    def make(endpoint, address="erp@contoso.com", more="", oidc_at=None):
        o = oidc_at or oidc()
        tenant = o.tenant(f'client_id: "{peers.PUBLIC_APP}"')
        return o, relay(tenant + "mailboxes:" + mailbox(address, endpoint(o), "user", more) + ROUTES,
                        general=RETRY + "\n" + vault(folder))
    return make


def device_login(o, r, address, upn):
    login = Login(r, address)
    code = login.wait(r"\b([A-Z]{4}-[A-Z]{4})\b").group(1)
    assert o.call("/__approve", user_code=code, upn=upn)["ok"]
    return login.end()


@pytest.fixture
def smtp_server(folder, made):
    def make(o):
        made.append(peers.SmtpServer(folder / "smtp", o.signing))
        make.server = made[-1]
        return made[-1].endpoint
    return make


def test_device_code_then_mail_that_waited_goes(folder, user_setup, smtp_server):
    o, r = user_setup(smtp_server)
    send(r, "erp@contoso.com")
    wait_for(lambda: "login" in json.dumps(r.rows("status")))
    assert "postern login erp@contoso.com" in json.dumps(r.rows("status"))
    text = device_login(o, r, "erp@contoso.com", "erp@contoso.com")
    wait_for(lambda: smtp_server.server.messages())
    listed = r.rows("login", "--list")
    assert listed[0]["mailbox"] == "erp@contoso.com" and listed[0].get("signed_in_at")
    on_disk = b"".join(p.read_bytes() for p in (r.folder / "data").rglob("*") if p.is_file())
    assert b"refresh_token" not in on_disk
    assert "eyJ" not in text + r.log()
    r.cli("login", "--forget", "erp@contoso.com")
    assert not r.rows("login", "--list")[0].get("signed_in_at")


def test_device_code_declined(user_setup, smtp_server):
    o, r = user_setup(smtp_server)
    login = Login(r, "erp@contoso.com")
    code = login.wait(r"\b([A-Z]{4}-[A-Z]{4})\b").group(1)
    o.call("/__deny", user_code=code)
    assert "declined" in login.end(code=77).lower()


def test_browser_with_pkce(user_setup, smtp_server):
    o, r = user_setup(smtp_server)
    login = Login(r, "--browser", "erp@contoso.com")
    url = login.wait(r"(https://localhost:\d+/contoso.com/oauth2/v2.0/authorize\?\S+)").group(1)
    assert "code_challenge_method=S256" in url
    page = run(["curl", "-sS", "-L", "-b", "", "--cacert", str(o.ca), url]).stdout.decode()
    assert page and "code=" not in page
    login.end()
    send(r, "erp@contoso.com")
    wait_for(lambda: smtp_server.server.messages())
    assert "authorization_code" in o.grants()


def test_a_stranger_at_the_redirect_gets_nowhere(user_setup, smtp_server):
    o, r = user_setup(smtp_server)
    login = Login(r, "--browser", "erp@contoso.com")
    url = login.wait(r"(https://localhost:\d+/contoso.com/oauth2/v2.0/authorize\?\S+)").group(1)
    port = re.search(r"redirect_uri=http%3A%2F%2Flocalhost%3A(\d+)", url).group(1)
    for query in ("code=abc&state=wrong", "state=wrong", "error=access_denied&state=wrong"):
        try:
            urllib.request.urlopen(f"http://localhost:{port}/?{query}", timeout=PATIENCE).read()
        except OSError:
            pass
    time.sleep(0.5)
    assert login.child.poll() is None, login.text
    login.child.send_signal(signal.SIGTERM)  # SIGINT may be ignored where the tests run in the background
    login.child.wait(PATIENCE)
    assert not o.grants()


def test_rotation_survives_restarts(user_setup, smtp_server):
    """oidc-provider revokes the whole grant when an old refresh token is used again."""
    o, r = user_setup(smtp_server)
    device_login(o, r, "erp@contoso.com", "erp@contoso.com")
    for i in range(4):
        send(r, "erp@contoso.com", subject=str(i))
        wait_for(lambda: len(smtp_server.server.messages()) == i + 1)
        r.stop() if i % 2 else r.kill()
        r.start()
    # The access token is kept in memory only: each daemon behind the first, who had that of the sign-in, has asked.
    assert o.grants().count("refresh_token") >= 3
    assert not [line for line in o.log() if line.get("error") == "invalid_grant"]


def test_dovecot_validates_the_token_itself(folder, user_setup, made, process):
    """And it refuses an AUTH line longer than a command, so that the token must come behind 334."""
    sink = free_port()
    process(["/usr/sbin/smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{sink}", "100"], "sink")
    wait_for(lambda: listens(sink))
    dovecots = []

    def endpoint(o):
        dovecots.append(peers.Dovecot(o.signing, sink))
        made.append(dovecots[0])
        return dovecots[0].endpoint
    o, r = user_setup(endpoint)
    device_login(o, r, "erp@contoso.com", "erp@contoso.com")
    send(r, "erp@contoso.com")
    wait_for(lambda: r.rows("trace") and r.rows("trace")[0].get("state") == "delivered" or not r.waiting())
    wait_for(lambda: "status=sent" in r.log() or '"sent' in r.log())
    wait_for(lambda: "method=XOAUTH2" in dovecots[0].log())


def test_oauthbearer_where_only_that_is_offered(folder, user_setup, made, process):
    sink = free_port()
    process(["/usr/sbin/smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{sink}", "100"], "sink")
    wait_for(lambda: listens(sink))

    def endpoint(o):
        made.append(peers.Dovecot(o.signing, sink, mechanisms="oauthbearer"))
        return made[-1].endpoint
    o, r = user_setup(endpoint)
    device_login(o, r, "erp@contoso.com", "erp@contoso.com")
    send(r, "erp@contoso.com")
    wait_for(lambda: "status=\"sent" in r.log() or "status=sent" in r.log())
    wait_for(lambda: "method=OAUTHBEARER" in made[-1].log())


def test_a_shared_mailbox_is_signed_in_by_its_delegate(user_setup, smtp_server):
    o, r = user_setup(smtp_server, address="sales@contoso.com", more="    login: sales@contoso.com")
    text = device_login(o, r, "sales@contoso.com", "erp@contoso.com")
    assert "erp@contoso.com" in text  # who signed in is said


def test_two_hundred_lanes_whose_tokens_end_together(app_setup):
    """One refresh an identity, nothing lost, nothing bounced."""
    addresses = [f"m{i}@contoso.com" for i in range(200)]
    o, server, r, _ = app_setup(addresses)
    o.call("/__ttl", sec=LIFE)
    for turn in range(2):
        if turn:
            before = len(o.grants())
            wait_for(lambda: len(o.grants()) > before)
        for a in addresses:
            send_quick(r, a, turn)
        wait_for(lambda: len(server.messages()) >= 200 * (turn + 1), seconds=180)
    time.sleep(1)
    assert len(server.messages()) == 400
    assert not [m for m in server.messages() if m["late"]]
    assert not server.lines("refused")
    grants = o.grants()
    # One each half life, however slow all of it is: nothing like one a lane.
    assert set(grants) == {"client_credentials"} and len(grants) < 100, len(grants)
    assert "bounced" not in r.log()


def send_quick(relay, sender, n):
    """One connection a message, without a client program for each."""
    import smtplib
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as s:
        s.sendmail(sender, ["anna@example.org"], f"From: {sender}\r\nSubject: {n}\r\n\r\nx\r\n")
