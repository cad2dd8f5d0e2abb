"""The Graph door against a strict server: who gets what, large messages, and everything that can break."""
import email
import email.policy
import random
import smtplib
import time

import pytest

import graph_server
import shapes
import support
from support import wait_for

MAILBOX = "erp@contoso.com"
QUICK = "retry: { first: 1s, ceiling: 2s, expire: 5d }"
FREE = "{ messages_per_minute: 100000, recipients_per_day: 1000000, share: 100% }"


@pytest.fixture
def door(folder, relay):
    made = []

    def make(limits=FREE, general=QUICK, env=None, routes="  - { through: sender }", more=""):
        ca, certificate, key = support.make_certificate(folder / "graph-tls")
        server = graph_server.GraphServer(certificate, key, [MAILBOX])
        made.append(server)
        secret = folder / "app.secret"
        secret.write_text(server.secret + "\n")
        secret.chmod(0o600)
        sections = f"""
tenants:
  - name: contoso
    id: 00000000-0000-0000-0000-000000000000
    domains: [contoso.com]
    app: {{ client_id: "{server.client_id}", secret: "file:{secret}" }}
    endpoints: {{ login: "{server.url}", graph: "{server.url}", ca_file: "{ca}" }}
mailboxes:
  - {{ address: {MAILBOX}, tenant: contoso, provider: graph, auth: app, limits: {limits} }}
{more}
routes:
{routes}
"""
        return server, relay(sections, general=general, env=env)

    yield make
    for server in made:
        server.close()


def send(relay, message: bytes, to, sender=MAILBOX, options=()):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.ehlo()
        s.mail(sender, list(options))
        for address in to:
            code, text = s.docmd(f"RCPT TO:<{address}>")
            assert code == 250, text
        code, text = s.data(message)
        assert code == 250, text


def mail(subject="s", header="", body="x\r\n", to="Anna <anna@example.org>"):
    return f"From: {MAILBOX}\r\nTo: {to}\r\nSubject: {subject}\r\n{header}\r\n{body}".encode()


def sent(server, count=1, seconds=support.PATIENCE):
    wait_for(lambda: len(server.sent) >= count, seconds)
    assert server.complaints == []
    return server.sent


def nothing_left(relay, state="delivered"):
    wait_for(lambda: not relay.waiting())
    assert {r["state"] for r in relay.rows("trace")} == {state}


def scan(size, seed=1, name="Scan_0001.pdf"):
    """What a scanner sends: a line of text and one large attachment."""
    content = random.Random(seed).randbytes(size)
    m = email.message.EmailMessage()
    m["From"], m["To"], m["Subject"] = MAILBOX, "anna@example.org", "scan"
    m["Message-ID"] = "<scan-1@scanner.lan>"
    m["List-Unsubscribe"] = "<https://u.example/1>"
    m["In-Reply-To"] = "<before@x.y>"
    m.set_content("A scan is attached.\n")
    m.add_attachment(content, "application", "pdf", filename=name)
    return m, content


def as_bytes(m):
    return m.as_bytes(policy=email.policy.SMTP)


# ---- the envelope rule ----

def test_bcc_and_strangers(door):
    server, relay = door()
    send(relay, mail(to="Anna <anna@example.org>, stranger@example.net",
                     header="Cc: Bert <bert@example.org>\r\nMessage-ID: <m1@x.y>\r\nList-Unsubscribe: <https://u.example>\r\n"),
         ["anna@example.org", "bert@example.org", "secret@example.org"])
    m = sent(server)[0]
    assert (m["to"], m["cc"], m["bcc"]) == (["anna@example.org"], ["bert@example.org"], ["secret@example.org"])
    assert b"stranger" not in m["raw"]
    assert m["message_id"] == "<m1@x.y>" and m["parsed"]["List-Unsubscribe"] == "<https://u.example>"
    assert m["parsed"]["To"].addresses[0].display_name == "Anna"
    assert m["raw"].endswith(b"\r\n\r\nx\r\n")
    assert len(m["parsed"].get_all("Received")) == 1
    nothing_left(relay)
    assert relay.rows("trace")[0]["attempts"] == 1


