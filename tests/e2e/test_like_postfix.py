"""The same dialogues and the same calls of sendmail, to a Postfix of its own and to postern: the class of each reply, the envelope
and the message that arrive. Postfix 3.7 is the measure; where postern is stricter, docs/decisions/0071 says why."""
import os
import re
import shutil
import socket
import subprocess

import peers
import pytest
import support
from dialogues import DIALOGUES, STRICTER
from support import DROP, wait_for

pytestmark = pytest.mark.skipif(not shutil.which("postfix") or os.geteuid() != 0, reason="needs Debian's postfix, and root to start it")


@pytest.fixture(scope="module")
def both(module_folder):
    """(port of postern, its sink), (port of Postfix, its sink), and a way to call sendmail of each."""
    folder = module_folder
    sinks = [peers.Sink(), peers.Sink()]
    relay = support.Relay(folder / "relay", f"""
connectors:
  - {{ name: lab, provider: smtp, host: localhost, port: {sinks[0].port}, tls: none }}
routes:
  - {{ through: lab }}
""", general="qualify: contoso.com\nretry: { first: 1s, ceiling: 5s }").start()
    postfix = peers.Postfix(folder / "postfix", sinks[1].port)
    yield relay, postfix, sinks
    postfix.close()
    relay.end()
    for s in sinks:
        s.close()


def talk(port, steps):
    """The class of each reply; 0: none came."""
    with socket.create_connection(("127.0.0.1", port), timeout=support.PATIENCE) as s, s.makefile("rb") as f:
        assert peers.replies_of(s, f, support.PATIENCE).startswith(b"220")
        classes = []
        for step in steps:
            s.sendall(step)
            reply = peers.replies_of(s, f, support.PATIENCE)
            classes.append(int(reply[:1]) if reply[:1].isdigit() else 0)
            if not reply or reply == b"closed":
                break
    return classes


def arrived(sink, is_idle, wanted):
    """When nothing is in the queue any more, all of it is here."""
    wait_for(is_idle)
    got = sink.take()
    assert got or not wanted
    people = sorted(r.lower() for _, _, to, _ in got for r in to)
    return sorted({sender for sender, *_ in got}), people, [split(m) for *_, m in got][:1], [o for _, o, *_ in got][:1]


def split(message):
    """Subject and body: headers get their additions from each."""
    header, _, body = message.partition(b"\r\n\r\n")
    subject = re.search(rb"(?mi)^subject:[ \t]*([^\r\n]*)", header)
    return subject and subject.group(1), body


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(both, name):
    relay, postfix, sinks = both
    ours, theirs = talk(relay.port, DIALOGUES[name]), talk(postfix.port, DIALOGUES[name])
    assert 0 not in ours, f"a line without an answer: {ours}"
    end = DIALOGUES[name].index(next(s for s in DIALOGUES[name] if s[:4] == b"DATA")) + 1
    taken = [c[end:end + 1] == [2] for c in (ours, theirs)]
    mine, other = arrived(sinks[0], lambda: not relay.waiting(), taken[0]), arrived(sinks[1], postfix.is_idle, taken[1])
    for step, a, b in zip(DIALOGUES[name], ours, theirs):
        if b in (2, 3) and a not in (2, 3):
            assert name in STRICTER, f"{step[:80]!r}: postern {ours}, Postfix {theirs}"
    assert len(mine[1]) == len(set(mine[1])), "a recipient twice"
    if name in STRICTER or ours != theirs:
        return
    # Postfix keeps spellings apart that are one mailbox.
    assert (mine[0], mine[1], mine[2]) == (other[0], sorted(set(other[1])), other[2])


SENDMAIL = {
    "semicolons (rspamd 6139)": (["-t"], b"From: erp@contoso.com\nTo: Anna <a@example.org>; Bea <b@example.org>\nSubject: s\n\nx\n"),
    "commas, groups, comments": (["-t"], b"To: T: a@example.org, b@example.org;, (x) c@example.org (y)\nCc: d@example.org\nBcc: e@example.org\nSubject: s\n\nx\n"),
    "a route address": (["-t"], b"To: <@relay.example:a@example.org>\nSubject: s\n\nx\n"),
    "the same twice": (["-t"], b"To: a@example.org, A@EXAMPLE.org\nCc: a@example.org\nSubject: s\n\nx\n"),
    "dots": (["-t"], b"To: a..b@example.org, c.@example.org, d@example.org.\nSubject: s\n\nx\n"),
    "operands": (["-i", "a@example.org", "b@example.org"], b"Subject: s\n\n.\nx\n"),
    "a dot ends it": (["a@example.org"], b"Subject: s\n\nx\n.\nmore\n"),
    "an mbox line (marlam/msmtp 155)": (["a@example.org"], b"From 0123 Mon Sep 17 00:00:00 2001\nSubject: s\n\nx\n"),
    "an empty From (marlam/msmtp 8)": (["-t"], b"From:\nTo: a@example.org\nSubject: s\n\nx\n"),
    "CR LF on standard input": (["-t"], b"To: a@example.org\r\nSubject: s\r\n\r\nx\r\n"),
    "names of all kinds": (["-t"], b'To: "Smith, J." <a@example.org>, J. Q. Public <b@example.org>, =?utf-8?q?J=C3=BCrg?= <c@example.org>\nSubject: s\n\nx\n'),
    "folded": (["-t"], b"To: a@example.org,\n\tb@example.org,\n c@example.org\nSubject: s\n\nx\n"),
    "Resent-To": (["-t"], b"To: old@example.org\nResent-To: a@example.org\nSubject: s\n\nx\n"),
    "an empty element first (mikel/mail weird_to_header)": (["-t"], b"To: , a@example.org, b@example.org\nSubject: s\n\nx\n"),
}


@pytest.mark.parametrize("name", SENDMAIL)
def test_sendmail(both, name):
    relay, postfix, sinks = both
    args, message = SENDMAIL[name]
    env = {**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)}
    ours = subprocess.run([DROP, "-f", "erp@contoso.com", *args], input=message, env=env, capture_output=True, timeout=60, check=False)
    theirs = postfix.sendmail(["-f", "erp@contoso.com", *args], message)
    assert ours.returncode == theirs == 0, ours.stderr
    assert arrived(sinks[0], lambda: not relay.waiting(), True)[:3] == arrived(sinks[1], postfix.is_idle, True)[:3]


def test_one_bad_recipient_among_good_ones(both):
    relay, postfix, sinks = both
    env = {**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)}
    message = b"To: a@example.org, not an address, b@example..org, c@example.org\nSubject: s\n\nx\n"
    done = subprocess.run([DROP, "-t", "-f", "erp@contoso.com"], input=message, env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == postfix.sendmail(["-t", "-f", "erp@contoso.com"], message) == 0
    assert b"not an address" in done.stderr and b"b@example..org" in done.stderr
    assert arrived(sinks[0], lambda: not relay.waiting(), True)[1] == [b"a@example.org", b"c@example.org"]
    arrived(sinks[1], postfix.is_idle, True)
