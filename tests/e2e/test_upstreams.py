"""Servers that others wrote take the relay's mail."""
import json
import smtplib
import subprocess

import support
from support import NODE, PATIENCE, wait_for


def connector(port, **more) -> str:
    extra = "".join(f", {k}: {v}" for k, v in more.items())
    return f"""
connectors:
  - {{ name: lab, provider: smtp, host: localhost, port: {port}{extra} }}
routes:
  - {{ through: lab }}
"""


def send(relay, subject, to=("anna@example.org",), body=b"line\r\n", sender="erp@contoso.com", options=()):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail(sender, list(to), b"From: " + sender.encode() + b"\r\nSubject: " + subject.encode() + b"\r\n\r\n" + body,
                   mail_options=options)


def test_smtp_server_of_nodemailer_with_login_and_tls(relay, process, folder):
    ca, cert, key = support.make_certificate(folder / "tls")
    out = folder / "out.jsonl"
    out.touch()
    port = support.free_port()
    (folder / "lab.secret").write_text("hush\n")
    (folder / "lab.secret").chmod(0o600)
    node = process(["node", str(NODE / "server.js"), str(port), str(key), str(cert), "lab", "hush", str(out)], "node")
    wait_for(lambda: support.listens(port) or not node.alive())
    r = relay(connector(port, ca_file=f'"{ca}"', login="lab", password=f'"file:{folder}/lab.secret"'), general="retry: { first: 1s, ceiling: 5s }")
    send(r, "to smtp-server", body=b".dot\r\n..dots\r\n")
    got = wait_for(lambda: [json.loads(line) for line in out.read_text().splitlines()])
    assert got[0]["user"] == "lab" and got[0]["secure"] is True
    assert got[0]["raw"].endswith("\r\n.dot\r\n..dots\r\n")
    assert "hush" not in r.log()


AIOSMTPD = """
import asyncio, json, sys
from aiosmtpd.controller import Controller
class Keep:
    async def handle_DATA(self, server, session, envelope):
        open(sys.argv[2], "a").write(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos,
            "raw": envelope.original_content.decode("latin-1")}) + "\\n")
        return "250 kept"
Controller(Keep(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
asyncio.new_event_loop().run_forever()
"""


def test_aiosmtpd_without_pipelining(relay, process, folder):
    out = folder / "out.jsonl"
    out.touch()
    port = support.free_port()
    p = process(["/usr/bin/python3", "-c", AIOSMTPD, str(port), str(out)], "aiosmtpd")
    wait_for(lambda: support.listens(port) or not p.alive())
    r = relay(connector(port, tls="none"), general="retry: { first: 1s, ceiling: 5s }")
    send(r, "to aiosmtpd", to=("anna@example.org", "bea@example.org"))
    got = wait_for(lambda: [json.loads(line) for line in out.read_text().splitlines()])
    assert sorted(got[0]["to"]) == ["anna@example.org", "bea@example.org"]


def test_smtp_sink_refusing_recipients_gives_a_bounce(relay, process, folder):
    port = support.free_port()
    p = process(["/usr/sbin/smtp-sink", "-u", "nobody", "-f", "rcpt", "-c", f"127.0.0.1:{port}", "100"], "sink")
    wait_for(lambda: support.listens(port) or not p.alive())
    r = relay(connector(port, tls="none"), general="retry: { first: 1s, ceiling: 5s }")
    send(r, "temporarily refused")
    # -f: hard reject of RCPT with 500. The sender gets a bounce by the same way, which is refused
    # likewise and must not bounce again.
    wait_for(lambda: "status=bounced" in r.log())
    rows = wait_for(lambda: [x for x in r.rows("trace") if x["state"] == "bounced"])
    assert rows
    wait_for(lambda: not r.waiting())
    assert len(r.rows("trace")) <= 2


def dovecot_config(folder, port, backend, cert, key):
    return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot-info.log
