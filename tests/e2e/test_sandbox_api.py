"""The sandbox's API as a test uses it: what is set, shown, refused and reset, and what a message holds."""
import datetime
import email.message
import json
import os
import pathlib
import re
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

import support
from support import POSTERN, listens, wait_for
from test_sandbox import NO_DOORS, Session, swaks
from wire import Wire


def call(sandbox, method, path, body=None, code=200):
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{sandbox.http}{path}", method=method, data=data)
    try:
        with urllib.request.urlopen(request, timeout=support.PATIENCE) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    assert status == code, (status, text)
    return json.loads(text)


@pytest.mark.parametrize("body, said", [
    ({"tenant_aut": False}, 'unknown key "tenant_aut"; did you mean "tenant_auth"?'),
    ({"tenant_auth": "off"}, '"tenant_auth" must be true or false'),
    ({"limits": {"message_per_minute": 3}}, 'did you mean "messages_per_minute"?'),
    ({"limits": {"connections": "3"}}, '"connections" must be a whole number from 0'),
    ({"limits": {"connections": -1}}, '"connections" must be a whole number from 0'),
    ({"limits": []}, '"limits" must be an object'),
    ({"mailboxes": [{"adress": "a@contoso.com"}]}, 'did you mean "address"?'),
    ({"mailboxes": [{"full": True}]}, 'each needs an "address"'),
    ({"mailboxes": [{"address": "a@contoso.com", "smtp_auth": "of"}]}, '"smtp_auth" must be on, off or inherit'),
    ({"apps": [{"client_id": "x", "secret_expire": True}]}, 'did you mean "secret_expired"?'),
    ({"apps": [{"client_id": "x", "roles": "Mail.Send"}]}, '"roles" must be a list of texts'),
    ({"connector": {"source": ["127.0.0.2/32"]}}, 'did you mean "sources"?'),
    ({"connector": {"sources": ["contoso.com"]}}, '"sources" are networks'),
    ({"accepted_domains": "contoso.com"}, '"accepted_domains" must be a list of texts'),
    ([1], "expected an object"),
    (b"{tenant_auth: false}", "not JSON"),
])
def test_settings_that_are_wrong_change_nothing(sandbox, body, said):
    s = sandbox(*NO_DOORS)
    before = s.get("/settings")
    if isinstance(body, dict):
        body = {"basic_auth": False, **body}
    assert said in call(s, "PUT", "/settings", body, code=400)["error"]
    assert s.get("/settings") == before


@pytest.mark.parametrize("fault, said", [
    ({"at": "dot", "do": "slow", "delay": 3}, 'unknown key "delay"; did you mean "delay_ms"?'),
    ({"at": "dot", "do": "cut", "times": "1"}, '"times" must be a whole number from 0'),
    ({"at": "dot", "do": "cut", "probability": 30}, '"probability" must be 0 to 1'),
    ({"at": "dott", "do": "cut"}, '"at" must be'),
    ({"at": "dot", "do": "reply"}, 'needs a "reply"'),
])
def test_faults_that_are_wrong_are_refused(sandbox, fault, said):
    s = sandbox(*NO_DOORS)
    assert said in call(s, "POST", "/faults", [{"at": "rcpt", "do": "cut"}, fault], code=400)["error"]
    assert s.get("/faults") == []


def test_settings_show_what_was_set(sandbox):
    s = sandbox()
    given = {"tenant_auth": False, "security_defaults": True, "limits": {"messages_per_minute": 7, "message_bytes": 1000},
             "mailboxes": [{"address": "a@contoso.com", "smtp_auth": "off", "full": True, "send_as": ["b@contoso.com"]}],
             "token_life": 60, "clock_skew": -5, "auto_approve": "a@contoso.com", "refresh_once": True,
             "accepted_domains": ["fabrikam.com"], "connector": {"sources": ["127.0.0.2/32"], "certificate": False},
             "delegates": {"a@contoso.com": ["c@contoso.com"]}}
    s.settings(**given)
    shown = s.get("/settings")
    for key, value in given.items():
        if key == "limits":
            assert shown["limits"].items() >= value.items()
        elif key == "mailboxes":
            assert shown["mailboxes"][0].items() >= value[0].items()
        else:
            assert shown[key] == value, key
    assert shown["apps"][0]["has_secret"] is True and "secret" not in shown["apps"][0]


