"""`postern doctor`: files that were damaged on purpose; what is whole comes out, what is not is named and never sent."""
import json
import os
import pathlib
import pwd
import random
import re
import sqlite3
import subprocess

import pytest

import support
from support import POSTERN, free_port, run, wait_for

PAGE = 4096
MESSAGES = 240


def doctor(r, *args, code=0, **kw):
    done = subprocess.run([POSTERN, "doctor", *args, "--config", str(r.config)], capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=support.PATIENCE * 3, **kw)
    assert done.returncode == code, (done.returncode, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode()


def rows(r, *args, code=0):
    return [json.loads(line) for line in doctor(r, *args, "--json", code=code).splitlines()]


def levels(lines, part):
    return {line["level"] for line in lines if line.get("part") == part and "level" in line}


# ---- a queue of mail that cannot leave, and what stands on which of its pages ----

def body_of(n):
    # From some bytes to several pieces of 64 KiB.
    size = (n * 37) % 3000 if n % 20 else 70000 + n * 40
    return "".join(f"{n}-{i:07d}-{'x' * 60}\n" for i in range(size // 70 + 1))


def fill(r, messages=MESSAGES):
    import smtplib
    with smtplib.SMTP("127.0.0.1", r.port) as s:
        for n in range(messages):
            to = [f"r{n}-{i}@example.org" for i in range(1 + n % 3)]
            s.sendmail(f"s{n}@contoso.com", to, f"From: s{n}@contoso.com\nSubject: number {n}\n\n{body_of(n)}")


def whole_queue(path):
    """{page: {message id}} of the table rows, by SQLite's own dbstat; {id: n} by the subject."""
    db = sqlite3.connect(path)
    on_page, ids = {}, {}
    for mid, subject in db.execute("SELECT id, subject FROM message WHERE finished_at=0"):
        ids[mid] = int(subject.split()[1])
    for table, shift in (("message", 0), ("recipient", 12), ("chunk", 12)):
        rowids = iter([row[0] >> shift for row in db.execute(f"SELECT id FROM {table} ORDER BY id")])
        leaves = {}
        for path_, page, kind, cells in db.execute(
                "SELECT path, pageno, pagetype, ncell FROM dbstat WHERE name=? ORDER BY path", (table,)):
            if kind == "leaf":
                leaves[path_] = [next(rowids) for _ in range(cells)]
                on_page[page] = set(leaves[path_])
        assert next(rowids, None) is None
        for path_, page, kind in db.execute(
                "SELECT path, pageno, pagetype FROM dbstat WHERE name=? AND pagetype='overflow'", (table,)):
            # "/00a/003+000000": the fourth cell of a leaf
            leaf, cell = path_.split("+")[0].rsplit("/", 1)
            on_page[page] = {leaves[(leaf or "") + "/"][int(cell, 16)]}
    db.close()
    return on_page, ids


@pytest.fixture
def stuck(relay, folder):
    """A relay whose smarthost does not answer, with MESSAGES that wait, stopped."""
    port = free_port()
    r = relay(f"connectors:\n  - {{ name: hop, provider: smtp, host: 127.0.0.1, port: {port}, tls: none }}\n"
              "routes: [{ through: hop }]\n", general="retry: { first: 1s, ceiling: 2s }", start=False)
    r.upstream = port
    return r


def stop(r):
    r.stop()
    db = sqlite3.connect(r.folder / "data" / "queue.db")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def spoil(path, pages, dice):
    with open(path, "r+b") as f:
        for page in pages:
            f.seek((page - 1) * PAGE)
            how = dice.randrange(3)
            if how == 0:
                f.write(bytes(PAGE))
            elif how == 1:
                f.write(dice.randbytes(PAGE))
            else:
                f.seek((page - 1) * PAGE + dice.randrange(PAGE - 64))
                f.write(dice.randbytes(64))


@pytest.mark.parametrize("seed", (1, 2, 3))
def test_whatever_is_whole_comes_out(stuck, process, folder, seed):
    r, dice = stuck, random.Random(seed)
    r.start()
    fill(r)
    stop(r)
    queue = r.folder / "data" / "queue.db"
    on_page, ids = whole_queue(queue)
    assert len(ids) == MESSAGES
    pages = queue.stat().st_size // PAGE
    bad = dice.sample(range(1, pages + 1), 6 * seed)
    spoil(queue, bad, dice)
    damaged = queue.read_bytes()

    touched = set().union(*(on_page.get(page, set()) for page in bad))
    must = {ids[i] for i in ids if i not in touched}
    found = {row["id"]: row for row in rows(r, code=65) if "fate" in row}
    whole = {int(row["subject"].split()[1]): row for row in found.values() if row["fate"] == "whole"}
    assert must <= set(whole), sorted(must - set(whole))
    # A page that is only touched in its empty part costs nothing; but nobody else may be missing from the list.
    assert len(found) == MESSAGES or len(found) + len(touched) >= MESSAGES
    assert queue.read_bytes() == damaged, "looking changes nothing"

    lines = rows(r, "--repair")
    assert "repaired" in levels(lines, "queue")
    kept = [p for p in (r.folder / "data").iterdir() if p.name.startswith("damaged-")]
    assert len(kept) == 1 and (kept[0] / "queue.db").read_bytes() == damaged
    assert levels(rows(r), "queue") == {"ok"}

    sink = process(["/usr/bin/python3", str(pathlib.Path(__file__).with_name("sink_to_json.py")), str(r.upstream),
                    str(folder / "got")], "sink")
    wait_for(lambda: support.listens(r.upstream))
    r.start()
    run([POSTERN, "queue", "release", "--older", "0s", "--config", str(r.config)], code=None)
    run([POSTERN, "queue", "retry", "--older", "0s", "--config", str(r.config)], code=None)
    wait_for(lambda: not r.waiting(), seconds=support.PATIENCE * 2)
    got = {}
    for line in (folder / "got").read_text().splitlines():
        m = json.loads(line)
        n = int(m["subject"].split()[1])
        got.setdefault(n, set()).update(m["to"])
        # Byte for byte, whoever it is.
        assert m["body"] == body_of(n).replace("\n", "\r\n"), n
        assert m["from"] == f"s{n}@contoso.com"
        assert set(m["to"]) <= {f"r{n}-{i}@example.org" for i in range(1 + n % 3)}
    for n in must:
        assert got[n] == {f"r{n}-{i}@example.org" for i in range(1 + n % 3)}
    lost = {row["id"] for row in found.values() if row["fate"] == "lost"}
    assert set(got) == {int(row["subject"].split()[1]) for row in found.values() if row["id"] not in lost}
    assert sink.alive()


def test_pages_that_everything_hangs_on(stuck, process, folder):
    """The schema, the roots of trees, names, counters, the pointer map: no message stands on them."""
    r = stuck
    r.start()
    fill(r, 40)
    stop(r)
    queue = r.folder / "data" / "queue.db"
    good = queue.read_bytes()
    db = sqlite3.connect(queue)
    pages = {2}
    for name, page in db.execute("SELECT name, pageno FROM dbstat WHERE name IN ('sqlite_schema', 'lane', "
                                 "'sqlite_autoindex_lane_1', 'cause', 'state', 'recipient_due', 'recipient_wait', "
                                 "'attempt_open') OR pagetype='internal'"):
        pages.add(page)
    db.close()
    assert len(pages) >= 9
    for page in sorted(pages):
        queue.write_bytes(good)
        with queue.open("r+b") as f:
            f.seek((page - 1) * PAGE)
            f.write(b"\xff" * PAGE)
        found = [row for row in rows(r, "--repair") if "fate" in row]
        assert len(found) == 40 and {row["fate"] for row in found} == {"whole"}, page
    # All of them at once; the names of the lanes are lost, so that the mail is routed anew.
    queue.write_bytes(good)
    for page in pages:
        with queue.open("r+b") as f:
            f.seek((page - 1) * PAGE)
            f.write(bytes(PAGE))
    found = [row for row in rows(r, "--repair") if "fate" in row]
    assert len(found) == 40 and "lost" not in {row["fate"] for row in found}
    process(["/usr/bin/python3", str(pathlib.Path(__file__).with_name("sink_to_json.py")), str(r.upstream),
             str(folder / "got")], "sink")
    wait_for(lambda: support.listens(r.upstream))
    r.start()
    run([POSTERN, "queue", "release", "--older", "0s", "--config", str(r.config)], code=None)
    wait_for(lambda: not r.waiting())
    got = [json.loads(line) for line in (folder / "got").read_text().splitlines()]
    assert {int(m["subject"].split()[1]) for m in got} == set(range(40))
    for m in got:
        assert m["body"] == body_of(int(m["subject"].split()[1])).replace("\n", "\r\n")


def test_a_good_queue_stays_as_it_is(stuck):
    r = stuck
    assert "there is none yet" in doctor(r)
    r.start()
    fill(r)
    assert "the daemon runs" in doctor(r)
    assert "the daemon runs" in doctor(r, "--repair")
    assert len({row["id"] for row in r.waiting()}) == MESSAGES
    r.kill()  # what was written last is in the WAL only
    before = {p.name: p.read_bytes() for p in (r.folder / "data").iterdir()}
    assert f"{MESSAGES} messages wait, all whole" in doctor(r)
    assert f"{MESSAGES} messages wait, all whole" in doctor(r, "--repair")
    assert {p.name: p.read_bytes() for p in (r.folder / "data").iterdir()} == before
    r.start()
    assert len({row["id"] for row in r.waiting()}) == MESSAGES


def test_a_damaged_log_costs_nothing_that_is_whole(stuck):
    r = stuck
    r.start()
    fill(r, 60)  # so few that no checkpoint begins the log anew
    r.kill()
    wal = r.folder / "data" / "queue.db-wal"
    assert wal.stat().st_size > 40 * PAGE
    # SQLite would forget all that was written after this frame, 250 or not.
    with wal.open("r+b") as f:
        f.seek(32 + 5 * (PAGE + 24) + 500)
        f.write(b"damage" * 40)
    lines = rows(r, code=65)
    assert any("write-ahead log" in line.get("text", "") for line in lines)
    whole = {row["id"] for row in lines if row.get("fate") == "whole"}
    assert len(whole) >= 50
    doctor(r, "--repair")
    r.start()
    assert whole <= {row["id"] for row in r.waiting()}


def test_repair_waits_for_the_end_of_the_daemon(stuck):
    r = stuck
    r.start()
    fill(r)
    stop(r)
    queue = r.folder / "data" / "queue.db"
    on_page, _ = whole_queue(queue)
    r.start()
    with queue.open("r+b") as f:
        f.seek((max(on_page) - 1) * PAGE)
        f.write(bytes(PAGE))
    assert "systemctl stop postern" in doctor(r, "--repair", code=75)
    assert doctor(r, code=65)
    assert not list((r.folder / "data").glob("damaged-*"))


def test_the_vault(stuck, folder):
    r = stuck
    key = folder / "vault.key"
    key.write_text(os.urandom(32).hex())
    key.chmod(0o600)
    r.config.write_text(r.config.read_text() + f"vault: {{ key: 'file:{key}' }}\n")
    vault = r.folder / "data" / "vault"
    for name in ("a", "b", "c"):
        run([POSTERN, "vault", "put", name, "--config", str(r.config)], input=name.encode() * 9)
        end = vault.stat().st_size
        if name == "a":
            middle = end
    assert "3 secrets, all whole" in doctor(r)
    good = vault.read_bytes()
    with vault.open("r+b") as f:
        f.seek(middle + 70)
        f.write(b"damage")
    assert "2 secrets are whole, 1 are known to be lost" in doctor(r, code=65)
    assert "the damaged file is kept as" in doctor(r, "--repair")
    assert len(list((r.folder / "data").glob("vault.damaged-*"))) == 1
    assert "2 secrets, all whole" in doctor(r)
    listed = run([POSTERN, "vault", "list", "--config", str(r.config)]).stdout.decode()
    assert [line.split()[0] for line in listed.splitlines()] == ["a", "c"]
    # Without a header: the one before the last rewrite.
    vault.write_bytes(bytes(len(good)))
    assert "vault.1" in doctor(r, code=65)
    doctor(r, "--repair")
    assert b"a " in run([POSTERN, "vault", "list", "--config", str(r.config)]).stdout
    key.write_text(os.urandom(32).hex())
    before = vault.read_bytes()
    assert "sealed with another" in doctor(r, "--repair", code=65)
    assert vault.read_bytes() == before


def test_the_maildrop_and_the_rights(stuck):
    r = stuck
    r.start()
    r.stop()
    data = r.folder / "data"
    (r.maildrop / "1700000000000000.1.aa.msg").write_text("postern-drop 1\nsender a@b.c\n")
    (r.maildrop / "bad.1700000000000000.2.bb.msg").write_text("x")
    stale = r.maildrop / "tmp.1.cc"
    stale.write_text("half")
    os.utime(stale, (1, 1))
    queue = data / "queue.db"
    queue.chmod(0o644)
    text = doctor(r, code=65)
    assert "1700000000000000.1.aa.msg is not whole" in text and "set aside" in text
    assert "others than its owner have rights on it" in text
    doctor(r, "--repair", code=65)
    assert queue.stat().st_mode & 0o777 == 0o600 and not stale.exists()
    (r.maildrop / "1700000000000000.1.aa.msg").unlink()
    assert "ok" in doctor(r)


def test_as_somebody_else(stuck, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root becomes somebody else")
    r = stuck
    r.start()
    fill(r)
    r.stop()
    nobody = pwd.getpwnam("nobody")

    def demote():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)

    for p in [tmp_path, *tmp_path.parents]:
        if str(p).startswith("/tmp/"):
            p.chmod(p.stat().st_mode | 0o055)
    done = subprocess.run([POSTERN, "doctor", "--config", str(r.config)], capture_output=True, preexec_fn=demote,
                          timeout=support.PATIENCE)
    assert done.returncode == 77 and b"as root" in done.stderr, done
    # The daemon's own user may: everything belongs to it.
    for p in [r.folder, *r.folder.rglob("*")]:
        os.chown(p, nobody.pw_uid, nobody.pw_gid)
    done = subprocess.run([POSTERN, "doctor", "--config", str(r.config)], capture_output=True, preexec_fn=demote,
                          timeout=support.PATIENCE)
    assert done.returncode == 0 and f"{MESSAGES} messages wait".encode() in done.stdout, done
    # Root does it as that user; what root left behind is given back.
    (r.folder / "data" / "of-root").write_text("x")
    assert "does not belong to the owner" in doctor(r, code=65)
    doctor(r, "--repair")
    assert (r.folder / "data" / "of-root").stat().st_uid == nobody.pw_uid
    assert all(p.stat().st_uid == nobody.pw_uid for p in (r.folder / "data").iterdir())


def test_bad_rows_stop_no_start(stuck):
    """An attempt whose message is missing ended every start with "there is no such message"."""
    r = stuck
    r.start()
    fill(r)
    stop(r)
    db = sqlite3.connect(r.folder / "data" / "queue.db")
    db.execute("INSERT INTO attempt(id, lane, at, story) VALUES((77<<12)|1, 1, 5, '0 1')")
    db.commit()
    db.close()
    assert "cannot be sent" in doctor(r, code=65)
    r.start()
    assert len({row["id"] for row in r.waiting()}) == MESSAGES
    wait_for(lambda: "postern doctor" in r.log())


def test_a_large_queue_shows_progress(stuck):
    r = stuck
    r.start()
    run(["swaks", "--server", f"127.0.0.1:{r.port}", "--from", "a@contoso.com", "--to", "b@example.org", "--body", "-"],
        input=(b"x" * 70 + b"\n") * 150000)
    r.stop()
    done = run([POSTERN, "doctor", "--config", str(r.config)])
    lines = done.stderr.decode().splitlines()
    assert len(lines) >= 3 and lines[-1].startswith("looking at the queue: "), lines
    assert "1 messages wait, all whole" in done.stdout.decode()
    # A terminal has one line, written again and again, and gone in the end.
    out = support.at_a_terminal([POSTERN, "doctor", "--config", str(r.config)], {"TERM": "dumb"})
    assert out.count(b"\r\x1b[Klooking at the queue: ") >= 3 and b"\\x" not in out, out
    assert re.search(rb" pages\r\x1b\[K[^\r]*ok ", out), out
    # A queue that does not open names the way out.
    with (r.folder / "data" / "queue.db").open("r+b") as f:
        f.write(b"no database at all")
    process = support.Process([POSTERN, "serve", "--config", str(r.config)], r.folder / "serve-9.log")
    wait_for(lambda: not process.alive())
    assert "postern doctor" in process.text()
    doctor(r, "--repair")
    r.start()
    assert len(r.waiting()) == 1


def test_usage(stuck):
    assert "exit codes" in run([POSTERN, "doctor", "--help"]).stdout.decode()
    doctor(stuck, "operand", code=64)
    assert "--repair" in run([POSTERN, "doctor", "--list-options"]).stdout.decode()
