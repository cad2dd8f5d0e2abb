"""The daemon has given up what it does not need: the kernel says so, and somebody inside of it gets nothing.

What the kernel of this machine lacks is said by the daemon, and skipped here.
"""
import os
import pathlib
import re
import socket
import subprocess

import pytest

import support
from support import BUILD, POSTERN, TENANT, free_port, run, wait_for

PROBE = BUILD / "src" / "cli" / "confine_probe"
NOTHING = ("Permission denied", "Operation not permitted")


def sections(password="command:/bin/echo sandbox", port=None, host="localhost", extra=""):
    endpoint = f"    endpoint: {{ host: {host}, port: {port} }}\n" if port else ""
    return TENANT + f"""
mailboxes:
  - address: erp@contoso.com
    tenant: contoso
    provider: submission
    auth: password
    password: "{password}"
{endpoint}
routes:
  - {{ through: sender }}
{extra}"""


def probe(relay, *attempts):
    """What somebody inside of the daemon gets, by attempt."""
    done = run([str(PROBE), str(relay.config), *attempts])
    first, *lines = done.stdout.decode().splitlines()
    parts = dict(re.findall(r"(\w+) ([01])", first))
    got = {}
    for attempt, line in zip(attempts, lines, strict=True):
        assert line.startswith(attempt + " "), (attempt, line)
        got[attempt] = line.removeprefix(attempt + " ")
    return {k: v == "1" for k, v in parts.items()}, got


def need(parts, *names):
    missing = [n for n in names if not parts[n]]
    if missing:
        pytest.skip(f"this kernel confines no {', '.join(missing)}")


def test_the_kernel_knows_that_every_thread_is_confined(relay):
    r = relay(sections())
    log = wait_for(lambda: re.search(r"confined: (.*)", r.log())).group(1)
    kept = "0000000000000002" if os.geteuid() == 0 else "0000000000000000"

    def confined(text):
        return "NoNewPrivs:\t1\n" in text and f"CapAmb:\t{'0' * 16}\n" in text and \
            all(f"{name}:\t{kept}\n" in text for name in ("CapPrm", "CapEff")) and \
            ("Seccomp:\t2\n" in text) == ("system calls (seccomp)" in log)

    # A thread that was only just begun has not come to it.
    threads = wait_for(lambda: [t.read_text() for t in pathlib.Path(f"/proc/{r.process.pid}/task").glob("*/status")])
    assert len(threads) >= 4
    wait_for(lambda: all(confined(t.read_text()) for t in pathlib.Path(f"/proc/{r.process.pid}/task").glob("*/status")))
    row = next(x for x in r.rows("status") if x["type"] == "relay")
    assert row["confined"] == log.strip()
    assert f"confined   {log.strip()[:40]}" in r.cli("status")


def test_somebody_inside_gets_nothing(relay, folder):
    other = relay(sections(), start=False)
    vault = other.folder / "data" / "vault"
    vault.parent.mkdir()
    vault.write_text("tokens of another relay")
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        r = relay(sections())
        parts, got = probe(r, "exec:/bin/true", "exec:/bin/sh", "read:/etc/shadow", f"read:{vault}", f"write:{vault}",
                           f"write:{folder}/left-here", f"connect:{port}", "command:/bin/sh", "command:/bin/echo",
                           "command:/bin/echo sandbox /etc/shadow", f"read:{other.config}")
    need(parts, "calls", "files", "tcp")
    assert {k: v for k, v in got.items() if v not in NOTHING} == {}
    assert vault.read_text() == "tokens of another relay"


def test_somebody_inside_still_does_the_work(relay, folder, sandbox):
    s = sandbox()
    r = relay(sections(port=s.smtp))
    _, got = probe(r, f"read:{r.config}", f"write:{r.folder}/data/new", f"write:{r.maildrop}/new", f"connect:{s.smtp}",
                   "read:/etc/passwd", "read:/etc/resolv.conf", "read:/etc/ssl/certs/ca-certificates.crt",
                   "command:/bin/echo sandbox")
    assert set(got.values()) == {"worked"}, got


