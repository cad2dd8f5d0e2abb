"""`postern domain check`: Knot is the world's DNS, on loopback; and servers that stall and lie."""
import contextlib
import json
import pathlib
import shutil
import socket
import struct
import subprocess
import threading

import pytest

from support import POSTERN, free_port, listens, run, wait_for

KEY = ("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu5oIUrFDWZK7F4thFxpZa2or6jBEX3cSL6b2TJdPkO5iNn9vHNXhNX31nOefN8FksX94YbLJ8NHcFPbaZTW8R2HthYxRaCyq"
       "odxlLHibg8aHdfa+bxKeiI/xABRuAM0WG0JEDSyakMFqIO40ghj/h7DUc/4OXNdeQhrKDTlgf2bd+FjpJ3bNAFcMYa3Oeju33b2Tp+PdtqIwXR"
       "ZksfuXh7m30kuyavp3Uaso145DRBaJZA55lNxmHWMgMjO+YjNuR6j4oQqyGwzPaVcSdOG8Js2mXt+J3Hr+nNmJGxZUUW4Uw5ws08wT9opRgSpn+ThX2d1AgQePpGrWOamC3PdcwQIDAQAB")
DOMAINS = 500


def ready(domain: str) -> list[str]:
    """As Microsoft's pages say, key and all."""
    dashed = domain.replace(".", "-")
    target = f"{{}}-{dashed}._domainkey.contoso.n-v1.dkim.mail.microsoft."
    lines = [f'{domain}. TXT "v=spf1 include:spf.protection.outlook.com -all"', f"{domain}. MX 0 {dashed}.mail.protection.outlook.com.",
             f'_dmarc.{domain}. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@{domain}"', f"autodiscover.{domain}. CNAME autodiscover.outlook.com."]
    for selector in ("selector1", "selector2"):
        lines.append(f"{selector}._domainkey.{domain}. CNAME {target.format(selector)}")
        lines.append(f'{target.format(selector)} TXT "v=DKIM1; k=rsa; p=" "{KEY[:200]}" "{KEY[200:]}"')
    return lines


def world(watched=()) -> str:
    lines = ["$ORIGIN .", "$TTL 300", "@ SOA ns.test. admin.test. 1 3600 600 86400 30", "@ NS ns.test.", "ns.test. A 127.0.0.1",
             'spf.protection.outlook.com. TXT "v=spf1 ip4:192.0.2.0/24 -all"', "autodiscover.outlook.com. A 192.0.2.9"]
    lines += ready("good.test") + list(watched or ready("watched.test"))
    lines += [line for line in ready("nokey.test") if "TXT" not in line or "spf" in line or "DMARC1" in line]
    lines += ["loop1.test. CNAME loop2.test.", "loop2.test. CNAME loop1.test."]
    lines += [f"chain{i}.test. CNAME chain{i + 1}.test." for i in range(40)]
    lines += ['include.test. TXT "v=spf1 include:include2.test -all"', 'include2.test. TXT "v=spf1 include:include.test -all"']
    lines.append('huge.test. TXT ' + " ".join('"v=spf1 %s"' % ("x" * 240) if i == 0 else '"%s"' % ("y" * 250) for i in range(240)))
    lines.append('storm.test. TXT "v=spf1 ' + " ".join(f"a:n{i}.storm.test" for i in range(9)) + '" " ' + " ".join(f"a:m{i}.storm.test" for i in range(9)) + ' -all"')
    for i in range(DOMAINS):
        lines += ready(f"d{i}.test")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def serve(folder: pathlib.Path, zone: str):
    """Knot with this as the root of the world; its address."""
    if not shutil.which("knotd"):
        pytest.skip("SKIPPED: knotd is not here (package knot)")
    port = free_port()
    (folder / "root.zone").write_text(zone)
    (folder / "knot.conf").write_text(
        f"server:\n  rundir: {folder}\n  listen: 127.0.0.1@{port}\nlog:\n  - target: stderr\n    any: error\n"
        f"database:\n  storage: {folder}\nzone:\n  - domain: .\n    storage: {folder}\n    file: root.zone\n    semantic-checks: off\n")
    process = subprocess.Popen(["knotd", "-c", str(folder / "knot.conf")], stderr=(folder / "knot.log").open("w"))
    wait_for(lambda: listens(port))
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def knot(module_folder):
    with serve(pathlib.Path(module_folder), world()) as address:
        yield address


@pytest.fixture(scope="module")
def knot_zone(knot, module_folder):
    """Other records for watched.test."""
    folder = pathlib.Path(module_folder)
    serial = iter(range(2, 100))

    def change(lines):
        (folder / "root.zone").write_text(world(lines).replace("admin.test. 1 ", f"admin.test. {next(serial)} "))
        run(["knotc", "-b", "-c", str(folder / "knot.conf"), "zone-reload", "."])

    return change


def check(dns, *words, code=0):
    """One object a domain."""
    done = run([POSTERN, "domain", "check", "--dns", dns, "--json", *words], code=code)
    return {r["domain"]: r for r in map(json.loads, done.stdout.splitlines())}


def said(report, topic, level=None):
    return " | ".join(f["text"] for f in report["findings"] if f["topic"] == topic and level in (None, f["level"]))