def test_a_list_is_not_the_envelope(door):
    server, relay = door()
    send(relay, mail(to="list@lists.example.org"), [f"r{i}@example.org" for i in range(30)])
    m = sent(server)[0]
    assert sorted(m["bcc"]) == sorted(f"r{i}@example.org" for i in range(30))
    assert m["to"] == m["cc"] == []


def test_a_list_that_nobody_can_read_gives_each_a_copy_of_his_own(door):
    server, relay = door(limits=FREE[:-1] + ", connections: 2 }")
    others = [[f"a{n}@example.org", f"b{n}@example.org"] for n in range(20)]
    each = [f"r{i}@example.org" for i in range(5)]
    for n in range(20):
        if n in (5, 6, 7):
            send(relay, mail(subject=f"apart {n}", to='"unbalanced <anna@example.org>'), each)
        send(relay, mail(subject=f"whole {n}"), others[n])
    wait_for(lambda: sum(len(m["recipients"]) for m in server.sent) >= 55)
    nothing_left(relay)
    copies = sent(server)
    for n in (5, 6, 7):
        assert sorted(m["recipients"] for m in copies if m["parsed"]["Subject"] == f"apart {n}") == [[r] for r in each]
    whole = [a for m in copies if m["parsed"]["Subject"].startswith("whole") for a in m["recipients"]]
    assert sorted(whole) == sorted(a for two in others for a in two)


def test_six_hundred_recipients(door):
    server, relay = door()
    everybody = [f"r{i}@example.org" for i in range(600)]
    send(relay, mail(to=",\r\n ".join(everybody[:300]), header="Cc: " + ",\r\n ".join(everybody[300:590]) + "\r\n"), everybody)
    copies = sent(server, 2)
    assert sorted(a for m in copies for a in m["recipients"]) == sorted(everybody)
    assert sorted(len(m["recipients"]) for m in copies) == [100, 500]
    for m in copies:
        assert set(m["to"]) <= set(everybody[:300]) and set(m["cc"]) <= set(everybody[300:590])
        assert set(m["bcc"]) <= set(everybody[590:])
    nothing_left(relay)


def test_utf8_addresses(door):
    server, relay = door()
    to = ["jürg@müller.example", "用户@example.org"]
    send_utf8(relay, mail(to="Jürg <jürg@müller.example>"), to)
    m = sent(server)[0]
    assert m["to"] == [to[0]] and m["bcc"] == [to[1]]
    assert "Jürg <jürg@müller.example>".encode() in m["raw"]


def send_utf8(relay, message, to):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.ehlo()
        s.command_encoding = "utf-8"
        s.mail(MAILBOX, ["SMTPUTF8", "BODY=8BITMIME"])
        for address in to:
            code, text = s.docmd(f"RCPT TO:<{address}>")
            assert code == 250, text
        assert s.data(message)[0] == 250


def test_a_list_that_nobody_can_read_goes_one_by_one(door):
    server, relay = door()
    to = [f"r{i}@example.org" for i in range(5)]
    send(relay, mail(to="r0@example.org r1@example.org <r2@example.org"), to)
    copies = sent(server, 5)
    assert sorted(m["to"][0] for m in copies) == to
    assert all(m["recipients"] == m["to"] for m in copies)
    nothing_left(relay)
    assert len(server.sent) == 5


def test_sender_of_the_mailbox_only(door):
    server, relay = door()
    send(relay, mail(header="Reply-To: x@contoso.com\r\n"), ["anna@example.org"])
    assert sent(server)[0]["parsed"]["From"].addresses[0].addr_spec == MAILBOX


# ---- large messages ----

