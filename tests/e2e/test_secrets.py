"""Everything at debug level with marked secrets: none may show in a log, an answer, a file or a core."""
import base64
import json
import os
import re
import shutil
import smtplib
import subprocess

import pytest

import oauth_peers as peers
import support
from support import POSTERN, free_port, run, wait_for

MARKS = {
    "mailbox": "MARK-mailbox-password-7Qx",
    "command": "MARK-from-a-command-8Zy",
    "vault": "MARK-in-the-vault-9Wv",
    "app": peers.SECRET,
    "user": "MARK-inbound-user-6Pk",
    "passphrase": "MARK-passphrase-5Lm",
}


def secret_file(folder, name, text):
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def forms(mark):
    """The mark as it may look after a protocol had it: plain, base64 at each of the three offsets, in a form."""
    yield mark.encode()
    for pad in (b"", b"\0", b"\0\0"):
        whole = base64.b64encode(pad + mark.encode() + b"\0\0")
        yield whole[4:-8]
    yield mark.replace("~", "%7E").encode()


def assert_no_marks(where, data: bytes, marks=None):
    for name, mark in (marks or MARKS).items():
        for form in forms(mark):
            assert form not in data, f"the secret '{name}' shows in {where}"


@pytest.fixture
def peer():
    """Ended by their ids, whatever becomes of the rest of the setting."""
    started = []

    def make(kind, *args):
        started.append(kind(*args))
        return started[-1]
    yield make
    for p in started:
        p.process.kill()


@pytest.fixture
def everything(folder, sandbox, relay, peer):
    """A relay in which each kind of secret is in use, at debug level."""
    s = sandbox()
    s.settings(mailboxes=[{"address": f"{n}@contoso.com", "password": MARKS[n]} for n in ("mailbox", "command", "vault")])
    oidc = peer(peers.Oidc, folder / "oidc")
    server = peer(peers.SmtpServer, folder / "smtp", oidc.signing)
    for n in ("mailbox", "app", "user", "passphrase", "command"):
        secret_file(folder, n, MARKS[n])
    secret_file(folder, "vault.key", os.urandom(32).hex())
    run([POSTERN, "user", "add", "tester", "--password-file", str(folder / "user"), "--output", str(folder / "tester.scram")])
    ca, cert, key = support.make_certificate(folder / "tls")
    locked = folder / "tls" / "locked.key"
    run(["openssl", "pkey", "-in", str(key), "-aes256", "-passout", f"file:{folder}/passphrase", "-out", str(locked)])
    locked.chmod(0o600)
    endpoint = f'{{ host: localhost, port: {s.smtp}, ca_file: "{s.ca}" }}'
    boxes = "".join(f"""
  - {{ address: {n}@contoso.com, tenant: contoso, auth: password, password: "{ref}", endpoint: {endpoint} }}"""
                    for n, ref in (("mailbox", f"file:{folder}/mailbox"), ("command", f"command:/bin/cat {folder}/command"),
                                   ("vault", "vault:erp")))
    port = free_port()
    sections = oidc.tenant(f'client_id: "{peers.SECRET_APP}", secret: "file:{folder}/app"') + "mailboxes:" + boxes + f"""
  - {{ address: app@contoso.com, tenant: contoso, auth: app, endpoint: {server.endpoint} }}
connectors:
  - name: gate
    provider: smtp
    host: localhost
    port: {s.smtp}
    ca_file: "{s.ca}"
    certificate: {cert}
    key: "file:{locked}"
    passphrase: "file:{folder}/passphrase"
users:
  - {{ name: tester, password: "file:{folder}/tester.scram", senders: ["*"] }}
routes:
  - {{ through: sender }}
  - {{ through: gate }}
"""
    listeners = f"""
  - address: 127.0.0.1:{port}
    auth: required
"""
    r = relay(sections, general=f"log: {{ level: debug }}\nretry: {{ first: 1s, ceiling: 2s }}\nvault: {{ key: file:{folder}/vault.key }}",
              listeners=listeners, start=False)
    run([POSTERN, "vault", "put", "erp", "--config", str(r.config)], input=MARKS["vault"].encode())
    r.start()
    return s, server, r, port


