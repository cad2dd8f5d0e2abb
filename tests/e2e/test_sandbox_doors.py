"""The sandbox's other SMTP doors: High Volume Email, and the connector on "port 25"."""
import base64
import json
import re
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

import entra
from support import run
from wire import Wire

EXCHANGE = "https://outlook.office365.com/.default"
BULK = "bulk@contoso.com"


def mint(sandbox, **spec):
    return json.loads(sandbox.api("POST", "/tokens", spec))["access_token"]


class Hve(Wire):
    def __init__(self, sandbox, user=BULK, bearer=None):
        super().__init__(sandbox.hve)
        self.hello()
        self.starttls(sandbox.ca)
        if bearer:
            text = base64.b64encode(f"user={user}\x01auth=Bearer {bearer}\x01\x01".encode()).decode()
            self.auth = self.say("AUTH XOAUTH2 " + text)
        else:
            self.must("AUTH LOGIN " + base64.b64encode(user.encode()).decode(), "334")
            self.auth = self.say(base64.b64encode(b"sandbox").decode())


def test_hve_takes_internal_mail(sandbox):
    s = sandbox()
    with Hve(s, bearer=mint(s)) as c:
        assert c.auth.startswith("235")
        c.envelope("a@contoso.com", "b@contoso.onmicrosoft.com", sender=BULK)
        assert c.data(f"From: {BULK}\r\nSubject: bulk\r\n\r\nx\r\n".encode()).startswith("250 2.0.0 OK")
        # Its refusals, each at its stage.
        assert c.say("MAIL FROM:<other@contoso.com>").startswith("550 5.7.62")
        assert c.say("MAIL FROM:<>").startswith("550 5.7.62")
        c.must(f"MAIL FROM:<{BULK}>", "250")
        assert c.say("RCPT TO:<b@example.org>").startswith(
            "550 5.5.105 External sending is not supported for High Volume Email accounts")
        for i in range(50):
            c.must(f"RCPT TO:<r{i}@contoso.com>", "250")
        assert c.say("RCPT TO:<r50@contoso.com>").startswith("452 4.5.3")
        assert c.data(b"From: other@contoso.com\r\n\r\nx\r\n").startswith("550 5.6.241")
        assert c.say(f"MAIL FROM:<{BULK}> SIZE={11 << 20}").startswith("552 5.3.4")
    found = s.messages()
    assert [(m["door"], m["subject"], len(m["recipients"])) for m in found] == [("hve", "bulk", 2)]
    assert s.verdict()["hve_recipients"] == 2 and s.stop() == 0


def test_hve_has_no_message_rate(sandbox):
    s = sandbox()
    with Hve(s) as c:
        for i in range(40):
            c.envelope("a@contoso.com", sender=BULK)
            assert c.data(f"From: {BULK}\r\nSubject: {i}\r\n\r\nx\r\n".encode()).startswith("250"), i
    assert s.verdict()["limits_broken"] == []


def test_hve_sign_in(sandbox):
    s = sandbox()
    s.settings(hve_accounts=[BULK], apps=[{"client_id": "weak", "roles": ["SMTP.SendAsApp"]}, {"client_id": "narrow", "mailboxes": ["x@contoso.com"]}])
    for spec, user, reply in (
            ({}, BULK, "235 2.7.0"),
            ({"user": BULK, "scope": "https://outlook.office.com/Mail.Send"}, BULK, "235 2.7.0"),
            ({}, "a@contoso.com", "550 5.2.240"),
            ({"life": 500}, BULK, "535 5.7.142 Token will expire soon"),
            ({"age": 4000}, BULK, "535 5.7.143 Expired token"),
            ({"client_id": "weak"}, BULK, "535 5.7.144 XOAUTH2 authentication failed. Invalid API permissions"),
            ({"client_id": "narrow"}, BULK, "550 5.7.240 The application is not allowed for use with this High Volume Email account"),
            ({"scope": entra.GRAPH}, BULK, "535 5.7.3 Authentication unsuccessful")):
        with Hve(s, user, mint(s, **spec)) as c:
            assert c.auth.startswith(reply), (spec, c.auth)
    # SMTP AUTH's switch is not HVE's; security defaults are, for passwords.
    s.settings(tenant_auth=False)
    with Hve(s) as c:
        assert c.auth.startswith("235")
    s.settings(security_defaults=True)
    with Hve(s) as c:
        assert c.auth.startswith("535 5.7.139 Authentication unsuccessful, the organization configuration doesn't allow this")
    with Hve(s, bearer=mint(s)) as c:
        assert c.auth.startswith("235")
    s.api("POST", "/scenario/hve-external")
    with Hve(s, bearer=mint(s)) as c:
        c.must(f"MAIL FROM:<{BULK}>", "250")
        assert c.say("RCPT TO:<a@contoso.com>").startswith("550 5.5.105")


