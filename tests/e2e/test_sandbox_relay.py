"""The relay and the sandbox, by every door at once: what `make demo` shows, with its checks."""
import email
import email.policy
import smtplib

import pytest

import entra
from support import wait_for

FREE = "{ messages_per_minute: 100000, recipients_per_day: 1000000, share: 100% }"


@pytest.fixture
def everything(sandbox, relay, folder):
    def make(*sandbox_args, general="retry: { first: 1s, ceiling: 2s, expire: 5d }"):
        s = sandbox(*sandbox_args)

        def at(port):
            return f'endpoint: {{ host: localhost, port: {port}, ca_file: "{s.ca}" }}'

        return s, relay(entra.contoso(folder, s) + f"""mailboxes:
  - {{ address: erp@contoso.com, tenant: contoso, auth: app, limits: {FREE}, {at(s.smtp)} }}
  - {{ address: bulk@contoso.com, tenant: contoso, provider: hve, auth: app, {at(s.hve)} }}
  - {{ address: boss@contoso.com, tenant: contoso, provider: graph, auth: app }}
connectors:
  - name: mx
    provider: connector
    tenant: contoso
    host: localhost
    port: {s.connector}
    ca_file: "{s.ca}"
    certificate: {s.folder}/client.pem
    key: "file:{s.folder}/client.key"
routes:
  - {{ sender: scanner@contoso.com, through: mx }}
  - {{ through: sender }}
""", general=general)

    return make


def send(relay, sender, to, subject, body="x\r\n"):
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        c.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\n{body}".encode())


def test_every_door(everything):
    s, r = everything()
    send(r, "erp@contoso.com", "b@example.org", "oauth")
    send(r, "bulk@contoso.com", "b@contoso.com", "bulk")
    send(r, "scanner@contoso.com", "b@example.org", "scan")
    send(r, "boss@contoso.com", "b@example.org", "graph")
    wait_for(lambda: len(s.messages()) == 4)
    assert {m["subject"]: (m["door"], m["mailbox"]) for m in s.messages()} == {
        "oauth": ("submission", "erp@contoso.com"), "bulk": ("hve", "bulk@contoso.com"), "scan": ("connector", ""),
        "graph": ("graph", "boss@contoso.com")}
    # One token for Exchange, however many lanes (HVE asks for the same scope, or its own), and one for Graph.
    assert {c["grant"] for c in s.get("/tokens")["by"]} == {"client_credentials"} and s.get("/tokens")["issued"] <= 3
    assert s.verdict()["limits_broken"] == [] and s.verdict()["duplicates"] == 0
    assert s.stop() == 0


def test_a_large_scan_by_graph(everything):
    s, r = everything()
    mail = email.message.EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = "boss@contoso.com", "b@example.org", "scan", "<scan@x>"
    mail.set_content("A scan.\n")
    content = bytes(range(256)) * (24 * 1024)
    mail.add_attachment(content, "application", "pdf", filename="scan.pdf")
    with smtplib.SMTP("127.0.0.1", r.port) as c:
        c.sendmail("boss@contoso.com", ["b@example.org"], mail.as_bytes(policy=email.policy.SMTP))
    (m,) = wait_for(lambda: s.messages())
    got = email.message_from_bytes(s.raw(m["number"]), policy=email.policy.default)
    assert m["message_id"] == "<scan@x>" and [p.get_content() for p in got.iter_attachments()] == [content]


def test_the_token_service_comes_back(everything):
    s, r = everything("--scenario", "token-service-down")
    send(r, "erp@contoso.com", "b@example.org", "waits")
    wait_for(lambda: s.get("/faults")[0]["done"])
    assert s.messages() == []
    s.api("DELETE", "/faults")
    wait_for(lambda: [m["subject"] for m in s.messages()] == ["waits"])