def test_ready_and_not(knot):
    good = check(knot, "good.test")["good.test"]
    assert good["meets"] == "meets" and good["lookups"] <= 12
    assert [r["verdict"] for r in good["receivers"]] == ["meets"] * 3
    assert "2048 bits" in said(good, "DKIM", "ok")
    # As others write it; the same domain twice is looked at once.
    assert list(check(knot, "GOOD.test.", "good.test")) == ["good.test"]
    bad = check(knot, "nokey.test", "--ip", "198.51.100.7", code=69)["nokey.test"]
    assert (bad["spf"], bad["dkim"], bad["dmarc"]) == ("ok", "fail", "ok")
    assert "where there is no key" in said(bad, "DKIM", "warn")
    assert "198.51.100.7 (--ip): fail" in said(bad, "SPF", "fail")
    screen = run([POSTERN, "domain", "check", "--dns", knot, "nokey.test"], code=69).stdout.decode()
    assert "fails    Outlook.com  DKIM: " in screen and "550 5.7.515" in screen


def test_the_configurations_domains(knot, folder):
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0o600)
    (folder / "postern.yaml").write_text(f"""\
hostname: relay.good.test
data_dir: {folder}/data
tenants:
  - {{ name: contoso, id: 00000000-0000-0000-0000-000000000000, domains: [good.test, d1.test] }}
mailboxes:
  - {{ address: erp@d2.test, tenant: contoso, provider: submission, auth: password, password: "file:{folder}/secret" }}
routes:
  - {{ through: sender }}
""")
    done = run([POSTERN, "domain", "check", "--all", "--config", folder / "postern.yaml", "--dns", knot]).stdout.decode()
    for domain in ("good.test", "d1.test", "d2.test"):
        assert f"{domain}: meets" in done
    assert "3 meet the rules for bulk mail, 0 fail, 0 unknown" in done


def test_the_daemon_watches(knot, knot_zone, relay, folder):
    """The mark of a mailbox, the status line with the difference, an alert; no second alert after a restart."""
    (folder / "pw").write_text("x")
    (folder / "pw").chmod(0o600)
    r = relay("tenants:\n  - { name: contoso, id: 00000000-0000-0000-0000-000000000000, domains: [watched.test] }\n"
              f"mailboxes:\n  - {{ address: erp@watched.test, tenant: contoso, provider: submission, auth: password, password: 'file:{folder}/pw' }}\n"
              "routes: [{ through: sender }]\n", general=f'domains: {{ watch: true, dns: "{knot}" }}')

    def mark():
        return r.rows("mailboxes", "--long")[0]["checks"]["domain"]

    def notices():
        return " ".join(n["text"] for n in r.rows("status") if n["type"] == "notice")

    wait_for(lambda: mark()["state"] == "ok")
    assert "watched.test" not in notices() and "event=domain" not in r.log()
    gone = [line for line in ready("watched.test") if "DKIM1" not in line]
    knot_zone(gone)
    r.cli("reload")
    wait_for(lambda: mark()["state"] == "fail")
    assert mark()["step"] == "postern domain check watched.test"
    assert "watched.test is not ready for bulk mail. DKIM: " in notices()
    assert 'DKIM was "v=DKIM1; k=rsa' in notices()
    assert "domain-fails" in r.log() and "domain-changed" in r.log()
    r.stop()
    r.start()
    wait_for(lambda: mark()["state"] == "fail")
    assert sum("domain-fails" in line for line in r.log().splitlines()) == 1
    knot_zone(ready("watched.test"))
    r.cli("reload")
    wait_for(lambda: mark()["state"] == "ok")
    assert "domain-meets" in r.log()


def test_hostile_records(knot):
    """Each ends, by few questions, and says what is wrong."""
    reports = check(knot, "loop1.test", "chain0.test", "include.test", "huge.test", "storm.test", "nothing.test", code=69)
    assert len(reports) == 6
    assert all(r["lookups"] <= 40 for r in reports.values())
    assert "no answer" in said(reports["loop1.test"], "SPF", "unknown")
    assert "each other" in said(reports["include.test"], "SPF", "fail")
    assert reports["huge.test"]["spf"] == "unknown"  # 60 KB are not read
    assert "the limits of SPF" in said(reports["storm.test"], "SPF", "fail")
    assert "there is no DMARC record" in said(reports["nothing.test"], "DMARC", "fail")


def test_five_hundred_domains(knot):
    reports = check(knot, *(f"d{i}.test" for i in range(DOMAINS)))
    assert len(reports) == DOMAINS
    assert max(r["lookups"] for r in reports.values()) <= 12


class Liar:
    """Answers with another question's name, with garbage, with a truncated answer whose TCP never answers, or not at all."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.count = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            self.count += 1
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
            answer = {0: None, 1: question[:2] + b"\xff" * 40, 2: head + question[12:] + b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\xff\xff\x01",
                      3: head + b"\x05other\x04test\x00\x00\x10\x00\x01" + b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x02\x01x"}[self.count % 4]
            if answer:
                self.socket.sendto(answer, peer)


def test_liars_and_stallers_end():
    liar = Liar()
    reports = check("127.0.0.1:%d" % liar.socket.getsockname()[1], "a.test", "b.test", code=75)
    assert all(r["meets"] == "unknown" for r in reports.values()) and liar.count
    liar.socket.close()


def test_what_it_refuses(folder):
    for words, text in ([], "name one domain"), (["--all", "a.test"], "name one domain"), (["a.test", "--ip", "a"], "no address"), \
            (["a..test"], "not a domain name"), (["a.test", "--dns", "x"], "--dns needs an address"):
        done = run([POSTERN, "domain", "check", *words], code=64)
        assert text in done.stderr.decode()
    assert "postern domain check" in run([POSTERN, "domain"], code=64).stderr.decode()