@pytest.mark.parametrize("size", [graph_server.SESSION_MIN - 1, graph_server.SESSION_MIN, 20 << 20])
def test_a_scan(door, size):
    server, relay = door()
    m, content = scan(size, name="Scän 1.pdf")
    send(relay, as_bytes(m), ["anna@example.org", "secret@example.org"])
    got = sent(server)[0]
    assert got["draft"]
    assert (got["to"], got["bcc"]) == (["anna@example.org"], ["secret@example.org"])
    parts = list(got["parsed"].iter_attachments())
    assert [p.get_filename() for p in parts] == ["Scän 1.pdf"]
    assert parts[0].get_content_type() == "application/pdf"
    assert parts[0].get_content() == content
    assert got["parsed"].get_body().get_content() .split() == ["A", "scan", "is", "attached."]
    for name in ("Message-ID", "In-Reply-To", "List-Unsubscribe", "Subject"):
        assert got["parsed"][name] == m[name]
    nothing_left(relay)
    assert not server.drafts and len(server.sent) == 1


def test_memory_does_not_grow_with_the_message(door):
    server, relay = door(env={"ASAN_OPTIONS": "quarantine_size_mb=1"})
    peaks = []
    for i, size in enumerate((4 << 20, 40 << 20)):
        send(relay, as_bytes(scan(size)[0]), ["anna@example.org"])
        sent(server, i + 1)
        status = open(f"/proc/{relay.process.pid}/status").read()
        peaks.append(int(next(x for x in status.splitlines() if x.startswith("VmHWM")).split()[1]))
    # A range, its copies, the queue's pages; not 36 MB more.
    assert peaks[1] - peaks[0] < 20000, peaks


def test_many_small_attachments_are_large_together(door):
    server, relay = door()
    m, content = scan(1 << 20)
    for i in range(5):
        m.add_attachment(bytes([i]) * (1 << 20), "image", "png", filename=f"{i}.png")
    m.add_attachment("a;b\n", "csv", filename="small.csv")
    send(relay, as_bytes(m), ["anna@example.org"])
    got = sent(server)[0]
    contents = {p.get_filename(): p.get_payload(decode=True) for p in got["parsed"].iter_attachments()}
    assert contents["Scan_0001.pdf"] == content
    assert all(contents[f"{i}.png"] == bytes([i]) * (1 << 20) for i in range(5))
    assert contents["small.csv"].strip() == b"a;b"
    assert len(contents) == 7


def test_only_an_attachment(door):
    server, relay = door()
    content = random.Random(3).randbytes(5 << 20)
    m = email.message.EmailMessage()
    m["From"], m["To"] = MAILBOX, "anna@example.org"
    m.add_attachment(content, "image", "tiff", filename="a.tiff")
    send(relay, as_bytes(m), ["anna@example.org"])
    got = sent(server)[0]
    assert [p.get_content() for p in got["parsed"].iter_attachments() if p.get_filename()] == [content]


