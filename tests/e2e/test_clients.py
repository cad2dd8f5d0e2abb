"""Clients that others wrote hand their mail to the relay; the sandbox must get all of it, unharmed."""
import re
import smtplib
import ssl
import subprocess
from email.message import EmailMessage

import pytest

import support
from support import NODE, run, wait_for

BODY = "Umlaut: \u00e4\u00f6\u00fc.\n.leading dot\n..two dots\nlast line\n"


def message(subject, to="anna@example.org", sender="erp@contoso.com"):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = sender, to, subject
    m.set_content(BODY)
    return m


def arrived(sandbox, subject):
    return wait_for(lambda: next((m for m in sandbox.messages() if m["subject"] == subject), None))


def text_of(sandbox, found):
    import email
    import email.policy
    return email.message_from_bytes(sandbox.raw(found["number"]), policy=email.policy.default).get_content().replace("\r\n", "\n")


def test_smtplib_plain_session(submission):
    sandbox, relay = submission()
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.send_message(message("from smtplib"))
    found = arrived(sandbox, "from smtplib")
    assert found["sender"] == "erp@contoso.com" and found["recipients"] == ["anna@example.org"]
    assert found["mailbox"] == "erp@contoso.com"
    assert text_of(sandbox, found) == BODY


def test_smtplib_reply_names_the_queue_id(submission):
    sandbox, relay = submission()
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.ehlo()
        s.mail("erp@contoso.com")
        s.rcpt("anna@example.org")
        code, text = s.data(b"Subject: id\r\n\r\nx\r\n")
    assert code == 250
    assert text.startswith(b"2.0.0 Ok: queued as "), text
    queue_id = text.split()[-1].decode()
    arrived(sandbox, "id")
    story = wait_for(lambda: [r for r in relay.rows("queue", "show", queue_id) if r.get("verdict") == "delivered"])
    assert story[0]["reply"].startswith("250 2.0.0 OK <")


def with_user(folder, relay_factory, sandbox, password):
    ca, cert, key = support.make_certificate(folder / "tls")
    scram = folder / "erp.scram"
    (folder / "erp.pass").write_text("correct horse\n")
    port = support.free_port()
    sections = support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", sandbox, password) + f"""
users:
  - {{ name: erp, password: "file:{scram}", senders: [erp@contoso.com] }}
routes:
  - {{ user: erp, through: sender }}
"""
    listeners = f"""
  - address: 127.0.0.1:{port}
    tls: starttls
    certificate: {cert}
    key: file:{key}
    auth: required
"""
    run([support.POSTERN, "user", "add", "erp", "--password-file", str(folder / "erp.pass"), "--output", str(scram)])
    relay = relay_factory(sections, listeners=listeners)
    return relay, port, ca


@pytest.fixture
def secured(folder, relay, sandbox, password):
    s = sandbox()
    r, port, ca = with_user(folder, relay, s, password)
    return s, r, port, ca


def test_smtplib_over_tls_with_login(secured):
    sandbox, relay, port, ca = secured
    with smtplib.SMTP("localhost", port) as s:
        s.starttls(context=ssl.create_default_context(cafile=str(ca)))
        s.login("erp", "correct horse")
        s.send_message(message("smtplib tls"))
    assert text_of(sandbox, arrived(sandbox, "smtplib tls")) == BODY


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(secured, mechanism):
    sandbox, relay, port, ca = secured
    run(["swaks", "--server", f"127.0.0.1:{port}", "-tls", "-a", mechanism, "-au", "erp", "-ap", "correct horse",
         "-f", "erp@contoso.com", "-t", "anna@example.org", "--pipeline", "-h", "client.example",
         "--header", f"Subject: swaks {mechanism}"])
    arrived(sandbox, f"swaks {mechanism}")


def test_swaks_wrong_password_is_refused_and_logged(secured):
    sandbox, relay, port, ca = secured
    done = run(["swaks", "--server", f"127.0.0.1:{port}", "-tls", "-a", "PLAIN", "-au", "erp", "-ap", "battery staple",
                "-f", "erp@contoso.com", "-t", "anna@example.org"], code=None)
    assert done.returncode == 28, done.stdout
    assert b"535 5.7.8" in done.stdout
    wait_for(lambda: re.search(r"warning: unknown\[127\.0\.0\.1\]:\d+: SASL PLAIN authentication failed: wrong password, "
                               r"sasl_username=erp\n", relay.log()))
    assert "battery staple" not in relay.log()


@pytest.mark.parametrize("auth", ["plain", "login", "scram-sha-256"])
def test_msmtp(secured, folder, auth):
    sandbox, relay, port, ca = secured
    rc = folder / "msmtprc"
    rc.write_text(f"""defaults
