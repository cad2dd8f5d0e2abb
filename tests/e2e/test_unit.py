"""The packaged unit and the daemon's own confinement agree: systemd lets through what the daemon asks for (tests/system starts it for real)."""
import pathlib
import re
import shutil

import pytest

import support

ROOT = pathlib.Path(__file__).parents[2]
# In no set of systemd 252. No library of Debian 12 needs them: with another one they fail, and the older call is taken.
UNKNOWN = {"arm_sync_file_range", "futex_requeue", "futex_wait", "futex_wake", "mincore"}


@pytest.fixture(scope="module")
def sets():
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed: tools/deps test")
    found, name = {}, None
    for line in support.run(["systemd-analyze", "--no-pager", "syscall-filter"]).stdout.decode().splitlines():
        if re.match(r"@[a-z-]+$", line):
            name = line
            found[name] = set()
        elif re.match(r"\s+[@a-z_]", line) and name:
            found[name].add(line.strip())
        elif line.strip() and not line.startswith(" "):
            name = None
    return found


def expand(name, sets):
    return set().union(*(expand(n, sets) for n in sets[name])) if name.startswith("@") else {name}


def test_the_unit_lets_through_what_the_daemon_asks_for(sets):
    unit = (ROOT / "packaging/postern.service").read_text()
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.M):
        calls = set().union(*(expand(name, sets) for name in line.lstrip("~").split()))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    listed = re.search(r"static const char allowed\[\] =(.*?\");\n", (ROOT / "src/io/confine_calls.c").read_text(), re.S)[1]
    own = set(" ".join(re.findall(r'"([^"]*)"', re.sub(r"/\*.*?\*/", "", listed, flags=re.S))).split())
    assert {"read", "fchown", "seccomp"} <= own, own
    assert own - allowed - UNKNOWN == set(), "the daemon allows itself what systemd refuses"
    # And not the other way round: what follows a break-in.
    assert not allowed & {"ptrace", "mount", "init_module", "bpf", "setuid", "reboot"}
    assert "SystemCallErrorNumber=ENOSYS" in unit
