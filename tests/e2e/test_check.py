"""`postern check`: whatever is wrong with a secret, an app or a certificate gives one clear sentence at its place."""
import json
import os

import pytest

import support
from support import run

GUID = "00000000-0000-0000-0000-00000000000f"
SECRET = "Zq8~unlikely.App.Secret"


def certificate(folder, name, days=90, passphrase=None):
    key, pem = folder / f"{name}.key", folder / f"{name}.pem"
    cipher = ["-passout", f"pass:{passphrase}"] if passphrase else ["-nodes"]
    request = folder / f"{name}.csr"
    run(["openssl", "req", "-newkey", "rsa:2048", *cipher, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)])
    run(["openssl", "x509", "-req", "-in", str(request), "-signkey", str(key), "-days", str(days), "-out", str(pem),
         *(["-passin", f"pass:{passphrase}"] if passphrase else [])])
    key.chmod(0o600)
    return pem, key


def put(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


def check(folder, text, code=0, env=None):
    path = folder / "postern.yaml"
    path.write_text(text)
    done = run([support.POSTERN, "check", "--config", str(path)], code=code, env=env or os.environ)
    shown = (done.stdout + done.stderr).decode()
    assert SECRET not in shown
    rows = run([support.POSTERN, "check", "--json", "--config", str(path)], code=code, env=env or os.environ).stdout.splitlines()
    assert SECRET.encode() not in b"".join(rows)
    return shown, [json.loads(r) for r in rows]


def tenant(folder, app, more=""):
    return (f"data_dir: {folder}\ndnssec: off\n{more}"
            f"tenants:\n  - name: contoso\n    id: {GUID}\n    domains: [contoso.com]\n    app: {{ client_id: {GUID}, {app} }}\n"
            "mailboxes: [ { address: erp@contoso.com, tenant: contoso, auth: app } ]\nroutes: [ { through: sender } ]\n")


def one(rows, words, level="warning"):
    assert len(rows) == 1, rows
    assert words in rows[0]["text"] and rows[0]["level"] == level, rows
    assert rows[0]["line"] > 0 and rows[0]["file"].endswith("postern.yaml")


def test_what_is_right_says_nothing(folder):
    path = put(folder / "app.secret", SECRET + "\n")
    shown, rows = check(folder, tenant(folder, f"secret: 'file:{path}'"))
    assert rows == [] and "0 warnings" in shown


@pytest.mark.parametrize("text, mode, words", [
    (GUID, 0o600, "the ID of a client secret"),
    (GUID.upper() + "\n", 0o600, "the ID of a client secret"),
    (SECRET, 0o644, "can be read by everybody"),
    ("", 0o600, "is empty"),
])
def test_secret_of_an_app(folder, text, mode, words):
    path = put(folder / "app.secret", text, mode)
    _, rows = check(folder, tenant(folder, f"secret: 'file:{path}'"))
    one(rows, words)


def test_secret_that_cannot_be_read(folder):
    path = folder / "app.secret"
    path.mkdir()
    _, rows = check(folder, tenant(folder, f"secret: 'file:{path}'"))
    one(rows, "is not a file")


def test_tenant_by_name(folder):
    path = put(folder / "app.secret", SECRET)
    _, rows = check(folder, tenant(folder, f"secret: 'file:{path}'").replace(f"id: {GUID}\n", "id: contoso\n"), code=78)
    one(rows, "as Entra shows it", "error")


def test_secrets_from_commands_and_the_vault(folder):
    _, rows = check(folder, tenant(folder, f"secret: 'command:/bin/echo {GUID}'"))
    one(rows, "the ID of a client secret")
    _, rows = check(folder, tenant(folder, "secret: 'command:/bin/false'"))
    assert len(rows) == 1
    _, rows = check(folder, tenant(folder, "secret: 'command:/no/such x'"))
    one(rows[:1], "there is no file")
    _, rows = check(folder, tenant(folder, f"secret: 'file:{folder}/none'"))
    one(rows, "there is no file")

    key = put(folder / "vault.key", run([support.POSTERN, "vault", "key"]).stdout.decode())
    text = tenant(folder, "secret: vault:app", f"vault: {{ key: 'file:{key}' }}\n")
    _, rows = check(folder, text)
    one(rows, "the vault has no 'app'")
    run([support.POSTERN, "vault", "put", "app", "--config", str(folder / "postern.yaml"), "--file",
         str(put(folder / "value", SECRET))])
    _, rows = check(folder, text)
    assert rows == []
    put(key, "not a key")
    _, rows = check(folder, text)
    one(rows, "key")


def test_certificate_of_an_app(folder):
    pem, key = certificate(folder, "a")
    other, other_key = certificate(folder, "b")
    old, old_key = certificate(folder, "c", days=-1)
    soon, soon_key = certificate(folder, "d", days=3)

    def app(pem, key):
        return check(folder, tenant(folder, f"certificate: {pem}, key: 'file:{key}'"))[1]

    assert app(pem, key) == []
    one(app(pem, other_key), "does not")
    one(app(old, old_key), "expired on")
    one(app(soon, soon_key), "it ends on")
    one(app(folder / "none.pem", key), "there is no file")
    key.chmod(0o644)
    one(app(pem, key), "can be read by everybody")


def test_pkcs12_of_an_app(folder):
    pem, key = certificate(folder, "a")
    p12 = folder / "a.p12"
    run(["openssl", "pkcs12", "-export", "-in", str(pem), "-inkey", str(key), "-out", str(p12), "-passout", f"pass:{SECRET}"])
    good, bad = put(folder / "good", SECRET), put(folder / "bad", "wrong")
    _, rows = check(folder, tenant(folder, f"pkcs12: {p12}, passphrase: 'file:{good}'"))
    assert rows == []
    _, rows = check(folder, tenant(folder, f"pkcs12: {p12}, passphrase: 'file:{bad}'"))
    one(rows, "passphrase")


def test_nobody_has_signed_in_yet(folder):
    key = put(folder / "vault.key", run([support.POSTERN, "vault", "key"]).stdout.decode())
    path = put(folder / "app.secret", SECRET)
    text = tenant(folder, f"secret: 'file:{path}'", f"vault: {{ key: 'file:{key}' }}\n").replace("auth: app", "auth: user")
    _, rows = check(folder, text)
    one(rows, "postern login --browser erp@contoso.com")


def connector(pem, key, more=""):
    return (f"dnssec: off\nconnectors:\n  - name: relay\n    provider: connector\n    host: localhost\n"
            f"    certificate: {pem}\n    key: 'file:{key}'\n{more}routes: [ {{ through: relay }} ]\n")


def test_certificate_of_a_connector(folder):
    pem, key = certificate(folder, "a")
    other, other_key = certificate(folder, "b")
    soon, soon_key = certificate(folder, "c", days=3)
    _, rows = check(folder, connector(pem, key))
    assert rows == []
    _, rows = check(folder, connector(pem, other_key))
    one(rows, "the key does not belong to it")
    _, rows = check(folder, connector(soon, soon_key))
    one(rows, "it ends on")
    old, old_key = certificate(folder, "d", days=-1)
    _, rows = check(folder, connector(old, old_key))
    one(rows, "it expired on")
    _, rows = check(folder, connector(key, key))
    one(rows, str(key))
    _, rows = check(folder, connector(pem, pem))
    assert "not a private key" in rows[-1]["text"]


def test_key_of_a_listener(folder):
    pem, key = certificate(folder, "a")
    _, other_key = certificate(folder, "b")

    def listener(key, code=0):
        return check(folder, "dnssec: off\nlisteners:\n" + "".join(
            f"  - {{ address: '127.0.0.1:{port}', tls: starttls, certificate: {pem}, key: 'file:{key}' }}\n" for port in (25, 26)) +
            "connectors: [ { name: lab, host: localhost } ]\nroutes: [ { through: lab } ]\n", code)[1]

    assert listener(key) == []
    rows = listener(other_key, 78)
    assert [r["line"] for r in rows] == [3, 4] and all(r["level"] == "error" for r in rows)
    key.chmod(0o644)
    one(listener(key), "can be read by everybody")


def test_passphrase_of_a_key(folder):
    pem, key = certificate(folder, "a", passphrase=SECRET)
    _, rows = check(folder, connector(pem, key))
    one(rows, "a passphrase is needed")
    good, bad = put(folder / "good", SECRET), put(folder / "bad", "wrong")
    _, rows = check(folder, connector(pem, key, f"    passphrase: 'file:{good}'\n"))
    assert rows == []
    _, rows = check(folder, connector(pem, key, f"    passphrase: 'file:{bad}'\n"))
    one(rows, "does not open the key")


def test_thousands_of_mailboxes_with_one_secret_give_one_line(folder):
    put(folder / "p", SECRET, 0o644)
    put(folder / "out.csv", "address,provider,password\n" + "".join(f"m{i}@b.c,gmail,file:{folder}/p\n" for i in range(2000)))
    _, rows = check(folder, f"dnssec: off\nmailboxes_from: {folder}/out.csv\nroutes: [ {{ through: sender }} ]\n")
    assert len(rows) == 1 and "can be read by everybody" in rows[0]["text"]


def test_what_must_not_be_forgotten_is_named(folder):
    pem, key = certificate(folder, "a")
    shown, rows = check(folder, (
        "dnssec: off\nredirect_all: test@contoso.com\ntenants: [ { name: t, domains: [contoso.com] } ]\n"
        "devices: [ { name: hall, from: 127.0.0.1, sender: hall@contoso.com, tls: legacy } ]\n"
        f"listeners: [ {{ address: '127.0.0.1:465', tls: implicit, certificate: {pem}, key: 'file:{key}', legacy_tls: true }} ]\n"
        "connectors: [ { name: lab, host: localhost } ]\nroutes: [ { through: lab } ]\n"))
    texts = [r["text"] for r in rows]
    assert len(texts) == 2, texts
    assert "EVERY recipient" in texts[0] and "test@contoso.com" in texts[0]
    assert "TLS 1.0 is spoken here" in texts[1] and "hall" in texts[1]