auth {auth}
tls on
tls_starttls on
tls_trust_file {ca}
account default
host localhost
port {port}
from erp@contoso.com
user erp
password correct horse
""")
    rc.chmod(0o600)
    run(["msmtp", "-C", str(rc), "--", "anna@example.org"], input=message(f"msmtp {auth}").as_bytes())
    arrived(sandbox, f"msmtp {auth}")


def test_curl(secured, folder):
    sandbox, relay, port, ca = secured
    mail = folder / "mail.eml"
    mail.write_bytes(message("curl").as_bytes().replace(b"\n", b"\r\n"))
    run(["curl", "-sS", "--ssl-reqd", "--cacert", str(ca), "--url", f"smtp://localhost:{port}/client.example",
         "--user", "erp:correct horse", "--mail-from", "erp@contoso.com", "--mail-rcpt", "anna@example.org",
         "--mail-rcpt", "bea@example.org", "--upload-file", str(mail)])
    found = arrived(sandbox, "curl")
    assert sorted(found["recipients"]) == ["anna@example.org", "bea@example.org"]


def test_nodemailer(secured):
    sandbox, relay, port, ca = secured
    import json
    run(["node", "send.js", json.dumps({
        "port": port, "tls": True, "ca": str(ca), "user": "erp", "pass": "correct horse",
        "mail": {"from": "erp@contoso.com", "to": "anna@example.org", "subject": "nodemailer",
                 "text": "plain", "html": "<b>bold</b>",
                 "attachments": [{"filename": "a.bin", "content": "x" * 50000}],
                 "dsn": {"id": "env-1", "return": "headers", "notify": "failure", "recipient": "anna@example.org"}}})],
        cwd=NODE)
    arrived(sandbox, "nodemailer")


def test_nodemailer_utf8_address(submission):
    sandbox, relay = submission()
    import json
    run(["node", "send.js", json.dumps({
        "port": relay.port, "tls": False,
        "mail": {"from": "erp@contoso.com", "to": "j\u00f6rg@example.org", "subject": "smtputf8", "text": "x"}})], cwd=NODE)
    assert arrived(sandbox, "smtputf8")["recipients"] == ["j\u00f6rg@example.org"]


def test_s_nail(submission, folder):
    sandbox, relay = submission()
    run(["s-nail", "-:/", "-S", "v15-compat", "-S", f"mta=smtp://127.0.0.1:{relay.port}", "-S", "smtp-config=-all,ehlo", "-S", "smtp-auth=none",
         "-S", "from=erp@contoso.com", "-s", "s-nail", "anna@example.org"], input=b"body\n",
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
    arrived(sandbox, "s-nail")


def test_git_send_email(submission, folder):
    sandbox, relay = submission()
    repo = folder / "repo"
    env = {"HOME": str(folder), "PATH": "/usr/bin:/bin:/usr/lib/git-core", "GIT_AUTHOR_NAME": "A", "GIT_COMMITTER_NAME": "A",
           "GIT_AUTHOR_EMAIL": "erp@contoso.com", "GIT_COMMITTER_EMAIL": "erp@contoso.com"}
    for cmd in (["init", "-q", str(repo)], ["-C", str(repo), "commit", "-q", "--allow-empty", "-m", "first"],
                ["-C", str(repo), "commit", "-q", "--allow-empty", "-m", "second change"]):
        run(["/usr/bin/git", *cmd], env=env)
    (repo / "f").write_text("x\n")
    run(["/usr/bin/git", "-C", str(repo), "add", "f"], env=env)
    run(["/usr/bin/git", "-C", str(repo), "commit", "-q", "-m", "third change"], env=env)
    run(["/usr/bin/git", "-C", str(repo), "send-email", "--quiet", "--confirm=never", "--to", "anna@example.org",
         "--from", "erp@contoso.com", "--smtp-server", "127.0.0.1", "--smtp-server-port", str(relay.port), "HEAD~1"], env=env)
    arrived(sandbox, "[PATCH] third change")


def test_smtp_source_load(submission):
    sandbox, relay = submission(limits="{ messages_per_minute: 100000, connections: 3, share: 100% }")
    sandbox.settings(limits={"messages_per_minute": 100000})
    run(["smtp-source", "-s", "5", "-m", "100", "-l", "2000", "-f", "erp@contoso.com", "-t", "anna@example.org",
         f"127.0.0.1:{relay.port}"])
    wait_for(lambda: sandbox.verdict()["accepted"] == 100)
    assert sandbox.verdict()["limits_broken"] == []


def test_sendmail_of_cron_and_php(submission, folder):
    """`sendmail -t` with root's bare name: what cron and PHP's mail() do on the first day."""
    sandbox, relay = submission(
        general="qualify: contoso.com\naliases: { root: anna@example.org }",
        routes='  - { sender: "root@contoso.com", through: erp@contoso.com, rewrite_from: erp@contoso.com }\n  - { through: sender }')
    bin_dir = folder / "bin"
    bin_dir.mkdir()
    for name in ("sendmail", "mailq", "newaliases"):
        (bin_dir / name).symlink_to(support.DROP)
    env = {"POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop),
           "PATH": f"{bin_dir}:/usr/bin:/bin"}
    run([str(bin_dir / "sendmail"), "-i", "-FCronDaemon", "-oi", "-t"], env=env,
        input=b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> job\n\noutput\n")
    found = arrived(sandbox, "Cron <root@host> job")
    assert found["sender"] == "erp@contoso.com" and found["recipients"] == ["anna@example.org"]
    run(["php", "-d", f"sendmail_path={bin_dir}/sendmail -t -i -f root", "-r",
         'exit(mail("bea@example.org", "from php", "line\n") ? 0 : 1);'], env=env)
    assert arrived(sandbox, "from php")["recipients"] == ["bea@example.org"]
    run([str(bin_dir / "newaliases")], env=env)
    # The daemon is down: the maildrop keeps it, and the next start picks it up.
    relay.stop()
    run([str(bin_dir / "sendmail"), "-f", "root", "cleo@example.org"], env=env, input=b"Subject: while down\n\nx\n.\n")
    relay.start()
    assert arrived(sandbox, "while down")["recipients"] == ["cleo@example.org"]
    wait_for(lambda: not list(relay.maildrop.glob("*.msg*")))
