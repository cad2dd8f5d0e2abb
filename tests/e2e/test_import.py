"""`postern import`: what others' configurations say, with every password in a file of its own and on no screen."""
import os
import re
import shutil

import pytest

import support
from support import run, wait_for

SECRET = "Zq8unlikelyPassword"


def imported(folder, kind, path, *args, code=0):
    out = folder / "out"
    out.mkdir(exist_ok=True)
    done = run([support.POSTERN, "import", kind, str(path), "--output", str(out / "postern.yaml"), *args], code=code)
    shown = (done.stdout + done.stderr).decode()
    assert SECRET not in shown
    if (out / "postern.yaml").exists():
        assert SECRET not in (out / "postern.yaml").read_text()
    if code == 0:
        assert "\nok: " in shown
    return shown, out


def postfix(folder, main, **maps):
    where = folder / "postfix"
    where.mkdir(exist_ok=True)
    (where / "main.cf").write_text(main)
    for name, text in maps.items():
        (where / name).write_text(text)
    return where


MAIN = """
# A relay as the guides have it.
compatibility_level = 3.6
myhostname = relay.contoso.com
mydomain = contoso.com
mynetworks = 127.0.0.0/8 [::1]/128
inet_interfaces = loopback-only
relayhost = [smtp.office365.com]:587
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = verify
sender_dependent_relayhost_maps =
  hash:/etc/postfix/relay_by_sender
transport_maps = hash:/etc/postfix/transport
"""


def test_postfix_folder(folder):
    where = postfix(folder, MAIN, sasl_passwd=f"[smtp.office365.com]:587 erp@contoso.com:{SECRET}\n[mail.example.com]:465 joe:{SECRET}2\n",
                    relay_by_sender="@example.com [mail.example.com]:465\n")
    if shutil.which("postconf"):
        # Postfix reads it as we do.
        said = run(["postconf", "-c", str(where), "-h", "relayhost", "myorigin", "mynetworks"], code=None)
        assert b"[smtp.office365.com]:587" in said.stdout or said.returncode
    shown, out = imported(folder, "postfix", where)
    text = (out / "postern.yaml").read_text()
    assert 'address: "erp@contoso.com"' in text and 'host: "mail.example.com"' in text
    assert "transport_maps: the file /etc/postfix/transport cannot be read" in shown
    assert "#   - main.cf line 15: transport_maps: the file" in text
    secrets = sorted(p for p in out.iterdir() if p.suffix == ".secret")
    assert [p.read_text() for p in secrets] == [SECRET, SECRET + "2"]
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in secrets)


def test_nothing_is_replaced(folder):
    where = postfix(folder, MAIN, sasl_passwd=f"[smtp.office365.com]:587 erp@contoso.com:{SECRET}\n")
    _, out = imported(folder, "postfix", where / "main.cf")
    shown, _ = imported(folder, "postfix", where, code=73)
    assert "exists and is left alone" in shown
    (out / "postern.yaml").unlink()
    (out / "erp@contoso.com.secret").write_text("mine")
    imported(folder, "postfix", where, code=73)
    assert (out / "erp@contoso.com.secret").read_text() == "mine" and not (out / "postern.yaml").exists()


def test_maps_that_cannot_be_read(folder):
    shown, _ = imported(folder, "postfix", postfix(folder, MAIN + "smtp_sasl_password_maps = ldap:/etc/postfix/ldap.cf\n"))
    assert "type ldap" in shown and "relay_by_sender cannot be read" in shown


def test_msmtp(folder):
    (folder / "msmtprc").write_text(
        f"defaults\ntls on\nport 587\n\naccount work\nhost smtp.office365.com\nfrom erp@contoso.com\nuser erp@contoso.com\n"
        f"password {SECRET}\n\naccount home : work\nhost mail.example.com\nfrom me@example.com\nuser me\npasswordeval /bin/cat /tmp/x\n"
        "account default : work\n")
    shown, out = imported(folder, "msmtp", folder / "msmtprc")
    text = (out / "postern.yaml").read_text()
    assert 'password: "command:/bin/cat /tmp/x"' in text
    assert '{ sender: "me@example.com", through: "server2" }' in text
    assert (out / "erp@contoso.com.secret").read_text() == SECRET


