#!/usr/bin/python3
"""Measures postern beside Postfix and beside the load tools alone, in one run, and prints the ratios.

  bench/run.py --build build [--against OTHER] [--messages 5000] [--rounds 3] [--quick] [--write]

smtp-source -> relay -> smtp-sink, 4 KiB messages, fsync on, all on loopback and on the same cores.
Absolute figures of a noisy machine mean little: read the ratios, and the ceiling measured beside them. --against names
the build folder of another commit, which takes turns with this one in the same rounds.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZE = 4096
SESSIONS = 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"bench: nothing listens on port {port}")


class Sink:
    """smtp-sink with its running count (-c) in a file."""

    def __init__(self, folder):
        self.port = free_port()
        self.counter = folder / "sink.count"
        self.file = open(self.counter, "wb")
        self.process = subprocess.Popen(
            ["smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{self.port}", "1000"], stdout=self.file, stderr=subprocess.STDOUT)
        wait_port(self.port)

    def count(self):
        """smtp-sink -c rewrites one line: "sess=.. quit=.. mesg=N" and a carriage return."""
        with open(self.counter, "rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 200))
            numbers = re.findall(rb"mesg=(\d+)\r", f.read())
        return int(numbers[-1]) if numbers else 0

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.file.close()


def source(port, messages, keep, sessions=SESSIONS, size=SIZE):
    args = ["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(size), "-f", "a@bench.example", "-t",
            "b@sink.example"]
    if keep:
        args.append("-d")
    begin = time.monotonic()
    subprocess.run([*args, f"127.0.0.1:{port}"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def rss_kb(pids, field="VmHWM"):
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        m = re.search(rf"{field}:\s+(\d+)", text)
        total += int(m.group(1)) if m else 0
    return total


class Postern:
    name = "postern"

    def start(self, folder, build, sections):
        """With a folder of its own and `sections` of the configuration."""
        self.folder, self.build, self.config = folder, build, folder / "postern.yaml"
        (folder / "maildrop").mkdir()
        self.config.write_text(f"""
data_dir: {folder}/data
maildrop: {folder}/maildrop
submit_socket: {folder}/submit.sock
control_socket: {folder}/control.sock
hostname: bench.example.com
log: {{ level: warn }}
min_free: 1MB
{sections}""")
        self.log = open(folder / "postern.log", "wb")
        self.process = subprocess.Popen([str(build / "src/cli/postern"), "serve", "--config", str(self.config)],
                                        stdout=self.log, stderr=self.log)
        wait_port(self.port)

    def __init__(self, folder, sink_port, build):
        self.port = free_port()
        self.start(folder, build, f"""
listeners:
  - {{ address: "127.0.0.1:{self.port}", no_password_from: ["127.0.0.0/8"] }}
connectors:
  - {{ name: sink, provider: smtp, host: 127.0.0.1, port: {sink_port}, tls: none, connections: 20 }}
routes:
  - {{ through: sink }}
""")

    def pids(self):
        return [self.process.pid]

    def disk_bytes(self):
        # The ballast is a fixed reserve, not the messages'.
        return sum(p.stat().st_blocks * 512 for p in (self.folder / "data").rglob("*") if p.is_file() and p.name != "ballast")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Postfix:
    name = "Postfix"

    def __init__(self, folder, sink_port, build, more=""):
        self.folder, self.port = folder, free_port()
        folder.chmod(0o755)
        for p in folder.parents:
            if str(p).startswith("/tmp/"):
                p.chmod(0o755)
        etc, spool, data = folder / "etc", folder / "spool", folder / "data"
        for p in (etc, spool, data):
            p.mkdir()
        shutil.chown(data, "postfix")
        self.spool, self.etc = spool, etc
        (etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {spool}
data_directory = {data}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.example.com
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink_port}
smtpd_relay_restrictions = permit_mynetworks, reject
maillog_file = /var/log/postfix-bench.log
{more}
""")
        master = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text()
        lines = []
        for line in master.splitlines():
            fields = line.split()
            if len(fields) >= 8 and not line.startswith(("#", " ", "\t")):
                if fields[0] == "smtp" and fields[1] == "inet":
                    fields[0] = f"127.0.0.1:{self.port}"
                elif fields[1] == "inet":
                    continue
                fields[4] = "n"
                line = " ".join(fields)
            lines.append(line)
        (etc / "master.cf").write_text("\n".join(lines) + "\n")
        done = subprocess.run(["postfix", "-c", str(etc), "start"], capture_output=True)
        if done.returncode:
            raise SystemExit(f"bench: Postfix did not start: {done.stderr.decode()}")
        wait_port(self.port)

    def pids(self):
        master = int((self.spool / "pid" / "master.pid").read_text())
        out = subprocess.run(["pgrep", "-P", str(master)], capture_output=True, text=True).stdout.split()
        return [master, *map(int, out)]

    def disk_bytes(self):
        return sum(p.stat().st_blocks * 512 for p in self.spool.rglob("*") if p.is_file())

    def stop(self):
        subprocess.run(["postfix", "-c", str(self.etc), "stop"], capture_output=True)


