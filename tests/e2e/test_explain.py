"""`postern explain`: what a reply means, from any text, and measured against bounces that others collected."""
import json
import os
import pathlib
import smtplib
import subprocess

import pytest

import support

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLUFL = pathlib.Path("/usr/lib/python3/dist-packages/flufl/bounce/tests/data")


def explain(*args, stdin=None):
    return subprocess.run([support.POSTERN, "explain", *map(str, args)], input=stdin or "", text=True, errors="replace",
                          capture_output=True, check=False, timeout=60)


def meanings(*args, stdin=None):
    done = explain("--json", *args, stdin=stdin)
    return [json.loads(line) for line in done.stdout.splitlines()]


def corpus():
    named = os.environ.get("POSTERN_CORPUS")
    for folder in [named] if named else [ROOT.parent / "shared" / "corpus", ROOT.parent.parent / "shared" / "corpus"]:
        if folder and (pathlib.Path(folder) / "ndr").is_dir():
            return pathlib.Path(folder) / "ndr"
    return None


# Each was read by hand: the first meaning is the right one, and so is what the relay would do.
MICROSOFT = {
    "lhost-exchange2003-01.eml": ("no-such-recipient", "bounce"),
    "lhost-exchange2003-03.eml": ("no-such-recipient", "bounce"),
    "lhost-exchange2003-05.eml": ("no-such-recipient", "bounce"),
    "lhost-exchange2003-07.eml": ("no-such-recipient", "bounce"),
    "lhost-exchange2007-01.eml": ("no-such-recipient", "bounce"),
    "lhost-exchange2007-03.eml": ("message-too-large", "bounce"),
    "lhost-exchange2007-05.eml": ("expired-there", "bounce"),
    "lhost-exchange2007-07.eml": ("no-such-recipient", "bounce"),
    "lhost-office365-01.eml": ("no-such-recipient", "bounce"),
    "lhost-office365-03.eml": ("spf-failed", "park"),
    "lhost-office365-05.eml": ("bad-sender-domain", "bounce"),
    "lhost-office365-07.eml": ("no-such-recipient", "bounce"),
    "lhost-office365-09.eml": ("no-such-recipient", "bounce"),
    "lhost-office365-11.eml": ("no-such-recipient", "bounce"),
    "lhost-office365-13.eml": ("no-such-recipient", "bounce"),
    "lhost-outlook-01.eml": ("recipient-mailbox-full", "bounce"),
    "lhost-outlook-03.eml": ("no-such-domain", "bounce"),
    "lhost-outlook-07.eml": ("expired-there", "bounce"),
    "lhost-outlook-09.eml": ("spf-failed", "park"),
    "rhost-microsoft-01.eml": ("address-banned", "park"),
    "rhost-microsoft-03.eml": ("no-such-recipient", "bounce"),
    "rhost-microsoft-05.eml": ("server-busy", "retry"),
    "rhost-outlook-01.eml": ("recipient-mailbox-full", "bounce"),
    "rhost-outlook-03.eml": ("no-such-domain", "bounce"),
    "rhost-outlook-07.eml": ("expired-there", "bounce"),
    "rhost-outlook-09.eml": ("spf-failed", "park"),
}

FLUFL_MICROSOFT = {
    "microsoft_01.txt": ("no-such-recipient", "bounce"),
    "microsoft_02.txt": ("no-such-recipient", "bounce"),
    "microsoft_04.txt": ("no-such-recipient", "bounce"),
    "groupwise_01.txt": ("no-such-recipient", "bounce"),  # Exchange 5.5 wrote it
    "groupwise_02.txt": ("no-such-recipient", "bounce"),
    "simple_44.txt": ("server-error", "retry"),
}


def compare(folder, expected):
    wrong, ran = [], 0
    for name, (cause, kind) in expected.items():
        if not (folder / name).exists():
            continue
        ran += 1
        found = meanings(folder / name)
        if not found or (found[0]["cause"], found[0]["class"]) != (cause, kind) or not found[0]["known"]:
            wrong.append((name, [(m["cause"], m["class"], m["known"]) for m in found]))
    print(f"{folder}: {ran} ran, {len(wrong)} wrong")
    return ran, wrong


def test_microsofts_bounces_of_others_have_the_right_meaning():
    folder = corpus()
    if folder is None:
        pytest.skip("no corpus: set POSTERN_CORPUS to a folder with ndr/ (from sisimai/set-of-emails)")
    ran, wrong = compare(folder, MICROSOFT)
    assert ran == len(MICROSOFT), "the corpus has changed"
    assert not wrong
    # Those that were never read by hand get a meaning, too.
    others = [p for p in sorted(folder.glob("*.eml")) if p.name not in MICROSOFT]
    assert all(meanings(p) for p in others)


def test_microsofts_bounces_of_flufl_have_the_right_meaning():
    if not FLUFL.is_dir():
        pytest.skip("python3-flufl.bounce is not installed (tools/deps test)")
    ran, wrong = compare(FLUFL, FLUFL_MICROSOFT)
    assert ran == len(FLUFL_MICROSOFT)
    assert not wrong
    # None of the others ends in a crash, or in what is neither meaning nor the word that there is none.
    for path in sorted(FLUFL.glob("*.txt")):
        assert explain(path).returncode in (0, 65), path


