#!/usr/bin/python3
"""What signing in with a token costs beside a password, in one run; and a start with 10,000 mailboxes.

The same relay, the same sandbox in Microsoft's place, the same messages; only `auth:` differs. Called by
bench/run.py; by hand: bench/doors.py --build build
"""
import argparse
import json
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

import run

LANES = 20
APP = "11111111-1111-1111-1111-111111111111"


class Sandbox:
    """A Microsoft 365 without limits, so that only the relay's work is measured."""

    def __init__(self, folder, build):
        self.smtp, self.http, self.https = run.free_port(), run.free_port(), run.free_port()
        self.folder = folder
        self.events = folder / "events.jsonl"
        self.log = open(folder / "sandbox.log", "wb")
        self.process = subprocess.Popen(
            [str(build / "src/cli/postern"), "sandbox", "--smtp", f"127.0.0.1:{self.smtp}", "--http", f"127.0.0.1:{self.http}",
             "--https", f"127.0.0.1:{self.https}", "--folder", str(folder), "--events", str(self.events), "--keep", "1MB"],
            stdout=self.log, stderr=self.log)
        run.wait_port(self.http)
        self.call("PUT", "/settings", {"limits": {"messages_per_minute": 0, "recipients_per_day": 0, "connections": 0}})

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def accepted(self):
        return self.call("GET", "/verdict")["accepted"]

    def tokens(self):
        return sum('"token' in line for line in self.events.read_text().splitlines())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.log.close()


POOL = """  - {{ name: p{0}, mailboxes: ["*{0}@contoso.com"] }}
"""
POOL_ROUTE = """  - {{ sender: "*{0}@contoso.com", through: p{0} }}
"""


class Relay(run.Postern):
    """`mailboxes` are addresses; they sign in by `auth`, and send so much a minute (0: as much as they can). `pools`: ten, by the last
    digit of the name."""

    def __init__(self, folder, sandbox, build, mailboxes, auth, minute=0, pools=False):
        self.port = run.free_port()
        secret = folder / "secret"
        secret.write_text("sandbox\n")
        secret.chmod(0o600)
        # The password's file is one for all.
        rows = [f"address,tenant,provider,auth{',password' if auth == 'password' else ''},host,port,ca_file,share,connections,messages_per_minute,recipients_per_day"]
        for address in mailboxes:
            rows.append(f"{address},contoso,submission,{auth}{f',file:{secret}' if auth == 'password' else ''},"
                        f"localhost,{sandbox.smtp},{sandbox.folder}/ca.pem,100%,2,{minute},0")
        (folder / "mailboxes.csv").write_text("\n".join(rows) + "\n")
        self.begin = time.monotonic()
        self.start(folder, build, f"""
listeners:
  - {{ address: "127.0.0.1:{self.port}", no_password_from: ["127.0.0.0/8"] }}
tenants:
  - name: contoso
    id: 00000000-0000-0000-0000-000000000000
    domains: [contoso.com]
    app: {{ client_id: "{APP}", secret: "file:{secret}" }}
    endpoints: {{ login: "https://localhost:{sandbox.https}", ca_file: {sandbox.folder}/ca.pem }}
mailboxes_from: {folder}/mailboxes.csv
{"pools:" if pools else ""}
{"".join(POOL.format(n) for n in range(10)) if pools else ""}
routes:
{"".join(POOL_ROUTE.format(n) for n in range(10)) if pools else "  - { through: sender }"}
""")
        self.started = time.monotonic() - self.begin


def submit(port, senders, messages):
    """All senders at once, one smtp-source each."""
    each = messages // len(senders)
    children = [subprocess.Popen(["smtp-source", "-s", "2", "-m", str(each), "-l", "4096", "-d", "-f", s, "-t", "b@contoso.com",
                                  f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL) for s in senders]
    for child in children:
        if child.wait():
            raise SystemExit("bench: smtp-source failed")
    return each * len(senders)


def lane_round(build, auth, messages):
    senders = [f"m{i}@contoso.com" for i in range(LANES)]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "sandbox").mkdir()
        (folder / "relay").mkdir()
        sandbox = Sandbox(folder / "sandbox", build)
        relay = Relay(folder / "relay", sandbox, build, senders, auth)
        try:
            begin = time.monotonic()
            count = submit(relay.port, senders, messages)
            while sandbox.accepted() < count:
                if time.monotonic() - begin > 180:
                    raise SystemExit(f"bench: {auth}: only {sandbox.accepted()} of {count} arrived")
                time.sleep(0.02)
            return {"rate": count / (time.monotonic() - begin), "rss_kb": run.rss_kb(relay.pids())}
        finally:
            relay.stop()
            sandbox.stop()


def start_round(build, count):
    """A start with `count` mailboxes that sign in with tokens, of which five have mail."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        (folder / "sandbox").mkdir()
        (folder / "relay").mkdir()
        sandbox = Sandbox(folder / "sandbox", build)
        relay = Relay(folder / "relay", sandbox, build, [f"m{i}@contoso.com" for i in range(count)], "app")
        try:
            time.sleep(1)
            before = sandbox.tokens()
            sent = submit(relay.port, [f"m{i * (count // 5)}@contoso.com" for i in range(5)], 10)
            while sandbox.accepted() < sent:
                time.sleep(0.02)
            return {"started": relay.started, "tokens_at_start": before, "tokens": sandbox.tokens(),
                    "rss_kb": run.rss_kb(relay.pids())}
        finally:
            relay.stop()
            sandbox.stop()


def measure(build, messages, rounds, mailboxes, say):
    passwords, tokens = [], []
    for _ in range(rounds):
        passwords.append(lane_round(build, "password", messages))
        tokens.append(lane_round(build, "app", messages))
    ratio = [a["rate"] / b["rate"] for a, b in zip(tokens, passwords)]
    say(f"{LANES} lanes through the sandbox, delivered a second: password {run.spread([p['rate'] for p in passwords])}, "
        f"token {run.spread([t['rate'] for t in tokens])}, ratio token to password {statistics.median(ratio):.2f} "
        f"({min(ratio):.2f}-{max(ratio):.2f}).")
    start = start_round(build, mailboxes)
    say(f"Start with {mailboxes:,} mailboxes that sign in with tokens: {start['started']:.2f} s until it listens, "
        f"{start['tokens_at_start']} token requests before any mail, {start['tokens']} after mail from five of them, "
        f"RSS {start['rss_kb'] / 1024:.0f} MB.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--messages", default=4000, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--mailboxes", default=10000, type=int)
    o = parser.parse_args()
    measure(o.build.resolve(), o.messages, o.rounds, o.mailboxes, print)


if __name__ == "__main__":
    main()
