"""What would keep `serve` from starting: `check` says it beforehand, with the daemon's rights; `serve` says it and ends so that systemd tries again."""
import json
import os
import pwd
import socket
import subprocess

import pytest

import support
from support import run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look with the eyes of another user")


def write(folder, more="", listeners="", data="data"):
    path = folder / "postern.yaml"
    path.write_text(f"""data_dir: {folder}/{data}
maildrop: {folder}/maildrop
submit_socket: {folder}/run/submit.sock
control_socket: {folder}/run/control.sock
hostname: relay.example.com
dnssec: off
{more}listeners:
{listeners or f"  - address: 127.0.0.1:{support.free_port()}"}
connectors: [ {{ name: lab, host: localhost }} ]
routes: [ {{ sender: "*@contoso.com", through: lab }} ]
""")
    (folder / "run").mkdir(exist_ok=True)
    return path


def check(path, code):
    rows = [json.loads(line) for line in run([support.POSTERN, "check", "--json", "--config", str(path)], code=code).stdout.splitlines()]
    return rows, run([support.POSTERN, "check", "--config", str(path)], code=code).stdout.decode()


def serve(path, code):
    return run([support.POSTERN, "serve", "--config", str(path)], code=code).stderr.decode()


def test_no_configuration_yet(folder):
    path = folder / "postern.yaml"
    for command in (["check"], ["status"], ["serve"], ["queue", "list"], ["check", "all"]):
        done = run([support.POSTERN, *command, "--config", str(path)], code=78)
        text = (done.stdout + done.stderr).decode()
        assert "no configuration yet" in text and "postern init" in text, (command, text)
        assert "has errors" not in text and "cannot open" not in text, text


def test_a_busy_port_is_named(folder):
    """Whoever has it is named, with the process, and serve ends 69: it is tried again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = write(folder, listeners=f"  - address: 127.0.0.1:{support.free_port()}\n  - address: \"*:{port}\"\n    no_password_from: [10.0.0.0/8]")
        rows, text = check(path, 69)
        assert len(rows) == 1 and rows[0]["level"] == "error" and rows[0]["line"] == 9, rows
        assert f"*:{port} is taken by" in rows[0]["text"] and f"pid {os.getpid()}" in rows[0]["text"], rows
        assert "stop it, or choose another address" in rows[0]["text"] or "systemctl disable --now" in rows[0]["text"]
        assert "the daemon would not start now" in text
        said = serve(path, 69)
        assert f"pid {os.getpid()}" in said and "in use" in said, said
    assert check(path, 0)[0] == []


def test_postfix_is_called_so(folder, process):
    """A process called master, of a program under postfix, is Postfix's."""
    port = support.free_port()
    program = folder / "postfix" / "master"
    program.parent.mkdir()
    program.symlink_to("/usr/bin/python3")
    code = (f"import socket,time,ctypes; s=socket.create_server(('127.0.0.1',{port}));"
            "ctypes.CDLL(None).prctl(15,b'master',0,0,0); time.sleep(600)")
    p = process([str(program), "-c", code], "master")
    support.wait_for(lambda: support.listens(port))
    rows, _ = check(write(folder, listeners=f"  - address: 127.0.0.1:{port}"), 69)
    assert f"taken by Postfix's master, pid {p.pid}" in rows[0]["text"], rows


def test_an_address_of_another_machine(folder):
    path = write(folder, listeners=f"  - address: 192.0.2.77:{support.free_port()}\n    no_password_from: [10.0.0.0/8]")
    rows, _ = check(path, 69)
    assert "no interface of this machine has this address" in rows[0]["text"]
    assert "no interface" in serve(path, 69)


def test_a_running_daemon_is_not_in_its_own_way(submission):
    _, relay = submission()
    assert "error" not in relay.cli("check")
    second = serve(relay.config, 75)
    assert "in use by another postern" in second


