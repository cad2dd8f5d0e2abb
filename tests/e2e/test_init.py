"""`postern init`: asks little, finds out the rest, never replaces a file unasked, and writes what `check` accepts."""
import base64
import os
import pathlib
import pty
import select
import socket
import struct
import subprocess

import pytest

import entra
import support
from name_server import NameServer, name, text
from support import PATIENCE, run


def init(folder, *args, code=0, stdin=b""):
    return run([support.POSTERN, "init", "--output", str(folder / "postern.yaml"), *args], code=code, input=stdin).stdout.decode()


def check(folder):
    return run([support.POSTERN, "check", "--config", str(folder / "postern.yaml")]).stdout.decode()


@pytest.fixture
def names():
    server = NameServer({
        ("contoso.com", 15): [struct.pack(">H", 0) + name("contoso-com.mail.protection.outlook.com")],
        ("spf.protection.outlook.com", 16): [text("v=spf1 ip4:192.0.2.0/24 -all")],
        ("contoso.com", 16): [text("MS=ms1"), text("v=spf1 include:spf.protection.outlook.com -all")],
        ("localhost", 1): [b"\x7f\0\0\1"],
    })
    yield server
    server.close()


@pytest.mark.parametrize("door", ["submission", "hve", "connector", "graph"])
def test_every_door_is_accepted(folder, door):
    shown = init(folder, "--yes", "--offline", "--domain", "Contoso.COM", "--door", door, "--sender", "erp,crm@contoso.com")
    assert "\nok: " in shown and "error" not in shown
    text = (folder / "postern.yaml").read_text()
    assert "domains: [contoso.com]" in text
    assert ("provider: " + door) in text
    assert ("crm@contoso.com" in text) == (door != "connector")
    script = run([support.POSTERN, "setup", "powershell", "--config", str(folder / "postern.yaml")]).stdout.decode()
    assert ("New-MgApplication" in script) == (door != "connector")


def test_what_the_network_knows(folder, sandbox, names):
    s = sandbox()
    shown = init(folder, "--yes", "--domain", "contoso.com", "--sender", "erp", "--login", f"https://localhost:{s.https}",
                 "--ca-file", str(s.ca), "--dns", names.where)
    assert "contoso-com.mail.protection.outlook.com" in shown
    assert "v=spf1 include:spf.protection.outlook.com -all" in shown and "SPF record" not in shown
    assert entra.TENANT in shown
    text = (folder / "postern.yaml").read_text()
    assert f"id: {entra.TENANT}" in text and f'login: "https://localhost:{s.https}"' in text


def test_without_a_network(folder):
    """A name server that is not there, and a sign-in service that is not, either."""
    port = support.free_port()
    shown = init(folder, "--yes", "--domain", "contoso.com", "--sender", "erp", "--login", f"https://127.0.0.1:{port}",
                 "--dns", f"127.0.0.1:{port}")
    assert all(f"{n:7} could not be looked up: " in shown for n in ("tenant", "MX", "SPF")) and "\nok: " in shown and "not found" not in shown
    assert "id: contoso.com" in (folder / "postern.yaml").read_text()
    # Nobody has looked: to publish another record would break the mail of the domain.
    assert "publish an SPF record" not in shown and "never publish a second one" in shown
    assert "Microsoft knows no tenant" not in shown


class Terminal:
    def __init__(self, *args):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([support.POSTERN, "init", *args], stdin=slave, stdout=slave, stderr=slave, close_fds=True,
                                        env={**os.environ, "NO_COLOR": "1"})
        os.close(slave)
        self.seen = ""

    def until(self, words):
        while words not in self.seen:
            ready, _, _ = select.select([self.master], [], [], PATIENCE)
            assert ready, self.seen
            try:
                part = os.read(self.master, 4096)
            except OSError:
                part = b""
            assert part, self.seen
            self.seen += part.decode().replace("\r\n", "\n")
        before, self.seen = self.seen.split(words, 1)
        return before

    def say(self, line):
        os.write(self.master, line.encode() + b"\n")

    def end(self):
        code = self.process.wait(PATIENCE)
        os.close(self.master)
        return code


