"""A connector is known by its certificate or by its address: Postfix judges both."""
import contextlib
import shutil
import smtplib
import subprocess

import support
from support import wait_for

QUICK = "retry: { first: 1s, ceiling: 5s }"


@contextlib.contextmanager
def postfix(folder, extra):
    """Postfix's smtpd behind a scratch master, discarding what it takes, with STARTTLS only."""
    port = support.free_port()
    etc, spool, data = folder / "etc", folder / "spool", folder / "data"
    for p in (etc, spool, data):
        p.mkdir()
    for p in (folder, *folder.parents):
        if str(p).startswith("/tmp/"):
            p.chmod(0o755)
    ca, cert, key = support.make_certificate(folder / "server")
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
maillog_file = /var/log/postfix-{port}.log
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_received_header = yes
{extra}
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
    subprocess.run(["postfix", "-c", str(etc), "start"], capture_output=True, timeout=60)
    try:
        wait_for(lambda: support.listens(port))
        yield port, ca
    finally:
        subprocess.run(["postfix", "-c", str(etc), "stop"], capture_output=True, timeout=60)


def connector(port, ca, **more) -> str:
    extra = "".join(f", {k}: {v}" for k, v in more.items())
    return f"""
tenants:
  - {{ name: contoso, id: contoso.com, domains: [contoso.com] }}
connectors:
  - {{ name: mx, provider: connector, tenant: contoso, host: localhost, port: {port}, ca_file: "{ca}"{extra} }}
routes:
  - {{ through: mx }}
"""


def send(relay, subject):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail("erp@contoso.com", ["anna@example.org"], f"Subject: {subject}\r\n\r\nx\r\n".encode())


def delivered(relay):
    return wait_for(lambda: [x for x in relay.rows("trace") if x["state"] == "delivered"])


def refused(relay):
    return wait_for(lambda: [x for x in relay.waiting() if x.get("reason")])


CERTIFICATES = """
smtpd_tls_ask_ccert = yes
smtpd_tls_req_ccert = yes
smtpd_tls_CAfile = {ca}
smtpd_relay_restrictions = permit_tls_all_clientcerts, reject
"""


def test_certificate_opens_the_door(relay, folder):
    ca, cert, key = support.make_certificate(folder / "client")
    with postfix(folder, CERTIFICATES.format(ca=ca)) as (port, server_ca):
        r = relay(connector(port, server_ca, certificate=f'"{cert}"', key=f'"file:{key}"'), general=QUICK)
        send(r, "known by certificate")
        assert "queued as" in delivered(r)[0]["reply"]


def test_wrong_certificate_keeps_the_mail_until_it_is_right(relay, folder):
    ca, cert, key = support.make_certificate(folder / "client")
    _, stranger, stranger_key = support.make_certificate(folder / "stranger")
    # The daemon reads the folder of the one that it began with.
    cert, key = (shutil.copy(name, stranger.parent / f"right-{name.name}") for name in (cert, key))
    with postfix(folder, CERTIFICATES.format(ca=ca)) as (port, server_ca):
        r = relay(connector(port, server_ca, certificate=f'"{stranger}"', key=f'"file:{stranger_key}"'), general=QUICK)
        send(r, "by a stranger")
        assert refused(r)[0]["state"] in ("queued", "open")
        r.write(connector(port, server_ca, certificate=f'"{cert}"', key=f'"file:{key}"'), general=QUICK)
        r.cli("reload")
        r.cli("queue", "retry", "--sender", "erp@contoso.com")
        assert len(delivered(r)) == 1


def test_no_certificate_keeps_the_mail(relay, folder):
    ca, _, _ = support.make_certificate(folder / "client")
    with postfix(folder, CERTIFICATES.format(ca=ca)) as (port, server_ca):
        r = relay(connector(port, server_ca), general=QUICK)
        send(r, "without")
        assert refused(r)[0]["state"] in ("queued", "open")


def test_source_address_opens_the_door(relay, folder):
    rule = "mynetworks = 127.0.0.3/32\n" \
           "smtpd_relay_restrictions = permit_mynetworks, reject\n"
    with postfix(folder, rule) as (port, server_ca):
        r = relay(connector(port, server_ca, source="127.0.0.3"), general=QUICK)
        send(r, "known by address")
        assert "queued as" in delivered(r)[0]["reply"]


def test_server_that_does_not_verify_gets_nothing(relay, folder):
    other_ca, _, _ = support.make_certificate(folder / "other")
    rule = "mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject\n"
    with postfix(folder, rule) as (port, _):
        r = relay(connector(port, other_ca), general=QUICK)
        send(r, "to nobody")
        assert "tls" in refused(r)[0]["reason"]