class Mx(Wire):
    """A client on port 25, with or without a certificate, maybe from another address."""

    def __init__(self, sandbox, certificate=None, source="127.0.0.1", tls=True):
        self.sock = socket.create_connection(("127.0.0.1", sandbox.connector), timeout=60, source_address=(source, 0))
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()
        self.hello()
        if not tls:
            return
        self.must("STARTTLS", "220")
        context = ssl.create_default_context(cafile=str(sandbox.ca))
        if certificate:
            context.load_cert_chain(*certificate)
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")
        self.capabilities = self.hello()


def ours(sandbox):
    return sandbox.folder / "client.pem", sandbox.folder / "client.key"


def signed(sandbox, folder, name):
    """One more client certificate of the sandbox's CA, for another name."""
    key, request, pem, ext = (folder / f"{name}.{end}" for end in ("key", "csr", "pem", "ext"))
    ext.write_text(f"subjectAltName=DNS:{name}\n")
    subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}"], check=True,
                   capture_output=True)
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", sandbox.ca, "-CAkey", sandbox.folder / "ca.key", "-out", pem, "-days", "2",
                    "-extfile", ext], check=True, capture_output=True)
    return pem, key


def relay(c, sender="a@contoso.com", to="b@example.org", subject="s"):
    c.must(f"MAIL FROM:<{sender}>", "250")
    answer = c.say(f"RCPT TO:<{to}>")
    if not answer.startswith("250"):
        c.must("RSET", "250")
        return answer
    return c.data(f"From: <{sender or 'mailer-daemon@contoso.com'}>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@x>\r\n\r\nx\r\n".encode())


def test_connector_by_certificate(sandbox):
    s = sandbox()
    with Mx(s, ours(s)) as c:
        assert ".mail.protection.outlook.com Microsoft ESMTP MAIL Service ready" in c.greeting
        assert "AUTH" not in c.capabilities and "CHUNKING" in c.capabilities
        answer = relay(c, subject="scan")
        assert re.match(r"250 2\.6\.0 <scan@x> \[InternalId=\d+, Hostname=\S+\] \d+ bytes in .* Queued mail for delivery", answer), answer
        assert relay(c, sender="", subject="null").startswith("250")
        assert relay(c, sender="x@elsewhere.example", subject="forward").startswith("250")
    assert [(m["door"], m["mailbox"], m["sender"]) for m in s.messages()] == [
        ("connector", "", "a@contoso.com"), ("connector", "", ""), ("connector", "", "x@elsewhere.example")]


def test_connector_by_curl_with_the_certificate(sandbox, folder):
    s = sandbox()
    mail = folder / "mail.eml"
    mail.write_bytes(b"From: a@contoso.com\r\nSubject: curl\r\n\r\nx\r\n")
    run(["curl", "-sS", "--ssl-reqd", "--cacert", str(s.ca), "--cert", str(s.folder / "client.pem"), "--key", str(s.folder / "client.key"),
         "--url", f"smtp://localhost:{s.connector}", "--mail-from", "a@contoso.com", "--mail-rcpt", "b@example.org", "--upload-file", str(mail)])
    assert s.messages()[0]["subject"] == "curl"


def test_connector_certificates_that_are_not_ours(sandbox, folder):
    s = sandbox()
    denied = "550 5.7.64 TenantAttribution; Relay Access Denied SMTP"
    foreign = entra.Certificate(folder, "mail.contoso.com")
    for certificate in (None, (foreign.pem, foreign.key), signed(s, folder, "mail.elsewhere.example")):
        with Mx(s, certificate) as c:
            assert relay(c).startswith(denied)
            assert relay(c, to="b@contoso.com").startswith("250")
    s.settings(accepted_domains=["contoso.com", "elsewhere.example"])
    with Mx(s, signed(s, folder, "mail.elsewhere.example")) as c:
        assert relay(c).startswith("250")
    s.api("POST", "/scenario/connector-unknown")
    with Mx(s, ours(s)) as c:
        assert relay(c).startswith(denied)


def test_connector_by_source_address(sandbox):
    s = sandbox()
    s.settings(connector={"sources": ["127.0.0.2/32"]})
    with Mx(s, source="127.0.0.2") as c:
        assert relay(c).startswith("250")
        for sender in ("", "x@elsewhere.example"):
            assert relay(c, sender=sender).startswith("550 5.7.64 Relay Access Denied ATTR36. For more details please refer to KB 3169958")
    with Mx(s, source="127.0.0.3") as c:
        assert relay(c).startswith("550 5.7.64 TenantAttribution")
    with pytest.raises(AssertionError, match="400"):
        s.settings(connector={"sources": ["everywhere"]})


def test_direct_send(sandbox):
    s = sandbox()
    with Mx(s, tls=False) as c:
        assert relay(c, to="b@contoso.com").startswith("250")
        s.settings(reject_direct_send=True)
        assert relay(c, to="b@contoso.com").startswith(
            "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources")
        assert relay(c, sender="x@elsewhere.example", to="b@contoso.com").startswith("250")
    with Mx(s, ours(s)) as c:
        assert relay(c, to="b@contoso.com").startswith("250")