def signed(size):
    text = "Content-Type: text/plain\r\n\r\n" + ("signed line\r\n" * (size // 13))
    return mail(header="MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; "
                       "micalg=sha-256; boundary=b\r\n",
                body=f"--b\r\n{text}\r\n--b\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n"
                     "Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n")


def test_signed_small_is_untouched(door):
    server, relay = door()
    message = signed(1000)
    send(relay, message, ["anna@example.org"])
    assert sent(server)[0]["raw"].endswith(message.split(b"\r\n\r\n", 1)[1])


def shape(header, body):
    body = body if isinstance(body, bytes) else body.encode()
    return f"From: {MAILBOX}\r\nTo: anna@example.org\r\nSubject: shape\r\nX-Kept: yes\r\n{header}\r\n".encode() + body


def readable(parsed):
    """The texts that a reader sees, what is signed included."""
    return [p.get_content().strip() for p in parsed.walk()
            if p.get_content_type() == "text/plain" and not p.get_filename() and p.get_content().strip()]


@pytest.fixture(scope="module")
def one_door(module_folder):
    """One door for all shapes: what passes before may not harm what comes behind."""
    folder = module_folder
    ca, certificate, key = support.make_certificate(folder / "graph-tls")
    server = graph_server.GraphServer(certificate, key, [MAILBOX])
    secret = folder / "app.secret"
    secret.write_text(server.secret + "\n")
    secret.chmod(0o600)
    relay = support.Relay(folder / "relay", f"""
tenants:
  - name: contoso
    id: 00000000-0000-0000-0000-000000000000
    domains: [contoso.com]
    app: {{ client_id: "{server.client_id}", secret: "file:{secret}" }}
    endpoints: {{ login: "{server.url}", graph: "{server.url}", ca_file: "{ca}" }}
mailboxes:
  - {{ address: {MAILBOX}, tenant: contoso, provider: graph, auth: app, limits: {FREE} }}
routes:
  - {{ through: sender }}
""", general=QUICK).start()
    yield server, relay
    relay.end()
    server.close()


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_every_usual_shape_above_3_mb(one_door, name):
    server, relay = one_door
    _, header, body, texts, attachments = shapes.SHAPES[name]
    before = len(server.sent)
    send(relay, shape(header, body), ["anna@example.org"])
    wait_for(lambda: len(server.sent) > before or "graph-cannot-carry" in relay.log())
    assert len(server.sent) == before + 1, relay.log()[-2000:]
    assert server.complaints == []
    m = server.sent[-1]
    raw = email.message_from_bytes(m["raw"], policy=email.policy.SMTPUTF8)
    assert (raw["Subject"], raw["X-Kept"]) == ("shape", "yes") and m["raw"].startswith(b"Received:")
    kept = [(p.get_content_type(), p.get_filename(), p.get_payload(decode=True)) for p in raw.walk()
            if p.get_filename() and not p.is_multipart()]
    went = [(kind, file, cid, content) for file, kind, cid, _, content in m["attachments"]]
    assert readable(raw) == texts
    # What stayed stands before what was attached; pictures of a page have no place among them.
    in_order = [a for a in attachments if not a[2]]
    got = [("kept", file, content) for _, file, content in kept] + [(kind, file, content) for kind, file, cid, content in went if not cid]
    assert [(f, c) for _, f, c in got] == [(f, c) for _, f, _, c in in_order]
    assert [k for k, *_ in got if k != "kept"] == [a[0] for a in in_order][len(kept):]
    assert [a for a in went if a[2]] == [a for a in attachments if a[2]]


@pytest.mark.parametrize("message, words", [(shape(h, b), words) for h, b, words in shapes.CANNOT.values()], ids=shapes.CANNOT)
def test_what_graph_cannot_carry_waits_with_a_reason(door, message, words):
    server, relay = door()
    send(relay, message, ["anna@example.org"])
    row = wait_for(lambda: [r for r in relay.waiting() if words in r.get("reply", "")])[0]
    assert row["reason"] == "graph-cannot-carry"
    # Nothing else is held up by it.
    send(relay, mail("after"), ["anna@example.org"])
    assert [m["subject"] for m in sent(server)] == ["after"]
    assert not server.drafts and len(relay.waiting()) == 1


AIOSMTPD = """
import asyncio, sys
from aiosmtpd.controller import Controller
class Keep:
    async def handle_DATA(self, server, session, envelope):
        open(sys.argv[2], "ab").write(envelope.original_content)
        return "250 kept"
Controller(Keep(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
asyncio.new_event_loop().run_forever()
"""


def test_what_graph_cannot_carry_goes_by_another_door(door, process, folder):
    kept, port = folder / "kept.eml", support.free_port()
    p = process(["/usr/bin/python3", "-c", AIOSMTPD, str(port), str(kept)], "aiosmtpd")
    wait_for(lambda: support.listens(port) or not p.alive())
    server, relay = door(routes=f"  - {{ through: [{MAILBOX}, lab] }}",
                         more=f"connectors:\n  - {{ name: lab, provider: smtp, host: localhost, port: {port}, tls: none }}")
    message = signed(4 << 20)
    send(relay, message, ["anna@example.org"])
    nothing_left(relay)
    assert kept.read_bytes().endswith(message.split(b"\r\n\r\n", 1)[1])
    send(relay, mail("after"), ["anna@example.org"])
    assert [m["subject"] for m in sent(server)] == ["after"]


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_another_door_forgets_nothing_of_the_day(door, process, folder, how):
    """A mailbox whose provider changes at noon has one day, not two."""
    kept, port = folder / "kept.eml", support.free_port()
    p = process(["/usr/bin/python3", "-c", AIOSMTPD, str(port), str(kept)], "aiosmtpd")
    wait_for(lambda: support.listens(port) or not p.alive())
    # The connector only makes its port known at the start.
    server, relay = door(limits="{ messages_per_minute: 1000, recipients_per_day: 2, share: 100% }",
                         more=f"connectors:\n  - {{ name: lab, provider: smtp, host: localhost, port: {port}, tls: none }}")
    for n in range(2):
        send(relay, mail(f"m{n}"), ["anna@example.org"])
    sent(server, 2)
    wait_for(lambda: not relay.waiting())
    text = relay.config.read_text()
    secret = folder / "password"
    secret.write_text("x\n")
    secret.chmod(0o600)
    relay.config.write_text(text.replace("provider: graph, auth: app,", f'provider: submission, auth: password, '
                                         f'endpoint: {{ host: localhost, port: {port} }}, password: "file:{secret}",'))
    assert relay.config.read_text() != text
    if how == "reload":
        relay.cli("reload")
    else:
        relay.stop()
        relay.start()
    send(relay, mail("one more"), ["anna@example.org"])
    wait_for(lambda: relay.waiting())
    row = next(r for r in relay.rows("mailboxes") if r.get("lane") == f"submission/{MAILBOX}")
    assert (row["day_used"], row["day_capacity"]) == (2, 2)
    assert row["state"] == "waiting", row
    assert not kept.exists()


# ---- what can break ----

def test_throttled_with_retry_after(door):
    server, relay = door()
    hold = server.fault("sendMail", "hold")
    send(relay, mail("held"), ["anna@example.org"])
    assert hold.reached.wait(60)
    server.fault("sendMail", "status", status=429, code="ApplicationThrottled", headers={"Retry_After": "30"})
    send(relay, mail("throttled"), ["anna@example.org"])

    def waits():
        return [x for x in relay.rows("status") if x["type"] == "lane" and x["state"] == "waiting"]

    wait_for(waits)
    # What had begun before says nothing of the limit: the lane still waits when it is done.
    hold.go.set()
    sent(server)
    send(relay, mail("after"), ["anna@example.org"])
    assert waits()
    assert sorted(m["subject"] for m in sent(server, 3)) == ["after", "held", "throttled"]
    nothing_left(relay)
    assert len(server.sent) == 3


def test_one_request_too_many_leaves_fewer(door):
    server, relay = door()
    hold = server.fault("sendMail", "hold")
    send(relay, mail("held"), ["anna@example.org"])
    assert hold.reached.wait(60)
    server.fault("sendMail", "status", status=429, code="ApplicationThrottled",
                 text="Application is over its MailboxConcurrency limit.", headers={"Retry_After": "1"})
    send(relay, mail("throttled"), ["anna@example.org"])

    def fewer():
        row = [x for x in relay.rows("mailboxes") if x["name"] == MAILBOX][0]
        return row["connections_max"] < row["connections_limit"] and row

    # The mailbox is not held: only that request was one too many.
    assert wait_for(fewer)["state"] == "ready"
    hold.go.set()
    sent(server, 2)
    nothing_left(relay)


def test_stale_token_is_renewed_once(door):
    server, relay = door()
    send(relay, mail("one"), ["anna@example.org"])
    sent(server)
    # The broker takes a token that is refused within a minute for the server's own trouble.
    time.sleep(61)
    server.revoke()
    send(relay, mail("two"), ["anna@example.org"])
    sent(server, 2)
    nothing_left(relay)
    assert server.tokens_issued == 2
    assert [r["attempts"] for r in relay.rows("trace")] == [1, 1]
    assert "graph-token" not in relay.log() and server.secret not in relay.log()


def test_token_that_is_never_taken_parks(door):
    server, relay = door()
    server.fault("sendMail", "status", times=1000, status=401, code="InvalidAuthenticationToken")
    send(relay, mail(), ["anna@example.org"])
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "lane" and x["state"] in ("parked", "waiting")])
    assert server.sent == [] and len(relay.waiting()) == 1
    assert server.tokens_issued <= 2


