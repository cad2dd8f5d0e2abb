"""postern report: a page about a day, from the history and the queue."""
import collections
import smtplib

import pytest

from support import wait_for


@pytest.fixture
def day(submission):
    sandbox, relay = submission(general="retry: { first: 1h, ceiling: 1h }")

    def send(sender, recipients, body="x"):
        with smtplib.SMTP("127.0.0.1", relay.port) as s:
            s.sendmail(sender, recipients, f"From: {sender}\r\nSubject: t\r\n\r\n{body}\r\n")

    for i in range(3):
        send("erp@contoso.com", [f"a{i}@example.org", f"b{i}@example.org"], "y" * 3000)
    send("crm@contoso.com", ["anna@example.org"])
    wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 7)
    sandbox.fault(at="rcpt", do="reply", reply="550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found", times=1)
    send("crm@contoso.com", ["nobody@example.org"])
    wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 8)
    sandbox.fault(at="rcpt", do="reply", reply="452 4.2.2 The recipient's mailbox is full", times=1)
    send("erp@contoso.com", ["full@example.org"])
    wait_for(lambda: [r for r in relay.waiting() if r["attempts"] == 1 and r["state"] == "queued"])
    return relay


def by_type(rows):
    found = collections.defaultdict(list)
    for row in rows:
        found[row["type"]].append(row)
    return found


def check(relay):
    rows = by_type(relay.rows("report", "--since", "1h"))
    trace = relay.rows("trace", "--since", "1h")
    total = rows["total"][0]
    states = collections.Counter(r["state"] for r in trace)
    assert total["messages"] == len({r["id"] for r in trace}) == 7
    assert (total["recipients"], total["delivered"], total["bounced"], total["waiting"]) == (
        len(trace), states["delivered"], states["bounced"], states["queued"]) == (10, 8, 1, 1)
    assert total["bytes"] == sum({r["id"]: r["size"] for r in trace}.values())
    assert total["delay_us_max"] >= total["delay_us"] > 0
    senders = {r["name"]: r for r in rows["sender"]}
    assert {n: r["recipients"] for n, r in senders.items()} == collections.Counter(r["sender"] for r in trace)
    assert rows["sender"][0]["name"] == "erp@contoso.com" and senders["erp@contoso.com"]["waiting"] == 1
    mailboxes = {r["name"]: r["recipients"] for r in rows["mailbox"]}
    assert mailboxes == collections.Counter(r["lane"] for r in trace)
    causes = {r["name"]: r for r in rows["cause"]}
    assert causes["no-such-recipient"]["bounced"] == 1 and "RecipientNotFound" in causes["no-such-recipient"]["reply"]
    assert causes["recipient-mailbox-full"]["waiting"] == 1 and len(causes) == 2


def test_the_report_adds_up_with_and_without_the_daemon(day):
    check(day)
    day.stop()
    check(day)


def test_the_page_is_plain_text(day):
    page = day.cli("report", "--since", "today")
    assert page.isascii() and "\x1b" not in page and all(len(line) < 140 for line in page.splitlines())
    for word in ("Mail accepted from", "messages          7  for 10 recipients", "delivered         8  after ",
                 "by sender", "by mailbox", "not delivered, by cause", "erp@contoso.com", "no-such-recipient: "):
        assert word in page, page
    assert "Mail accepted from" in day.cli("report")  # yesterday: nothing happened, and it says so
    assert "messages          0  for 0 recipients" in day.cli("report")


def test_what_is_left_out_is_summed_up(day):
    rows = by_type(day.rows("report", "--since", "1h", "--limit", "1"))
    assert len(rows["sender"]) == 2 and rows["sender"][1]["others"] is True
    assert rows["sender"][1]["names"] == len({r["sender"] for r in day.rows("trace")}) - 1
    assert sum(r["recipients"] for r in rows["sender"]) == rows["total"][0]["recipients"]


@pytest.mark.parametrize("words", [["yesterday"], ["--since", "soon"], ["--limit", "0"], ["--limit", "x"]])
def test_wrong_use_is_told(day, words):
    day.cli("report", *words, code=64)