protocols = submission
listen = 127.0.0.1
ssl = required
ssl_cert = <{cert}
ssl_key = <{key}
default_internal_user = nobody
default_login_user = nobody
default_internal_group = nogroup
disable_plaintext_auth = yes
auth_mechanisms = plain login
mail_location = maildir:{folder}/mail/%u
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
hostname = localhost
submission_relay_host = 127.0.0.1
submission_relay_port = {backend}
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
passdb {{
  driver = static
  args = password=hush
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%u
}}
"""


def test_dovecot_submission(relay, process, folder):
    ca, cert, key = support.make_certificate(folder / "tls")
    home = folder / "dovecot"
    home.mkdir()
    (home / "mail").mkdir(mode=0o777)
    (home / "mail").chmod(0o777)
    for p in (folder, *folder.parents):
        if str(p).startswith("/tmp/"):
            p.chmod(0o755)
    port, backend = support.free_port(), support.free_port()
    out = folder / "out.jsonl"
    out.touch()
    p = process(["/usr/bin/python3", "-c", AIOSMTPD, str(backend), str(out)], "aiosmtpd")
    (home / "dovecot.conf").write_text(dovecot_config(home, port, backend, cert, key))
    d = process(["dovecot", "-F", "-c", str(home / "dovecot.conf")], "dovecot")
    wait_for(lambda: support.listens(port) or not d.alive())
    assert d.alive(), d.text()
    (folder / "lab.secret").write_text("hush\n")
    (folder / "lab.secret").chmod(0o600)
    r = relay(connector(port, ca_file=f'"{ca}"', login="lab", password=f'"file:{folder}/lab.secret"'), general="retry: { first: 1s, ceiling: 5s }")
    try:
        send(r, "to dovecot")
        wait_for(lambda: "to dovecot" in out.read_text())
    finally:
        d.stop()


def test_postfix_as_upstream(relay, process, folder):
    """Postfix's smtpd behind a scratch master, discarding what it takes."""
    port = support.free_port()
    etc, spool, data = folder / "etc", folder / "spool", folder / "data"
    for p in (etc, spool, data):
        p.mkdir()
    for p in (folder, *folder.parents):
        if str(p).startswith("/tmp/"):
            p.chmod(0o755)
    subprocess.run(["chown", "postfix", str(data)], check=True)
    (etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = upstream.example
mydestination =
default_transport = discard:
relay_domains = *
smtpd_relay_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
maillog_file = /var/log/postfix-{port}.log
""")
    (etc / "master.cf").write_text(f"""
127.0.0.1:{port} inet n - n - - smtpd
postlog   unix-dgram n  -       n       -       1       postlogd
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
discard   unix  -       -       n       -       -       discard
error     unix  -       -       n       -       -       error
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
proxymap  unix  -       -       n       -       -       proxymap
""")
    log = folder / "postfix-start.log"
    started = subprocess.run(["postfix", "-c", str(etc), "start"], capture_output=True, timeout=60)
    try:
        wait_for(lambda: support.listens(port))
        r = relay(connector(port, tls="none"), general="retry: { first: 1s, ceiling: 5s }")
        send(r, "to postfix", to=("anna@example.org", "bea@example.org"))
        rows = wait_for(lambda: [x for x in r.rows("trace") if x["state"] == "delivered"])
        assert len(rows) == 2 and "queued as" in rows[0]["reply"], started
    finally:
        subprocess.run(["postfix", "-c", str(etc), "stop"], capture_output=True, timeout=60)


def test_upstream_without_starttls_gets_nothing(relay, process, folder):
    port = support.free_port()
    p = process(["/usr/sbin/smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{port}", "100"], "sink")
    wait_for(lambda: support.listens(port) or not p.alive())
    r = relay(connector(port), general="retry: { first: 1s, ceiling: 5s }")
    send(r, "secret")
    rows = wait_for(lambda: [x for x in r.waiting() if x.get("reason")])
    assert "starttls" in rows[0]["reason"] or "tls" in rows[0]["reason"], rows
    assert rows[0]["state"] == "queued"


def test_certificate_of_another_ca_gets_nothing(relay, sandbox, password, folder):
    s = sandbox()
    ca, _, _ = support.make_certificate(folder / "other")
    s.ca = ca
    r = relay(support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", s, password) + "\nroutes:\n  - { through: sender }\n")
    send(r, "secret")
    rows = wait_for(lambda: [x for x in r.waiting() if x.get("reason")])
    assert rows[0]["state"] == "queued"
    assert "certificate" in rows[0]["reply"] or "tls" in rows[0]["reason"], rows
    assert s.verdict()["accepted"] == 0
