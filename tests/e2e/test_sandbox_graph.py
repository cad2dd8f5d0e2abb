"""The sandbox's Microsoft Graph: sendMail, drafts, attachments, upload sessions, limits, errors."""
import base64
import concurrent.futures
import email
import email.policy
import json
import urllib.parse

import pytest

import entra
from entra import APP, GRAPH, call
from support import wait_for

USER = "a@contoso.com"
MIME = (b"From: a@contoso.com\r\nTo: B <b@example.org>, c@example.org\r\nCc: b@example.org\r\nBcc: d@example.org\r\n"
        b"Subject: mime\r\nMessage-ID: <m1@contoso.com>\r\nList-Unsubscribe: <https://x>\r\n\r\nbody\r\n")


class Client:
    def __init__(self, sandbox, mailbox=USER, token=None, **spec):
        self.sandbox, self.mailbox = sandbox, mailbox
        self.token = token or json.loads(sandbox.api("POST", "/tokens", {"scope": GRAPH, **spec}))["access_token"]

    def __call__(self, method, path, body=None, kind="application/json", **headers):
        if not path.startswith("/"):
            path = f"/v1.0/users/{self.mailbox}/{path}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers["Content-Type"] = kind
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        status, headers, data = call(self.sandbox, method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        return status, headers, json.loads(data) if data.startswith(b"{") else data

    def mime(self, raw, path="sendMail"):
        return self("POST", path, base64.b64encode(raw), "text/plain")


def message(subject="json", **more):
    return {"subject": subject, "body": {"contentType": "text", "content": "x"},
            "toRecipients": [{"emailAddress": {"address": "b@example.org", "name": "B"}}], **more}


def error(answer, status):
    assert answer[0] == status, answer
    body = answer[2]["error"]
    assert {"date", "request-id"} <= set(body["innerError"])
    return body["code"]


def parsed(sandbox, number):
    return email.message_from_bytes(sandbox.raw(number), policy=email.policy.default)


def test_mime(sandbox):
    s = sandbox()
    g = Client(s)
    assert g.mime(MIME)[::2] == (202, b"")
    (found,) = s.messages()
    assert found["door"] == "graph" and found["mailbox"] == USER and found["message_id"] == "<m1@contoso.com>"
    assert sorted(found["recipients"]) == ["b@example.org", "c@example.org", "d@example.org"]
    raw = s.raw(1)
    assert b"Bcc" not in raw and b"List-Unsubscribe: <https://x>\r\n" in raw and raw.endswith(b"\r\n\r\nbody\r\n")
    # With line breaks, as `base64` writes it.
    assert g("POST", "sendMail", base64.encodebytes(MIME.replace(b"m1", b"m2")), "text/plain")[0] == 202
    assert error(g("POST", "sendMail", b"???", "text/plain"), 400) == "ErrorMimeContentInvalidBase64String"
    assert error(g.mime(b"From: a@contoso.com\r\nSubject: nobody\r\n\r\nx\r\n"), 400) == "ErrorInvalidRecipients"
    assert error(g.mime(b"To: not an address\r\n\r\nx\r\n"), 400) == "ErrorInvalidRecipients"
    assert error(g.mime(MIME.replace(b"From: a@", b"From: boss@")), 403) == "ErrorSendAsDenied"
    assert len(s.messages()) == 2


def test_json(sandbox):
    s = sandbox()
    g = Client(s)
    attachment = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "rechnung \u00e4.pdf", "contentType": "application/pdf",
                  "contentBytes": base64.b64encode(b"%PDF" * 100).decode()}
    body = message("Gr\u00fc\u00dfe " * 10, body={"contentType": "html", "content": "<p>\u00e4</p>"}, attachments=[attachment],
                   ccRecipients=[{"emailAddress": {"address": "c@example.org"}}], bccRecipients=[{"emailAddress": {"address": "d@example.org"}}],
                   internetMessageHeaders=[{"name": "X-Order", "value": "7"}])
    assert g("POST", "sendMail", {"message": body, "saveToSentItems": False})[0] == 202
    (found,) = s.messages()
    assert sorted(found["recipients"]) == ["b@example.org", "c@example.org", "d@example.org"]
    mail = parsed(s, 1)
    assert mail["subject"].strip() == ("Gr\u00fc\u00dfe " * 10).strip() and mail["x-order"] == "7" and mail["bcc"] is None and mail["message-id"]
    assert mail.get_body().get_content().strip() == "<p>\u00e4</p>"
    (part,) = mail.iter_attachments()
    assert part.get_filename() == "rechnung \u00e4.pdf" and part.get_content() == b"%PDF" * 100
    for bad, code in ((message(internetMessageHeaders=[{"name": "List-Unsubscribe", "value": "<x>"}]), "InvalidInternetMessageHeader"),
                      (message(internetMessageHeaders=[{"name": "X-A", "value": "a\r\nBcc: x@x.example"}]), "InvalidInternetMessageHeader"),
                      (message("a\r\nBcc: x@x.example"), "ErrorInvalidRequest"),
                      (message(toRecipients=[{"emailAddress": {"address": "nobody"}}]), "ErrorInvalidRecipients"),
                      (message(toRecipients=[]), "ErrorInvalidRecipients"),
                      (message(attachments=[{"name": "x", "contentBytes": "???"}]), "ErrorInvalidRequest")):
        assert error(g("POST", "sendMail", {"message": bad}), 400) == code, bad
    assert error(g("POST", "sendMail", b"{", "application/json"), 400) == "ErrorInvalidRequest"
    assert error(g("POST", "sendMail", b"<x/>", "text/xml"), 400) == "UnsupportedMediaType"
    assert len(s.messages()) == 1


