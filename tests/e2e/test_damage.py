"""Pages of the queue that the disk has damaged, inside the running daemon: they cost what stands on them."""
import json
import pathlib
import smtplib
import sqlite3

import pytest

import support
from support import POSTERN, run, wait_for
from test_doctor import PAGE, body_of, fill, stop, stuck, whole_queue  # noqa: F401 (a fixture)

MESSAGES = 80


@pytest.fixture
def sink(process, folder, stuck):  # noqa: F811
    """What the smarthost has got: {n: set of recipients}; it begins to listen when it is called first."""
    got = folder / "got"

    def look():
        if not got.exists():
            got.touch()
            process(["/usr/bin/python3", str(pathlib.Path(__file__).with_name("sink_to_json.py")), str(stuck.upstream),
                     str(got)], "sink")
            wait_for(lambda: support.listens(stuck.upstream))
        found = {}
        for line in got.read_text().rpartition("\n")[0].splitlines():
            m = json.loads(line)
            n = int(m["subject"].split()[1])
            assert n == 999 or m["body"] == body_of(n).replace("\n", "\r\n"), n
            found.setdefault(n, []).extend(m["to"])
        return found

    return look


def pages_of(queue, name, kind="leaf"):
    db = sqlite3.connect(queue)
    pages = [row[0] for row in db.execute("SELECT pageno FROM dbstat WHERE name=? AND pagetype=? ORDER BY path", (name, kind))]
    db.close()
    return pages


def damage(queue, page):
    with open(queue, "r+b") as f:
        f.seek((page - 1) * PAGE + (100 if page == 1 else 0))
        f.write(b"\xff" * (PAGE - (100 if page == 1 else 0)))


def everybody(n):
    return {f"r{n}-{i}@example.org" for i in range(1 + n % 3)}


def relay_row(r):
    return next(row for row in r.rows("status") if row["type"] == "relay")


def retry(r):
    run([POSTERN, "queue", "retry", "--older", "0s", "--config", str(r.config)], code=None)


def put(r):
    """The code that a new message gets."""
    with smtplib.SMTP("127.0.0.1", r.port, timeout=60) as s:
        s.ehlo()
        s.mail("new@contoso.com")
        s.rcpt("r999-0@example.org")
        return s.data("Subject: number 999\r\n\r\nx\r\n")[0]


def filled(r):
    """The queue of a relay that has stopped with all messages waiting."""
    r.start()
    fill(r, MESSAGES)
    stop(r)
    return r.folder / "data" / "queue.db"


def rests(r):
    """Nothing goes in a circle: the queue is asked again only by who asks."""
    before = relay_row(r)["operations"]
    for _ in range(10):
        after = relay_row(r)["operations"]
    assert after - before < 200, "the relay asks its queue all the time"


def all_that_can(sink, must):
    wait_for(lambda: set(sink()) >= must, seconds=support.PATIENCE * 2)


@pytest.mark.parametrize("name", ["sqlite_schema", "state", "lane", "recipient_due", "recipient_wait", "attempt", "ledger", "scope", "count",
                                  "park", "message/internal", "chunk/internal"])