def test_connector_limits(sandbox):
    s = sandbox()
    with Mx(s, ours(s)) as c:
        c.must("MAIL FROM:<a@contoso.com>", "250")
        for i in range(200):
            c.must(f"RCPT TO:<r{i}@example.org>", "250")
        assert c.say("RCPT TO:<r200@example.org>").startswith("452 4.5.3 Too many recipients")
        c.must("RCPT TO:<other@example.net>", "250")
        assert c.data(b"From: a@contoso.com\r\n\r\nx\r\n").startswith("250")
        s.settings(limits={"recipients_per_day": 202})
        assert relay(c).startswith("250")
        assert relay(c).startswith("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException")
        assert relay(c, sender="").startswith("250")
    assert [v["limit"] for v in s.verdict()["limits_broken"]] == ["recipients-per-day"]


def test_later_failures_are_ndrs_in_the_senders_mailbox(sandbox):
    s = sandbox()
    s.settings(bounces=["*@gone.example"])
    with Mx(s, ours(s)) as c:
        assert relay(c, to="b@gone.example", subject="lost").startswith("250")
        assert relay(c, to="b@example.org", subject="found").startswith("250")
        assert relay(c, sender="", to="b@gone.example", subject="ndr").startswith("250")
    (ndr,) = s.get("/messages?mailbox=a@contoso.com")
    assert ndr["subject"] == "Undeliverable: lost" and ndr["sender"] == ""
    raw = s.api("GET", f"/inbox/{ndr['number']}/raw").decode()
    assert "report-type=delivery-status" in raw and "Final-Recipient: rfc822;b@gone.example" in raw and "In-Reply-To: <lost@x>" in raw
    assert len(s.messages()) == 3 and s.get("/messages?mailbox=c@contoso.com") == []


def test_strict_counts_the_tenant_and_says_so_to_its_administrator(sandbox):
    s = sandbox()
    s.api("POST", "/scenario/strict")
    s.settings(tenant_limits={"external_per_day": 2}, mailboxes=[{"address": "bad@contoso.com", "blocked": True}])
    with Wire(s.smtp) as c:
        c.hello()
        c.starttls(s.ca)
        c.must("AUTH LOGIN " + base64.b64encode(b"erp@contoso.com").decode(), "334")
        c.must(base64.b64encode(b"sandbox").decode(), "235")
        said = []
        for to in (["a@example.org", "b@contoso.com"], ["a@example.org"], ["a@example.org"], ["b@contoso.com"]):
            c.envelope(*to, sender="erp@contoso.com")
            said.append(c.data(b"From: erp@contoso.com\r\nSubject: x\r\n\r\nx\r\n"))
    assert [line[:3] for line in said] == ["250", "250", "550", "250"] and "5.7.233" in said[2]
    verdict = s.verdict()
    scopes = {row["limit"]: row for row in verdict["scopes"]}
    assert verdict["strict"] and [row["limit"] for row in verdict["limits_broken"]] == ["tenant-external"]
    assert (scopes["tenant-external"]["peak"], scopes["tenant-external"]["allowed"], scopes["tenant-external"]["broken"]) == (3, 2, 1)
    assert scopes["messages-per-minute"]["peak"] == 3 and scopes["recipients-per-day"]["peak"] == 4
    s.settings(apps=[{"client_id": "admin", "roles": ["Exchange.ManageAsApp"]}, {"client_id": "wrong", "roles": ["Exchange.Manage"]}])
    token = mint(s, client_id="admin")

    def ask(cmdlet, **parameters):
        request = urllib.request.Request(
            f"https://localhost:{s.https}/adminapi/beta/contoso.com/InvokeCommand",
            json.dumps({"CmdletInput": {"CmdletName": cmdlet, "Parameters": parameters}}).encode(),
            {"Authorization": "Bearer " + token, "X-AnchorMailbox": "UPN:admin@contoso.com", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=s.ca)) as answer:
            return json.load(answer)["value"]

    # An app's permission is another one than a person's.
    token, right = mint(s, client_id="wrong"), token
    with pytest.raises(urllib.error.HTTPError) as told:
        ask("Get-LimitsEnforcementStatus")
    assert told.value.code == 401
    token = right
    (limit,) = ask("Get-LimitsEnforcementStatus")
    assert (limit["ObservedValue"], limit["Threshold"], limit["Verdict"], limit["EnforcementEnabled"]) == (2, 2, "Exceeded", True)
    assert [row["SenderAddress"] for row in ask("Get-BlockedSenderAddress")] == ["bad@contoso.com"]
    ask("Remove-BlockedSenderAddress", SenderAddress="bad@contoso.com")
    assert ask("Get-BlockedSenderAddress") == []
    assert s.stop() == 1
    assert "tenant-external         tenant           at most 3 of 2" in s.process.text()