@pytest.mark.parametrize("do", ["cut", "cut-after", "cut-in"])
def test_cut_after_the_request_began_is_uncertain(door, do):
    server, relay = door(general=QUICK + "\nuncertain: hold")
    server.fault("sendMail", do)
    send(relay, mail(), ["anna@example.org"])
    row = wait_for(lambda: [r for r in relay.waiting() if r["state"] == "held"])[0]
    story = relay.rows("queue", "show", row["id"])
    assert [r["uncertain"] for r in story if r["type"] == "recipient"] == [1]
    assert len(server.sent) == (1 if do == "cut-after" else 0)


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("size", [10, 3500000], ids=["sendMail", "draft"])
def test_only_202_is_sent(door, status, size):
    server, relay = door(general=QUICK + "\nuncertain: hold")
    server.fault("sendMail$|/send$", "status", status=status)
    send(relay, as_bytes(scan(size)[0]), ["anna@example.org"])
    row = wait_for(lambda: [r for r in relay.waiting() if r["state"] == "held"])[0]
    story = relay.rows("queue", "show", row["id"])
    assert [r["uncertain"] for r in story if r["type"] == "recipient"] == [1]
    assert server.sent == []
    assert f"HTTP {status}" in relay.log() and "202 Accepted" not in relay.log()
    assert "status=sent" not in relay.log()


