"""One volume over many mailboxes: spread, caps, what a bad mailbox costs, and the books over kill -9."""
import collections
import random
import smtplib

import pytest

import support
from support import wait_for

FAST = "{ messages_per_minute: 100000, recipients_per_day: 100000, share: 100%, connections: 1 }"
QUICK = "retry: { first: 1s, ceiling: 2s, expire: 5d }"
CRM = "crm@contoso.com"


def address(n):
    return f"m{n:02d}@go.contoso.com"


@pytest.fixture
def pooled(sandbox, relay, password):
    def make(count, pool="", limits=FAST, more=""):
        s = sandbox("--keep", "200MB")
        s.settings(limits={"messages_per_minute": 100000, "recipients_per_day": 100000})
        boxes = "".join(support.mailbox(address(n), s, password, limits) for n in range(count))
        return s, relay(support.TENANT + f"""mailboxes:{boxes}
pools:
  - name: outreach
    mailboxes: ["*@go.contoso.com"]
{pool}
routes: [ {{ through: outreach }} ]
{more}""", general=QUICK)

    return make


def send(relay, numbers, sender=CRM):
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        for n in numbers:
            c.sendmail(sender, [f"p{n}@example.org"],
                       f"From: Sales <{sender}>\r\nTo: p{n}@example.org\r\nSubject: {n}\r\n\r\nhello\r\n".encode())


def by_sender(sandbox):
    return collections.Counter(m["sender"] for m in sandbox.messages())


def test_a_thousand_over_twenty_with_kills_in_between(pooled):
    """Each mailbox carries its twentieth, nothing is lost, and what it may send a day holds over kill -9."""
    sandbox, relay = pooled(20, "    per_day: 55\n")
    dice = random.Random(14)
    sandbox.settings(limits={"messages_per_minute": 100000, "recipients_per_day": 55})
    send(relay, range(500))
    for goal in (150, 300, 450):
        wait_for(lambda: len(sandbox.messages()) >= goal + dice.randrange(50))
        relay.kill()
        relay.start()
    send(relay, range(500, 1000))
    wait_for(lambda: not relay.waiting(), seconds=120)
    verdict, counts = sandbox.verdict(), by_sender(sandbox)
    subjects = {m["subject"] for m in sandbox.messages()}
    assert subjects == {str(n) for n in range(1000)}
    assert verdict["limits_broken"] == [] and len(counts) == 20
    uncertain = sum(r.get("uncertain", 0) for r in relay.rows("trace"))
    assert verdict["duplicates"] <= uncertain <= 3 * 2 * 20
    # What an attempt without an answer may have used is counted as used: that is all by which they differ.
    assert max(counts.values()) <= 55
    assert min(counts.values()) >= 50 - 5
    rows = {r["name"]: r for r in relay.rows("mailboxes")}
    assert all(rows[a]["day_used"] >= counts[a] and rows[a]["day_capacity"] == 55 for a in counts)


def test_mail_is_from_the_mailbox_that_sends_it(pooled):
    sandbox, relay = pooled(2)
    send(relay, range(4))
    wait_for(lambda: len(sandbox.messages()) == 4)
    assert set(by_sender(sandbox)) == {address(0), address(1)}
    for n, m in enumerate(sandbox.messages(), 1):
        raw = sandbox.raw(n).decode()
        assert f"From: Sales <{m['sender']}>" in raw or f"From: {m['sender']}" in raw, raw
        assert f"Reply-To: {CRM}" in raw, raw


def test_a_day_is_used_up_and_no_more(pooled):
    sandbox, relay = pooled(4, "    per_day: 5\n")
    send(relay, range(30))
    wait_for(lambda: len(sandbox.messages()) == 20 and len(relay.waiting()) == 10)
    assert set(by_sender(sandbox).values()) == {5}
    row = relay.waiting()[0]
    shown = [r for r in relay.rows("queue", "show", row["id"]) if r["type"] == "recipient"]
    assert [r["wait"]["why"] for r in shown] == ["day"]
    assert shown[0]["pool"] == "outreach" and shown[0]["queue"] == ["outreach"]
    *rows, last = relay.rows("mailboxes", "--pool", "outreach")
    assert [(r["name"], r["pool"], r["day_used"], r["day_capacity"]) for r in sorted(rows, key=lambda r: r["name"])] == \
        [(address(n), "outreach", 5, 5) for n in range(4)]
    assert last == {
        "type": "pool", "name": "outreach", "kind": "transactional", "sender": "mailbox", "mailboxes": 4, "per_day": 5,
        "day_used": 20, "day_capacity": 20, "waiting": 10}
    assert "pool outreach: 4 mailboxes; 20 of 20 recipients in 24 hours; 10 wait for it" in relay.cli("mailboxes", "--pool", "outreach")
    relay.cli("mailboxes", "--pool", "outraech", code=64)
    # A start reads the books.
    relay.kill()
    relay.start()
    send(relay, [30])
    wait_for(lambda: len(relay.waiting()) == 11)
    assert len(sandbox.messages()) == 20