GRAPH = f"""
mode: full
send:
  appReg:
    tenant: contoso
    id: 01234567-89ab-cdef-0123-456789abcdef
    secret: {SECRET}
receive:
  port: 2587
  listenAddress: 127.0.0.1
  requireAuth: true
  tlsKeyPath: private.key
  tlsCertPath: server.crt
  users:
    - username: app
      password: {SECRET}3
      allowedFrom: [erp@contoso.com]
  rateLimit: {{ duration: 60, limit: 10 }}
"""


def test_smtp2graph(folder):
    (folder / "config.yml").write_text(GRAPH)
    shown, out = imported(folder, "smtp2graph", folder)
    text = (out / "postern.yaml").read_text()
    assert "id: \"contoso.onmicrosoft.com\"" in text and "provider: \"graph\"" in text and 'senders: ["erp@contoso.com"]' in text
    assert re.search("line \\d+: receive: rateLimit", shown) and "without TLS" in shown
    assert (out / "contoso.secret").read_text() == SECRET
    assert (out / "app.scram").read_text().startswith("SCRAM-SHA-256$")


def test_smtp2graph_without_senders(folder):
    (folder / "config.yml").write_text(GRAPH[:GRAPH.index("receive:")])
    # What can be carried over is written; the rest is said there, and `check` names it.
    shown, out = imported(folder, "smtp2graph", folder, code=78)
    assert "--sender" in shown and "--sender" in (out / "postern.yaml").read_text()
    for path in out.iterdir():
        path.unlink()
    _, out = imported(folder, "smtp2graph", folder, "--sender", "Erp@contoso.com")
    assert 'address: "erp@contoso.com"' in (out / "postern.yaml").read_text()


@pytest.mark.parametrize("args, code", [
    (("postfix",), 64), (("sendmail", "/etc/mail"), 64), (("postfix", "/nowhere"), 66),
])
def test_wrong_use(folder, args, code):
    run([support.POSTERN, "import", *args, "--output", str(folder / "postern.yaml")], code=code)


def test_imported_relay_sends(folder, sandbox, process):
    """A main.cf whose server is the sandbox: the mail of the imported relay arrives."""
    s = sandbox()
    port = support.free_port()
    where = postfix(folder, f"relayhost = [localhost]:{s.smtp}\nsmtp_tls_security_level = secure\nmyhostname = relay.contoso.com\n"
                    "inet_interfaces = loopback-only\nsmtp_sasl_password_maps = texthash:/etc/postfix/sasl_passwd\n",
                    sasl_passwd=f"[localhost]:{s.smtp} erp@contoso.com:sandbox\n")
    _, out = imported(folder, "postfix", where)
    config = out / "postern.yaml"
    text = config.read_text().replace("127.0.0.1:25", f"127.0.0.1:{port}").replace('host: "localhost"', f'host: localhost\n    ca_file: {s.ca}')
    config.write_text(f"data_dir: {out}/data\nmaildrop: {out}/drop\nsubmit_socket: {out}/s\ncontrol_socket: {out}/c\n{text}")
    (out / "drop").mkdir()
    p = process([support.POSTERN, "serve", "--config", str(config)], "serve", env=dict(os.environ))
    wait_for(lambda: support.listens(port) or not p.alive())
    assert p.alive(), p.text()
    run(["swaks", "--server", f"127.0.0.1:{port}", "-f", "erp@contoso.com", "-t", "anna@example.org"])
    wait_for(lambda: s.messages())
    assert s.messages()[0]["sender" if "sender" in s.messages()[0] else "from"] == "erp@contoso.com"
    assert p.stop() == 0