def upload(g, draft, data, name="scan.pdf", step=1 << 20, **item):
    status, _, session = g("POST", f"messages/{draft}/attachments/createUploadSession",
                           {"AttachmentItem": {"attachmentType": "file", "name": name, "size": len(data), **item}})
    assert status == 201 and session["nextExpectedRanges"] == ["0-"]
    path = "/uploads/" + session["uploadUrl"].rsplit("/", 1)[1]
    bare = Client(g.sandbox, token="x")
    bare.token = None
    for at in range(0, len(data), step):
        piece = data[at:at + step]
        status, headers, answer = bare("PUT", path, piece, "application/octet-stream", Content_Range=f"bytes {at}-{at + len(piece) - 1}/{len(data)}")
        if at + len(piece) < len(data):
            assert (status, answer["nextExpectedRanges"]) == (200, [f"{at + len(piece)}-"])
    assert status == 201 and headers["Location"]
    return path


@pytest.mark.parametrize("first", [MIME, (
    b"From: a@contoso.com\r\nTo: b@example.org\r\nSubject: mixed\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\n"
    b"--b 1\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b 1--\r\n")])
def test_draft_with_a_20_mb_scan(sandbox, first):
    s = sandbox()
    g = Client(s)
    status, _, draft = g.mime(first, "messages")
    assert status == 201 and draft["isDraft"]
    scan = bytes(range(256)) * (20 * 4096)
    path = upload(g, draft["id"], scan, step=3 << 20, contentType="application/pdf")
    assert error(g("GET", path), 404) == "ErrorItemNotFound"
    small = {"@odata.type": "#microsoft.graph.fileAttachment", "name": "logo.png", "contentType": "image/png", "isInline": True,
             "contentId": "logo@x", "contentBytes": base64.b64encode(b"PNG").decode()}
    assert g("POST", f"messages/{draft['id']}/attachments", small)[0] == 201
    assert s.messages() == []
    assert g("POST", f"messages/{draft['id']}/send")[::2] == (202, b"")
    assert error(g("POST", f"messages/{draft['id']}/send"), 404) == "ErrorItemNotFound"
    mail = parsed(s, 1)
    parts = [p for p in mail.walk() if not p.is_multipart()]
    assert [p.get_content_type() for p in parts] == ["text/plain", "application/pdf", "image/png"]
    assert parts[1].get_content() == scan and parts[2]["content-id"] == "<logo@x>"
    assert mail.get_content_type() == "multipart/mixed" and len(list(mail.iter_parts())) == 3 and mail["subject"] in ("mime", "mixed")
    assert s.verdict()["limits_broken"] == []


def test_drafts_are_found_by_their_message_id(sandbox):
    s = sandbox()
    g = Client(s)
    first = g.mime(MIME, "messages")[2]["id"]
    g.mime(MIME.replace(b"<m1@", b"<m2@"), "messages")
    find = "messages?$select=id&$filter=" + urllib.parse.quote("isDraft eq true and internetMessageId eq '<m1@contoso.com>'")
    assert [d["id"] for d in g("GET", find)[2]["value"]] == [first]
    assert len(g("GET", "messages")[2]["value"]) == 2 and g("GET", "mailFolders/inbox/messages")[2]["value"] == []
    assert Client(s, "c@contoso.com")("GET", find)[2]["value"] == []
    assert error(Client(s, "c@contoso.com")("DELETE", f"messages/{first}"), 404) == "ErrorItemNotFound"


