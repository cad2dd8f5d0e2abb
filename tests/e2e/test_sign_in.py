"""Signing in: TLS before it, SCRAM's fine print, and nothing that a stranger could calculate."""
import base64
import hashlib
import hmac
import itertools
import re

import pytest

import peers
import support
from test_reload import add_user
from wire import Wire

USERS = ("app", "other")


class Place:
    """Two users, and one listener by `rules`; everything goes to a sink."""

    def __init__(self, relay, sink, folder, rules, address="127.0.0.1"):
        self.ca, cert, key = support.make_certificate(folder / "pki")
        key.chmod(0o600)
        self.port, self.sink = support.free_port(), sink
        self.users = "".join(f'  - {{ name: {n}, password: "file:{add_user(folder, n, "pw-" + n)}", senders: ["*"] }}\n' for n in USERS)
        self.relay = relay(
            f"users:\n{self.users}connectors:\n  - {{ name: lab, provider: smtp, host: 127.0.0.1, port: {sink.port}, tls: none }}\n"
            "routes:\n  - { through: lab }\n",
            listeners=f'  - address: "{address}:{self.port}"\n    certificate: {cert}\n    key: "file:{key}"\n{rules}')

    def connect(self, tls=True):
        c = Wire(self.port)
        c.hello()
        if tls:
            c.starttls(self.ca)
        return c


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def scram(c, user, password, authzid="", nonce="abc"):
    """Returns the last reply, and the server's first message as a dict."""
    gs2 = f"n,{'a=' + authzid if authzid else ''},"
    bare = f"n={user},r={nonce}"
    answer = c.say("AUTH SCRAM-SHA-256 " + b64(gs2 + bare))
    if not answer.startswith("334"):
        return answer, {}
    first = base64.b64decode(answer[4:]).decode()
    d = dict(part.split("=", 1) for part in first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(d["s"]), int(d["i"]))
    key = hmac.new(salted, b"Client Key", "sha256").digest()
    final = f"c={b64(gs2)},r={d['r']}"
    signature = hmac.new(hashlib.sha256(key).digest(), f"{bare},{first},{final}".encode(), "sha256").digest()
    answer = c.say(b64(final + ",p=" + b64(bytes(x ^ y for x, y in zip(key, signature)))))
    return (c.say("") if answer.startswith("334") else answer), d


REQUIRED = "    tls: required\n    auth: optional\n    no_password_from: [127.0.0.0/8]\n"


def test_tls_required_takes_nothing_before_it(relay, sink, folder):
    p = Place(relay, sink, folder, REQUIRED)
    c = p.connect(tls=False)
    listed = c.hello()
    assert "STARTTLS" in listed and "AUTH" not in listed
    for command in ("MAIL FROM:<erp@contoso.com>", "AUTH PLAIN " + peers.plain("app", "pw-app"), "AUTH SCRAM-SHA-256 " + b64("n,,n=app,r=abc")):
        assert c.say(command).startswith("530 5.7.0"), command
    c.starttls(p.ca)
    assert scram(c, "app", "pw-app")[0].startswith("235")
    c.envelope()
    assert c.data(b"Subject: x\r\n\r\nx\r\n").startswith("250")


@pytest.mark.parametrize("address, tls", [("*", "530"), ("127.0.0.1", "250")])
def test_a_certificate_off_loopback_means_that_tls_is_required(relay, sink, folder, address, tls):
    p = Place(relay, sink, folder, "    auth: optional\n    no_password_from: [127.0.0.0/8]\n", address)
    c = p.connect(tls=False)
    assert c.say("MAIL FROM:<erp@contoso.com>").startswith(tls)


def test_starttls_leaves_who_needs_no_password_alone_and_no_one_signs_in_without(relay, sink, folder):
    p = Place(relay, sink, folder, "    tls: starttls\n    auth: optional\n    no_password_from: [127.0.0.0/8]\n", "*")
    c = p.connect(tls=False)
    assert "AUTH" not in c.hello()
    for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256"):
        assert c.say("AUTH " + mechanism).startswith("538 5.7.11"), mechanism
    c.envelope()
    assert c.data(b"Subject: printer\r\n\r\nx\r\n").startswith("250")


def test_an_authzid_is_honoured_or_refused(relay, sink, folder):
    p = Place(relay, sink, folder, REQUIRED)
    for authzid, code in (("", "235"), ("app", "235"), ("other", "535")):
        with p.connect() as c:
            assert scram(c, "app", "pw-app", authzid)[0].startswith(code), authzid
        with p.connect() as c:
            assert c.say("AUTH PLAIN " + peers.plain("app", "pw-app", authzid)).startswith(code), authzid
    support.wait_for(lambda: p.relay.log().count("it wants to act for another user") == 2)