def test_no_secret_shows_anywhere(everything, folder):
    s, server, r, port = everything
    for n in ("mailbox", "command", "vault", "app"):
        run(["swaks", "--server", f"127.0.0.1:{port}", "-a", "-au", "tester", "-ap", MARKS["user"], "--from", f"{n}@contoso.com",
             "--to", "anna@example.org"])
    wait_for(lambda: len(s.messages()) == 3 and len(server.messages()) == 1)
    # And when they are refused, which is when programs talk.
    s.settings(mailboxes=[{"address": "mailbox@contoso.com", "password": "another"}])
    r.stop()
    r.start()
    run(["swaks", "--server", f"127.0.0.1:{port}", "-a", "-au", "tester", "-ap", MARKS["user"], "--from", "mailbox@contoso.com",
         "--to", "anna@example.org"])
    run(["swaks", "--server", f"127.0.0.1:{port}", "-a", "-au", "tester", "-ap", MARKS["user"] + "x", "--from",
         "mailbox@contoso.com", "--to", "anna@example.org"], code=None)
    wait_for(lambda: "wrong-credentials" in json.dumps(r.rows("status")))
    for command in (["status"], ["status", "--json"], ["queue", "list"], ["queue", "list", "--json"], ["trace"],
                    ["trace", "--json"], ["check"], ["check", "--json"], ["vault", "list"], ["user", "list", "--json"]):
        done = run([POSTERN, *command, "--config", str(r.config)], code=None)
        assert_no_marks(" ".join(command), done.stdout + done.stderr)
        assert b"eyJ" not in done.stdout + done.stderr, command  # a token
    log = r.log().encode()
    assert_no_marks("the log", log)
    assert b"eyJ" not in log
    for path in (r.folder / "data").rglob("*"):
        if path.is_file():
            assert_no_marks(path, path.read_bytes())


def test_no_secret_is_in_a_core(everything, folder):
    """The daemon's memory as a core file would hold it; gdb leaves out what is marked so, as the kernel does."""
    if not shutil.which("gcore"):
        pytest.skip("gcore is not here")
    s, server, r, port = everything
    for n in ("mailbox", "vault", "app"):
        run(["swaks", "--server", f"127.0.0.1:{port}", "-a", "-au", "tester", "-ap", MARKS["user"], "--from", f"{n}@contoso.com",
             "--to", "anna@example.org"])
    wait_for(lambda: len(s.messages()) == 2 and len(server.messages()) == 1)
    status = (f"/proc/{r.process.pid}/status")
    locked = next(line for line in open(status) if line.startswith("VmLck"))
    assert int(locked.split()[1]) > 0, locked
    core = folder / "core"
    done = subprocess.run(["gcore", "-o", str(core), str(r.process.pid)], capture_output=True, timeout=support.PATIENCE)
    made = list(folder.glob("core.*"))
    if not made:
        pytest.skip(f"gcore could not attach: {done.stderr.decode(errors='replace')[-200:]}")
    data = made[0].read_bytes()
    assert_no_marks("the core", data, {k: MARKS[k] for k in ("mailbox", "vault", "app")})


def places(pid, marks):
    """(secret, is it in locked pages) of each place in a process's memory; ranges that nobody may read have none."""
    locked, found, at = {}, [], None
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            if m := re.match(r"([0-9a-f]+)-([0-9a-f]+) r.*", line):
                at = int(m[1], 16), int(m[2], 16)
            elif re.match(r"[0-9a-f]+-", line):
                at = None
            elif at and line.startswith("VmFlags:"):
                locked[at] = " lo" in line
    with open(f"/proc/{pid}/mem", "rb", 0) as f:
        for (low, high), is_locked in locked.items():
            try:
                f.seek(low)
                data = f.read(high - low)
            except (OSError, ValueError, OverflowError):
                continue
            found += [(name, is_locked) for name, mark in marks.items() for form in forms(mark) if form in data]
    return found


