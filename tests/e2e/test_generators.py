"""Generators with a seed and an oracle: whole dialogues against the accept path, mutated files against the maildrop, a server
that answers anything against what sends.

Short here; `make fuzz` runs them longer. GENERATE_ROUNDS: how many rounds of each; GENERATE_SEED: the first seed. What fails
is seen again with the seed that stands in the name of the test, since rounds are counted, not timed.
"""
import collections
import contextlib
import os
import random
import re
import socket
import subprocess

import pytest

import support
from hostile import Hostile, cut, memory_peak
from support import wait_for
from wire import Wire

ROUNDS = int(os.environ.get("GENERATE_ROUNDS", "60"))
FIRST = int(os.environ.get("GENERATE_SEED", "1"))
SEEDS = range(FIRST, FIRST + 2)


def through(sink):
    return (f"connectors:\n  - {{ name: sink, provider: smtp, host: 127.0.0.1, port: {sink.port}, tls: none }}\n"
            "routes:\n  - { through: sink }\n")


class Unix(Wire):
    """The same on a unix socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(support.PATIENCE)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()


def line(dice):
    kind = dice.random()
    if kind < .15:
        return b"." * dice.randint(1, 4)
    if kind < .2:
        return b""
    if kind < .25:
        return b"From here"
    if kind < .3:
        return bytes(dice.choice(b'abc .\t=?<>"\\()@') for _ in range(dice.randint(0, 1200)))
    return bytes(dice.choice(b"abcdefgh .") for _ in range(dice.randint(0, 78)))


class Cut(Exception):
    """The dialogue ends here, whatever of it was sent."""


class Dialogue:
    def __init__(self, relay, dice, accepted):
        self.relay, self.dice, self.accepted = relay, dice, accepted

    def send_cut(self, data: bytes):
        at = 0
        while at < len(data):
            n = self.dice.choice((1, 2, 17, 100, 1000)) if len(data) < 3000 else self.dice.choice((1000, 16384, 65537))
            self.c.send(data[at:at + n])
            at += n

    def by_data(self, message):
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        if self.dice.random() < .5:
            if not self.c.say("DATA").startswith("354"):
                return ""
            if self.dice.random() < .05:
                self.send_cut(stuffed[:len(stuffed) // 2])
                raise Cut
            self.send_cut(stuffed + b".\r\n")
        else:
            self.send_cut(b"DATA\r\n" + stuffed + b".\r\n")
            if not self.c.reply().startswith("354"):
                raise Cut
        return self.c.reply()

    def by_bdat(self, message):
        at = 0
        while True:
            n = self.dice.choice((0, 1, 7, 100, 5000, 70000))
            last = at + n >= len(message) or self.dice.random() < .3
            n = len(message) - at if last else n
            self.send_cut(b"BDAT %d%s\r\n" % (n, b" LAST" if last else b"") + message[at:at + n])
            at += n
            answer = self.c.reply()
            if last or not answer.startswith("250"):
                return answer
            if self.dice.random() < .05:
                raise Cut

    def message(self, uid):
        dice = self.dice
        head = [b"From: a@contoso.com", b"X-Uid: " + uid.encode(), b"Subject: " + b"abc " * dice.randint(0, 40)]
        if dice.random() < .2:
            head.append(b"Bcc: hidden@secret.example")
        dice.shuffle(head)
        body = b"\r\n".join(line(dice) for _ in range(dice.choice((0, 1, 3, 20, 200, 2000)))) + b"\r\n"
        return b"\r\n".join(head) + b"\r\n\r\n" + body, body

    def transaction(self):
        dice = self.dice
        uid = "u%016x" % dice.getrandbits(64)
        if dice.random() < .2:
            self.c.say(dice.choice(("NOOP", "RSET", "VRFY x", "FOO", "EHLO again", "HELP", "RCPT TO:<a@b.c>")))
        if not self.c.say("MAIL FROM:<erp@contoso.com>" + dice.choice(("", " SIZE=1000", " BODY=8BITMIME", " SIZE=150000000"))
                          ).startswith("250"):
            return
        to = []
        for n in range(dice.randint(1, 5)):
            address = f"{uid}.{n}@example.org"
            if dice.random() < .1:
                self.c.say(dice.choice((f"RCPT TO:<{address}> FOO=1", "RCPT TO:<>", "RCPT TO:<a@b@c>")))
            elif self.c.say(f"RCPT TO:<{address}>").startswith("250"):
                to.append(address)
        if not to or dice.random() < .1:
            self.c.say("RSET")
            return
        message, body = self.message(uid)
        answer = self.by_data(message) if dice.random() < .5 else self.by_bdat(message)
        if answer.startswith("250"):
            self.accepted[uid] = (sorted(to), body)

    def run(self):
        kind = self.dice.random()
        self.c = Unix(self.relay.submit) if kind < .3 else Wire(self.relay.port, source=f"127.0.0.{self.dice.randint(2, 5)}")
        with self.c, contextlib.suppress(Cut):
            self.c.hello()
            for _ in range(self.dice.randint(1, 6)):
                self.transaction()
            if self.dice.random() < .7:
                self.c.say("QUIT")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_accepted_leaves_once_and_as_it_came(relay, sink, seed):
    """What was answered with 250 behind its end arrives once, with its recipients and its body; nothing else does."""
    r = relay(through(sink))
    dice, accepted = random.Random(seed), {}
    for n in range(ROUNDS):
        Dialogue(r, dice, accepted).run()
        if n % 20 == 7:
            r.cli("reload")
        if n % 20 == 17:
            r.cli("queue", "list")
    wait_for(lambda: not r.waiting())
    assert r.process.alive(), r.log()[-2000:]
    got = collections.defaultdict(list)
    for _, _, to, message in sink.take():
        head, _, body = message.partition(b"\r\n\r\n")
        uid = re.search(rb"X-Uid: (\S+)", head)
        assert uid, message[:300]
        assert b"hidden@" not in head
        got[uid[1].decode()].append((to, body))
    assert set(got) == set(accepted)
    for uid, (to, body) in accepted.items():
        assert sorted(a.decode() for part, _ in got[uid] for a in part) == to
        assert all(b == body for _, b in got[uid]), uid


WORDS = (b"\n", b"\r\n", b"\0", b"To: ", b"<", b">", b"@", b"9" * 20, b"-1", b"\xff", b" ")
NUMBERS = (0, 1, 2**31, 2**32, 2**63, 2**64, 10**30)


def mutate(dice, seeds):
    b = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((0, 1, 1, 2, 5, 20))):
        kind, at = dice.randrange(7), dice.randrange(len(b) + 1)
        if kind == 0 and b:
            b[min(at, len(b) - 1)] = dice.randrange(256)
        elif kind == 1:
            b[at:at] = dice.choice(WORDS)
        elif kind == 2:
            del b[at:at + dice.randint(1, 20)]
        elif kind == 3:
            b[at:at] = b[dice.randrange(len(b) + 1):][:200]
        elif kind == 4:
            del b[at:]
        elif kind == 5:
            b = bytearray(re.sub(rb"\d+", lambda m: str(dice.choice(NUMBERS)).encode(), bytes(b), count=1))
        else:
            b = bytearray(dice.choice(seeds)[:at] + bytes(b[at:]))
    return bytes(b)


def written_by_sendmail(relay):
    """Files as postern-drop writes them while no daemon is there."""
    env = {**os.environ, "POSTERN_MAILDROP": str(relay.maildrop), "POSTERN_SUBMIT_SOCKET": "/nonexistent"}
    seeds = []
    for args in (["-f", "erp@contoso.com", "x@example.org"], ["-f", "erp@contoso.com", "-t"],
                 ["-f", "", "-N", "success,delay", "-R", "hdrs", "-V", "abc", "x@example.org", "w@example.org"]):
        support.run([support.DROP, *args], input=b"To: t@example.org\nBcc: b@example.org\nSubject: a\n\n.\nb\n", env=env)
    for f in relay.maildrop.iterdir():
        seeds.append(f.read_bytes())
        f.unlink()
    assert len(seeds) == 3
    return seeds


def leave(folder, dice, name, seeds):
    """One entry of the maildrop: mostly a file, now and then what no mail can be."""
    path, kind = folder / ("tmp." + name), dice.random()
    if kind < .9:
        path.write_bytes(mutate(dice, seeds))
        path.chmod(dice.choice((0o640, 0o640, 0o640, 0o600, 0o666, 0o000)))
    elif kind < .92:
        os.mkfifo(path)
    elif kind < .94:
        path.symlink_to("/etc/passwd")
    elif kind < .97:
        path.mkdir()
    else:
        path.write_bytes(b"")
    path.rename(folder / name)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_files_of_the_maildrop(relay, sink, seed):
    """The daemon lives, takes no file twice (also over kill -9), and what leaves has one header and whole lines."""
    r = relay(through(sink), general="qualify: contoso.com\nretry: { first: 1s, ceiling: 2s }", start=False)
    seeds = written_by_sendmail(r)
    r.start()
    dice = random.Random(seed)
    for n in range(ROUNDS):
        for k in range(10):
            name = f"{1700000000000000 + 100 * n + k}.{dice.randint(1, 99999)}.{dice.getrandbits(64):016x}.msg"
            if dice.random() < .1:
                name += "." + dice.choice(("066DB0WFYVM", "0", "..", "066DB0WFYVMM", "066DB0WFYV!"))
            leave(r.maildrop, dice, name, seeds)
        if n % 30 == 19:
            r.kill()
            r.start()
    good = r.maildrop / "tmp.last"
    good.write_bytes(seeds[0])
    good.rename(r.maildrop / "1800000000000000.1.0.msg")
    wait_for(lambda: not (r.maildrop / "1800000000000000.1.0.msg").exists() and not r.waiting(), every=.5)
    assert r.process.alive(), r.log()[-2000:]
    ids = set()
    for sender, _, to, message in sink.take():
        assert not re.search(rb"[\r\n\0]", message.replace(b"\r\n", b"")), message[-100:]
        assert not any(re.search(rb"[\0-\x1f]", word) for word in (sender, *to))
        found = re.search(rb"\r\n\tid (\S+)", message)
        assert found, message[:200]
        ids.add(found[1])
    # A message may come twice after kill -9, under its one id; a file that was taken twice would have two.
    assert 0 < len(ids) <= 10 * ROUNDS + 1 - len(os.listdir(r.maildrop))


class Junk:
    """Answers of a server that is broken or evil, by the dice of its connection."""

    def __init__(self, seed):
        self.seed, self.honest = seed, False

    def words(self, dice):
        kind = dice.randrange(12)
        if kind == 0:
            return [b"250-x\r\n" * dice.randint(1, 400) + b"250 ok\r\n"]
        if kind == 1:
            return [bytes(dice.randrange(256) for _ in range(dice.randint(1, 300))) + b"\r\n"]
        if kind == 2:
            return [b"250 ok\r\n" * dice.randint(2, 6)]
        if kind in (3, 4):
            code = dice.choice((0, 1, 200, 220, 221, 235, 250, 251, 252, 334, 354, 421, 432, 450, 451, 452, 454, 500, 501, 503, 530, 535, 550,
                                551, 552, 553, 554, 555, 599, 999))
            return [b"%d %d.%d.%d %s\r\n" % (code, dice.choice((2, 4, 5, 9)), dice.randint(0, 9), dice.randint(0, 999),
                                             bytes(dice.choice(b"abc <>@:;.=") for _ in range(dice.randint(0, 80))))]
        if kind == 5:
            return [dice.choice((b"4", b"250", b"250-", b"250 2.0.0 tak")), cut]
        if kind == 6:
            return [b"250 " + b"A" * dice.randint(1, 80000) + b"\r\n"]
        if kind == 7:
            return [b"250 ok\n"]
        if kind == 8:
            return [b"\r\n\r\n250 ok\r\n"]
        if kind == 9:
            return [b"354 go\r\n" + dice.choice((b"", b"250 2.0.0 taken\r\n"))]
        if kind == 10:
            return [b"550-5.1.1 a\r\n550 5.1.1 b\r\n"]
        return [b"421 4.3.2 bye\r\n"]

    def answer(self, step, connection):
        if self.honest:
            return None
        dice = self.dice(connection)
        kind = dice.random()
        if kind < .85:
            return None
        if kind < .88:
            return [cut]
        return self.words(dice) + ([cut] if dice.random() < .3 else [])

    def dice(self, connection):
        known = self.__dict__.setdefault("known", {})
        return known.setdefault(connection, random.Random(f"{self.seed}/{connection}"))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_evil_server_makes_nothing_lost_and_nothing_falsely_sent(relay, seed):
    """Each accepted recipient stands in queue and history once, also over kill -9; delivered is only what the server took at
    its end, bounced only what it refused for good; and once the server is honest all of the mail ends."""
    junk, dice = Junk(seed), random.Random(seed)
    evil = Hostile(junk.answer)
    r = relay(f"connectors:\n  - {{ name: evil, provider: smtp, host: 127.0.0.1, port: {evil.port}, tls: none }}\nroutes:\n  - {{ through: evil }}\n",
              general="retry: { first: 1s, ceiling: 2s, expire: 5d }")
    accepted, peak = set(), 0

    def again():
        for args in (("mailboxes", "--retry", "evil"), ("queue", "retry", "--mailbox", "evil")):
            r.cli(*args, code=None)

    def send(uid):
        with Wire(r.port) as c:
            c.hello()
            c.must("MAIL FROM:<erp@contoso.com>", "250")
            to = [f"u{uid}.{n}@example.org" for n in range(dice.randint(1, 4))]
            for address in to:
                c.must(f"RCPT TO:<{address}>", "250")
            if c.data(b"From: erp@contoso.com\r\n\r\n" + b"0123456789abcd\r\n" * dice.choice((1, 7, 7000))).startswith("250"):
                accepted.update(to)

    for n in range(ROUNDS):
        send("%016x" % dice.getrandbits(64))
        if n % 10 == 9:
            again()
        if n % 30 == 19:
            peak = max(peak, memory_peak(r.process.pid))
            r.kill()
            r.start()
    junk.honest = True

    def ended():
        again()
        return not r.waiting()

    wait_for(ended, every=1)
    assert r.process.alive(), r.log()[-2000:]
    assert max(peak, memory_peak(r.process.pid)) < 100
    states = collections.defaultdict(list)
    for row in r.rows("trace", "--since", "1d"):
        if row["recipient"].startswith("u"):
            states[row["recipient"]].append(row["state"])
    assert set(states) == accepted
    for address, found in states.items():
        uid = address[1:17]
        assert found in (["delivered"], ["bounced"]), (address, found)
        assert uid in (evil.taken if found == ["delivered"] else evil.refused), (address, found)
    evil.close()
