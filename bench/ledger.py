#!/usr/bin/python3
"""What a full day in the ledger costs: on disk, and at a start.

The queue is one that the relay itself has made; its ledger is filled as a day does it, bucket by bucket. Called by
bench/run.py; by hand: bench/ledger.py --build build
"""
import argparse
import os
import pathlib
import random
import sqlite3
import statistics
import tempfile
import time

import doors
import run

BUCKETS = 96  # of fifteen minutes
TICKS = os.sysconf("SC_CLK_TCK")


def fill(queue, mailboxes, messages):
    """Each mailbox has sent `messages` in the day that ends now, to one recipient each."""
    db = sqlite3.connect(queue)
    now = int(time.time()) // 900 * 15 + 15
    db.executemany("INSERT INTO scope VALUES(?,?)", ((i + 1, f"m:m{i}@contoso.com") for i in range(mailboxes)))
    for bucket in range(now - 15 * (BUCKETS - 1), now + 1, 15):
        scopes = random.sample(range(1, mailboxes + 1), mailboxes)
        n = messages // BUCKETS
        db.executemany("INSERT INTO ledger VALUES(?,?,?,?,0)", ((bucket, s, n, n) for s in scopes))
    db.commit()
    db.close()


class Sandbox:
    """Nothing is sent: only its names are needed."""

    def __init__(self, folder):
        self.folder, self.smtp, self.https = folder, 9, 9
        (folder / "ca.pem").write_text(pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text())


def start(folder, sandbox, build, addresses):
    """Until every window is there: CPU, peak memory."""
    relay = doors.Relay(folder, sandbox, build, addresses, "password")
    time.sleep(1)
    stat = pathlib.Path(f"/proc/{relay.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    peak = run.rss_kb([relay.process.pid])
    relay.stop()
    for name in ("maildrop",):
        (folder / name).rmdir()
    return (int(stat[11]) + int(stat[12])) * 1000 / TICKS, peak


def measure(build, mailboxes, messages, rounds, say):
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        (folder / "relay").mkdir()
        sandbox = Sandbox(folder)
        addresses = [f"m{i}@contoso.com" for i in range(mailboxes)]
        queue = folder / "relay/data/queue.db"
        empty = [start(folder / "relay", sandbox, build, addresses) for _ in range(rounds)]
        before = queue.stat().st_size
        fill(queue, mailboxes, messages)
        after = queue.stat().st_size
        full = [start(folder / "relay", sandbox, build, addresses) for _ in range(rounds)]
    say(f"A day of {mailboxes:,} mailboxes x {messages:,} messages in the ledger: {(after - before) / 1e6:.1f} MB on disk; a start takes "
        f"{min(f[0] for f in full):.0f} ms of CPU (with an empty ledger {min(e[0] for e in empty):.0f}), "
        f"peak RSS {statistics.median(f[1] for f in full) / 1024:.0f} MB ({statistics.median(e[1] for e in empty) / 1024:.0f}).")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--mailboxes", default=1000, type=int)
    parser.add_argument("--messages", default=2000, type=int)
    parser.add_argument("--rounds", default=5, type=int)
    o = parser.parse_args()
    measure(o.build.resolve(), o.mailboxes, o.messages, o.rounds, print)


if __name__ == "__main__":
    main()