def test_commands_are_started_by_the_runner(relay, sandbox):
    """The daemon may start nothing; the password comes all the same, and the runner goes when the daemon goes."""
    s = sandbox()
    r = relay(sections(port=s.smtp).replace(f"port: {s.smtp}", f'port: {s.smtp}, ca_file: "{s.ca}"'))
    children = pathlib.Path(f"/proc/{r.process.pid}/task/{r.process.pid}/children").read_text().split()
    assert len(children) == 1
    assert pathlib.Path(f"/proc/{children[0]}/comm").read_text() == "postern-runner\n"
    run(["swaks", "--server", f"127.0.0.1:{r.port}", "--from", "erp@contoso.com", "--to", "a@example.net"])
    wait_for(lambda: len(s.messages()) == 1)
    r.process.process.kill()
    wait_for(lambda: not pathlib.Path(f"/proc/{children[0]}").exists() or
             pathlib.Path(f"/proc/{children[0]}/stat").read_text().split()[2] == "Z")


def refused(r):
    done = subprocess.run([POSTERN, "reload", "--config", str(r.config)], capture_output=True, timeout=60)
    assert done.returncode == 78, done
    return done.stderr.decode()


def test_a_reload_that_needs_more_is_refused_until_the_restart(relay, folder):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("sandbox\n")
    (elsewhere / "secret").chmod(0o600)
    parts, _ = probe(relay(sections(), start=False), "read:/etc/passwd")
    need(parts, "files", "tcp")
    r = relay(sections())
    for change, words in (
            (sections(f"file:{elsewhere}/secret"), f"{elsewhere}/secret is outside of the folders that the daemon reads"),
            (sections("command:/bin/echo another"), "this program is new"),
            (sections(port=free_port()), "port"),
            (sections(extra=f"alerts: {{ command: /bin/true now }}\n"), "this program is new")):
        r.write(change)
        text = refused(r)
        assert words in text and "restart needed" in text, text
        assert re.search(r"postern\.yaml:\d+:\d+: error: ", text), text
        assert r.process.alive()
    # What it was told to do last is what it does after the restart.
    r.write(sections(f"file:{elsewhere}/secret"))
    r.stop()
    r.start()
    assert "restart needed" not in r.cli("reload")


def test_a_reload_within_the_folders_is_taken(relay, folder):
    secret = folder / "secret"
    secret.write_text("sandbox\n")
    secret.chmod(0o600)
    (folder / "second").write_text("sandbox\n")
    r = relay(sections(f"file:{secret}"))
    r.write(sections(f"file:{folder}/second"))
    r.cli("reload")
    r.write(sections(f"file:{folder}/second"), listeners=f"  - address: 127.0.0.1:{free_port()}\n")
    r.cli("reload")


def test_an_include_elsewhere_is_told_with_the_reason(relay, folder):
    parts, _ = probe(relay(sections(), start=False), "read:/etc/passwd")
    need(parts, "files")
    (folder / "more").mkdir()
    (folder / "more" / "aliases.yaml").write_text("aliases: { root: it@contoso.com }\n")
    r = relay(sections())
    r.write(sections(extra=f"include: [{folder}/more/aliases.yaml]\n"))
    assert "restart postern" in refused(r)


def test_confine_no_is_said_aloud(relay):
    r = relay(sections(), general="confine: false\n")
    status = pathlib.Path(f"/proc/{r.process.pid}/status").read_text()
    assert "Seccomp:\t0\n" in status
    assert "NOT CONFINED" in r.cli("status")
    wait_for(lambda: "not confined: `confine: false`" in r.log())
    # Back again needs a start, and until then it is said.
    r.write(sections())
    r.cli("reload")
    assert "NOT CONFINED" in r.cli("status")
    r.stop()
    r.start()
    assert "NOT CONFINED" not in r.cli("status")
    r.write(sections(), general="confine: false\n")
    r.cli("reload")
    assert "takes effect at the next start" in r.cli("status")


def test_it_needs_no_root(relay, folder):
    """As the user that a package makes: no capability, and of /etc what everybody sees."""
    if os.geteuid() != 0:
        pytest.skip("runs as somebody already")
    work = pathlib.Path("/tmp") / f"postern-confine-{os.getpid()}"
    work.mkdir(mode=0o700)
    try:
        r = support.Relay(work, sections("env:SECRET"))
        run(["chown", "-R", "nobody", str(work)])
        process = support.Process(
            ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", POSTERN, "serve", "--config",
             str(r.config)], folder / "nobody.log", {"SECRET": "sandbox"})
        try:
            wait_for(lambda: "confined: " in process.text() or not process.alive())
            assert process.alive(), process.text()
            text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            assert f"CapPrm:\t{'0' * 16}\n" in text and "NoNewPrivs:\t1\n" in text
            assert "no capabilities" in process.text()
            wait_for(lambda: "running" in r.cli("status", "--json"))
        finally:
            process.stop()
    finally:
        run(["rm", "-rf", str(work)])