def test_reset_is_as_at_the_start(sandbox):
    s = sandbox(*NO_DOORS, "--scenario", "tiny-limits")
    start = s.get("/settings")
    c = Session(s)
    c.message()
    s.settings(tenant_auth=False, limits={"connections": 9})
    s.fault(at="dot", do="cut")
    call(s, "PUT", "/clock", {"speed": 60})
    call(s, "POST", "/reset")
    assert c.say("NOOP") == ""  # the open session ended
    assert s.get("/settings") == start and s.get("/settings")["limits"]["messages_per_minute"] == 3
    assert s.messages() == [] and s.get("/faults") == []
    assert s.get("/clock")["speed"] == 1 and s.verdict()["accepted"] == 0
    assert Session(s).message().startswith("250 ")


def test_a_scenario_acts_at_once(sandbox):
    s = sandbox(*NO_DOORS)
    c = Session(s)
    assert c.message().startswith("250 ")
    call(s, "POST", "/scenario/smtp-auth-off")
    assert c.say("NOOP") == ""
    swaks(s, code=28)
    assert "no scenario is called" in call(s, "POST", "/scenario/nonesuch", code=404)["error"]


def test_messages_are_read_for_those_who_look(sandbox):
    s = sandbox(*NO_DOORS)
    m = email.message.EmailMessage()
    m["From"] = "a@contoso.com"
    m["To"] = "b@example.org"
    m["Subject"] = "Grüße aus Köln"
    m.set_content("Hällo\n", charset="iso-8859-1")
    m.add_alternative("<p>Hällo</p>\n", subtype="html")
    m.add_attachment(b"%PDF-1.4\x00\xff", maintype="application", subtype="pdf", filename="Preisliste ä.pdf")
    c = Session(s)
    c.envelope("b@example.org", sender="a@contoso.com")
    assert c.data(m.as_bytes(policy=m.policy.clone(linesep="\r\n"))).startswith("250 ")
    one = s.get("/messages/1")
    assert one["text"].strip() == "Hällo" and one["html"].strip() == "<p>Hällo</p>"
    assert {"name": "Subject", "value": "Grüße aus Köln"} in one["headers"]
    (attachment,) = one["attachments"]
    assert (attachment["name"], attachment["type"], attachment["size"]) == ("Preisliste ä.pdf", "application/pdf", 10)
    assert s.api("GET", "/messages/1/attachments/1") == b"%PDF-1.4\x00\xff"
    assert "no such attachment" in call(s, "GET", "/messages/1/attachments/2", code=404)["error"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", one["date"])


def test_the_dialogue_of_a_message_is_kept_without_secrets(sandbox):
    s = sandbox(*NO_DOORS)
    c = Session(s)
    assert c.message(subject="one").startswith("250 ")
    c.envelope("b@example.org", sender="a@contoso.com")
    body = b"From: a@contoso.com\r\nSubject: two\r\n\r\nAUTH LOGIN in the body\r\n"
    c.sock.sendall(b"BDAT 10\r\n" + body[:10])
    assert c.reply().startswith("250 ")
    c.sock.sendall(b"BDAT %d LAST\r\n" % (len(body) - 10) + body[10:])
    assert c.reply().startswith("250 ")
    said = [(line["who"], line["line"]) for line in s.get("/messages/1/dialogue")]
    assert said[0][1].startswith("220 ") and ("client", "STARTTLS") in said
    at = said.index(("client", "AUTH LOGIN [secret]"))
    assert [line for _, line in said[at:at + 4]] == ["AUTH LOGIN [secret]", "334 UGFzc3dvcmQ6", "[secret]", "235 2.7.0 Authentication successful"]
    assert said[-3][1].startswith("354 ") and said[-2][0] == "note" and said[-1][1].startswith("250 2.0.0 OK")
    said = [line["line"] for line in s.get("/messages/2/dialogue")]
    assert said[-4:-2] == ["250 2.0.0 10 octets received", f"BDAT {len(body) - 10} LAST"]
    assert not [line for line in said if "in the body" in line]


@pytest.mark.parametrize("header, check, result, text", [
    ("From: a@contoso.com", "from", "ok", "From is the mailbox that signed in"),
    ("X: no from", "from", "fail", "there are 0 From fields"),
    ("From: a@contoso.com\r\nSubject: a\r\nSubject: b", "fields", "fail", "2 Subject fields"),
    ("From: a@contoso.com\r\nMessage-ID: <x@y>", "fields", "warn", "no Date field"),
    ("From: a@contoso.com\r\nBcc: c@example.org", "bcc", "warn", "every recipient can read it"),
    ("From: a@contoso.com\r\nX: " + "y" * 1000, "lines", "fail", "a line has 1003 bytes"),
    ("From: a@contoso.com", "unsubscribe", "note", "no List-Unsubscribe"),
    ("From: a@contoso.com\r\nList-Unsubscribe: <mailto:a@contoso.com>", "unsubscribe", "warn", "without an https address"),
    ("From: a@contoso.com\r\nList-Unsubscribe: <https://contoso.com/u>", "unsubscribe", "warn", "List-Unsubscribe-Post is not"),
    ("From: a@contoso.com\r\nList-Unsubscribe: <https://contoso.com/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click",
     "unsubscribe", "ok", "one click"),
    ("From: a@contoso.com\r\nContent-Type: text/html", "text", "note", "HTML without a plain text"),
    ("From: a@contoso.com", "alignment", "ok", "SPF and DKIM of that domain both count"),
])
def test_checks_say_what_a_message_would_meet(sandbox, header, check, result, text):
    s = sandbox(*NO_DOORS)
    c = Session(s)
    c.envelope("b@example.org", sender="a@contoso.com")
    assert c.data(f"{header}\r\n\r\nx\r\n".encode()).startswith("250 ")
    found = [(f["check"], f["result"]) for f in s.get("/messages/1/checks") if text in f["text"]]
    assert found == [(check, result)], s.get("/messages/1/checks")


def test_checks_know_send_as_and_the_connectors_domains(sandbox):
    s = sandbox("--hve", "", "--https", "")
    s.settings(mailboxes=[{"address": "a@contoso.com", "send_as": ["team@contoso.com"]}], connector={"sources": ["127.0.0.0/8"]})
    c = Session(s)
    c.envelope("b@example.org", sender="a@contoso.com")
    assert c.data(b"From: team@contoso.com\r\n\r\nx\r\n").startswith("250 ")
    assert "it needs Send As" in s.get("/messages/1/checks")[0]["text"]
    c = Wire(s.connector)
    c.hello()
    c.envelope("b@contoso.com", sender="x@elsewhere.example")
    assert c.data(b"From: x@elsewhere.example\r\n\r\nx\r\n").startswith("250 ")
    first = s.get("/messages/2/checks")[0]
    assert first["result"] == "warn" and "none of the tenant's" in first["text"]


@pytest.mark.parametrize("said, answer", [
    (["MAIL FROM:<a@contoso.com>"], "503 5.5.2 Send hello first"),
    (["EHLO x", "RCPT TO:<b@example.org>"], "503 5.5.2 Need mail command"),
    (["EHLO x", "DATA"], "503 5.5.2 Need mail command"),
    (["EHLO x", "AUTH", "MAIL FROM:<a@contoso.com>", "DATA"], "503 5.5.2 Need rcpt command"),
    (["EHLO x", "AUTH", "MAIL FROM:<a@contoso.com>", "MAIL FROM:<a@contoso.com>"], "503 5.5.2 Sender already specified"),
    (["EHLO x", "AUTH", "AUTH LOGIN"], "503 5.5.2 Already authenticated"),
    (["EHLO x", "AUTH PLAIN AGEAYg=="], "504 5.7.4 Unrecognized authentication type"),
    (["EHLO x", "AUTH CRAM-MD5"], "504 5.7.4 Unrecognized authentication type"),
    (["EHLO x", "XYZZY"], "500 5.3.3 Unrecognized command"),
    (["EHLO x", "AUTH", "MAIL FROM:<a@contoso.com>", "RCPT TO:<a b@example.org>"], "501 5.1.3 Invalid address"),
    (["EHLO x", "MAIL FROM:<a@contoso.com>"], "530 5.7.57 Client not authenticated to send mail."),
    (["EHLO x", "VRFY b@example.org"], "252 2.1.5 Cannot VRFY user"),
])
def test_exchanges_own_words(sandbox, said, answer):
    s = sandbox(*NO_DOORS)
    c = Wire(s.smtp)
    c.hello()
    c.starttls(s.ca, hello=False)
    for line in said:
        if line == "AUTH":
            c.must("AUTH LOGIN YUBjb250b3NvLmNvbQ==", "334")
            last = c.must("c2FuZGJveA==", "235")
        else:
            last = c.say(line)
    assert last.startswith(answer), last


@pytest.mark.parametrize("reply, status, error, words", [
    ("400 invalid_grant: AADSTS53003: Access has been blocked", 400, "invalid_grant", "AADSTS53003: Access has been blocked"),
    ("400 access_denied: AADSTS530035: Blocked by security defaults", 400, "access_denied", "AADSTS530035: Blocked"),
    ("400 AADSTS50199: For security reasons", 400, "invalid_grant", "AADSTS50199: For security"),
    ("401 AADSTS7000299: Something new", 401, "invalid_client", "AADSTS7000299: Something new"),
    ("400 AADSTS9009999: Unlisted", 400, "invalid_request", "AADSTS9009999: Unlisted"),
    ("503 Down", 503, "temporarily_unavailable", "AADSTS90033: Down"),
])
def test_any_token_error_in_microsofts_form(sandbox, reply, status, error, words):
    s = sandbox("--hve", "", "--connector", "")
    s.fault(at="token", do="reply", reply=reply)
    request = urllib.request.Request(f"https://localhost:{s.https}/contoso.com/oauth2/v2.0/token",
                                     data=b"grant_type=client_credentials&client_id=11111111-1111-1111-1111-111111111111")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, context=ssl.create_default_context(cafile=s.ca), timeout=support.PATIENCE)
    body = json.loads(refused.value.read())
    assert refused.value.code == status and body["error"] == error
    assert body["error_description"].startswith(words) and "Trace ID:" in body["error_description"]
    assert body["error_codes"] == [int(re.search(r"AADSTS(\d+)", words).group(1))]