def salts(p):
    found = {}
    for user in (*USERS, "nobody", "x1"):
        with p.connect() as c:
            found[user] = scram(c, user, "wrong")[1]["s"]
    return found


def test_salts_of_unknown_names_stay_as_those_of_known_ones(relay, sink, folder):
    p = Place(relay, sink, folder, REQUIRED)
    before = salts(p)
    assert len(set(before.values())) == 4
    p.relay.cli("reload")
    assert salts(p) == before
    p.relay.stop()
    p.relay.start()
    assert salts(p) == before
    key = p.relay.folder / "data" / "scram.key"
    assert key.stat().st_mode & 0o777 == 0o600
    # Half a key, or none that can be read, is no reason to refuse mail.
    p.relay.stop()
    key.write_bytes(b"half")
    p.relay.start()
    after = salts(p)
    assert after["app"] == before["app"] and after["nobody"] != before["nobody"]


# ---- what strangers see ----

M = (1 << 64) - 1


def rotl(x, k):
    return ((x << k) | (x >> (64 - k))) & M


def middle_of(output):
    """s[1] of xoshiro256** from what it gave."""
    return (rotl((output * pow(9, -1, 1 << 64)) & M, 57) * pow(5, -1, 1 << 64)) & M


def are_of_one_generator(outputs, gaps):
    """Are these outputs, so far apart, of one xoshiro256**? Its state is linear over GF(2): five of them say more than it holds."""
    state = [[1 << (64 * w + b) for b in range(64)] for w in range(4)]
    rows, at = [], {sum(gaps[:i]): output for i, output in enumerate(outputs)}
    for step in range(max(at) + 1):
        if step in at:
            rows += [(state[1][b], (middle_of(at[step]) >> b) & 1) for b in range(64)]
        s0, s1, s2, s3 = state
        t = [0] * 17 + s1[:47]
        s2 = [a ^ c for a, c in zip(s2, s0)]
        s3 = [a ^ c for a, c in zip(s3, s1)]
        s1 = [a ^ c for a, c in zip(s1, s2)]
        s0 = [a ^ c for a, c in zip(s0, s3)]
        s2 = [a ^ c for a, c in zip(s2, t)]
        state = [s0, s1, s2, s3[64 - 45:] + s3[:64 - 45]]
    pivots = {}
    for mask, value in rows:
        while mask:
            high = mask.bit_length() - 1
            if high not in pivots:
                pivots[high] = (mask, value)
                break
            mask, value = mask ^ pivots[high][0], value ^ pivots[high][1]
        else:
            if value:
                return False
    return True


def xoshiro(seed, count):
    """The generator of base/rng.c, for the test of the test."""
    s = []
    for _ in range(4):
        seed = (seed + 0x9e3779b97f4a7c15) & M
        z = ((seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9) & M
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & M
        s.append(z ^ (z >> 31))
    for _ in range(count):
        yield (rotl((s[1] * 5) & M, 7) * 9) & M
        t = (s[1] << 17) & M
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)


def test_message_ids_give_no_generator_away(relay, sink, folder):
    known = list(xoshiro(7, 20))
    assert are_of_one_generator([known[i] for i in (0, 2, 5, 6, 9)], (2, 3, 1, 3)), "the attack works where it can"
    assert not are_of_one_generator([known[i] for i in (0, 2, 5, 6, 9)], (2, 3, 1, 2))
    p = Place(relay, sink, folder, REQUIRED.replace("required", "starttls"))
    with p.connect() as c:
        for _ in range(5):
            c.envelope()
            assert c.data(b"From: erp@contoso.com\r\n\r\nx\r\n").startswith("250")
    support.wait_for(lambda: len(sink.got) == 5)
    ids = sorted(re.search(rb"Message-ID: <(\w+)\.([0-9a-f]{16})@", m[-1]).groups() for m in sink.take())
    numbers = [int(n, 16) for _, n in ids]
    assert len(set(numbers)) == 5
    # A message takes a few numbers of the loop's dice.
    assert not any(are_of_one_generator(numbers, gaps) for gaps in itertools.product(range(1, 5), repeat=4))


def test_nonces_differ_within_a_session_and_between_sessions(relay, sink, folder):
    p = Place(relay, sink, folder, REQUIRED.replace("required", "starttls"))
    seen = set()
    for _ in range(2):
        with p.connect() as c:
            for _ in range(2):
                answer = c.say("AUTH SCRAM-SHA-256 " + b64("n,,n=app,r=abc"))
                seen.add(base64.b64decode(answer[4:]).split(b",")[0])
                c.must("*", "501")
    assert len(seen) == 4 and all(len(s) == 2 + 3 + 24 for s in seen)