def test_short_fits_a_terminal_and_names_who_and_what():
    done = explain("550 5.7.60 SMTP; Client does not have permissions to send as this sender")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) <= 8
    # A command is there to be copied, so it is not wrapped.
    assert all(len(line) <= 80 for line in lines if not line.startswith("shell"))
    assert "your administrator" in done.stdout and "Add-RecipientPermission" in done.stdout
    long_form = explain("--long", "550 5.7.60 SMTP; Client does not have permissions to send as this sender").stdout
    assert "https://" in long_form and "cause send-as-denied" in long_form


def test_names_in_the_text_are_filled_in_but_bring_no_command():
    text = "554 5.2.252 SendAsDenied; erp@contoso.com not allowed to send as %s; STOREDRV.Submission"
    assert meanings(text % "boss@contoso.com")[0]["powershell"] == [
        "Add-RecipientPermission -Identity boss@contoso.com -Trustee erp@contoso.com -AccessRights SendAs"]
    command = meanings(text % "x';Remove-Mailbox@contoso.com")[0]["powershell"][0]
    assert "Remove-Mailbox" not in command and "SENDER" in command


def test_standard_input_a_file_and_words(tmp_path):
    reply = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [AM0PR]"
    path = tmp_path / "log"
    path.write_text(f"Nov 23 10:00:00 host msmtp: {reply}\n")
    for found in (meanings(stdin=reply), meanings("-", stdin=reply), meanings(path), meanings(*reply.split())):
        assert [m["cause"] for m in found] == ["basic-auth-blocked"]


def test_exit_codes():
    assert explain("550 5.1.1 User unknown").returncode == 0
    nothing = explain("all is well")
    assert nothing.returncode == 65 and "no reply" in nothing.stderr
    unknown = explain("550 5.9.9 the moon is full")
    assert unknown.returncode == 65 and "is not known" in unknown.stderr
    assert meanings("450 4.9.9 the moon is half")[0]["class"] == "retry"
    assert explain("--no-such-option").returncode == 64


def test_control_characters_of_the_text_stay_out_of_the_terminal():
    done = explain("550 5.1.1 \x1b[31mred\x07\x9b\r\nno")
    assert "\x1b" not in done.stdout and "\x07" not in done.stdout
    done = explain("550 5.1.1 M\u00fcller \u2013 \u202egnu \u009b31m unbekannt")
    assert "M\u00fcller \u2013" in done.stdout and not set("\u202e\u009b") & set(done.stdout)
    done = explain(stdin="550 5.1.1 \x1b]0;title\x07 user unknown")
    assert "\x1b" not in done.stdout + done.stderr


def test_the_catalogue_is_whole():
    rows = [json.loads(line) for line in explain("--catalogue", "--json").stdout.splitlines()]
    assert len(rows) > 250
    for row in rows:
        assert row["title"] and row["owner"] in ("you", "administrator", "network", "recipient", "microsoft"), row
        assert row["source"] and row["checked"] and (row.get("link") or row["at"] == "text"), row
    # Each row with words of its own leads back to a meaning of the same cause or a more special one.
    for row in rows:
        if row.get("reply", "")[:1] in ("4", "5") and row.get("text") and "-" not in row["reply"] and row["reply"][3:4] in (" ", "."):
            assert meanings(f"{row['reply']} {row['text']}"), row


def test_unknown_replies_are_counted(submission):
    sandbox, relay = submission()
    sandbox.fault(at="rcpt", do="reply", match="anna@example.org", reply="550 5.9.9 <anna@example.org> the moon is full [HOST 1]")
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        for n in range(3):
            s.sendmail("erp@contoso.com", ["anna@example.org"], f"From: erp@contoso.com\r\nSubject: {n}\r\n\r\nx\r\n")
    support.wait_for(lambda: len([r for r in relay.rows("trace") if r.get("reason") == "unknown-permanent"]) == 3)
    rows = relay.rows("explain", "--unknown")
    assert [(r["count"], r["cause"], r["reply"]) for r in rows] == [
        (3, "unknown-permanent", "550 5.9.9 <> the moon is full [] []")]
    assert "the moon is full" in relay.cli("explain", "--unknown")
    relay.stop()
    assert relay.rows("explain", "--unknown") == rows, "from the queue as it lies on disk"


def test_a_notice_says_who_can_mend_it(submission):
    sandbox, relay = submission()
    sandbox.fault(at="rcpt", do="reply", times=1, reply="550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found")
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail("erp@contoso.com", ["anna@example.org"], "From: erp@contoso.com\r\nSubject: x\r\n\r\nx\r\n")
    support.wait_for(lambda: len(sandbox.messages()) == 1)
    notice = sandbox.raw(sandbox.messages()[0]["number"]).decode()
    assert "Who can fix this: the recipient's side" in notice
    assert "Check anna@example.org for a typing error" in " ".join(notice.split())