@pytest.mark.parametrize("where, status", [("POST .*/messages$", 200), ("createUploadSession$", 204), ("^PUT", 201)])
def test_what_was_not_created_begins_anew(door, where, status):
    server, relay = door()
    server.fault(where, "status", status=status)
    message, content = scan(7 << 20)
    send(relay, as_bytes(message), ["anna@example.org"])
    (one,) = sent(server)
    assert one["attachments"][0][4] == content
    nothing_left(relay)


def test_what_was_said_is_kept_without_the_token(door):
    server, relay = door()
    server.fault("sendMail", "status", status=503)
    send(relay, mail(), ["anna@example.org"])
    row = wait_for(lambda: [r for r in relay.waiting() if r.get("reply")])[0]
    (told,) = [r for r in relay.rows("queue", "show", row["id"]) if r["type"] == "transcript" and "attempt" in r]
    lines = [x["text"] for x in told["lines"]]
    assert lines[0].startswith("POST https://") and lines[0].endswith("/sendMail")
    assert "Authorization: Bearer [secret]" in lines and "HTTP 503" in lines
    assert any(x.startswith("DATA: ") for x in lines)
    shown = relay.cli("queue", "show", "--transcript", row["id"])
    assert "< HTTP 503" in shown and "eyJ" not in shown


def test_no_connection_is_certain(door):
    server, relay = door()
    send(relay, mail("one"), ["anna@example.org"])
    sent(server)
    server.close()
    send(relay, mail("two"), ["anna@example.org"])
    row = wait_for(lambda: [r for r in relay.waiting() if r.get("reply")])[0]
    story = relay.rows("queue", "show", row["id"])
    assert [r.get("uncertain", 0) for r in story if r["type"] == "recipient"] == [0]


@pytest.mark.parametrize("where", ["POST .*/messages$", "createUploadSession", "^PUT", "POST .*/send$"])
@pytest.mark.parametrize("do", ["cut", "status"])
def test_what_breaks_before_the_draft_is_sent_is_tried_again(door, where, do):
    server, relay = door()
    server.fault(where, do, status=503, code="ServiceUnavailable", headers={"Retry_After": "1"})
    m, content = scan(7 << 20)
    send(relay, as_bytes(m), ["anna@example.org"])
    got = sent(server)[0]
    assert [p.get_content() for p in got["parsed"].iter_attachments()] == [content]
    nothing_left(relay)
    # What was left is deleted, by the attempt itself or by the next one.
    assert len(server.sent) == 1 and not server.drafts