def test_a_parked_mailbox_costs_nothing(pooled):
    sandbox, relay = pooled(3)
    sandbox.settings(mailboxes=[{"address": address(1), "smtp_auth": "off"}])
    send(relay, range(12))
    wait_for(lambda: not relay.waiting())
    counts = by_sender(sandbox)
    assert set(counts) == {address(0), address(2)} and sum(counts.values()) == 12


def test_what_may_have_left_stays_with_its_mailbox(pooled):
    """Another mailbox would send it under another address: the recipient would have it twice, from two people."""
    sandbox, relay = pooled(5)
    sandbox.fault(at="dot", do="cut-after", times=1)
    send(relay, [1])
    wait_for(lambda: len(sandbox.messages()) == 2 and not relay.waiting())
    assert len(by_sender(sandbox)) == 1


def test_reputation_stops_the_pool_until_a_person_releases_it(pooled):
    """Two that are refused alike stop all of them, and stay with the mailbox: the others are not offered what cost it its name."""
    sandbox, relay = pooled(3)
    sandbox.settings(mailboxes=[{"address": address(0), "blocked": True}])
    send(relay, range(9))

    def stopped():
        return [r for r in relay.rows("mailboxes") if r.get("state") == "parked"]

    (parked,) = wait_for(stopped)
    assert parked["name"] == address(0) and parked["nature"] == "reputation", parked
    send(relay, range(9, 15))
    wait_for(lambda: len(sandbox.messages()) + len(relay.waiting()) == 15)
    left = len(sandbox.messages())
    assert left <= 7 and address(0) not in by_sender(sandbox)
    rows = relay.waiting()
    assert {(r["wait"]["why"], r["lane"]) for r in rows} == {("held", f"submission/{address(0)}")}, rows
    assert relay.rows("mailboxes", "--pool", "outreach")[-1]["stopped_by"] == address(0)
    assert f"all of it is stopped for the reputation of {address(0)}" in " ".join(relay.cli("mailboxes", "--pool", "outreach").split())
    relay.kill()
    relay.start()
    send(relay, [15])
    wait_for(lambda: len(relay.waiting()) == 16 - left)
    sandbox.settings(mailboxes=[{"address": address(0), "blocked": False}])
    relay.cli("mailboxes", "--retry", address(0))
    wait_for(lambda: len(sandbox.messages()) >= 15)
    # What caused it comes last, in its own time.
    relay.cli("queue", "retry", "--older", "0s")
    wait_for(lambda: len(sandbox.messages()) == 16 and not relay.waiting())
    assert by_sender(sandbox)[address(0)] >= 2


def test_a_mailbox_that_joins_or_leaves(pooled):
    """A reload takes effect for mail that waits."""
    sandbox, relay = pooled(4, "    per_day: 2\n")
    text = relay.config.read_text()
    relay.config.write_text(text.replace('["*@go.contoso.com"]', f"[{address(0)}, {address(1)}]"))
    relay.cli("reload")
    send(relay, range(7))
    wait_for(lambda: len(sandbox.messages()) == 4 and len(relay.waiting()) == 3)
    relay.config.write_text(text)
    relay.cli("reload")
    wait_for(lambda: not relay.waiting())
    assert sorted(by_sender(sandbox).values()) == [1, 2, 2, 2]


def test_waiting_mail_is_found_and_moved_by_the_pool(pooled):
    """`queue list --mailbox POOL`, and `reroute` into it; mail that stays with a mailbox is found by both names."""
    sandbox, relay = pooled(3, "    per_day: 2\n", more="""connectors:
  - { name: nowhere, provider: smtp, host: localhost, port: 1, tls: none }
""")
    text = relay.config.read_text()
    relay.config.write_text(text.replace("routes: [", "routes: [ { sender: erp@contoso.com, through: nowhere },"))
    relay.cli("reload")
    send(relay, range(3), "erp@contoso.com")
    wait_for(lambda: len(relay.rows("queue", "list", "--mailbox", "nowhere")) == 3)
    assert relay.rows("queue", "list", "--mailbox", "outreach") == []
    relay.cli("queue", "reroute", "--sender", "erp@contoso.com", "--through", "outreach")
    wait_for(lambda: not relay.waiting())
    assert sorted(by_sender(sandbox).values()) == [1, 1, 1]
    sandbox.settings(mailboxes=[{"address": address(n), "blocked": True} for n in range(3)])
    send(relay, [4])
    (row,) = wait_for(lambda: [r for r in relay.waiting() if r.get("reason")])
    assert row["pool"] == "outreach" and row["reason"] == "mailbox-restricted"
    assert [r["id"] for r in relay.rows("queue", "list", "--mailbox", "outreach")] == [row["id"]]
    assert [r["id"] for r in relay.rows("queue", "list", "--mailbox", row["queue"][0])] == [row["id"]]
