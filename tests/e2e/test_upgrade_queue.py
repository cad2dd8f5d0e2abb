"""A queue that the version before wrote: it is brought forward at the start, or nothing of it is changed."""
import hashlib
import re
import socket
import sqlite3

import pytest

from support import POSTERN, run, wait_for
from test_disk import FREE, MIB, offer, small_disk  # noqa: F401 (a fixture)

OLD = """
DROP INDEX recipient_due;
DROP TABLE flow;
ALTER TABLE recipient RENAME COLUMN flow TO alternatives;
UPDATE recipient SET alternatives = NULL, lane = (SELECT id FROM lane WHERE key = 'submission/erp@contoso.com') WHERE state < 3;
CREATE INDEX recipient_due ON recipient(lane, due, id, cause) WHERE due IS NOT NULL;
PRAGMA user_version = 6;
"""


def edit(queue, sql):
    db = sqlite3.connect(queue)
    db.executescript(sql)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    version, = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return version


def as_format_6(queue):
    """What stood there before there were flows: mail waits for a lane."""
    db = sqlite3.connect(queue)
    db.execute("INSERT OR IGNORE INTO lane VALUES((SELECT coalesce(max(id), 0) + 1 FROM lane), 'submission/erp@contoso.com')")
    db.commit()
    db.close()
    assert edit(queue, OLD) == 6


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def old(submission):
    """A relay that has stopped, with five messages in a queue of format 6."""
    sandbox, relay = submission("--scenario", "smtp-auth-off", limits=FREE, general="min_free: 4MB")
    sandbox.settings(limits={"messages_per_minute": 100000})
    for n in range(5):
        assert offer(relay, f"m{n}").startswith("250")
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "lane" and x["state"] == "parked"])
    relay.stop()
    queue = relay.folder / "data" / "queue.db"
    as_format_6(queue)
    return sandbox, relay, queue


def leaves_once(sandbox, relay):
    relay.cli("queue", "retry", "--older", "0s")
    wait_for(lambda: sorted(m["subject"] for m in sandbox.messages()) == [f"m{n}" for n in range(5)])
    wait_for(lambda: not relay.waiting())
    assert sandbox.verdict()["duplicates"] == 0


def test_the_queue_of_the_version_before_is_brought_forward(old, folder):
    sandbox, relay, queue = old
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(folder / "notify"))
    manager.settimeout(60)
    relay.env = {"NOTIFY_SOCKET": str(folder / "notify")}
    relay.start()
    heard = []
    while "READY=1" not in heard:
        heard.append(manager.recv(1000).decode())
    manager.close()
    # It may take longer than a start is allowed to.
    assert [h for h in heard if h.startswith("EXTEND_TIMEOUT_USEC=")]
    log = relay.log()
    assert re.search(r"brought from format 6 to \d+, 5 recipients wait", log) and re.search(r"of format \d+ now", log)
    assert len(relay.waiting()) == 5
    sandbox.settings(tenant_auth=True)
    leaves_once(sandbox, relay)


def test_without_room_for_it_nothing_is_changed(small_disk, old):  # noqa: F811
    sandbox, relay, queue = old
    (queue.parent / "ballast").unlink()
    before = digest(queue)
    small_disk.fill(leave=2 * MIB)
    answer = run([POSTERN, "serve", "--config", str(relay.config)], code=75)
    words = (answer.stdout + answer.stderr).decode()
    assert re.search(r"takes 1[67]\.?\d* MB on this disk, of which \S+ [MK]B are free \(5 recipients wait\): make room", words), words
    assert digest(queue) == before
    small_disk.empty()
    sandbox.settings(tenant_auth=True)
    relay.start()
    leaves_once(sandbox, relay)


def test_a_queue_of_a_newer_version_is_left_alone(old):
    sandbox, relay, queue = old
    assert edit(queue, "PRAGMA user_version = 1000") == 1000
    before = digest(queue)
    answer = run([POSTERN, "serve", "--config", str(relay.config)], code=69)
    words = (answer.stdout + answer.stderr).decode()
    assert "is of format 1000, of a newer postern" in words and "Nothing was changed" in words and "install the newer version" in words
    assert digest(queue) == before
