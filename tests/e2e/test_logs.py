"""What other people's programs read of us: pflogsumm, logwatch, check_mailq, fail2ban, each on real output."""
import os
import pathlib
import re
import shutil
import smtplib
import socket
import subprocess

import pytest

import support
from support import run, wait_for
from test_access import Raw, login, secured

PFLOGSUMM = shutil.which("pflogsumm") or "/usr/sbin/pflogsumm"
LOGWATCH = pathlib.Path("/usr/share/logwatch/scripts/services/postfix")
CHECK_MAILQ = pathlib.Path("/usr/lib/nagios/plugins/check_mailq")
PACKAGING = pathlib.Path(__file__).parents[2] / "packaging"


def needs(path):
    return pytest.mark.skipif(not pathlib.Path(path).exists(), reason=f"{path} is missing: run tools/deps test")


def send(relay, sender, recipients, body="x"):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        return s.sendmail(sender, recipients, f"From: {sender}\r\nSubject: t\r\n\r\n{body}\r\n")


@pytest.fixture
def day(submission):
    """A day in the life of a relay: delivered, deferred, bounced, refused; by SMTP and by sendmail."""
    sandbox, relay = submission(general="retry: { first: 1h, ceiling: 1h }")
    send(relay, "erp@contoso.com", ["anna@example.org", "bert@example.net"], "y" * 5000)
    send(relay, "crm@contoso.com", ["anna@example.org"])
    wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 3)
    sandbox.fault(at="rcpt", do="reply", reply="550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found (here)", times=1)
    send(relay, "erp@contoso.com", ["nobody@example.org"])
    wait_for(lambda: [r for r in relay.rows("trace") if r["state"] == "bounced"])
    wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 4)  # the notice
    sandbox.fault(at="rcpt", do="reply", reply="450 4.2.2 mailbox full (try later)", times=1)
    send(relay, "erp@contoso.com", ["full@example.org"])
    wait_for(lambda: [r for r in relay.waiting() if r["attempts"] == 1 and r["state"] == "queued"])
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.ehlo("scanner")
        assert s.mail("stranger@elsewhere.example")[0] in (250, 550)
        assert s.rcpt("victim@example.org")[0] >= 500
    done = run([support.DROP, "-f", "crm@contoso.com", "anna@example.org"], input=b"Subject: local\n\nx\n",
               env={**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)})
    assert done.returncode == 0
    wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 5)
    return relay


def totals(text):
    return {name: int(number) for number, name in re.findall(r"^ *(\d+) {1,3}([a-z][a-z /-]*?)(?:  ?\(.*)?$", text, re.M)}


@needs(PFLOGSUMM)
def test_pflogsumm_counts_a_day(day):
    log = day.folder / "mail.log"
    log.write_text(day.log())
    text = run([PFLOGSUMM, "--syslog-name=postern", str(log)]).stdout.decode()
    got = totals(text)
    # Five by SMTP and sendmail; the notice is made here, and so is not received.
    assert got["received"] == 5, text
    assert got["delivered"] == 5 and got["deferred"] == 1 and got["bounced"] == 1 and got["rejected"] == 1, text
    assert got["senders"] == 2 and got["recipients"] == 3, text
    assert got["bytes received"] > 5000 and got["bytes delivered"] > 10000, text
    sizes = sum(r["size"] for r in {r["id"]: r for r in day.rows("trace") if "bounce" not in r}.values())
    assert got["bytes received"] == sizes, text
    assert "Messages with no size data" not in text, text
    assert re.search(r"message deferral detail\n-+\n  smtp \(total: 1\)\n +1 +4\.2\.2 mailbox full", text), text
    assert re.search(r"message bounce detail \(by relay\)\n-+\n  localhost\[127\.0\.0\.1\]:\d+ \(total: 1\)", text), text
    assert re.search(r"message reject detail\n-+\n  MAIL\n", text), text
    senders = text.split("Senders by message count")[1].split("\n\n")[0]
    assert re.search(r"3 +erp@contoso\.com", senders) and re.search(r"2 +crm@contoso\.com", senders), senders


