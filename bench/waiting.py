#!/usr/bin/python3
"""Much mail that waits for many mailboxes: a start, what a choice costs, memory. As a table that grows.

The queue is one that the relay itself has made, a message for each mailbox; its rows are multiplied, and the ledger is
filled as a day of 40 messages a mailbox does it. Then the relay starts over it and sends through the sandbox by TLS and
password, as far as each mailbox's minute allows. Called by bench/run.py (--only waiting); by hand:
bench/waiting.py --build build [--lanes 10000 --messages 1000000] [--pools]
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time

import doors
import many
import run

GROWTH = [(10, 1000), (100, 10000), (1000, 100000), (10000, 1000000)]
MINUTE = 30  # messages of a mailbox
SECONDS = 60  # from the first delivery: the minute of each mailbox, once
BUCKETS = 40
TICKS = os.sysconf("SC_CLK_TCK")


def multiply(queue, lanes, copies):
    """Older copies of what waits, and the ledger of a day."""
    db = sqlite3.connect(queue)
    low, high = db.execute("SELECT min(id), max(id) FROM message").fetchone()
    step = high - low + 1
    for k in range(1, copies):
        d = {"d": k * step, "low": low, "rows": (k * step) << 12, "first": low << 12}
        db.execute("INSERT INTO message SELECT id-:d, accepted_at-:d, expires_at, finished_at, pending, flags, chunks, size, header_size,"
                   " story_bytes, bounce_of, dsn_ret, sender, envid, message_id, subject, user, client, listener, device, NULL"
                   " FROM message WHERE id>=:low", d)
        db.execute("INSERT INTO recipient SELECT id-:rows, lane, state, due-:d, cause, attempts, uncertain, dsn_notify, address, orcpt,"
                   " last_reply, flow, rewrite_from, NULL, look FROM recipient WHERE id>=:first", d)
        db.execute("INSERT INTO chunk SELECT id-:rows, bytes, NULL FROM chunk WHERE id>=:first", d)
    db.execute("UPDATE flow SET waiting=waiting*?1, bytes=bytes*?1", (copies,))
    db.execute("UPDATE state SET messages=messages*?1, bytes=bytes*?1", (copies,))
    known = {key for key, in db.execute("SELECT key FROM scope")}
    missing = [key for key in (f"m:m{i}@contoso.com" for i in range(lanes)) if key not in known]
    # Numbers without a gap, as the relay gives them.
    db.executemany("INSERT INTO scope VALUES(?,?)", ((len(known) + i + 1, key) for i, key in enumerate(missing)))
    now = int(time.time()) // 900 * 15
    for b in range(2, BUCKETS + 2):
        db.executemany("INSERT OR IGNORE INTO ledger VALUES(?,?,1,1,0)", ((now - 15 * b, n + 1) for n in range(lanes)))
    db.commit()
    db.close()


def cpu(pid):
    """Of the loop and of the store's thread, in seconds: the two that have worked most."""
    used = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        used.append((int((task / "schedstat").read_text().split()[0]) / 1e9, int(task.name)))
    loop = next(u for u, task in used if task == pid)
    return loop, max(u for u, task in used if task != pid)


def take_us(build, data, folder):
    """What a TAKE costs the store's thread on such a queue (bench/take.c), by a copy of it."""
    shutil.copytree(data, folder)
    said = json.loads(subprocess.run([build / "bench/bench_take", folder], capture_output=True, check=True).stdout)
    shutil.rmtree(folder)
    return said["us_a_take"]


def one(build, lanes, messages, pools=False):
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        for sub in ("sandbox", "relay"):
            (folder / sub).mkdir()
        sandbox = doors.Sandbox(folder / "sandbox", build)
        addresses = [f"m{i}@contoso.com" for i in range(lanes)]
        # It answers nobody while the queue is made.
        sandbox.process.send_signal(signal.SIGSTOP)
        relay = doors.Relay(folder / "relay", sandbox, build, addresses, "password", MINUTE, pools)
        many.fill(relay.port, lanes)
        relay.stop()
        (folder / "relay/maildrop").rmdir()
        multiply(folder / "relay/data/queue.db", lanes, messages // lanes)
        take = take_us(build, folder / "relay/data", folder / "taken")
        sandbox.process.send_signal(signal.SIGCONT)
        begin = time.monotonic()
        relay = doors.Relay(folder / "relay", sandbox, build, addresses, "password", MINUTE, pools)
        try:
            while not sandbox.accepted():
                time.sleep(0.01)
            first = time.monotonic() - begin
            base, before = sandbox.accepted(), cpu(relay.process.pid)
            time.sleep(max(0, begin + first + SECONDS - time.monotonic()))
            verdict, after = sandbox.call("GET", "/verdict"), cpu(relay.process.pid)
            sent = verdict["accepted"]
            return {"first": first, "take_us": take, "sent": sent, "a_connection": sent / verdict["sessions"],
                    "loop_us": (after[0] - before[0]) / (sent - base) * 1e6, "store_us": (after[1] - before[1]) / (sent - base) * 1e6,
                    "rss_mb": run.rss_kb(relay.pids()) / 1024}
        finally:
            relay.stop()
            sandbox.stop()


def measure(build, growth, say, pools=False):
    say(f"Mail that waits behind {MINUTE} a minute for each mailbox, a day of 40 messages each in the ledger, TLS and password; {SECONDS} s "
        "of sending through the sandbox on the same cores:")
    say("")
    say("| lanes | messages that wait | start to first delivery s | sent | of what the minutes allow | messages a connection | "
        "loop us a message | store us a message | TAKE us | peak RSS MB |")
    say("|---|---|---|---|---|---|---|---|---|---|")
    for lanes, messages in growth:
        r = one(build, lanes, messages, pools)
        say(f"| {lanes:,} | {messages:,} | {r['first']:.2f} | {r['sent']:,} | {r['sent'] / min(messages, lanes * MINUTE):.0%} | "
            f"{r['a_connection']:.1f} | {r['loop_us']:.0f} | {r['store_us']:.0f} | {r['take_us']:.0f} | {r['rss_mb']:.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--lanes", type=int, help="only one row of the table")
    parser.add_argument("--messages", default=1000000, type=int)
    parser.add_argument("--pools", action="store_true", help="the mailboxes are in ten pools")
    o = parser.parse_args()
    measure(o.build.resolve(), [(o.lanes, o.messages)] if o.lanes else GROWTH, print, o.pools)


if __name__ == "__main__":
    main()
