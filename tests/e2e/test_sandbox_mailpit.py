"""The sandbox to those who know Mailpit: by mailpit-api (npm), which others wrote, and by curl."""
import email.message
import email.policy
import hashlib
import json
import subprocess
import urllib.request

import pytest

from support import NODE
from test_sandbox import NO_DOORS, Session
from test_sandbox_api import call


def client(sandbox, *calls):
    o = {"url": f"http://127.0.0.1:{sandbox.http}", "calls": calls}
    p = subprocess.run(["node", str(NODE / "mailpit.js"), json.dumps(o)], capture_output=True, text=True, timeout=120, check=False)
    assert p.returncode == 0, p.stdout + p.stderr
    answers = [json.loads(line) for line in p.stdout.splitlines()]
    return answers[0] if len(calls) == 1 else answers


def send(session, message, *to):
    session.envelope(*to, sender="a@contoso.com")
    assert session.data(message.as_bytes(policy=email.policy.SMTP)).startswith("250 ")


def invoice():
    m = email.message.EmailMessage()
    m["From"] = '"Ana, of Contoso" <a@contoso.com>'
    m["To"] = "Bé <b@example.org>, c@example.org"
    m["Cc"] = "d@example.net"
    m["Reply-To"] = "office@contoso.com"
    m["Subject"] = "Invoice 4711: Grüße"
    m["Message-ID"] = "<4711@contoso.com>"
    m["Date"] = "Mon, 30 Nov 2026 10:00:00 +0100"
    m["List-Unsubscribe"] = "<mailto:off@contoso.com>, <https://contoso.com/off?4711>"
    m["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    m.set_content("Hällo,\nyour code is 90210.\n")
    m.add_alternative('<p>Hällo <img src="cid:logo"></p><script>alert(1)</script>', subtype="html")
    m.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo>", disposition="inline", filename="logo.png")
    m.add_attachment(b"%PDF-1.4\x00", maintype="application", subtype="pdf", filename="4711.pdf")
    m.add_attachment(b"<script>alert(1)</script>", maintype="text", subtype="html", filename="evil.html")
    return m


def plain(subject, text="x", subtype="plain"):
    m = email.message.EmailMessage()
    m["From"], m["To"], m["Subject"] = "a@contoso.com", "b@example.org", subject
    m.set_content(text, subtype=subtype)
    return m


@pytest.fixture
def filled(sandbox):
    s = sandbox(*NO_DOORS)
    c = Session(s)
    send(c, invoice(), "b@example.org", "c@example.org", "d@example.net", "hidden@example.com")
    send(c, plain("second"), "b@example.org")
    send(c, plain("third", "<style>p{color:red}</style><p>Caf&eacute; &amp; <b>4</b>2 &#8364;</p>", "html"), "b@example.org")
    return s


def test_a_client_reads_a_message(filled):
    one, headers, raw = client(filled, ["getMessageSummary", "1"], ["getMessageHeaders", "1"], ["searchMessages", {"query": "is:read"}])
    assert one["From"] == {"Name": "Ana, of Contoso", "Address": "a@contoso.com"}
    assert one["To"] == [{"Name": "Bé", "Address": "b@example.org"}, {"Name": "", "Address": "c@example.org"}]
    assert [p["Address"] for p in one["Cc"] + one["Bcc"] + one["ReplyTo"]] == ["d@example.net", "hidden@example.com", "office@contoso.com"]
    assert (one["Subject"], one["MessageID"], one["Username"]) == ("Invoice 4711: Grüße", "4711@contoso.com", "a@contoso.com")
    assert one["Date"].startswith("2026-11-30T09:00:00") and one["ReturnPath"] == "a@contoso.com"
    assert "your code is 90210." in one["Text"] and "<script>" in one["HTML"]
    assert one["ListUnsubscribe"]["Links"] == ["mailto:off@contoso.com", "https://contoso.com/off?4711"]
    assert one["ListUnsubscribe"]["HeaderPost"] == "List-Unsubscribe=One-Click"
    assert [a["FileName"] for a in one["Attachments"]] == ["4711.pdf", "evil.html"]
    assert one["Attachments"][0]["Checksums"]["SHA256"] == hashlib.sha256(b"%PDF-1.4\x00").hexdigest()
    assert [(a["FileName"], a["ContentID"]) for a in one["Inline"]] == [("logo.png", "logo")]
    assert headers["Subject"] == ["Invoice 4711: Grüße"] and headers["Cc"] == ["d@example.net"]
    assert [m["ID"] for m in raw["messages"]] == ["1"]  # reading it marked it


def test_parts_come_back_and_nothing_in_them_runs(filled):
    one = client(filled, ["getMessageSummary", "1"])
    pdf, evil, missing = client(filled, *(["getMessageAttachment", "1", a["PartID"]] for a in one["Attachments"]),
                                ["getMessageAttachment", "1", "99"])
    assert pdf == {"type": "application/pdf", "hex": b"%PDF-1.4\x00".hex()}
    assert evil["type"] == "application/octet-stream"
    assert "404" in missing["error"]
    with urllib.request.urlopen(f"http://127.0.0.1:{filled.http}/view/1.html", timeout=30) as view:
        assert view.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert view.headers["Content-Type"] == "text/html; charset=utf-8"
        assert '<img src="/api/v1/message/1/part/1">' in view.read().decode()
    assert client(filled, ["getMessageSource", "1"]).startswith("Received:") or "Subject:" in client(filled, ["getMessageSource", "1"])


def test_pages_are_newest_first(filled):
    whole, page, latest = client(filled, ["listMessages"], ["listMessages", 1, 1], ["getMessageSummary"])
    assert [m["Subject"] for m in whole["messages"]] == ["third", "second", "Invoice 4711: Grüße"]
    assert (whole["total"], whole["unread"], whole["messages_count"], whole["start"]) == (3, 3, 3, 0)
    assert [m["Subject"] for m in page["messages"]] == ["second"] and page["messages_count"] == 3
    assert latest["Subject"] == "third" and latest["Text"].strip() == "Café & 42 €"
    assert whole["messages"][2]["Attachments"] == 3 and whole["messages"][2]["Snippet"].startswith("Hällo, your code is 90210.")


@pytest.mark.parametrize("query, found", [
    ("subject:invoice", ["1"]),
    ('subject:"invoice 4711"', ["1"]),
    ("from:contoso", ["3", "2", "1"]),
    ("to:Bé", ["1"]),
    ("cc:d@example.net", ["1"]),
    ("bcc:hidden", ["1"]),
    ("addressed:office@", ["1"]),
    ("message-id:4711@contoso.com", ["1"]),
    ("90210", ["1"]),
    ("4711.pdf", ["1"]),
    ("has:attachment", ["1"]),
    ("-has:attachment", ["3", "2"]),
    ("!subject:invoice subject:second", ["2"]),
    ("is:unread larger:1k", ["1"]),
    ("smaller:1M after:2020-01-01", ["3", "2", "1"]),
    ("before:2020-01-01", []),
    ("nowhere", []),
    ("tag:any", []),
])
def test_searches_as_mailpit_writes_them(filled, query, found):
    assert [m["ID"] for m in client(filled, ["searchMessages", {"query": query}])["messages"]] == found


@pytest.mark.parametrize("query, said", [
    ("larger:many", "'many' is no size"),
    ("after:yesterday", "'yesterday' is no time"),
    ("is:lost", "known: is:read"),
    ("has:wings", "known: has:attachment"),
    (" ".join(["a"] * 33), "at most 32 words"),
])
def test_a_search_that_is_wrong_says_so(filled, query, said):
    assert said in client(filled, ["searchMessages", {"query": query}])["error"]


def test_read_marks_and_removal(filled):
    assert client(filled, ["setReadStatus", {"IDs": ["2"], "Read": True}], ["setReadStatus", {"Search": "subject:third", "Read": True}],
                  ["listMessages"])[2]["unread"] == 1
    assert client(filled, ["setReadStatus", {"Read": False}], ["listMessages"])[1]["unread"] == 3
    left = client(filled, ["deleteMessages", {"IDs": ["2", "77"]}], ["listMessages"])[1]
    assert [m["ID"] for m in left["messages"]] == ["3", "1"]
    left = client(filled, ["deleteMessagesBySearch", {"query": "has:attachment"}], ["listMessages"])[1]
    assert [m["ID"] for m in left["messages"]] == ["3"]
    info, gone, nothing = client(filled, ["getInfo"], ["deleteMessages"], ["getMessageSummary"])
    assert (info["Messages"], info["RuntimeStats"]["SMTPAccepted"], info["RuntimeStats"]["MessagesDeleted"]) == (1, 3, 2)
    assert gone == "ok" or "error" not in gone
    assert "404" in nothing["error"]
    # What was counted stays counted: a test that cleans up between its steps does not get new limits by it.
    assert filled.verdict()["accepted"] == 3


def test_a_removed_message_that_comes_again_is_a_duplicate_still(filled):
    client(filled, ["deleteMessages"])
    send(Session(filled), invoice(), "b@example.org")
    assert filled.verdict()["duplicates"] == 1


def test_a_client_waits_for_a_message(filled):
    found = client(filled, ["waitForMessage", {"query": "subject:second"}, {"timeout": 10000, "interval": 100}])
    assert found["Subject"] == "second"


def test_probes_and_what_there_is_not(filled):
    for path in ("/livez", "/readyz"):
        assert filled.api("GET", path) == b"ok"
    said = client(filled, ["htmlCheck", "1"], ["sendMessage", {"From": {"Email": "a@contoso.com"}, "To": []}])
    assert all("404" in answer["error"] for answer in said)
    assert "search message/ID" in call(filled, "GET", "/api/v1/chaos", code=404)["Error"]
    assert "no JSON object" in call(filled, "DELETE", "/api/v1/messages", b"[", code=400)["Error"]


def test_a_page_of_another_site_changes_nothing(filled):
    request = urllib.request.Request(f"http://127.0.0.1:{filled.http}/api/v1/messages", method="DELETE",
                                     headers={"Sec-Fetch-Site": "cross-site"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    assert refused.value.code == 403
    assert client(filled, ["listMessages"])["total"] == 3
