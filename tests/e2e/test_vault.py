"""The vault while the daemon runs: other holders, damage, other keys, and a start without it."""
import os

import pytest

import support
from support import POSTERN, run, wait_for

SECRET = "sandbox"


def secret_file(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def made(sandbox, relay, password, folder):
    """A sandbox and a relay that has not started; the secrets of `in_vault` are the vault's, the other's is a file."""
    secret_file(folder, "vault.key", os.urandom(32).hex())

    def make(*in_vault):
        s = sandbox()
        sections = support.TENANT + "mailboxes:"
        for n in ("erp", "crm"):
            text = support.mailbox(f"{n}@contoso.com", s, password)
            sections += text.replace(f"file:{password}", f"vault:{n}") if n in in_vault else text
        general = f"vault: {{ key: 'file:{folder}/vault.key' }}\nretry: {{ first: 1s, ceiling: 2s }}"
        return s, relay(sections + "\nroutes:\n  - { through: sender }\n", general=general, start=False)
    return make


def put(r, name, value):
    run([POSTERN, "vault", "put", name, "--config", str(r.config)], input=value.encode())


def send(r, sender, subject):
    run(["swaks", "--server", f"127.0.0.1:{r.port}", "--from", sender, "--to", "anna@example.org", "--header",
         f"Subject: {subject}"])


def arrived(s, subject):
    return any(subject in str(m) for m in s.messages())


def parked(r):
    return {row["sender"]: row["reason"] for row in r.waiting() if row.get("reason")}


def test_another_holder_rewrites_it_again_and_again(made):
    s, r = made("erp")
    put(r, "erp", SECRET)
    r.start()
    send(r, "erp@contoso.com", "before")
    wait_for(lambda: arrived(s, "before"))
    big = "k" * 65000
    for _ in range(24):
        put(r, "relay-key", big)
    r.cli("reload")
    send(r, "erp@contoso.com", "after")
    wait_for(lambda: arrived(s, "after"))
    r.end()
    r.start()
    send(r, "erp@contoso.com", "restarted")
    wait_for(lambda: arrived(s, "restarted"))
    assert "damaged" not in r.log()


def test_the_daemon_starts_without_the_vault(made):
    s, r = made("erp")
    put(r, "erp", SECRET)
    vault = r.folder / "data" / "vault"
    good = vault.read_bytes()
    vault.write_bytes(b"\0" * len(good))
    r.start()
    send(r, "crm@contoso.com", "needs no vault")
    wait_for(lambda: arrived(s, "needs no vault"))
    send(r, "erp@contoso.com", "waits for it")
    wait_for(lambda: parked(r) == {"erp@contoso.com": "vault-closed"})
    status = r.cli("status")
    assert "vault" in status and "you, or whoever" in status
    vault.write_bytes(good)
    r.cli("reload")
    wait_for(lambda: arrived(s, "waits for it"))
    assert not any("Undelivered" in str(m) for m in s.messages())


def test_a_damaged_secret_costs_its_own_mailbox(made):
    s, r = made("erp", "crm")
    put(r, "erp", SECRET)
    vault = r.folder / "data" / "vault"
    end = vault.stat().st_size
    put(r, "crm", SECRET)
    with vault.open("r+b") as f:
        f.seek(end - 20)
        f.write(b"damage")
    r.start()
    send(r, "crm@contoso.com", "its own record is whole")
    wait_for(lambda: arrived(s, "its own record is whole"))
    send(r, "erp@contoso.com", "its own record is not")
    wait_for(lambda: parked(r) == {"erp@contoso.com": "vault-damaged"})
    assert "postern vault put erp" in r.waiting()[0]["reply"]
    put(r, "erp", SECRET)
    r.cli("reload")
    wait_for(lambda: arrived(s, "its own record is not"))


def test_another_key_leaves_no_window(made, folder):
    s, r = made("erp")
    put(r, "erp", SECRET)
    r.start()
    key = folder / "vault.key"
    new = secret_file(folder, "new.key", os.urandom(32).hex())
    old = key.read_text()
    run([POSTERN, "vault", "rekey", "--new-key", str(new), "--config", str(r.config)])
    # Between the two steps: a reload, a restart, a change from outside.
    r.cli("reload")
    put(r, "other", "x")
    r.kill()
    r.start()
    send(r, "erp@contoso.com", "between")
    wait_for(lambda: arrived(s, "between"))
    key.write_text(new.read_text())
    assert "warning" not in r.cli("reload")
    send(r, "erp@contoso.com", "behind")
    wait_for(lambda: arrived(s, "behind"))
    key.write_text(old)
    listed = run([POSTERN, "vault", "list", "--config", str(r.config)], code=None)
    assert listed.returncode == 78 and b"sealed with another" in listed.stderr
    key.write_text(new.read_text())
    assert b"erp" in run([POSTERN, "vault", "list", "--config", str(r.config)]).stdout


def test_a_killed_rewrite_leaves_nothing(made):
    _, r = made()
    put(r, "a", "first")
    (r.folder / "data" / "vault.new").write_bytes(b"half of it")
    put(r, "b", "second")
    names = {p.name for p in (r.folder / "data").iterdir()}
    assert "vault.new" not in names, names
    assert b"first" not in run([POSTERN, "vault", "list", "--config", str(r.config)]).stdout