@needs(LOGWATCH)
def test_logwatch_counts_the_same(day):
    # logwatch hands its scripts syslog's old time.
    lines = [re.sub(r"^\S+ (\S+) ", r"Nov 30 02:00:00 \1 ", line) for line in day.log().splitlines()]
    text = run([str(LOGWATCH), "--detail", "10", "--syslog_name", "postern"], input="\n".join(lines).encode() + b"\n",
               env={**os.environ, "PERL5LIB": "/usr/share/logwatch/lib"}).stdout.decode()
    got = {name.strip(): int(number) for number, name in re.findall(r"^ *(\d+) +(\S.*?)(?: {2,}.*)?$", text, re.M)}
    assert got["Accepted"] == 5, text
    assert got["Sent via SMTP"] == 5, text
    assert got["Deferred"] == 1 and got["Deferrals"] == 1, text
    assert got["Bounced (local)"] == 1, text  # the sandbox is on localhost
    unmatched = text.split("**Unmatched Entries**")[1].strip().splitlines()
    assert all("postern/serve[" in line for line in unmatched), unmatched


def test_text_and_json_say_the_same(submission):
    import json
    sandbox, relay = submission(general="log: { format: json }")
    send(relay, "erp@contoso.com", ["anna@example.org"])
    wait_for(lambda: '"attempt"' in relay.log())
    lines = [json.loads(line) for line in relay.log().splitlines()]
    queued = next(x for x in lines if x["event"] == "accepted")
    assert type(queued["size"]) is int and queued["nrcpt"] == 1 and queued["from"] == "erp@contoso.com"
    attempt = next(x for x in lines if x["event"] == "attempt")
    assert type(attempt["delay"]) is float and attempt["status"] == "sent" and attempt["reply"].startswith("250")
    assert attempt["to"] == "anna@example.org" and attempt["id"] == queued["id"]


@pytest.fixture
def mailq(folder):
    link = folder / "mailq"
    link.symlink_to(support.DROP)

    def make(relay):
        return link, {**os.environ, "POSTERN_BIN": support.POSTERN, "POSTERN_CONFIG": str(relay.config)}

    return make


@needs(CHECK_MAILQ)
@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
def test_check_mailq_counts(submission, mailq, folder, kind):
    sandbox, relay = submission(general="retry: { first: 1h, ceiling: 1h }")
    link, env = mailq(relay)
    # Its path of mailq is in a Perl module: the same text with ours.
    utils = folder / "utils"
    utils.mkdir()
    text = pathlib.Path("/usr/lib/nagios/plugins/utils.pm").read_text()
    (utils / "utils.pm").write_text(re.sub(r'(\$PATH_TO_MAILQ\s*=\s*)"[^"]*"', rf'\1"{link}"', text))
    plugin = utils / "check_mailq"
    plugin.write_text(re.sub(r"^use lib .*$", f'use lib "{utils}";', CHECK_MAILQ.read_text(), flags=re.M))

    def check(code):
        done = run(["perl", f"-I{utils}", str(plugin), "-M", kind, "-w", "2", "-c", "5"], env=env, code=None)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout.decode()

    assert "empty" in check(0)
    sandbox.fault(at="rcpt", do="reply", reply="450 4.2.2 mailbox full", times=100)
    send(relay, "erp@contoso.com", ["a@example.org", "b@example.org"])
    assert "mailq (1) is below threshold" in check(0)
    for i in range(2):
        send(relay, "erp@contoso.com", [f"c{i}@example.org"])
    assert "mailq is 3" in check(1)
    for i in range(4):
        send(relay, "crm@contoso.com", [f"d{i}@example.org"])
    assert "mailq is 7" in check(2)
    relay.stop()  # and from the queue on disk
    assert "mailq is 7" in check(2)


def test_mailq_looks_like_postfix(submission, mailq):
    sandbox, relay = submission(general="retry: { first: 1h, ceiling: 1h }")
    link, env = mailq(relay)
    assert run([str(link)], env=env).stdout == b"                Total Requests: 0\nMail queue is empty\n"
    sandbox.fault(at="rcpt", do="reply", reply="450 4.2.2 mailbox full", times=100)
    send(relay, "erp@contoso.com", ["a@example.org", "b@example.org"], "z" * 3000)
    wait_for(lambda: all(r["attempts"] == 1 for r in relay.waiting()) and len(relay.waiting()) == 2)
    text = run([str(link)], env=env).stdout.decode()
    id = relay.waiting()[0]["id"]
    assert re.fullmatch(
        r"-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
        rf"{id}  +\d+ \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d  erp@contoso\.com\n"
        r"            \(450 4\.2\.2 mailbox full.*\)\n {41}a@example\.org\n"
        r"            \(450 4\.2\.2 mailbox full.*\)\n {41}b@example\.org\n"
        r"\n                Total Requests: 1\n-- \d+ Kbytes in 1 Request\.\n", text), text


