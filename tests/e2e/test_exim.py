"""Exim as a client: it speaks BDAT wherever CHUNKING is offered.

Debian's exim4-daemon-light cannot be installed beside Postfix, so it is unpacked into the test's folder.
"""
import os
import socket
import subprocess

import pytest

from support import run, wait_for
from wire import Wire

# The daemon and what of its libraries is not on every Debian; nss_wrapper gives it the user it insists on.
PACKAGES = ["exim4-daemon-light", "libgnutls-dane0", "libidn12", "libnsl2", "libunbound8", "libevent-2.1-7", "libnss-wrapper"]


class Exim:
    def __init__(self, folder, port):
        self.folder = folder
        root = folder / "root"
        debs = folder / "debs"
        debs.mkdir(parents=True)
        got = subprocess.run(["apt-get", "download", "-q", *PACKAGES], cwd=debs, capture_output=True, timeout=120)
        if got.returncode != 0:
            pytest.skip(f"apt-get cannot download Exim here: {got.stderr.decode(errors='replace').strip()[-200:]}")
        for deb in debs.glob("*.deb"):
            run(["dpkg", "-x", str(deb), str(root)])
        self.binary = root / "usr/sbin/exim4"
        libraries = next(root.glob("usr/lib/*/libnss_wrapper.so")).parent
        (folder / "passwd").write_text("root:x:0:0::/:/bin/sh\nDebian-exim:x:65534:65534::/:/bin/false\n")
        (folder / "group").write_text("root:x:0:\nDebian-exim:x:65534:\n")
        for name in ("spool", "log"):
            (folder / name).mkdir()
            os.chown(folder / name, 65534, 65534)
        for p in (folder, *folder.parents):
            if str(p).startswith("/tmp/"):
                p.chmod(0o755)
        self.env = {"LD_PRELOAD": str(libraries / "libnss_wrapper.so"), "LD_LIBRARY_PATH": str(libraries),
                    "NSS_WRAPPER_PASSWD": str(folder / "passwd"), "NSS_WRAPPER_GROUP": str(folder / "group"), "PATH": "/usr/bin:/bin"}
        self.config = folder / "exim.conf"
        self.config.write_text(f"""
exim_path = {self.binary}
primary_hostname = client.example
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
log_selector = +smtp_confirmation
trusted_users = root
never_users =
keep_environment = {" : ".join(self.env)}
accept_8bitmime
begin routers
relay:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = relay
begin transports
relay:
  driver = smtp
  port = {port}
  hosts_try_chunking = *
  hosts_avoid_tls = *
begin retry
* * F,1h,1m
""")

    def exim(self, *args, text=b""):
        return run([str(self.binary), "-C", str(self.config), *args], input=text, env=self.env)

    def send(self, message: bytes, *to):
        """Queued first, then delivered by root itself, for Exim's own setuid call would lose the environment."""
        self.exim("-odq", "-i", "-f", "erp@contoso.com", *to, text=message)
        ids = [line.split()[2] for line in self.log().splitlines() if " <= " in line]
        return self.exim("-v", "-M", ids[-1]).stderr.decode(errors="replace")

    def log(self):
        return (self.folder / "log" / "mainlog").read_text()


@pytest.fixture
def exim(folder):
    if os.geteuid() != 0:
        pytest.skip("Exim changes its user: this needs root")
    return lambda port: Exim(folder / "exim", port)


def test_exim_sends_by_bdat(exim, submission):
    sandbox, relay = submission()
    client = exim(relay.port)
    body = b".leading dot\n..two\n.\n" + b"".join(b"line %d %s\n" % (i, b"x" * (i % 90)) for i in range(4000)) + b"last\n"
    said = client.send(b"From: erp@contoso.com\nTo: anna@example.org\nSubject: by bdat\n\n" + body, "anna@example.org", "bea@example.org")
    assert "BDAT " in said and "LAST" in said and "  SMTP>> DATA" not in said, said
    assert "=> anna@example.org" in client.log() and "queued as" in client.log()
    found = wait_for(lambda: sandbox.messages())
    assert sorted(found[0]["recipients"]) == ["anna@example.org", "bea@example.org"]
    raw = sandbox.raw(found[0]["number"])
    assert raw.split(b"\r\n\r\n", 1)[1] == body.replace(b"\n", b"\r\n")
    assert b"by client.example" in raw and len(sandbox.messages()) == 1


def test_exim_8bit_and_a_refused_recipient(exim, submission):
    sandbox, relay = submission(routes='  - { recipient: "*@example.org", through: sender }')
    client = exim(relay.port)
    text = "Umlaute: äöü €\n".encode()
    client.send(b"From: erp@contoso.com\nSubject: 8bit\n\n" + text, "anna@example.org", "nobody@nowhere.example")
    assert "** nobody@nowhere.example" in client.log() and "550 5.7.1" in client.log(), client.log()
    found = wait_for(lambda: [m for m in sandbox.messages() if m["subject"] == "8bit"])
    assert found[0]["recipients"] == ["anna@example.org"]
    assert sandbox.raw(found[0]["number"]).endswith(b"\r\n\r\n" + text.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("peer", ["relay", "sandbox"])
def test_client_that_shuts_its_side_before_the_answers(submission, peer):
    """As Exim does it: the last chunk and QUIT in one go, then a shut socket, and only then it reads."""
    sandbox, relay = submission()
    body = b"Subject: half closed\r\n\r\n" + b"0123456789abcdef\r\n" * 40000
    with Wire(relay.port if peer == "relay" else sandbox.smtp) as c:
        c.hello()
        if peer == "sandbox":
            # Nobody sends there without TLS and a password: its answers are what counts here.
            c.send(b"NOOP\r\nMAIL FROM:<erp@contoso.com>\r\nQUIT\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            assert [c.reply()[:3] for _ in range(4)] == ["250", "530", "221", ""]
            return
        c.envelope()
        c.send(b"BDAT %d LAST\r\n" % len(body) + body + b"QUIT\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        assert c.reply().startswith("250 2.0.0 Ok: queued as")
        assert c.reply().startswith("221") and c.reply() == ""
    found = wait_for(lambda: sandbox.messages())
    assert sandbox.raw(found[0]["number"]).endswith(body.split(b"\r\n\r\n", 1)[1])


def test_client_that_shuts_its_side_within_a_message(submission):
    sandbox, relay = submission()
    with Wire(relay.port) as c:
        c.hello()
        c.envelope()
        c.must("DATA", "354")
        c.send(b"Subject: half a message\r\n\r\nand then\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        assert c.reply() == ""
    assert relay.waiting() == []
    with Wire(relay.port) as c:
        c.hello()
        c.envelope()
        assert c.data(b"Subject: whole\r\n\r\nx\r\n").startswith("250")
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["whole"])
