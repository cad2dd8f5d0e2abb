"""Where mail waits, why, and about when it leaves: as `queue`, `mailboxes` and `status` say it."""
import re
import smtplib

from support import PATIENCE, free_port, wait_for

SLOW = "retry: { first: 1h, ceiling: 1h, expire: 5d }"


def door(port, limits=""):
    return f"""
connectors:
  - {{ name: host, provider: smtp, host: 127.0.0.1, port: {port}, tls: none, limits: {{ share: 50%{limits} }} }}
routes: [{{ through: host }}]
"""


def send(relay, count, first=0, sender="erp@contoso.com"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as s:
        for n in range(first, first + count):
            s.sendmail(sender, [f"r{n}@example.org"], f"From: {sender}\r\nSubject: {n}\r\n\r\nx\r\n".encode())


def waits(relay, count, why):
    """The rows that wait, once so many do, for this."""
    def look():
        rows = relay.waiting()
        return rows if len(rows) == count and all(r.get("wait", {}).get("why") == why for r in rows) else None

    return wait_for(look)


def show(relay, row):
    return (next(r for r in relay.rows("queue", "show", row["id"]) if r["type"] == "recipient")["wait"],
            " ".join(relay.cli("queue", "show", row["id"]).split()))


def host(relay):
    return next(r for r in relay.rows("mailboxes") if r["name"] == "host")


def test_the_minute_sets_the_pace(sink, relay):
    r = relay(door(sink.port, ", messages_per_minute: 6"), SLOW)
    send(r, 12)
    rows = waits(r, 9, "minute")
    assert {(w["limit"], w["rate"], w["configured"], w["share"]) for w in (x["wait"] for x in rows)} == {("minute", 3, 6, 50)}
    assert "waits for the minute of host" in r.cli("queue", "list")
    last, text = show(r, rows[-1])
    # Eight before it, three a minute.
    assert last["why"] == "minute" and last["ahead"] == 8 and last["about_at"] > rows[-1]["accepted_at"]
    assert re.search(r"waits for the minute of host: 8 messages before it; leaves about .* \(in \d+ min\); "
                     r"the binding limit is 3 messages a minute \(50 % of 6\)", text), text
    first, _ = show(r, rows[0])
    assert first["ahead"] == 0 and first["about_at"] < last["about_at"]
    m = host(r)
    assert m["pace"] == {"limit": "minute", "rate": 3, "configured": 6, "share": 50} and m["done_at"] >= last["about_at"][:16]
    assert "all that waits has left about" in r.cli("mailboxes", "host") and "3 messages a minute (50 % of 6)" in r.cli("mailboxes", "host")
    (well,) = [x for x in r.rows("status") if x["type"] == "healthy"]
    assert well["pace"]["mailbox"] == "host" and well["pace"]["rate"] == 3 and well["done_at"]
    assert "(host: 3 messages a minute (50 % of 6))" in " ".join(r.cli("status").split())


def test_the_day_sets_the_pace(sink, relay):
    r = relay(door(sink.port, ", messages_per_minute: 0, recipients_per_day: 4"), SLOW)
    send(r, 5)
    rows = waits(r, 3, "day")
    wait, text = show(r, rows[0])
    assert (wait["limit"], wait["rate"], wait["configured"]) == ("day", 2, 4)
    assert "waits for the day of host" in text and "the binding limit is 2 recipients in 24 h (50 % of 4)" in text, text


def test_bulk_leaves_a_part_of_the_minute_to_the_others(sink, relay):
    limits = door(sink.port, ", messages_per_minute: 4")
    r = relay(limits.replace("routes: [", "routes: [{ sender: news@contoso.com, class: bulk, through: host }, "), SLOW)
    send(r, 1)
    wait_for(lambda: len(sink.got) == 1)
    # A connection is idle, and one of two slots is free: it is kept for better mail.
    send(r, 2, first=1, sender="news@contoso.com")
    rows = waits(r, 2, "minute")
    assert rows[0]["class"] == "bulk" and rows[0]["wait"]["rate"] == 1
    assert "the binding limit is 1 message a minute (50 % of 4)" in show(r, rows[1])[1]
    send(r, 1, first=3)
    wait_for(lambda: len(sink.got) == 2)
    assert {x["sender"] for x in waits(r, 2, "minute")} == {"news@contoso.com"}


def test_mail_is_found_by_the_cause_of_what_holds_it(relay):
    r = relay(door(free_port()), SLOW)
    # The first finds out that nothing listens there; nothing is written to it for that.
    send(r, 1)
    cause = wait_for(lambda: host(r).get("reason"))
    send(r, 3, first=1)
    rows = waits(r, 4, "held")
    assert {x["hold"]["reason"] for x in rows} == {cause}
    for listing in (("queue", "list", "--cause", cause), ("queue", "list", "--cause", cause, "--sort", "newest")):
        assert {x["id"] for x in r.rows(*listing) if "id" in x} == {x["id"] for x in rows}
    assert not [x for x in r.rows("queue", "list", "--cause", "send-as-denied") if "id" in x]
    r.stop()
    # As the queue remembers it, nothing says when.
    assert all("wait" not in x for x in r.waiting())
