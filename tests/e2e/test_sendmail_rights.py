"""sendmail as it is installed, setgid: it follows no variable, and does not send a test's mail to the real relay."""
import os
import shutil
import subprocess

import pytest

import support


@pytest.fixture
def installed(folder):
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a file to another group")
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        pytest.skip(f"{folder} is mounted nosuid")
    program = folder / "postern-drop"
    shutil.copy(support.DROP, program)
    os.chown(program, 0, 65534)
    program.chmod(0o2755)
    return program


@pytest.mark.parametrize("variable", ["POSTERN_SUBMIT_SOCKET", "POSTERN_MAILDROP"])
def test_a_variable_that_would_be_ignored_stops_it(installed, folder, variable):
    done = subprocess.run([installed, "anna@example.org"], input=b"Subject: test\n\nx\n", capture_output=True,
                          env={variable: str(folder / "elsewhere")}, timeout=support.PATIENCE)
    assert done.returncode == 78, done
    assert variable.encode() in done.stderr and b"not sent" in done.stderr


def test_a_copy_without_the_bit_follows_it(installed, folder):
    installed.chmod(0o755)
    maildrop = folder / "maildrop"
    maildrop.mkdir()
    subprocess.run([installed, "anna@example.org"], input=b"Subject: test\n\nx\n", check=True, timeout=support.PATIENCE,
                   env={"POSTERN_SUBMIT_SOCKET": str(folder / "no.sock"), "POSTERN_MAILDROP": str(maildrop)})
    assert len(list(maildrop.iterdir())) == 1


def test_an_empty_variable_is_none(installed, folder):
    """It goes on, to the machine's own relay; here there is none, or it takes it: what matters is that it tries."""
    done = subprocess.run([installed], input=b"Subject: test\n\nx\n", capture_output=True,
                          env={"POSTERN_SUBMIT_SOCKET": ""}, timeout=support.PATIENCE)
    assert done.returncode == 64 and b"no recipient" in done.stderr, done
