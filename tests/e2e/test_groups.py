"""Three groups: who reads secrets, who fills the maildrop, who uses the control socket; and root, who becomes the daemon's user first."""
import json
import os
import pathlib
import pwd
import shutil
import socket
import stat
import subprocess

import pytest

import support
from support import POSTERN, run
from wire import Wire

LAB = "connectors:\n  - { name: lab, provider: smtp, host: 127.0.0.1, port: 1, tls: none }\nroutes:\n  - { through: lab }\n"
NOBODY = pwd.getpwnam("nobody")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def ask(path, **request):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(support.PATIENCE)
        s.connect(str(path))
        s.sendall(json.dumps(request).encode() + b"\n")
        lines = []
        for line in s.makefile("rb"):
            lines.append(json.loads(line))
            if "end" in lines[-1] or "error" in lines[-1]:
                return lines
    raise AssertionError("no answer")


def test_the_socket_for_monitoring_tells_and_changes_nothing(relay):
    r = relay(LAB)
    with Wire(r.port) as c:
        c.hello()
        c.envelope("private@example.org", sender="secret@contoso.com")
        mail = c.data(b"Subject: hush\r\n\r\nx\r\n").split()[-1]
    monitor = r.folder / "monitor.sock"
    for path in (r.control, monitor):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660, path
    told = ""
    for verb in ("status", "mailboxes", "summary"):
        lines = ask(monitor, do=verb)
        assert "end" in lines[-1], lines
        told += json.dumps(lines)
    assert not any(word in told for word in ("private@", "secret@", "hush"))
    for verb in ("list", "show", "edit", "probe", "report", "reload", "login"):
        lines = ask(monitor, do=verb, id=mail, kind="drop", mailbox="lab")
        assert lines[-1]["code"] == os.EX_NOPERM and len(lines) == 1, (verb, lines)
    assert len(r.waiting()) == 1
    assert "configuration reloaded" not in r.log()


def programs_for_others(folder):
    """Where everybody may run it."""
    copy = folder / "postern"
    shutil.copy(POSTERN, copy)
    copy.chmod(0o755)
    return str(copy)


def as_nobody(*words, groups=("--clear-groups",)):
    return ["setpriv", "--reuid", "nobody", "--regid", "nogroup", *groups, *words]


@root_only
def test_who_is_in_no_group_is_told_which(open_folder):
    r = support.Relay(open_folder / "relay", LAB)
    for path in (r.folder, r.config):
        path.chmod(0o755)
    r.start()
    try:
        program = programs_for_others(open_folder)
        words = as_nobody(program, "status", "--config", str(r.config))
        done = run(words, code=os.EX_NOPERM)
        assert b"postern-admin" in done.stderr, done
        # Whoever it was opened to watches, and does no more.
        (r.folder / "monitor.sock").chmod(0o666)
        assert b"queue" in run(words).stdout
        done = run(as_nobody(program, "queue", "list", "--config", str(r.config)), code=None)
        assert done.returncode != 0 and b"monitoring" in done.stderr, done
    finally:
        r.end()


@root_only
def test_the_control_socket_belongs_to_postern_admin(folder, open_folder):
    """With a group file of its own, since the machine has no such group before the package is installed."""
    groups = open_folder / "group"
    groups.write_text(pathlib.Path("/etc/group").read_text() + "postern-admin:x:4242:\n")
    r = support.Relay(open_folder / "relay", LAB)
    script = f"mount --bind {groups} /etc/group && exec {POSTERN} serve --config {r.config}"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare --mount is not allowed here")
    for path in (r.folder, r.config):
        path.chmod(0o755)
    p = support.Process(["unshare", "--mount", "sh", "-c", script], folder / "serve.log")
    try:
        support.wait_for(lambda: support.listens(r.port) and (r.folder / "monitor.sock").exists() or not p.alive())
        assert p.alive(), p.text()
        for name in ("control.sock", "monitor.sock"):
            st = (r.folder / name).stat()
            assert (st.st_gid, stat.S_IMODE(st.st_mode)) == (4242, 0o660), name
        # In that group, and in no other: the control socket is open.
        program = programs_for_others(open_folder)
        member = as_nobody(program, "queue", "list", "--config", str(r.config), groups=("--groups", "4242"))
        assert run(member).returncode == 0
    finally:
        p.kill()


@root_only
def test_root_becomes_the_daemons_user(open_folder):
    r = support.Relay(open_folder / "relay", LAB, general=f'vault: {{ key: "file:{open_folder}/vault.key" }}\n')
    key = open_folder / "vault.key"
    key.write_text("ab" * 32 + "\n")
    (r.folder / "data").mkdir()
    for path in (r.folder, r.folder / "data", r.maildrop, key):
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    r.folder.chmod(0o755)
    r.config.chmod(0o644)
    key.chmod(0o600)
    program = programs_for_others(open_folder)
    p = support.Process(as_nobody(program, "serve", "--config", str(r.config)), open_folder / "serve.log")
    try:
        support.wait_for(lambda: support.listens(r.port) or not p.alive())
        assert p.alive(), p.text()
        with Wire(r.port) as c:
            c.hello()
            c.envelope()
            assert c.data(b"Subject: x\r\n\r\nx\r\n").startswith("250")
        # A secret in a file of root's, which the daemon's user cannot read.
        secret = open_folder / "secret"
        secret.write_text("sesame")
        secret.chmod(0o600)
        r.cli("vault", "put", "word", "--file", str(secret))
        assert "word" in r.cli("vault", "list")
        r.cli("queue", "hold", "--sender", "erp@contoso.com")
    finally:
        p.stop()
    # And when nobody runs: the queue is opened by the command itself.
    for words in (["queue", "list"], ["trace", "--since", "1d"], ["mailboxes"], ["queue", "release", "--sender", "erp@contoso.com"]):
        r.cli(*words)
    files = [path for path in (r.folder / "data").rglob("*")]
    assert {f.name for f in files} >= {"queue.db", "vault"}
    assert {f.stat().st_uid for f in files} == {NOBODY.pw_uid}, [(f, f.stat().st_uid) for f in files]