def test_upload_wants_its_ranges_in_order(sandbox):
    s = sandbox()
    g = Client(s)
    draft = g("POST", "messages", message())[2]["id"]
    size = 3 << 20
    session = g("POST", f"messages/{draft}/attachments/createUploadSession",
                {"AttachmentItem": {"attachmentType": "file", "name": "x", "size": size}})[2]
    path = "/uploads/" + session["uploadUrl"].rsplit("/", 1)[1]
    for value, status in ((f"bytes 10-19/{size}", 416), (f"bytes 0-19/{size}", 416), (f"bytes 0-9/{size + 1}", 416), (f"0-9/{size}", 400),
                          ("bytes 0-9/x", 400), ("", 400)):
        assert g("PUT", path, b"0123456789", "application/octet-stream", Content_Range=value)[0] == status, value
    assert g("PUT", path, b"0123456789", "application/octet-stream", Content_Range=f"bytes 0-9/{size}")[0] == 200
    assert g("GET", path)[2]["nextExpectedRanges"] == ["10-"]
    assert g("DELETE", path)[0] == 204 and g("GET", path)[0] == 404
    assert error(g("POST", f"messages/{draft}/attachments/createUploadSession",
                   {"AttachmentItem": {"attachmentType": "file", "name": "x", "size": 200 << 20}}), 413) == "ErrorAttachmentSizeLimitExceeded"
    assert error(g("POST", f"messages/{draft}/attachments/createUploadSession",
                   {"AttachmentItem": {"attachmentType": "file", "name": "x", "size": size - 1}}), 400) == \
        "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"
    assert error(g("POST", f"messages/{draft}/attachments/createUploadSession", {"AttachmentItem": {"name": "x"}}), 400) == "ErrorInvalidRequest"
    assert g("GET", f"messages/{draft}")[2]["isDraft"] is True
    assert b"Subject: json" in g("GET", f"messages/{draft}/$value")[2]
    assert g("DELETE", f"messages/{draft}")[0] == 204
    assert error(g("GET", f"messages/{draft}"), 404) == "ErrorItemNotFound"


def test_who_may(sandbox):
    s = sandbox()
    s.settings(apps=[{"client_id": "weak", "roles": ["Mail.Read"]}, {"client_id": "narrow", "mailboxes": ["scan@contoso.com"]}],
               delegates={"shared@contoso.com": [USER]})
    nobody = Client(s)
    nobody.token = None
    for client, status, code in (
            (nobody, 401, "InvalidAuthenticationToken"),
            (Client(s, token="x.y.z"), 401, "InvalidAuthenticationToken"),
            (Client(s, age=4000), 401, "InvalidAuthenticationToken"),
            (Client(s, scope=entra.EXCHANGE), 401, "InvalidAuthenticationToken"),
            (Client(s, client_id="weak"), 403, "ErrorAccessDenied"),
            (Client(s, client_id="narrow"), 403, "ErrorAccessDenied"),
            (Client(s, "c@contoso.com", user=USER, scope="https://graph.microsoft.com/Mail.Send"), 403, "ErrorAccessDenied"),
            (Client(s, "a@elsewhere.example"), 404, "ErrorInvalidUser"),
            (Client(s, "nobody"), 404, "ErrorInvalidUser")):
        assert error(client.mime(MIME), status) == code
    assert nobody.mime(MIME)[1]["WWW-Authenticate"].startswith("Bearer")
    assert Client(s, "scan@contoso.com", client_id="narrow").mime(MIME.replace(b"a@contoso", b"scan@contoso"))[0] == 202
    user = Client(s, "shared@contoso.com", user=USER, scope="https://graph.microsoft.com/Mail.Send")
    assert user.mime(MIME.replace(b"a@contoso", b"shared@contoso"))[0] == 202
    assert user.mime(MIME, "/v1.0/me/sendMail")[0] == 202
    assert error(user.mime(MIME, "/v1.0/me/messages"), 403) == "ErrorAccessDenied"
    assert error(Client(s).mime(MIME, "/v1.0/me/sendMail"), 400) == "BadRequest"
    assert error(Client(s)("GET", "calendar"), 400) == "BadRequest"
    # A token that Graph takes is none for Exchange, whatever was asked for.
    s.api("POST", "/scenario/graph-audience")
    assert entra.claims(entra.app_token(s)[1]["access_token"])["aud"] == "https://graph.microsoft.com"