def test_a_page_on_which_no_message_stands_costs_nothing(stuck, sink, name):  # noqa: F811
    """It is found at the start, or is of no weight: all mail leaves, new mail is taken."""
    r = stuck
    queue = filled(r)
    table, _, kind = name.partition("/")
    damage(queue, pages_of(queue, table, kind or "leaf")[0])
    sink()
    r.start()
    retry(r)
    all_that_can(sink, set(range(MESSAGES)))
    assert put(r) == 250
    all_that_can(sink, {999})
    assert {n: set(to) for n, to in sink().items() if n != 999} == {n: everybody(n) for n in range(MESSAGES)}
    wait_for(lambda: not r.waiting())
    rests(r)
    assert ("it is repaired" in r.log()) == (name not in ("ledger", "count"))
    assert r.stop() == 0


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize("name", ["message", "recipient", "chunk", "chunk/overflow"])
def test_what_stands_on_a_damaged_page_waits_and_is_named(stuck, sink, name, running):  # noqa: F811
    r = stuck
    queue = filled(r)
    on_page, ids = whole_queue(queue)
    table, _, kind = name.partition("/")
    pages = pages_of(queue, table, kind or "leaf")
    page = pages[len(pages) // 2]
    touched = {ids[i] for i in on_page[page]}
    assert 0 < len(touched) < MESSAGES / 2
    if running:
        # Of this start the page has not been read: nothing is due, and the rows in the middle are not looked at.
        r.config.write_text(r.config.read_text().replace("first: 1s, ceiling: 2s", "first: 1h, ceiling: 2h"))
        db = sqlite3.connect(queue)
        later = db.execute("SELECT max(due) FROM recipient").fetchone()[0] + 40 * 10**6
        db.execute("UPDATE recipient SET due=? WHERE due IS NOT NULL", (later,))
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        r.start()
        damage(queue, page)
        sink()
    else:
        damage(queue, page)
        sink()
        r.start()
        retry(r)
    all_that_can(sink, set(range(MESSAGES)) - touched)
    whole = {n for n in range(MESSAGES) if n not in touched}
    for n, to in sink().items():
        assert set(to) <= everybody(n) and len(to) == len(set(to)), n
        assert n not in whole or set(to) == everybody(n), n
    assert put(r) == 250
    all_that_can(sink, {999})
    # It is said, with the messages and the next step.
    wait_for(lambda: "damage_words" in relay_row(r))
    wait_for(lambda: "queue-damaged" in r.log() or "queue is damaged" in r.log())
    row = relay_row(r)
    assert 0 < row["damaged_messages"] <= len(touched)
    status = r.cli("status")
    assert "postern doctor --repair" in status and row["damaged_ids"][0] in status
    assert row["damaged_ids"][0] in r.log()
    health = r.control.parent / "health"
    wait_for(lambda: "queue_damaged 1" in health.read_text(), seconds=support.PATIENCE * 2)
    assert b"damaged" in run([POSTERN, "health", "--file", str(health)], code=2).stdout
    rests(r)
    assert r.stop() == 0
    # A repair: those that are whole behind it leave, once.
    before = {n: len(to) for n, to in sink().items()}
    doctor = run([POSTERN, "doctor", "--repair", "--config", str(r.config)], code=None)
    assert b"lost" in doctor.stdout
    r.start()
    retry(r)
    wait_for(lambda: not [w for w in r.waiting() if w["state"] == "queued"])
    for n, to in sink().items():
        assert len(to) == len(set(to)), n
        assert n in touched or n == 999 or len(to) == before[n], n


def test_where_new_mail_has_no_place_it_is_refused(stuck, sink):  # noqa: F811
    """The page of the newest messages: 250 is not said, and what stands elsewhere leaves."""
    r = stuck
    queue = filled(r)
    on_page, ids = whole_queue(queue)
    page = pages_of(queue, "message")[-1]
    touched = {ids[i] for i in on_page[page]}
    damage(queue, page)
    sink()
    r.start()
    assert put(r) == 451
    retry(r)
    all_that_can(sink, set(range(MESSAGES)) - touched)
    assert put(r) == 451
    assert not set(sink()) & touched
    assert "postern doctor --repair" in r.cli("status")
    rests(r)
    assert r.stop() == 0
    run([POSTERN, "doctor", "--repair", "--config", str(r.config)], code=None)
    r.start()
    assert put(r) == 250


def test_a_damaged_page_of_attempts_that_is_met_while_it_runs(stuck, sink):  # noqa: F811
    """No attempt can begin there: that goes in no circle, and is said. A restart repairs it, as no message stands there."""
    r = stuck
    queue = filled(r)
    db = sqlite3.connect(queue)
    # Attempts of the past, so many that they fill pages; nothing is due now.
    ids = [row[0] for row in db.execute("SELECT id FROM message ORDER BY id")]
    for i in ids:
        for number in range(100, 140):
            db.execute("INSERT INTO attempt(id, lane, at, ended_at, uncertain, relay, stage, story) "
                       "VALUES(?,1,1,1,0,'r','s',?)", (i << 12 | number, "0 0 0 0 0 0"))
    later = db.execute("SELECT max(due) FROM recipient").fetchone()[0] + 40 * 10**6
    db.execute("UPDATE recipient SET due=? WHERE due IS NOT NULL", (later,))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    pages = pages_of(queue, "attempt")
    assert len(pages) > 20
    r.start()
    for page in pages[2:-4]:
        damage(queue, page)
    sink()
    wait_for(lambda: relay_row(r).get("damaged_messages", 0) > MESSAGES // 2, seconds=support.PATIENCE * 2)
    wait_for(lambda: len(sink()) + relay_row(r)["damaged_messages"] >= MESSAGES)
    rests(r)
    assert put(r) == 250
    all_that_can(sink, {999})
    assert r.stop() == 0
    run([POSTERN, "doctor", "--repair", "--config", str(r.config)], code=None)
    r.start()
    retry(r)
    all_that_can(sink, set(range(MESSAGES)))
    assert all(len(to) == len(set(to)) for to in sink().values())