@pytest.mark.parametrize("where", ["createUploadSession", "^PUT", "POST .*/send$"])
def test_a_draft_that_failed_is_deleted_at_once(door, where):
    server, relay = door(general="retry: { first: 1h, ceiling: 1h, expire: 5d }")
    server.fault(where, "status", status=500, code="ErrorInternalServerError")
    send(relay, as_bytes(scan(7 << 20)[0]), ["anna@example.org"])
    wait_for(lambda: [r for r in relay.waiting() if r.get("reply")])
    assert not server.drafts and not server.sent
    assert [what for what, _ in server.requests][-1].startswith("DELETE")


def test_draft_needs_a_permission_that_small_mail_does_not(door):
    server, relay = door()
    server.fault("POST .*/messages$", "status", times=100, status=403, code="ErrorAccessDenied")
    send(relay, as_bytes(scan(4 << 20)[0]), ["anna@example.org"])
    wait_for(lambda: [r for r in relay.waiting() if r.get("reason") == "graph-needs-readwrite"])
    send(relay, mail("small"), ["anna@example.org"])
    assert [m["subject"] for m in sent(server)] == ["small"]


@pytest.mark.parametrize("where", ["createUploadSession", "^PUT"])
def test_kill_during_an_upload_makes_no_second_copy(door, where):
    server, relay = door()
    fault = server.fault(where, "hold")
    m, content = scan(10 << 20)
    send(relay, as_bytes(m), ["anna@example.org"])
    assert fault.reached.wait(60)
    relay.kill()
    fault.go.set()
    relay.start()
    relay.cli("queue", "retry", "--older", "0s")
    got = sent(server)[0]
    assert [p.get_content() for p in got["parsed"].iter_attachments()] == [content]
    nothing_left(relay)
    # The draft of the killed attempt is gone, too: nobody sends it by hand.
    assert len(server.sent) == 1 and not server.drafts


def test_an_attempt_leaves_the_draft_of_another_alone(door):
    """Both parts of a split message have its Message-ID; one is tried again while the other is under way."""
    server, relay = door(limits=FREE.replace("}", ", recipients_per_message: 1 }"))
    held = server.fault("^PUT", "hold")
    server.fault("^PUT", "status", status=503, code="ServiceUnavailable", headers={"Retry_After": "1"})
    send(relay, as_bytes(scan(7 << 20)[0]), ["anna@example.org", "bea@example.org"])
    assert held.reached.wait(60)
    sent(server, 1)
    assert len(server.drafts) == 1
    held.go.set()
    assert sorted(a for m in sent(server, 2) for a in m["recipients"]) == ["anna@example.org", "bea@example.org"]
    nothing_left(relay)
    assert len([what for what, _ in server.requests if what.startswith("POST") and what.endswith("/messages")]) == 3


def test_redirect_all(door):
    server, relay = door(general=QUICK + "\nredirect_all: staging@contoso.com")
    send(relay, mail(header="Cc: bert@example.org\r\n"), ["anna@example.org", "secret@example.org"])
    m = sent(server)[0]
    assert m["recipients"] == ["staging@contoso.com"]
    assert b"bert@example.org" not in m["raw"]


def test_a_bounce_goes_by_the_mailbox(door):
    server, relay = door()
    server.fault("sendMail", "status", status=400, code="ErrorInvalidRecipients")
    send(relay, mail("wrong"), ["nobody@nowhere.example"])
    m = sent(server)[0]
    assert m["recipients"] == [MAILBOX]
    assert m["parsed"].get_content_type() == "multipart/report"
    wait_for(lambda: not relay.waiting())
    assert sorted(r["state"] for r in relay.rows("trace")) == ["bounced", "delivered"]


def test_four_at_once(door):
    server, relay = door()
    faults = [server.fault("sendMail", "hold") for _ in range(4)]
    for i in range(12):
        send(relay, mail(f"m{i}"), ["anna@example.org"])
    for f in faults:
        assert f.reached.wait(60)
    assert server.running[MAILBOX] == 4
    for f in faults:
        f.go.set()
    sent(server, 12)
    assert server.most[MAILBOX] == 4
    nothing_left(relay)
