"""`postern import`: what others' configurations say, with every password in a file of its own and on no screen."""
import os
import pathlib
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


# What is carried over, and what shows it. Everything else that Postfix knows must be named in the file.
CARRIED = {
    "relayhost": ("[mail.example.com]:25", 'host: "mail.example.com"'),
    "smtp_fallback_relay": ("[spare.example.com]:587", 'host: "spare.example.com"'),
    "smtp_bind_address": ("192.0.2.7", 'source: "192.0.2.7"'),
    "smtp_tls_security_level": ("secure", 'tls: "required"'),
    "smtp_tls_cert_file": ("/etc/c.pem", 'certificate: "/etc/c.pem"'),
    "smtp_tls_key_file": ("/etc/c.key", 'key: "file:/etc/c.key"'),
    "smtp_tls_CAfile": ("/etc/own-ca.pem", 'ca_file: "/etc/own-ca.pem"'),
    "smtp_destination_concurrency_limit": ("1", "connections: 1"),
    "smtp_destination_rate_delay": ("10s", "messages_per_minute: 6"),
    "smtp_destination_recipient_limit": ("20", "recipients_per_message: 20"),
    "myhostname": ("relay.contoso.com", 'hostname: "relay.contoso.com"'),
    "myorigin": ("fabrikam.com", 'qualify: "fabrikam.com"'),
    "mynetworks": ("127.0.0.0/8 !10.1.0.0/16 10.0.0.0/15", '["127.0.0.0/8", "10.0.0.0/16"]'),
    "inet_interfaces": ("127.0.0.1, 10.0.0.5", '- address: "10.0.0.5:25"'),
    "message_size_limit": ("20480000", "message_size: 20000KB"),
    "smtpd_recipient_limit": ("77", "recipients: 77"),
    "smtpd_client_connection_count_limit": ("7", "connections_per_peer: 7"),
    "maximal_queue_lifetime": ("3d", "expire: 3d"),
    "minimal_backoff_time": ("120s", "first: 2m"),
    "maximal_backoff_time": ("2h", "ceiling: 2h"),
    "delay_warning_time": ("6h", "delay_notice: 6h"),
    "alias_maps": ("hash:/etc/aliases", '"root": "it@contoso.com"'),
    "virtual_alias_maps": ("inline:{ backup=ops@contoso.com }", '"backup": "ops@contoso.com"'),
    "smtp_generic_maps": ("inline:{ cron@fabrikam.com=erp@contoso.com }", '{ sender: "cron@fabrikam.com", '),
    "sender_canonical_maps": ("regexp:{ {/^nagios@.*$/ erp@contoso.com} }", '{ sender: "nagios@*", '),
    "smtp_header_checks": ("pcre:{ {/^From:.*scanner/ REPLACE From: scan@contoso.com} }", 'header: "From: *scanner*"'),
    "transport_maps": ("inline:{ { example.net = smtp:[mx.example.net] } }", 'recipient: "*@example.net"'),
    "sender_dependent_relayhost_maps": ("inline:{ { @example.org = [mx.example.org]:587 } }", '{ sender: "*@example.org", '),
}
# Those that replace, or need, one of the others: what they are set beside, and what shows them.
RELAY = "relayhost = [m.example.com]:587\n"
BESIDE = {
    "mydomain": ("mydomain = fabrikam.net\n", 'qualify: "fabrikam.net"'),
    "inet_protocols": ("inet_protocols = ipv4\n", '"0.0.0.0:25"'),
    "default_transport": ("default_transport = smtp:[dt.example.com]:587\n", 'host: "dt.example.com"'),
    "smtp_helo_name": ("smtp_helo_name = out.contoso.com\n", 'hostname: "out.contoso.com"'),
    "smtp_use_tls": (RELAY + "smtp_use_tls = yes\n", "spoken to with TLS where it had it"),
    "smtp_enforce_tls": (RELAY + "smtp_enforce_tls = yes\n", 'tls: "required"'),
    "smtp_tls_wrappermode": (RELAY + "smtp_tls_wrappermode = yes\n", 'tls: "implicit"'),
    "smtp_tls_chain_files": (RELAY + "smtp_enforce_tls = yes\nsmtp_tls_chain_files = /x.pem\n", 'certificate: "/x.pem"'),
    "smtpd_use_tls": ("smtpd_use_tls = yes\nsmtpd_tls_cert_file = /no.pem\n", "/no.pem is not here"),
    "smtpd_enforce_tls": ("smtpd_enforce_tls = yes\nsmtpd_tls_cert_file = /no.pem\n", "/no.pem is not here"),
    "smtpd_tls_security_level": ("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /no.pem\n", "/no.pem is not here"),
    "smtpd_tls_cert_file": ("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /no.pem\n", "/no.pem is not here"),
    "smtpd_tls_key_file": ("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = /etc/hosts\nsmtpd_tls_key_file = /no.key\n", "/no.key is not here"),
    "smtpd_tls_chain_files": ("smtpd_tls_security_level = may\nsmtpd_tls_chain_files = /no.pem\n", "/no.pem is not here"),
    "smtpd_tls_wrappermode": ("smtpd_tls_wrappermode = yes\n", "TLS of the listener"),
    "smtpd_sasl_auth_enable": ("smtpd_sasl_auth_enable = yes\n", "clients of the listener"),
    "default_destination_concurrency_limit": (RELAY + "default_destination_concurrency_limit = 1\n", "connections: 1"),
    "relay_destination_concurrency_limit": (RELAY + "relay_destination_concurrency_limit = 1\n", "connections: 1"),
    "default_destination_recipient_limit": (RELAY + "default_destination_recipient_limit = 9\n", "recipients_per_message: 9"),
    "default_destination_rate_delay": (RELAY + "default_destination_rate_delay = 6s\n", "messages_per_minute: 10"),
    "default_transport_rate_delay": (RELAY + "default_transport_rate_delay = 6s\n", "messages_per_minute: 10"),
    "smtp_transport_rate_delay": (RELAY + "smtp_transport_rate_delay = 1m\n", "messages_per_minute: 1"),
    "smtp_sasl_auth_enable": (RELAY + "smtp_sasl_auth_enable = no\nsmtp_sasl_password_maps = static:joe:x\n", "since smtp_sasl_auth_enable is not yes"),
    "smtp_sasl_password_maps": (RELAY + "smtp_sasl_password_maps = static:joe:x\n", 'login: "joe"'),
    "smtp_sender_dependent_authentication": (
        "relayhost = [smtp.office365.com]:587\nsmtp_sender_dependent_authentication = yes\n"
        "smtp_sasl_password_maps = inline:{ a@contoso.com=a@contoso.com:x }\n", '{ sender: "a@contoso.com", '),
    "smtp_sasl_mechanism_filter": (
        "relayhost = [smtp.office365.com]:587\nsmtp_sasl_mechanism_filter = xoauth2\nsmtp_sasl_password_maps = static:a@contoso.com:x\n", "auth: user"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_parameters_beside_others(folder, name):
    main, sign = BESIDE[name]
    _, out = imported(folder, "postfix", postfix(folder, "myhostname = relay.contoso.com\n" + main), code=None)
    assert sign in (out / "postern.yaml").read_text()


def test_nothing_is_dropped_without_a_word(folder):
    """Every parameter that Postfix knows, set at once: carried over, or named in the file."""
    if not shutil.which("postconf"):
        pytest.skip("SKIPPED LOUDLY: postfix is not installed")
    known = {line.split(" =")[0] for line in run(["postconf", "-d"]).stdout.decode().splitlines() if " =" in line}
    assert len(known) > 800 and set(CARRIED) | set(BESIDE) <= known
    main = "".join(f"{name} = {value}\n" for name, (value, _) in CARRIED.items())
    where = postfix(folder, main, aliases="root: it@contoso.com\n")
    shown, out = imported(folder, "postfix", where, code=None)
    text = (out / "postern.yaml").read_text()
    (out / "postern.yaml").unlink()
    assert [name for name, (_, sign) in CARRIED.items() if sign not in text] == [], text
    main += "".join(f"{name} = 7\n" for name in sorted(known - set(CARRIED) - set(BESIDE)))
    imported(folder, "postfix", postfix(folder, main), code=None)
    text = (out / "postern.yaml").read_text()
    words = {w for line in text.splitlines() if line.startswith("#") for w in re.findall(r"[A-Za-z0-9_-]+", line)}
    silent = sorted(name for name in known - set(CARRIED) - set(BESIDE) if name not in words)
    assert silent == []


GRAPH_KEYS = {"send": ["appReg", "retryLimit", "retryInterval", "forceMailbox"],
              "receive": ["port", "listenAddress", "secure", "tlsKeyPath", "tlsCertPath", "maxSize", "banner", "ipWhitelist", "allowedFrom",
                          "allowedRcpt", "allowInsecureAuth", "requireAuth", "users", "rateLimit", "authLimit"]}


def test_smtp2graph_nothing_is_dropped(folder):
    """The keys of SMTP2Graph's schema, one at a time: the file changes beyond its number of lines, or names the key."""
    values = {"port": "2526", "listenAddress": "127.0.0.1", "secure": "true", "maxSize": "20m", "ipWhitelist": "[10.0.0.1]",
              "allowedFrom": "[x@contoso.com]", "requireAuth": "true", "tlsKeyPath": "/k", "tlsCertPath": "/c", "forceMailbox": "f@contoso.com",
              "users": "[{username: u, password: p, allowedFrom: [erp@contoso.com]}]"}
    texts = {}
    for key in ["", *GRAPH_KEYS["receive"], *GRAPH_KEYS["send"][1:]]:
        here = folder / (key or "base")
        here.mkdir()
        block = "receive" if key in GRAPH_KEYS["receive"] else "send"
        lines = {"send": ["  appReg: { tenant: contoso, id: i, secret: s }"], "receive": ["  unused: 1"]}
        if key:
            lines[block].append(f"  {key}: {values.get(key, 'true')}")
        (here / "config.yml").write_text("".join(f"{name}:\n" + "\n".join(some) + "\n" for name, some in lines.items()))
        imported(here, "smtp2graph", here, "--sender", "erp@contoso.com", code=None)
        text = (here / "out" / "postern.yaml").read_text()
        texts[key] = text.replace(str(here), "")
    body = re.sub(r"line \d+", "", texts[""])
    # Each of these means something beside the other half only.
    pairs = {"tlsKeyPath", "tlsCertPath", "allowInsecureAuth"}
    for key, text in texts.items():
        if key and key not in pairs:
            assert key in text or re.sub(r"line \d+", "", text) != body, key


MSMTP = {"host": "mail.example.com", "port": "2525", "source_ip": "192.0.2.7", "auth": "ntlm", "user": "joe", "password": "x",
         "passwordeval": "/usr/bin/secret erp", "tls": "off", "tls_starttls": "off", "tls_certcheck": "off", "tls_trust_file": "/srv/ca.pem",
         "tls_cert_file": "/srv/c.pem", "tls_key_file": "/srv/k.pem", "from": "crm@contoso.com", "aliases": "/srv/aliases"}


def test_msmtp_nothing_is_dropped(folder):
    """Every command of msmtp's manual, one at a time: the file changes beyond its number of lines, or names the command."""
    manual = run(["man", "msmtp"], code=None, env={**os.environ, "MANWIDTH": "200"}).stdout.decode(errors="replace") if shutil.which("man") else ""
    known = set(re.findall(r"^ {7}([a-z]+(?:_[a-z]+)*) (?:\(|\[|[a-z])[^ ]*$", re.sub(".\b", "", manual), re.M)) | set(MSMTP)
    known -= {"account", "defaults", "eval"}
    texts = {}
    for name in ["", *sorted(known)]:
        here = folder / (name or "base")
        here.mkdir()
        rows = {"host": "smtp.office365.com", "port": "587", "tls": "on", "auth": "on", "user": "erp@contoso.com", "password": "p",
                "from": "erp@contoso.com"}
        if name in ("tls_cert_file", "tls_key_file"):
            rows |= {k: MSMTP[k] for k in ("tls_cert_file", "tls_key_file")}
        elif name:
            rows[name] = MSMTP.get(name, "on")
        (here / "msmtprc").write_text("account default\n" + "".join(f"{k} {v}\n" for k, v in rows.items()))
        imported(here, "msmtp", here / "msmtprc", code=None)
        texts[name] = (here / "out" / "postern.yaml").read_text().replace(str(here), "")
    body = re.sub(r"line \d+", "", texts[""])
    silent = [name for name, text in texts.items() if name and name not in text and re.sub(r"line \d+", "", text) == body]
    assert len(known) >= len(MSMTP) and silent == [], silent


def test_the_untouched_sample_is_replaced(folder):
    """As `init` does: it names nobody's mailboxes."""
    output = folder / "out" / "postern.yaml"
    output.parent.mkdir()
    output.write_text((pathlib.Path(__file__).parents[2] / "packaging" / "postern.yaml").read_text())
    (folder / "msmtprc").write_text("account default\nhost smtp.office365.com\nport 587\ntls on\nauth on\nuser erp@contoso.com\n"
                                    "password x\nfrom erp@contoso.com\n")
    run([support.POSTERN, "import", "msmtp", str(folder / "msmtprc"), "--output", str(output)], code=None)
    assert "erp@contoso.com" in output.read_text()
    again = run([support.POSTERN, "import", "msmtp", str(folder / "msmtprc"), "--output", str(output)], code=73)
    assert b"is left alone" in again.stderr