def test_a_line_for_each_mail(sandbox):
    s = sandbox(*NO_DOORS, "--show")
    Session(s).message(subject="=?utf-8?q?Gr=C3=BC=C3=9Fe_=1B[31m?=")
    swaks(s, password="wrong", code=28)
    wait_for(lambda: "refused" in s.process.text())
    shown = s.process.text()
    assert re.search(r"\d\d:\d\d:\d\d accepted +submission +<a@contoso.com> -> <b@example.org> +'Grüße", shown), shown
    assert "535 5.7.139" in shown and "\x1b" not in shown


def test_beyond_loopback_only_when_told_so(folder):
    port = support.free_port()
    args = [POSTERN, "sandbox", "--smtp", f"0.0.0.0:{port}", "--http", "", *NO_DOORS, "--folder", str(folder / "ca")]
    refused = subprocess.run(args, capture_output=True, timeout=support.PATIENCE)
    assert refused.returncode == 78 and b"--beyond-loopback allows it" in refused.stderr
    process = support.Process([*args, "--beyond-loopback"], folder / "log")
    try:
        wait_for(lambda: listens(port))
        assert "WARNING" in process.text()
    finally:
        process.stop()


def test_certificates_last_and_are_made_anew(sandbox, folder):
    def end(path):
        text = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-enddate"], capture_output=True, text=True, check=True).stdout
        return int(re.search(r"(\d{4}) GMT", text).group(1))

    s = sandbox(*NO_DOORS)
    first = s.ca.read_bytes()
    assert end(s.ca) - datetime.date.today().year >= 9
    s.stop()
    again = support.Sandbox(s.folder, *NO_DOORS)
    assert again.ca.read_bytes() == first
    again.stop()


def test_certificates_that_ended_are_made_anew(folder):
    faketime = next(iter(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if not faketime:
        pytest.skip("libfaketime is not installed")
    ports = [support.free_port(), support.free_port()]
    args = [POSTERN, "sandbox", "--smtp", f"127.0.0.1:{ports[0]}", "--http", f"127.0.0.1:{ports[1]}", *NO_DOORS,
            "--folder", str(folder / "ca")]
    old = support.Process(args, folder / "old.log", env={**os.environ, "LD_PRELOAD": str(faketime), "FAKETIME": "-12y",
                                                         "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    wait_for(lambda: listens(ports[1]))
    old.stop()
    ended = (folder / "ca" / "ca.pem").read_bytes()
    now = support.Process(args, folder / "now.log")
    try:
        wait_for(lambda: listens(ports[1]))
        assert (folder / "ca" / "ca.pem").read_bytes() != ended
        c = Wire(ports[0])
        c.hello()
        c.starttls(folder / "ca" / "ca.pem")
    finally:
        now.stop()