def relay_round(kind, build, messages, keep):
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        (folder / "relay").mkdir()
        relay = kind(folder / "relay", sink.port, build)
        try:
            base = sink.count()
            begin = time.monotonic()
            accept = source(relay.port, messages, keep)
            while sink.count() - base < messages:
                if time.monotonic() - begin > 120:
                    raise SystemExit(f"bench: {kind.name} delivered only {sink.count() - base} of {messages}")
                time.sleep(0.005)
            total = time.monotonic() - begin
            return {"accept": messages / accept, "delivered": messages / total, "rss_kb": rss_kb(relay.pids())}
        finally:
            relay.stop()
            sink.stop()


def ceiling_round(messages, keep):
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        try:
            return messages / source(sink.port, messages, keep)
        finally:
            sink.stop()


def single_client(build, messages):
    """One client on one connection while 20 connections deliver a backlog of others: p50, p99 of the 250."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        (folder / "relay").mkdir()
        relay = Postern(folder / "relay", sink.port, build)
        body = ("From: a@bench.example\r\nSubject: s\r\n\r\n" + "y" * (SIZE - 100) + "\r\n").encode()
        times = []
        try:
            sock = socket.create_connection(("127.0.0.1", relay.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            f = sock.makefile("rb")

            def reply():
                while True:
                    line = f.readline()
                    if line[3:4] != b"-":
                        return line

            reply()
            sock.sendall(b"EHLO c\r\n")
            reply()
            begin = time.monotonic()
            for _ in range(messages):
                start = time.monotonic()
                sock.sendall(b"MAIL FROM:<a@bench.example>\r\nRCPT TO:<b@sink.example>\r\nDATA\r\n")
                reply(), reply(), reply()
                sock.sendall(body + b".\r\n")
                answer = reply()
                if not answer.startswith(b"250"):
                    raise SystemExit(f"bench: {answer!r}")
                times.append(time.monotonic() - start)
            rate = messages / (time.monotonic() - begin)
            sock.close()
        finally:
            relay.stop()
            sink.stop()
    times.sort()
    return {"rate": rate, "p50_ms": times[len(times) // 2] * 1e3, "p99_ms": times[int(len(times) * 0.99)] * 1e3}


def queue_round(kind, build, messages):
    """Nothing listens upstream: disk and memory of a queue."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "relay").mkdir()
        relay = kind(folder / "relay", free_port(), build)
        try:
            before = relay.disk_bytes()
            accept = messages / source(relay.port, messages, True)
            time.sleep(2)
            return {"accept": accept, "disk_per_message": (relay.disk_bytes() - before) / messages,
                    "rss_kb": rss_kb(relay.pids(), "VmRSS")}
        finally:
            relay.stop()


