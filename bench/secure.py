#!/usr/bin/python3
"""TLS and a password on both sides: clients sign in at the relay, the relay signs in at the sandbox. Against Postfix with
TLS and SASL (Dovecot checks the password) in the same run.

Called by bench/run.py; by hand: bench/secure.py --build build
"""
import argparse
import base64
import hashlib
import hmac
import multiprocessing
import os
import pathlib
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

import doors
import run

USER, PASSWORD, ROUNDS = "app", "hush", 4096
SESSIONS = 20
MAILBOX = "m0@contoso.com"
BODY = (f"From: {MAILBOX}\r\nTo: b@contoso.com\r\nSubject: s\r\n\r\n" + ("y" * 78 + "\r\n") * 50 + ".\r\n").encode()


def scram_keys():
    """Salt, stored key, server key: for both the same, so that a check costs the same."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return [base64.b64encode(x).decode() for x in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]


def certificate(folder):
    """Of the relay; the clients trust it itself."""
    key, cert = folder / "relay.key", folder / "relay.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
                   check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


class Client:
    """One session: EHLO, STARTTLS, AUTH PLAIN, then messages."""

    def __init__(self, port, cafile):
        context = ssl.create_default_context(cafile=str(cafile))
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")
        self.expect(b"220")
        self.say(b"EHLO client\r\n", b"250")
        self.say(b"STARTTLS\r\n", b"220")
        self.file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.say(b"EHLO client\r\n", b"250")
        plain = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
        self.say(b"AUTH PLAIN " + plain + b"\r\n", b"235")

    def expect(self, code):
        while True:
            line = self.file.readline()
            if not line.startswith(code):
                raise SystemExit(f"bench: {line!r} instead of {code!r}")
            if line[3:4] != b"-":
                return

    def say(self, text, code):
        self.socket.sendall(text)
        self.expect(code)

    def message(self):
        self.socket.sendall(f"MAIL FROM:<{MAILBOX}>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n".encode())
        self.expect(b"250"), self.expect(b"250"), self.expect(b"354")
        self.say(BODY, b"250")

    def close(self):
        self.say(b"QUIT\r\n", b"221")
        self.socket.close()


def session(port, cafile, messages, keep):
    client = None
    for _ in range(messages):
        client = client or Client(port, cafile)
        client.message()
        if not keep:
            client.close()
            client = None
    if client:
        client.close()


def submit(port, cafile, messages, keep):
    children = [multiprocessing.Process(target=session, args=(port, cafile, messages // SESSIONS, keep)) for _ in range(SESSIONS)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        if child.exitcode:
            raise SystemExit("bench: a client failed")
    return messages // SESSIONS * SESSIONS


class Postern(run.Postern):
    def __init__(self, folder, sandbox, build, keys):
        self.port = run.free_port()
        self.cert, key = certificate(folder)
        for name, text in (("user.scram", f"SCRAM-SHA-256${ROUNDS}:{keys[0]}${keys[1]}:{keys[2]}"), ("mailbox", "sandbox")):
            (folder / name).write_text(text + "\n")
            (folder / name).chmod(0o600)
        self.start(folder, build, f"""
listeners:
  - {{ address: "127.0.0.1:{self.port}", tls: starttls, certificate: {self.cert}, key: "file:{key}", auth: required }}
users:
  - {{ name: {USER}, password: "file:{folder}/user.scram", senders: ["*@contoso.com"] }}
tenants:
  - {{ name: contoso, id: 00000000-0000-0000-0000-000000000000, domains: [contoso.com] }}
mailboxes:
  - address: {MAILBOX}
    tenant: contoso
    provider: submission
    auth: password
    password: file:{folder}/mailbox
    endpoint: {{ host: localhost, port: {sandbox.smtp}, ca_file: "{sandbox.folder}/ca.pem" }}
    limits: {{ share: 100%, connections: {SESSIONS}, messages_per_minute: 0, recipients_per_day: 0 }}
routes:
  - {{ through: sender }}
""")


class Postfix(run.Postfix):
    def __init__(self, folder, sandbox, build, keys):
        self.home = folder / "dovecot"
        self.home.mkdir()
        auth = run.free_port()
        self.cert, key = certificate(folder)
        (folder / "passwords").write_text(f"[localhost]:{sandbox.smtp} {MAILBOX}:sandbox\n")
        (folder / "passwords").chmod(0o600)
        super().__init__(folder, sandbox.smtp, build, f"""
smtp_host_lookup = native
relayhost = [localhost]:{sandbox.smtp}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {self.cert}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = nexthop
smtp_tls_CAfile = {sandbox.folder}/ca.pem
smtp_tls_session_cache_database = btree:{folder}/data/smtp_scache
smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = texthash:{folder}/passwords
""")
        (self.home / "users").write_text(f"{USER}:{{SCRAM-SHA-256}}{ROUNDS},{keys[0]},{keys[1]},{keys[2]}\n")
        (self.home / "dovecot.conf").write_text(f"""
base_dir = {self.home}/run
state_dir = {self.home}/state
log_path = {self.home}/log
protocols =
ssl = no
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
auth_mechanisms = plain
passdb {{
  driver = passwd-file
  args = {self.home}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {auth}
  }}
}}
service stats {{
  chroot =
}}
service anvil {{
  chroot =
}}
""")
        self.dovecot = subprocess.Popen(["dovecot", "-F", "-c", str(self.home / "dovecot.conf")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        run.wait_port(auth)

    def stop(self):
        super().stop()
        self.dovecot.send_signal(signal.SIGTERM)
        self.dovecot.wait(20)


def relay_round(kind, build, messages, keep):
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        for part in ("sandbox", "relay"):
            (folder / part).mkdir()
        sandbox = doors.Sandbox(folder / "sandbox", build)
        relay = kind(folder / "relay", sandbox, build, scram_keys())
        try:
            begin = time.monotonic()
            count = submit(relay.port, relay.cert, messages, keep)
            while sandbox.accepted() < count:
                if time.monotonic() - begin > 180:
                    raise SystemExit(f"bench: {kind.name} delivered only {sandbox.accepted()} of {count}")
                time.sleep(0.01)
            return {"rate": count / (time.monotonic() - begin), "rss_kb": run.rss_kb(relay.pids())}
        finally:
            relay.stop()
            sandbox.stop()


def measure(build, messages, rounds, say):
    say("TLS and a password on both sides, through the sandbox:")
    say("")
    say("| mode | postern delivered | Postfix delivered | ratio | postern peak RSS |")
    say("|---|---|---|---|---|")
    for keep in (False, True):
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(relay_round(Postern, build, messages, keep))
            theirs.append(relay_round(Postfix, build, messages, keep))
        ratio = [a["rate"] / b["rate"] for a, b in zip(ours, theirs)]
        say(f"| {'kept connections' if keep else 'a connection each'} | {run.spread([a['rate'] for a in ours])} | "
            f"{run.spread([b['rate'] for b in theirs])} | {statistics.median(ratio):.1f} ({min(ratio):.1f}-{max(ratio):.1f}) | "
            f"{max(a['rss_kb'] for a in ours) / 1024:.0f} MB |")
    say("")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", type=pathlib.Path)
    parser.add_argument("--messages", default=2000, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    o = parser.parse_args()
    measure(o.build.resolve(), o.messages, o.rounds, print)


if __name__ == "__main__":
    main()