def test_questions(folder):
    (folder / "postern.yaml").write_text("mine\n")
    t = Terminal("--offline", "--output", str(folder / "postern.yaml"))
    t.until("Replace it? yes or no [no]: ")
    assert (folder / "postern.yaml").read_text() == "mine\n"
    t.say("yes")
    t.until("Your mail domain: ")
    t.say("contoso")
    t.until("Not a domain name. Example: contoso.com")
    t.until("Your mail domain: ")
    t.say(" Contoso.com ")
    doors = t.until("Door [1]: ")
    assert "docs/doors.md" in doors and all(f"{i}  {d}\n" in doors for i, d in enumerate(["submission", "hve", "connector", "graph"], 1))
    assert all(len(line) <= 125 for line in doors.splitlines())
    t.say("5")
    t.until("Door [1]: ")
    t.say("graph")
    t.until("[relay@contoso.com]: ")
    t.say("a b")
    t.until("[relay@contoso.com]: ")
    t.say("")
    t.until("Who reads mail to root")
    t.until(": ")
    t.say("a b")
    t.until("One address")
    t.until(": ")
    t.say("it")
    t.until("\nok: ")
    assert t.end() == 0
    written = (folder / "postern.yaml").read_text()
    assert 'address: "relay@contoso.com"' in written and "provider: graph" in written
    assert 'aliases: { root: "it@contoso.com" }' in written


def test_what_ends_it_is_asked_first(folder):
    (folder / "postern.yaml").write_text("mine\n")
    t = Terminal("--offline", "--output", str(folder / "postern.yaml"))
    t.until("Replace it? yes or no [no]: ")
    t.say("")
    assert t.end() == 73 and (folder / "postern.yaml").read_text() == "mine\n"


@pytest.mark.parametrize("written, domain, said", [
    ("erp@contoso.com", "contoso.com", "The domain is contoso.com."),
    ("https://www.contoso.com/about?x=1", "contoso.com", "The domain is contoso.com."),
    ("müller.de", "xn--mller-kva.de", "müller.de is xn--mller-kva.de in mail and DNS."),
    ("anna@müller.de", "xn--mller-kva.de", "The domain is xn--mller-kva.de."),
])
def test_a_domain_as_people_write_it(folder, written, domain, said):
    shown = init(folder, "--yes", "--offline", "--domain", written, "--sender", "erp")
    assert said in shown and "\nok: " in shown
    text = (folder / "postern.yaml").read_text()
    assert f"domains: [{domain}]" in text and f'address: "erp@{domain}"' in text


def test_an_address_for_a_domain_is_the_first_sender(folder):
    t = Terminal("--offline", "--door", "1", "--output", str(folder / "postern.yaml"))
    t.until("Your mail domain: ")
    t.say("ERP@Contoso.com")
    t.until("[erp@contoso.com]: ")
    t.say("")
    t.until("Who reads mail to root")
    t.until(": ")
    t.say("")
    seen = t.until("\nok: ")
    assert t.end() == 0 and "nobody was named who reads root's mail" in seen
    assert '# aliases: { root: "it@contoso.com" }' in (folder / "postern.yaml").read_text()


def sample():
    root = pathlib.Path(__file__).resolve().parents[2]
    return next(p for p in (root / "packaging" / "postern.yaml", root / "packaging" / "examples" / "postern.yaml",
                            root / "docs" / "examples" / "postern.yaml") if p.exists())


def test_the_sample_counts_as_absent(folder):
    """As it came it is nobody's: replaced without a question. One value of somebody's makes it his."""
    path = folder / "postern.yaml"
    path.write_text(sample().read_text())
    shown = init(folder, "--yes", "--offline", "--domain", "contoso.com", "--sender", "erp")
    assert "is the sample of the package: it is replaced" in shown and "erp@contoso.com" in path.read_text()
    path.write_text(sample().read_text().replace("example.com", "contoso.com"))
    init(folder, "--yes", "--offline", "--domain", "contoso.com", "--sender", "erp", code=73)
    path.write_text("")
    init(folder, "--yes", "--offline", "--domain", "contoso.com", "--sender", "erp", code=73)


