"""What a message may cost of the processor: headers and MIME structures made to be dear cost about as much as plain ones of
their size. Both are measured in the same relay, in the time of its threads on a processor; a parser that begins anew at each
of n bytes costs thousands of times as much."""
import base64
import os
import pathlib
import re

import pytest

import support
from test_https_answers import place, token  # noqa: F401 (a fixture)
from wire import Wire

TIMES = 20  # of a plain one: linear ones are below 2 here
HEAD = b"From: erp@contoso.com\r\nTo: x@example.org\r\n"
ATTACHMENT = (b"--b\r\nContent-Type: application/octet-stream; name=a\r\nContent-Disposition: attachment; filename=a\r\n"
              b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(os.urandom(2_600_000)).replace(b"\n", b"\r\n") + b"\r\n--b--\r\n")


def header(lines, head=HEAD):
    return head + lines + b"\r\nbody\r\n"


def mime(parts, boundary=b"b"):
    return HEAD + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + parts


def attachment(encoding, content):
    return mime(b"--b\r\nContent-Type: application/octet-stream; name=a\r\nContent-Disposition: attachment\r\n"
                b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + content + b"\r\n--b--\r\n")


def nested(n):
    return b"".join(b"--b%s\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (str(i).encode() if i else b"", i + 1) for i in range(n))


PLAIN_HEADER = HEAD + b"\r\n" + b"nothing but text that nobody has to understand\r\n" * 5000
PLAIN_MIME = mime(b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n" + ATTACHMENT)
HEADERS = {
    "commas": header(b"To: " + b",\r\n " * 60000 + b"\r\n"),
    "addresses": header(b"Cc: " + b",\r\n ".join(b"user%05d@example.org" % i for i in range(8000)) + b"\r\n"),
    "bare names": header(b"Cc: " + b",\r\n ".join(b"u%d" % i for i in range(15000)) + b"\r\n"),
    "open comments": header(b"", b"From: " + b"(" * 250000 + b"\r\n"),
    "comments": header(b"", b"From: " + b"()" * 120000 + b"a@b.c\r\n"),
    "brackets": header(b"", b"From: " + b"<" * 250000 + b"\r\n"),
    "quotes": header(b"", b"From: " + b'"\\"" ' * 50000 + b"<a@b.c>\r\n"),
    "open quote": header(b"", b'From: "' + b"\\" * 240000 + b"\r\n"),
    "route": header(b"", b"From: <" + b"@a," * 80000 + b":a@b.c>\r\n"),
    "open group": header(b"", b"From: g:" + b"a@b.c," * 40000 + b"\r\n"),
    "groups": header(b"Cc: " + b"g:;," * 60000 + b"\r\n"),
    "fields of Bcc": header(b"Bcc: a@b.c\r\n" * 1900),
    "fields of Received": header(b"X-Received: a\r\n" * 1900),
    "folded lines": header(b"Subject: a\r\n" + b" b\r\n" * 60000),
    "encoded words": header(b"Subject: " + b"=?utf-8?B?AAAA?=\r\n " * 10000 + b"\r\n"),
}
PARTS = {
    "nested": mime(nested(10000) + ATTACHMENT),
    "parts": mime(b"--b\r\n\r\n" * 480000 + b"--b--\r\n"),
    "near boundaries": mime(b"--b\r\nContent-Type: text/plain\r\n\r\n" + b"--bx\r\n" * 600000 + b"--b--\r\n"),
    "a long boundary": mime(b"--" + b"b" * 70 + b"\r\n\r\n" + (b"--" + b"b" * 69 + b"\r\n") * 50000 + b"--" + b"b" * 70 + b"--\r\n", b"b" * 70),
    "header of a part": mime(b"--b\r\n" + b"X: y\r\n" * 550000 + b"\r\nx\r\n" + ATTACHMENT),
    "pieces of a name": mime(b"--b\r\nContent-Disposition: attachment;\r\n"
                             + b"".join(b" filename*%d*=%%41;\r\n" % i for i in range(100000)) + b"\r\nx\r\n" + ATTACHMENT),
    "parameters": mime(b"--b\r\nContent-Type: a/b;\r\n" + b"".join(b" p%d=x;\r\n" % i for i in range(200000)) + b"\r\nx\r\n" + ATTACHMENT),
    "comments": mime(b"--b\r\nContent-Type: a/b " + b"(\\(" * 900000 + b"\r\n\r\nx\r\n" + ATTACHMENT),
    "base64 of nothing": attachment(b"base64", b"=" * 4000000),
    "soft line ends": attachment(b"quoted-printable", b"=\r\n" * 1200000),
    "one line": attachment(b"base64", b"QUFB" * 1000000),
}


def spent(pid):
    """Nanoseconds of all its threads on a processor."""
    return sum(int(t.read_text().split()[0]) for t in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def answer(request, body, evil, own):
    if request.path.endswith("/createUploadSession"):
        return 201, {"uploadUrl": own + "/up", "nextExpectedRanges": ["0-"]}, {}
    if request.path == "/up":
        last, size = map(int, re.match(r"bytes \d+-(\d+)/(\d+)", request.headers["Content-Range"]).groups())
        return (201, {}, {}) if last + 1 == size else (200, {"nextExpectedRanges": [f"{last + 1}-"]}, {})
    if request.path.endswith(("/messages", "/attachments")):
        return 201, {"id": "D"}, {}
    return token(request) or (202, {}, {})


def cost(relay, message):
    """Until it has left, or is known not to leave."""
    before = spent(relay.process.pid)
    with Wire(relay.port) as c:
        c.hello()
        c.envelope()
        said = c.data(message)
        assert said[:3] in ("250", "552"), said
    support.wait_for(lambda: all(row.get("reply") or row.get("cause") for row in relay.waiting()))
    used = spent(relay.process.pid) - before
    relay.cli("queue", "drop", "--older", "0s", "--yes", code=None)
    return used


@pytest.mark.parametrize("kind", ["header", "MIME"])
def test_no_message_is_dear(place, kind):  # noqa: F811
    if not os.path.exists("/proc/self/schedstat"):
        pytest.skip("this kernel does not say what a thread has used")
    plain, cases = (PLAIN_HEADER, HEADERS) if kind == "header" else (PLAIN_MIME, PARTS)
    _, _, relay = place(answer, "through: sender, rewrite_from: erp@contoso.com", "qualify: contoso.com\n")
    usual = max(cost(relay, plain) for _ in range(3))
    times = {name: cost(relay, message) / usual for name, message in cases.items()}
    print({name: round(n, 1) for name, n in times.items()})
    assert {name: n for name, n in times.items() if n > TIMES} == {}