def fsyncs(build, messages):
    """fsync and fdatasync calls a message, by strace, in a run of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        (folder / "relay").mkdir()
        relay = Postern(folder / "relay", sink.port, build)
        out = folder / "strace.out"
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(out), "-p",
                                   str(relay.process.pid)], stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            base = sink.count()
            source(relay.port, messages, True)
            while sink.count() - base < messages:
                time.sleep(0.02)
            time.sleep(0.3)
        finally:
            tracer.terminate()
            tracer.wait()
            relay.stop()
            sink.stop()
        return len(re.findall(r"fsync\(|fdatasync\(", out.read_text())) / messages


def delays(build, messages):
    """Accept to delivered, as the trace tells it: accepted_at to finished_at."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        sink = Sink(folder)
        (folder / "relay").mkdir()
        relay = Postern(folder / "relay", sink.port, build)
        try:
            base = sink.count()
            source(relay.port, messages, True)
            while sink.count() - base < messages:
                time.sleep(0.02)
            time.sleep(0.5)
            out = subprocess.run([str(build / "src/cli/postern"), "trace", "--json", "--config", str(relay.config)],
                                 capture_output=True, check=True).stdout
        finally:
            relay.stop()
            sink.stop()
    spans = []
    for line in out.splitlines():
        row = json.loads(line)
        if row.get("finished_at"):
            begin, end = (datetime.datetime.fromisoformat(row[k].replace("Z", "+00:00")) for k in ("accepted_at", "finished_at"))
            spans.append((end - begin).total_seconds() * 1e3)
    spans.sort()
    return {"p50_ms": spans[len(spans) // 2], "p99_ms": spans[int(len(spans) * 0.99)]} if spans else {}


def ratios(ours, theirs):
    each = [a / b for a, b in zip(ours, theirs)]
    return f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"


def against(build, other, messages, rounds, say):
    """This build and another one, in turns; each begins every second round."""
    say(f"| this build to {other} | accepted | delivered | peak RSS |")
    say("|---|---|---|---|")
    for keep in (False, True):
        got = {build: [], other: []}
        for n in range(rounds):
            for which in (build, other) if n % 2 == 0 else (other, build):
                got[which].append(relay_round(Postern, which, messages, keep))
        columns = [ratios([a[k] for a in got[build]], [b[k] for b in got[other]]) for k in ("accept", "delivered", "rss_kb")]
        say(f"| {'kept connections' if keep else 'a connection each'} | {' | '.join(columns)} |")
    say("")


def spread(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def choices(build):
    return [json.loads(subprocess.run([build / "bench/bench_choice", str(n)], capture_output=True, check=True).stdout)
            for n in (10, 100, 1000, 10000)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--against", type=pathlib.Path, help="build folder of another commit: only the ratios to it")
    parser.add_argument("--messages", default=5000, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--queue", default=100000, type=int)
    parser.add_argument("--quick", action="store_true", help="1 round, 1000 messages, 5000 queued")
    parser.add_argument("--only", choices=["rate", "single", "queue", "fsync", "delay", "doors", "secure", "many", "choice", "waiting"])
    parser.add_argument("--mailboxes", default=10000, type=int, help="of the start with many")
    parser.add_argument("--write", action="store_true", help="append to bench/RESULTS.md")
    o = parser.parse_args()
    build = o.build.resolve()
    if o.quick:
        o.messages, o.rounds, o.queue = 1000, 1, 5000
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    lines = [f"## {datetime.date.today()}, commit {commit}", "",
             f"{os.cpu_count()} cores shared by load tools and relay; {o.messages} messages of {SIZE} bytes, {SESSIONS} sessions, "
             f"{o.rounds} rounds: median (min-max).", ""]

    def say(text):
        print(text, flush=True)
        lines.append(text)

    if o.against:
        o.only = "against"
        against(build, o.against.resolve(), o.messages, o.rounds, say)
    if o.only in (None, "rate"):
        say("| mode | ceiling msg/s | postern accept | postern delivered | Postfix delivered | ratio delivered | postern peak RSS |")
        say("|---|---|---|---|---|---|---|")
        for keep in (False, True):
            top, ours, theirs = [], [], []
            for _ in range(o.rounds):
                top.append(ceiling_round(o.messages, keep))
                ours.append(relay_round(Postern, build, o.messages, keep))
                theirs.append(relay_round(Postfix, build, o.messages, keep))
            ratio = [a["delivered"] / b["delivered"] for a, b in zip(ours, theirs)]
            say(f"| {'kept connections' if keep else 'a connection each'} | {spread(top)} | {spread([a['accept'] for a in ours])} | "
                f"{spread([a['delivered'] for a in ours])} | {spread([b['delivered'] for b in theirs])} | "
                f"{statistics.median(ratio):.1f} ({min(ratio):.1f}-{max(ratio):.1f}) | "
                f"{max(a['rss_kb'] for a in ours) / 1024:.0f} MB |")
        say("")
    if o.only in (None, "single"):
        one = single_client(build, o.messages)
        say(f"Single client, one connection, deliveries running: {one['rate']:,.0f} accepted a second, "
            f"p50 {one['p50_ms']:.2f} ms, p99 {one['p99_ms']:.2f} ms.")
    if o.only in (None, "queue"):
        ours = queue_round(Postern, build, o.queue)
        theirs = queue_round(Postfix, build, min(o.queue, 5000))
        say(f"Upstream down, {o.queue} queued: {ours['accept']:,.0f} accepted a second, "
            f"{ours['disk_per_message']:,.0f} bytes of disk a message (Postfix {theirs['disk_per_message']:,.0f}), "
            f"RSS {ours['rss_kb'] / 1024:.0f} MB.")
    if o.only in (None, "fsync"):
        say(f"fsync and fdatasync a message (20 sessions, connections kept): {fsyncs(build, min(o.messages, 2000)):.2f}.")
    if o.only in (None, "delay"):
        d = delays(build, o.messages)
        say(f"Accept to delivered: p50 {d.get('p50_ms', 0):.1f} ms, p99 {d.get('p99_ms', 0):.1f} ms.")
    if o.only in (None, "doors"):
        import doors  # it uses this file
        import ledger
        doors.measure(build, 4 * o.messages, o.rounds, o.mailboxes, say)
        ledger.measure(build, 1000, 2000, o.rounds, say)
    if o.only in (None, "secure"):
        import secure  # it uses this file

        secure.measure(build, o.messages // 5, o.rounds, say)
    if o.only in (None, "many"):
        import many  # it uses this file
        many.measure(build, 1000 if o.quick else o.mailboxes, say)
    if o.only in (None, "choice"):
        say("A choice of the engine (room by all limits, pick, slots, end), of mailboxes by chance: " + ", ".join(
            f"{c['ns_a_choice'] / 1000:.2f} us with {c['mailboxes']:,} mailboxes" for c in choices(build)) + ".")
    if o.only == "waiting":  # long: ten minutes and a gigabyte
        import waiting  # it uses this file

        waiting.measure(build, waiting.GROWTH[:2] if o.quick else waiting.GROWTH, say)
    if o.write:
        path = ROOT / "bench" / "RESULTS.md"
        old = path.read_text() if path.exists() else "# What was measured\n\nBy `make bench`; newest last.\n"
        path.write_text(old.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