def test_errors_of_the_file_end_with_78(folder):
    path = write(folder, more="nonsense: 1\n")
    check(path, 78)
    assert "nonsense" in serve(path, 78)


def test_a_data_dir_that_is_no_folder(folder):
    path = write(folder)
    (folder / "data").write_text("")
    assert "is not a folder" in check(path, 69)[0][0]["text"]
    serve(path, 69)


@needs_root
def test_the_eyes_of_the_daemons_user(open_folder):
    """Root reads everything; the daemon does not. The owner of data_dir is who counts."""
    folder, nobody = open_folder, pwd.getpwnam("nobody")
    secret = folder / "p"
    secret.write_text("x")
    secret.chmod(0o600)
    path = write(folder)
    text = path.read_text().replace("[ { name: lab, host: localhost } ]", f"[ {{ name: lab, host: localhost, login: a, password: 'file:{secret}' }} ]")
    path.write_text(text)
    (folder / "data").mkdir()
    assert check(path, 0)[0] == []
    os.chown(folder / "data", nobody.pw_uid, nobody.pw_gid)
    os.chown(folder / "run", nobody.pw_uid, nobody.pw_gid)
    rows, shown = check(path, 0)
    assert "as user nobody, like the daemon" in shown
    assert [r["level"] for r in rows] == ["warning"] and "Permission denied" in rows[0]["text"] and str(secret) in rows[0]["text"], rows
    os.chown(secret, 0, nobody.pw_gid)
    secret.chmod(0o640)
    assert check(path, 0)[0] == []
    # A command that ran as root once left its file behind.
    (folder / "data" / "queue.db").write_bytes(b"")
    (folder / "data" / "queue.db").chmod(0o600)
    rows, _ = check(path, 69)
    assert "user nobody may not write" in rows[0]["text"] and "chown -R nobody: " in rows[0]["text"], rows
    os.chown(folder / "data" / "queue.db", nobody.pw_uid, nobody.pw_gid)
    path.chmod(0o600)
    rows, _ = check(path, 78)
    assert "Permission denied" in rows[0]["text"], rows
    done = subprocess.run([support.POSTERN, "serve", "--config", str(path)], user="nobody", group=nobody.pw_gid, extra_groups=[],
                          capture_output=True, timeout=support.PATIENCE)
    assert done.returncode == 69 and b"may not be read" in done.stderr, done


@needs_root
def test_a_start_without_rights_is_tried_again(open_folder):
    folder, nobody = open_folder, pwd.getpwnam("nobody")
    path = write(folder)
    (folder / "data").mkdir(mode=0o700)
    done = subprocess.run([support.POSTERN, "serve", "--config", str(path)], user="nobody", group=nobody.pw_gid, extra_groups=[],
                          capture_output=True, timeout=support.PATIENCE)
    assert done.returncode == 69 and b"user nobody may not write there" in done.stderr, done


def test_white_space_around_a_secret_is_named(folder):
    path = write(folder)
    for text, warned in (("secret\n", False), ("abcd efgh ijkl mnop", False), ("secret \n", True), (" secret", True), ("secret\n\n", True)):
        (folder / "p").write_text(text)
        (folder / "p").chmod(0o600)
        path.write_text(path.read_text().replace("[ { name: lab, host: localhost } ]",
                                                 f"[ {{ name: lab, host: localhost, login: a, password: 'file:{folder}/p' }} ]"))
        rows, _ = check(path, 0)
        assert [("white space" in r["text"]) for r in rows] == ([True] if warned else []), (text, rows)


def test_a_secret_that_is_missing_is_made_with_the_right_owner(folder):
    path = write(folder)
    path.write_text(path.read_text().replace("[ { name: lab, host: localhost } ]",
                                             f"[ {{ name: lab, host: localhost, login: a, password: 'file:{folder}/none' }} ]"))
    rows, _ = check(path, 0)
    assert f"install -m 0640 -o root -g postern /dev/stdin {folder}/none" in rows[0]["text"], rows