def assert_only_locked(relay, marks):
    """`marks` lie in locked pages of the relay's memory at most."""
    try:
        found = places(relay.process.pid, marks)
    except PermissionError as e:
        pytest.skip(f"this user may not read the daemon's memory: {e}")
    assert not [name for name, is_locked in found if not is_locked], found
    return {name for name, _ in found}


def test_secrets_that_were_used_lie_in_locked_pages_only(everything):
    """After use, by every protocol: what a client signed in with is nowhere, what is kept is in its locked pages alone."""
    s, server, r, port = everything
    for mechanism in ("PLAIN", "LOGIN"):
        for n in ("mailbox", "vault", "app"):
            run(["swaks", "--server", f"127.0.0.1:{port}", "-a", mechanism, "-au", "tester", "-ap", MARKS["user"], "--from",
                 f"{n}@contoso.com", "--to", "anna@example.org"])
    wait_for(lambda: len(s.messages()) == 4 and len(server.messages()) == 2 and not r.waiting())
    found = assert_only_locked(r, MARKS)
    # Else it looked at nothing.
    assert found & {"mailbox", "vault", "app"}, found
    assert "user" not in found, found


ECHOES = {
    "the password": "535 5.7.8 not good: {plain}",
    "what PLAIN said": "535 5.7.8 not good: {sasl}",
    "for a while": "454 4.7.0 later: {sasl} {plain}",
}


@pytest.mark.parametrize("echo", ECHOES)
def test_a_secret_that_a_server_repeats_does_not_stay(relay, sandbox, folder, echo):
    """Refused sign-ins that say what was sent: it is neither in the memory that was given back, nor in what is kept to show."""
    mark, box = MARKS["mailbox"], sandbox()
    sasl = base64.b64encode(f"\0erp@contoso.com\0{mark}".encode()).decode()
    box.fault(at="auth", do="reply", reply=ECHOES[echo].format(plain=mark, sasl=sasl))
    r = relay(support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", box, secret_file(folder, "mailbox", mark)) +
              "routes: [{ through: erp@contoso.com }]\n", general="retry: { first: 1h, ceiling: 1h, expire: 5d }")
    with smtplib.SMTP("127.0.0.1", r.port) as c:
        c.sendmail("erp@contoso.com", ["anna@example.org"], "Subject: x\r\n\r\nx\r\n")
    row = wait_for(lambda: [x for x in r.waiting() if x.get("reply") or x.get("hold")])[0]
    text = r.cli("queue", "show", "--transcript", row["id"])
    assert "[secret]" in text, "it was repeated"
    assert_no_marks("the transcript", text.encode())
    # The password itself is kept, or the search finds nothing at all.
    assert assert_only_locked(r, {"mailbox": mark}) == {"mailbox"}


def test_a_refused_configuration_does_not_repeat_a_secret(folder, relay):
    r = relay("""
mailboxes:
  - { address: a@contoso.com, provider: smtp, password: MARK-pasted-here-1Aa, endpoint: { host: localhost } }
routes: [ { through: sender } ]
""", general='proxy: "http://user:MARK-in-a-url-2Bb@proxy:3128"', start=False)
    done = run([POSTERN, "check", "--config", str(r.config)], code=78)
    assert b"MARK-" not in done.stdout + done.stderr
    assert b"file:" in done.stdout


@pytest.mark.parametrize("command", [["mailboxes", "--retry", "erp@contoso.com"], ["queue", "retry", "--mailbox", "erp@contoso.com"]])
def test_a_retry_reads_a_secret_that_was_put_right(submission, password, command):
    """No second sign-in with the old one: that leads to a locked account."""
    sandbox, relay = submission("--password", "the right one")
    password.write_text("the old one\n")
    relay.cli("reload")
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        c.sendmail("erp@contoso.com", ["anna@example.org"], "Subject: x\r\n\r\nx\r\n")
    wait_for(lambda: [r for r in relay.rows("mailboxes") if r.get("state") == "parked"])
    password.write_text("the right one\n")
    relay.cli(*command)
    wait_for(lambda: sandbox.messages())
    events = [json.loads(line) for line in (sandbox.folder / "events.jsonl").read_text().splitlines()]
    refused = [e for e in events if e["event"] == "refused"]
    assert len(refused) == 1, refused
