#!/usr/bin/python3
"""How long a client waits while an administrator asks about many mailboxes, or reloads.

A relay with so many lanes, each with mail that waits for a host that is not there. For each request: its time, the
longest wait of a client that says NOOP meanwhile, and how many turns of the relay's loop took longer than 5, 10, ... ms
(loop_turns_over_ms of `postern status --json`). Called by bench/run.py; by hand: bench/many.py --build build
"""
import argparse
import json
import pathlib
import socket
import tempfile
import threading
import time

import run

REQUESTS = [("status", {"do": "status"}), ("status --json", {"do": "status", "lanes": True}),
            ("mailboxes", {"do": "mailboxes"}), ("queue list", {"do": "list"}), ("reload", {"do": "reload"})]


class Many(run.Postern):
    """Mailboxes at a host that is not there; each sends as itself, so that each gets mail and is alive."""

    def __init__(self, folder, build, lanes):
        nobody = run.free_port()
        self.port = run.free_port()
        secret = folder / "secret"
        secret.write_text("bench\n")
        secret.chmod(0o600)
        rows = ["address,tenant,provider,auth,password,host,port"]
        rows += [f"m{i}@contoso.com,contoso,submission,password,file:{secret},127.0.0.1,{nobody}" for i in range(lanes)]
        (folder / "mailboxes.csv").write_text("\n".join(rows) + "\n")
        self.start(folder, build, f"""
listeners:
  - {{ address: "127.0.0.1:{self.port}", no_password_from: ["127.0.0.0/8"] }}
tenants:
  - {{ name: contoso, id: 00000000-0000-0000-0000-000000000000, domains: [contoso.com] }}
mailboxes_from: {folder}/mailboxes.csv
routes:
  - {{ through: sender }}
""")

    def ask(self, request):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.folder / "control.sock"))
            s.sendall(json.dumps(request).encode() + b"\n")
            with s.makefile("rb") as f:
                for line in f:
                    if line.startswith((b'{"end"', b'{"error"')):
                        return line
        raise SystemExit("bench: no answer on the control socket")

    def turns(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.folder / "control.sock"))
            s.sendall(b'{"do":"status"}\n')
            with s.makefile("rb") as f:
                return json.loads(f.readline())["loop_turns_over_ms"]


def fill(port, lanes):
    """One message for each lane."""
    with socket.create_connection(("127.0.0.1", port)) as s, s.makefile("rb") as f:
        def reply():
            while f.readline()[3:4] == b"-":
                pass
        reply()
        s.sendall(b"EHLO bench\r\n")
        reply()
        for i in range(lanes):
            s.sendall(b"MAIL FROM:<m%d@contoso.com>\r\nRCPT TO:<b@sink.example>\r\nDATA\r\n" % i)
            reply(), reply(), reply()
            s.sendall(b"Subject: x\r\n\r\nx\r\n.\r\n")
            reply()


class Client:
    """Says NOOP all the time; `worst` is the longest wait for its answer."""

    def __init__(self, port):
        self.port, self.worst, self.going = port, 0.0, True
        self.thread = threading.Thread(target=self.talk, daemon=True)
        self.thread.start()

    def talk(self):
        with socket.create_connection(("127.0.0.1", self.port)) as s, s.makefile("rb") as f:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            f.readline()
            while self.going:
                begin = time.monotonic()
                s.sendall(b"NOOP\r\n")
                f.readline()
                self.worst = max(self.worst, time.monotonic() - begin)
                time.sleep(0.001)

    def stop(self):
        self.going = False
        self.thread.join()


def measure(build, lanes, say):
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        (folder / "relay").mkdir()
        relay = Many(folder / "relay", build, lanes)
        try:
            fill(relay.port, lanes)
            time.sleep(10)  # the first tries are over
            client = Client(relay.port)
            say(f"| at {lanes:,} lanes | s | worst NOOP ms | longest turn of the loop |")
            say("|---|---|---|---|")
            for title, request in REQUESTS:
                before = relay.turns()
                client.worst = 0.0
                begin = time.monotonic()
                relay.ask(request)
                took, worst = time.monotonic() - begin, client.worst
                after = relay.turns()
                over = [int(ms) for ms in after if after[ms] > before[ms]]
                say(f"| {title} | {took:.2f} | {worst * 1e3:.1f} | {f'over {max(over)} ms' if over else 'at most 5 ms'} |")
            client.stop()
        finally:
            relay.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--lanes", default=10000, type=int)
    o = parser.parse_args()
    measure(o.build.resolve(), o.lanes, print)


if __name__ == "__main__":
    main()