def fail2ban_regex(log, folder, mode):
    """The addresses of the lines that the filter takes, by the program itself."""
    filters = folder / "filter.d"
    filters.mkdir(exist_ok=True)
    shutil.copy("/etc/fail2ban/filter.d/common.conf", filters)
    shutil.copy(PACKAGING / "fail2ban" / "filter.conf", filters / "postern.conf")
    done = run(["fail2ban-regex", "-o", "ip", str(log), f"{filters}/postern.conf[mode={mode}]"], code=None)
    assert done.returncode in (0, 255), done.stdout + done.stderr  # 255: nothing was found
    return done.stdout.decode().split()


def guesses(port):
    """Failed sign-ins of every kind, each on a connection of its own."""
    for user, secret in ((b"erp", b"wrong"), (b"nobody", b"wrong"), (b"ERP", b"correct horse"), (b"m\xfcller", b"x"),
                         (b"erp", b"corr\xe9ct")):
        c = Raw(port)
        c.say(b"EHLO client.example\r\n")
        answer = login(c, user, secret)[0]
        assert answer.startswith(b"535 5.7.8"), answer
        assert (b"not UTF-8" in answer) == (not (user + secret).isascii()), answer
        c.close()


def test_a_failed_sign_in_says_what_is_wrong(relay, sandbox, password, folder):
    s, r, port = secured(relay, sandbox, password, folder)
    guesses(port)
    why = re.findall(r"warning: unknown\[127\.0\.0\.1\]:\d+: SASL \S+ authentication failed: (.*), sasl_username=(.*)", r.log())
    assert [user for _, user in why] == ["erp", "nobody", "ERP", r"m\xfcller", "erp"]
    assert [text.split(":")[0] for text, _ in why] == [
        "wrong password", "there is no such user", "there is no such user, but 'erp'", "the user name is not UTF-8",
        "the password is not UTF-8"]
    assert "horse" not in r.log()


@needs("/usr/bin/fail2ban-regex")
def test_fail2ban_reads_failed_sign_ins_and_refusals(relay, sandbox, password, folder):
    s, r, port = secured(relay, sandbox, password, folder)
    guesses(port)
    good = Raw(port)
    good.say(b"EHLO client.example\r\n")
    assert login(good, b"erp", b"correct horse")[0].startswith(b"235")
    assert good.say(b"MAIL FROM:<crm@contoso.com>\r\n")[0][:5] in (b"553 5", b"550 5")
    good.close()
    wait_for(lambda: "NOQUEUE: reject: MAIL" in r.log())
    log = folder / "mail.log"
    log.write_text(r.log())
    assert fail2ban_regex(log, folder, "auth") == ["127.0.0.1"] * 5
    assert fail2ban_regex(log, folder, "aggressive") == ["127.0.0.1"] * 6
    # As journald prints it, and rsyslog in the old way.
    log.write_text(re.sub(r"(?m)^\S+ (\S+) ", r"Nov 30 02:00:00 \1 ", r.log()))
    assert fail2ban_regex(log, folder, "auth") == ["127.0.0.1"] * 5
    # A name that pretends to be a line of its own bans nobody else.
    c = Raw(port)
    c.say(b"EHLO client.example\r\n")
    login(c, b"x: unknown[192.0.2.66]:1: SASL PLAIN authentication failed: y, sasl_username=z", b"wrong")
    c.close()
    log.write_text(r.log())
    assert fail2ban_regex(log, folder, "auth") == ["127.0.0.1"] * 6


@needs("/usr/bin/fail2ban-client")
def test_the_jail_is_one(folder):
    etc = folder / "fail2ban"
    shutil.copytree("/etc/fail2ban", etc)
    shutil.copy(PACKAGING / "fail2ban" / "filter.conf", etc / "filter.d" / "postern.conf")
    shutil.copy(PACKAGING / "fail2ban" / "jail.conf", etc / "jail.d" / "postern.conf")
    (etc / "jail.d" / "postern.local").write_text("[postern]\nenabled = true\n[sshd]\nenabled = false\n")
    text = run(["fail2ban-client", "-c", str(etc), "-d"]).stdout.decode()
    assert "'postern', 'addjournalmatch', '_SYSTEMD_UNIT=postern.service'" in text, text
    assert "'maxretry', 5" in text
