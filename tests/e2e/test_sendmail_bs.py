"""sendmail -bs: SMTP on standard input, the default of Symfony's mailer, of Laravel, Alpine and nmh."""
import os
import pathlib
import shutil
import subprocess

import pytest

import support
from support import run, wait_for

SYMFONY = pathlib.Path("/usr/share/php/Symfony/Component/Mailer/autoload.php")

PHP = r"""<?php
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';
use Symfony\Component\Mailer\Mailer;
use Symfony\Component\Mailer\Transport;
use Symfony\Component\Mime\Email;
$mailer = new Mailer(Transport::fromDsn('sendmail://default?command=' . rawurlencode($argv[1] . ' -bs')));
foreach (['one', 'two'] as $subject) {
    $mailer->send((new Email())->from('erp@contoso.com')->to('anna@example.org')->subject("symfony $subject")
        ->text("Gr\u{fc}\u{df}e\n.dot\n")->html('<p>x</p>'));
}
"""


@pytest.fixture
def sendmail(folder):
    link = folder / "sendmail"
    link.symlink_to(support.DROP)

    def make(relay):
        return str(link), {**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)}

    return make


def subjects(sandbox, count):
    return wait_for(lambda: len(sandbox.messages()) >= count and sorted(m["subject"] for m in sandbox.messages()))


@pytest.mark.skipif(not SYMFONY.exists() or not shutil.which("php"), reason="php-symfony-mailer is missing: tools/deps test")
def test_symfony_mailer(submission, sendmail, folder):
    sandbox, relay = submission()
    command, env = sendmail(relay)
    script = folder / "mail.php"
    script.write_text(PHP)
    run(["php", str(script), command], env=env)
    assert subjects(sandbox, 2) == ["symfony one", "symfony two"]


def test_swaks_by_pipe(submission, sendmail):
    sandbox, relay = submission()
    command, env = sendmail(relay)
    done = run(["swaks", "--pipe", f"{command} -bs", "-f", "erp@contoso.com", "-t", "anna@example.org,bert@example.net",
                "--header", "Subject: swaks"], env=env)
    assert b"250 2.0.0 Ok: queued as" in done.stdout
    assert subjects(sandbox, 1) == ["swaks"]


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_dialogue_in_one_piece(submission, sendmail, end):
    sandbox, relay = submission()
    command, env = sendmail(relay)
    lines = [b"EHLO app", b"MAIL FROM:<erp@contoso.com>", b"RCPT TO:<b@example.org>", b"DATA", b"Subject: password reset", b"",
             b"..x", b"y" * 200000 if end == b"\n" else b"y", b".", b"RSET", b"QUIT", b""]
    done = run([command, "-bs", "-i"], input=end.join(lines), env=env)
    replies = done.stdout.decode().split("\r\n")
    assert replies[0].startswith("220 ") and replies[-2].startswith("221 ") and done.stderr == b""
    assert any(r.startswith("250 2.0.0 Ok: queued as") for r in replies), replies
    assert subjects(sandbox, 1) == ["password reset"]
    row = wait_for(lambda: relay.rows("trace"))[0]
    assert row["user"].startswith("local:")
    raw = sandbox.raw(1)
    assert b"\r\n.x\r\n" in raw


def test_a_client_that_hangs_up_leaves_nothing(submission, sendmail):
    sandbox, relay = submission()
    command, env = sendmail(relay)
    run([command, "-bs"], input=b"EHLO app\r\nMAIL FROM:<erp@contoso.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: half\r\n",
        env=env)
    assert relay.rows("trace") == [] and not list(relay.maildrop.iterdir())


def test_a_refusal_reaches_the_caller(submission, sendmail):
    sandbox, relay = submission()
    command, env = sendmail(relay)
    done = run([command, "-bs"], input=b"EHLO app\r\nMAIL FROM:<erp@contoso.com>\r\nRCPT TO:<nonsense@@>\r\nQUIT\r\n", env=env)
    assert b"\r\n553 5.1.3" in done.stdout, done.stdout


def test_without_the_daemon_it_says_421(submission, sendmail):
    sandbox, relay = submission()
    command, env = sendmail(relay)
    relay.stop()
    done = run([command, "-bs"], input=b"EHLO app\r\n", env=env, code=75)
    assert done.stdout.startswith(b"421 4.3.2 ") and done.stdout.endswith(b"\r\n")
    assert b"submit.sock" in done.stderr
