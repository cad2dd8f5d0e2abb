"""Odd but legal messages pass byte for byte: only what the relay must add is added, and Bcc is taken away.

The expectation is worked out here, by a reading of RFC 5322 that shares nothing with the relay's own.
POSTERN_TEST_CORPUS may name a folder of further messages.
"""
import os
import pathlib
import re

import pytest

import support
from support import wait_for
from wire import Wire

CORPUS = pathlib.Path(__file__).parents[1] / "corpus" / "mime"
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
REMOVED = {b"bcc", b"resent-bcc", b"return-path"}
ADDED_WHEN_MISSING = (b"from", b"message-id", b"date")
LIMITS = "{ messages_per_minute: 100000, share: 100% }"


def lines_of(data: bytes):
    """The lines with their ends; the last one may have none."""
    return re.findall(rb"[^\n]*\n|[^\n]+$", data)


def take_apart(message: bytes):
    """Header fields as they stand, and the body. What is no field ends the header, too."""
    message = message.removeprefix(b"\xef\xbb\xbf") if FIELD.match(message.removeprefix(b"\xef\xbb\xbf")) else message
    fields, lines = [], lines_of(message)
    # Programs leave the line of an mbox file on top; it is no part of a message.
    if lines and re.match(rb">?From ", lines[0]) and not FIELD.match(lines[0]):
        lines.pop(0)
    while lines:
        line = lines[0]
        if FIELD.match(line):
            fields.append(line)
        elif line[:1] in b" \t" and fields:
            fields[-1] += line
        else:
            break
        lines.pop(0)
    if lines and lines[0] == b"\r\n":
        lines.pop(0)
    return fields, b"".join(lines)


def name_of(field: bytes) -> bytes:
    return field.split(b":", 1)[0].strip().lower()


def value_of(field: bytes) -> bytes:
    return field.split(b":", 1)[1].strip()


def whole(field: bytes) -> bytes:
    return field if field.endswith(b"\r\n") else field + b"\r\n"


def expected(message: bytes):
    """The fields that must arrive, those that the relay has to add, and the body."""
    fields, body = take_apart(message)
    kept = []
    for field in fields:
        name = name_of(field)
        if name in REMOVED or (name in ADDED_WHEN_MISSING and not value_of(field)):
            continue
        kept.append(whole(field))
    names = {name_of(f) for f in kept}
    return kept, [n for n in ADDED_WHEN_MISSING if n not in names], body


def compare(sent: bytes, got: bytes, line_end_added: bool):
    kept, added, body = expected(sent)
    if line_end_added and body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    trace, rest = take_apart(got)[0][0], got
    assert name_of(trace) == b"received", trace
    assert b"relay.example.com" in trace and b"for <anna@example.org>" in trace
    rest = got[len(trace):]
    assert rest.startswith(b"".join(kept)), f"the header differs:\n{rest[:2000]!r}\n{b''.join(kept)[:2000]!r}"
    rest = rest[len(b"".join(kept)):]
    for name in added:
        line, rest = rest.split(b"\r\n", 1)
        assert name_of(line) == name and value_of(line), line
    assert rest == b"\r\n" + body, f"the body differs:\n{rest[:300]!r}\n{body[:300]!r}"


@pytest.fixture(scope="module")
def pair(module_folder):
    """One sandbox and one relay for all of the corpus: what passes before may not harm what comes behind."""
    folder = module_folder
    secret = folder / "mailbox.secret"
    secret.write_text("sandbox\n")
    secret.chmod(0o600)
    sandbox = support.Sandbox(folder / "sandbox")
    # Some of these messages have odd From lines: here the sender's rights are not the matter.
    sandbox.settings(limits={"messages_per_minute": 0, "recipients_per_day": 0},
                     mailboxes=[{"address": "erp@contoso.com", "send_as": ["*"]}])
    sections = support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", sandbox, secret, LIMITS) + \
        "\nroutes:\n  - { through: sender }\n"
    relay = support.Relay(folder / "relay", sections).start()
    yield sandbox, relay
    assert relay.process.alive() and sandbox.process.alive()
    relay.end()
    assert sandbox.stop() == 0


def passes(pair, message: bytes, by: str):
    sandbox, relay = pair
    before = max((m["number"] for m in sandbox.messages()), default=0)
    with Wire(relay.port) as c:
        c.hello()
        c.envelope(options=" BODY=8BITMIME")
        answer = getattr(c, by)(message)
        assert answer.startswith("250"), answer
    found = wait_for(lambda: sandbox.get(f"/messages?after={before}"))
    assert len(found) == 1
    return sandbox.raw(found[0]["number"])


def files():
    return sorted(CORPUS.glob("*.eml"))


def test_corpus_is_there():
    assert len(files()) >= 25
    assert all(b"\n" not in f.read_bytes().replace(b"\r\n", b"") for f in files()), "line ends were changed"


@pytest.mark.parametrize("by", ["data", "bdat"])
@pytest.mark.parametrize("path", files(), ids=lambda p: p.stem)
def test_passes_byte_for_byte(pair, path, by):
    message = path.read_bytes()
    # DATA cannot say that the last line has no end; BDAT can, and the next hop's DATA cannot again.
    compare(message, passes(pair, message, by), line_end_added=True)


@pytest.mark.parametrize("size", [1, 2, 7, 61, 4096])
def test_passes_in_small_pieces(pair, size):
    """The header is judged as it comes in, whatever the pieces are."""
    sandbox, relay = pair
    message = b"".join((CORPUS / f"{n}.eml").read_bytes() for n in ("bcc", "lines-of-dots", "trailing-spaces"))
    before = max((m["number"] for m in sandbox.messages()), default=0)
    with Wire(relay.port) as c:
        c.hello()
        c.envelope()
        at = 0
        while at < len(message):
            piece = message[at:at + size]
            at += len(piece)
            # Chunks of one byte would take a round trip each: a lot of them go at once.
            c.send(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if at >= len(message) else b"") + piece)
        for _ in range((len(message) + size - 1) // size):
            assert c.reply().startswith("250")
    found = wait_for(lambda: sandbox.get(f"/messages?after={before}"))
    compare(message, sandbox.raw(found[0]["number"]), line_end_added=True)


def test_corpus_of_others(pair):
    folder = os.environ.get("POSTERN_TEST_CORPUS")
    if not folder:
        pytest.skip("POSTERN_TEST_CORPUS names no folder of further messages")
    paths = sorted(pathlib.Path(folder).rglob("*.eml"))
    assert paths, f"no *.eml in {folder}"
    for path in paths:
        # Stored with the line ends of the machine that kept it: on the wire there is only CRLF.
        message = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
        if b"\0" in message or b"\r" in message.replace(b"\r\n", b""):
            continue
        try:
            compare(message, passes(pair, message, "data"), line_end_added=True)
        except AssertionError as error:
            raise AssertionError(f"{path.name}: {error}") from None
    print(f"{len(paths)} messages of others")