def test_the_file_keeps_owner_group_and_mode(folder):
    path = folder / "postern.yaml"
    path.write_text(sample().read_text())
    path.chmod(0o640)
    group = next((g for g in [65534, *os.getgroups()] if g != os.getegid()), None)
    owner = 1 if os.geteuid() == 0 else os.geteuid()
    if group is None:
        pytest.skip("this user is in one group only")
    os.chown(path, owner, group)
    init(folder, "--yes", "--offline", "--domain", "contoso.com", "--sender", "erp")
    st = path.stat()
    assert (st.st_uid, st.st_gid, st.st_mode & 0o777) == (owner, group, 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to a group")
def test_new_files_belong_to_the_daemons_group(folder):
    """In a mount namespace, with a group called postern: root:postern 0640, secrets of users likewise."""
    (folder / "group").write_text(pathlib.Path("/etc/group").read_text().rstrip("\n") + "\npostern:x:54321:\n")
    (folder / "r.csv").write_text(REPORT)
    inside = [support.POSTERN, "init", "--yes", "--offline", "--from-report", str(folder / "r.csv"), "--output", str(folder / "postern.yaml")]
    done = subprocess.run(["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/group && exec "$@"', str(folder / "group"), *inside],
                          capture_output=True, timeout=PATIENCE)
    if done.returncode == 1 and b"unshare" in done.stderr:
        pytest.skip("no mount namespace here: " + done.stderr.decode())
    assert done.returncode == 0, done
    for path, mode in ((folder / "postern.yaml", 0o640), (folder / "users" / "scan@contoso.com.scram", 0o640), (folder / "users", 0o750)):
        st = path.stat()
        assert (st.st_uid, st.st_gid, st.st_mode & 0o777) == (0, 54321, mode), (path, st)
    sheet = (folder / "devices" / "scan@contoso.com.md").stat()
    assert (sheet.st_gid, sheet.st_mode & 0o777) == (0, 0o600)


def test_two_spf_records_are_said(folder, sandbox):
    server = NameServer({("contoso.com", 16): [text("v=spf1 -all"), text("v=spf1 mx -all"), text("v=spf10 x")],
                         ("spf.protection.outlook.com", 16): [text("v=spf1 ip4:192.0.2.0/24 -all")]})
    try:
        shown = init(folder, "--yes", "--domain", "contoso.com", "--sender", "erp", "--login", f"https://127.0.0.1:{support.free_port()}",
                     "--dns", server.where)
    finally:
        server.close()
    shown = " ".join(shown.split())
    assert "several records are none (permerror): they become one. The one SPF record of contoso.com should be: " \
        "v=spf1 include:spf.protection.outlook.com mx -all (`postern domain plan contoso.com` shows" in shown
    assert "MX not found: there is none" in shown
    assert "tenant could not be looked up: " in shown


def test_a_report_of_several_domains(folder):
    (folder / "r.csv").write_text("Date,Sender address,Authentication Protocol,TLS Version,Message count\n"
                                  "2026-11-01,scan@contoso.com,Basic Authentication,TLS1.2,17\n"
                                  "2026-11-01,scan@fabrikam.com,Basic Authentication,TLS1.2,17\n"
                                  "2026-11-01,app@contoso.onmicrosoft.com,Modern Authentication,TLS1.3,5\n")
    shown = init(folder, "--yes", "--offline", "--from-report", str(folder / "r.csv"))
    assert "domains: [contoso.com, fabrikam.com, contoso.onmicrosoft.com]" in (folder / "postern.yaml").read_text()
    assert "no route" not in shown and "internal" not in shown, shown


def test_nothing_is_replaced_unasked(folder):
    (folder / "postern.yaml").write_text("mine\n")
    init(folder, "--yes", "--offline", "--domain", "contoso.com", "--sender", "erp", code=73)
    init(folder, "--offline", "--domain", "contoso.com", "--door", "1", "--sender", "erp", code=73, stdin=b"\n")
    init(folder, "--offline", "--domain", "contoso.com", "--door", "1", "--sender", "erp", code=66)
    assert (folder / "postern.yaml").read_text() == "mine\n"


@pytest.mark.parametrize("args", [
    ("--domain", "contoso", "--sender", "erp"),
    ("--domain", "contoso.com\nx: y", "--sender", "erp"),
    ("--domain", "contoso.com", "--sender", 'a"b@contoso.com'),
    ("--domain", "contoso.com", "--sender", "*"),
    ("--domain", "contoso.com"),
    ("--domain", "contoso.com", "--sender", "erp", "--door", "window"),
    ("--domain", "contoso.com", "--sender", "erp", "--login", "http://login.example"),
    ("--domain", "contoso.com", "--sender", "erp", "--cloud", "google"),
])
def test_wrong_values(folder, args):
    init(folder, "--yes", "--offline", *args, code=64)
    assert not (folder / "postern.yaml").exists()


REPORT = ("Date,Sender address,Authentication Protocol,TLS Version,Message count\r\n"
          "2026-11-01,Scan@Contoso.com,Basic auth,TLS 1.0,17\r\n"
          "2026-11-02,\"o'neil@contoso.com\",OAuth,TLS 1.2,4\r\n"
          "2026-11-02,scan@contoso.com,Basic auth,TLS 1.2,3\r\n"
          "2026-11-02,,,,\r\n")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_report(folder, encoding):
    (folder / "r.csv").write_bytes(REPORT.encode(encoding))
    shown = init(folder, "--yes", "--offline", "--from-report", str(folder / "r.csv"))
    assert "2 senders; 1 rows without an address" in shown and "\nok: " in shown
    text = (folder / "postern.yaml").read_text()
    assert 'name: "scan@contoso.com"' in text and 'senders: ["o\'neil@contoso.com"]' in text
    sheet = folder / "devices" / "scan@contoso.com.md"
    assert sheet.stat().st_mode & 0o777 == 0o600
    assert "messages   20" in sheet.read_text() and "tls: legacy" in sheet.read_text()
    secret = next(line.split()[1] for line in sheet.read_text().splitlines() if line.strip().startswith("password "))
    assert secret not in shown and secret not in text and len(secret) == 24
    verifier = folder / "users" / "scan@contoso.com.scram"
    before = verifier.read_text()
    assert before.startswith("SCRAM-SHA-256$") and secret not in before
    # Again: who has a password keeps it.
    (folder / "postern.yaml").unlink()
    init(folder, "--yes", "--offline", "--from-report", str(folder / "r.csv"))
    assert verifier.read_text() == before and "made before" in sheet.read_text()


def test_user_of_a_report_signs_in(folder, relay, sandbox, password):
    (folder / "r.csv").write_bytes(REPORT.encode())
    init(folder, "--yes", "--offline", "--from-report", str(folder / "r.csv"))
    sheet = (folder / "devices" / "scan@contoso.com.md").read_text()
    secret = next(line.split()[1] for line in sheet.splitlines() if line.strip().startswith("password "))
    s = sandbox()
    users = "".join(line + "\n" for line in (folder / "postern.yaml").read_text().splitlines() if "users/scan" in line)
    sections = support.TENANT + "mailboxes:" + support.mailbox("scan@contoso.com", s, password) + \
        "\nroutes:\n  - { through: sender }\nusers:\n" + users
    r = relay(sections, listeners="    auth: optional\n")
    token = base64.b64encode(f"\0scan@contoso.com\0{secret}".encode()).decode()
    with socket.create_connection(("127.0.0.1", r.port), timeout=PATIENCE) as c:
        f = c.makefile("rwb")
        assert f.readline().startswith(b"220")
        f.write(b"EHLO x\r\n")
        f.flush()
        while not f.readline().startswith(b"250 "):
            pass
        f.write(b"AUTH PLAIN " + token.encode() + b"\r\n")
        f.flush()
        assert f.readline().startswith(b"235")


def test_report_without_senders(folder):
    (folder / "r.csv").write_text("Date,Count\n1,2\n")
    done = run([support.POSTERN, "init", "--yes", "--offline", "--from-report", str(folder / "r.csv"),
                "--output", str(folder / "postern.yaml")], code=65)
    assert b"Sender address" in done.stderr