def test_sizes(sandbox):
    s = sandbox()
    g = Client(s)
    big = MIME + b"x" * 76 + b"\r\n"
    fits = big + b"y" * (3 * 1024 * 1024 - len(big))
    assert g.mime(fits)[0] == 202
    assert error(g.mime(fits + b"z" * 300000), 413) == "RequestEntityTooLarge"
    s.settings(limits={"message_bytes": 1000})
    assert error(g.mime(MIME + b"x" * 2000), 413) == "ErrorMessageSizeExceeded"
    assert len(s.messages()) == 1


def test_limits(sandbox):
    s = sandbox()
    g = Client(s)
    s.settings(limits={"graph_requests": 3})
    for _ in range(3):
        assert g.mime(MIME)[0] == 202
    status, headers, answer = g.mime(MIME)
    assert (status, answer["error"]["code"]) == (429, "ApplicationThrottled") and 500 <= int(headers["Retry-After"]) <= 600
    assert Client(s, "c@contoso.com").mime(MIME.replace(b"a@c", b"c@c"))[0] == 202
    s.api("PUT", "/clock", {"advance_seconds": 601})
    assert g.mime(MIME)[0] == 202
    s.settings(limits={"graph_requests": 0, "graph_bytes": 1000})
    assert g.mime(MIME)[0] == 202 and g.mime(MIME + b"x" * 1000)[0] == 429
    s.settings(limits={"graph_bytes": 0, "recipients_per_day": 17})
    assert error(g.mime(MIME), 429) == "ErrorExceededMessageLimit"
    # Not the rate of SMTP: that is for client submission.
    s.settings(limits={"recipients_per_day": 0, "messages_per_minute": 1})
    assert g.mime(MIME)[0] == 202 and g.mime(MIME)[0] == 202
    assert {"graph-requests", "graph-bytes"} <= {v["limit"] for v in s.verdict()["limits_broken"]}
    assert s.stop() == 1


def test_four_at_once(sandbox):
    s = sandbox()
    g = Client(s)
    s.fault(at="graph", do="slow", delay_ms=15000)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        waiting = []
        for _ in range(4):
            waiting.append(pool.submit(g.mime, MIME))
        wait_for(lambda: s.get("/faults")[0]["done"] == 4)
        status, headers, _ = g.mime(MIME)
        assert status == 429 and headers["Retry-After"] == "1"
        assert [w.result()[0] for w in waiting] == [202] * 4
    s.api("DELETE", "/faults")
    assert g.mime(MIME)[0] == 202
    assert [v["limit"] for v in s.verdict()["limits_broken"]] == ["graph-connections"]


def test_faults(sandbox):
    s = sandbox()
    g = Client(s)
    s.fault(at="graph", do="reply", reply="503 ServiceUnavailable: Try later.", retry_after=7, times=1)
    status, headers, answer = g.mime(MIME)
    assert (status, headers["Retry-After"], answer["error"]["code"], answer["error"]["message"]) == (503, "7", "ServiceUnavailable", "Try later.")
    s.fault(at="graph", do="cut", times=1)
    with pytest.raises(OSError):
        g.mime(MIME)
    assert s.messages() == []
    s.fault(at="graph", do="cut-after", times=1)
    with pytest.raises(OSError):
        g.mime(MIME)
    assert len(s.messages()) == 1
    s.fault(at="graph", do="reply", reply="429 ApplicationThrottled: x", match="c@contoso.com")
    assert g.mime(MIME)[0] == 202
    s.api("DELETE", "/faults")
    s.api("POST", "/scenario/graph-throttled")
    answers = [g.mime(MIME)[0] for _ in range(40)]
    assert {202, 429} == set(answers)


def test_ndrs_arrive_in_the_senders_inbox(sandbox):
    s = sandbox()
    g = Client(s)
    s.settings(bounces=["d@example.org"])
    assert g.mime(MIME)[0] == 202
    (ndr,) = g("GET", "mailFolders/inbox/messages")[2]["value"]
    assert ndr["subject"] == "Undeliverable: mime"
    raw = g("GET", f"messages/{ndr['id']}/$value")[2]
    assert b"Final-Recipient: rfc822;d@example.org" in raw and b"In-Reply-To: <m1@contoso.com>" in raw
    report = email.message_from_bytes(raw, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report" and [p.get_content_type() for p in report.iter_parts()][1] == "message/delivery-status"
    assert Client(s, "c@contoso.com")("GET", "messages")[2]["value"] == []
