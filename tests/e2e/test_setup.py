"""`postern setup powershell`: the script holds what each door needs, and no name gets out of its string."""
import json
import pathlib
import subprocess

import pytest

import support
from support import run

NODE = pathlib.Path(__file__).parent / "node"
GUID = "00000000-0000-0000-0000-00000000000f"
SECRET = "Zq8~unlikely.App.Secret"


def script(folder, text, *options, code=0):
    path = folder / "postern.yaml"
    path.write_text(text)
    done = run([support.POSTERN, "setup", "powershell", "--config", str(path), *options], code=code)
    return done.stdout.decode("ascii")


def tenant(folder, rest, client_id=GUID):
    secret = folder / "app.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return (f"data_dir: {folder}\ndnssec: off\ntenants:\n  - name: contoso\n    id: {GUID}\n    domains: [contoso.com]\n"
            f"    app: {{ client_id: {client_id}, secret: 'file:{secret}' }}\n{rest}")


MAILBOX = "mailboxes: [ {{ address: \"{}\", tenant: contoso, auth: app }} ]\nroutes: [ {{ through: sender }} ]\n"


def test_script_of_a_mailbox(folder):
    text = script(folder, tenant(folder, MAILBOX.format("erp@contoso.com")))
    order = ["Connect-ExchangeOnline", "Connect-MgGraph", "$app = ", "$sp = ", "'SMTP.SendAsApp'", "New-ServicePrincipal -AppId",
             "Add-MailboxPermission", "Set-CASMailbox -Identity 'erp@contoso.com'", "Set-Mailbox -Identity 'erp@contoso.com'",
             "Set-DkimSigningConfig"]
    places = [text.rindex(word) for word in order]
    assert places == sorted(places)
    assert SECRET not in text and "Set-TransportConfig" not in text


@pytest.mark.parametrize("name, want", [
    ("o'neil@contoso.com", "'o''neil@contoso.com'"),
    ("$erp`x@contoso.com", "'$erp`x@contoso.com'"),
])
def test_names_stay_in_their_strings(folder, name, want):
    plain = script(folder, tenant(folder, MAILBOX.format("erp@contoso.com")))
    odd = script(folder, tenant(folder, MAILBOX.format(name)))
    assert f"Set-CASMailbox -Identity {want} " in odd
    assert odd.replace(want, "'erp@contoso.com'").replace(name, "erp@contoso.com") == plain


def test_connector_by_the_name_in_its_certificate(folder):
    key, pem = folder / "k.pem", folder / "c.pem"
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=relay.example.net",
         "-addext", "subjectAltName=DNS:relay.example.net,DNS:relay.contoso.com", "-keyout", str(key), "-out", str(pem)])
    key.chmod(0o600)
    door = (f"connectors: [ {{ name: mx, provider: connector, tenant: contoso, certificate: {pem}, key: 'file:{key}' }} ]\n"
            "routes: [ { through: mx } ]\n")
    text = script(folder, tenant(folder, door))
    assert "$certificate = 'relay.contoso.com'" in text and "New-InboundConnector" in text
    assert "Add-MailboxPermission" not in text and "Connect-MgGraph" not in text


def test_connector_by_address(folder):
    door = "connectors: [ { name: mx, provider: connector, tenant: contoso } ]\nroutes: [ { through: mx } ]\n"
    assert "Read-Host 'Public IPv4" in script(folder, tenant(folder, door))
    assert "$address = '192.0.2.7'" in script(folder, tenant(folder, door), "--address", "192.0.2.7")
    assert script(folder, tenant(folder, door), "--address", "'; Stop-Computer", code=64) == ""


def test_an_app_that_is_not_registered_yet(folder):
    zeros = "00000000-0000-0000-0000-000000000000"
    text = script(folder, tenant(folder, MAILBOX.format("erp@contoso.com"), zeros))
    assert "New-MgApplication -DisplayName 'postern'" in text and zeros not in text


def test_broken_configuration(folder):
    assert script(folder, "mailboxes: 1\n", code=78) == ""


def test_whole_script_is_powershell(folder):
    """Every kind of step, read with a grammar that we did not write."""
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=relay.contoso.com",
         "-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")])
    key = folder / "k.pem"
    key.chmod(0o600)
    text = script(folder, f"vault: {{ key: 'file:{key}' }}\n" + tenant(folder, (
        "mailboxes:\n"
        "  - { address: \"o'neil@contoso.com\", tenant: contoso, auth: app }\n"
        "  - { address: all@contoso.com, tenant: contoso, auth: user, login: it@contoso.com }\n"
        "  - { address: big@contoso.com, tenant: contoso, provider: graph }\n"
        "  - { address: pay@contoso.com, tenant: contoso, provider: hve }\n"
        f"  - {{ address: old@contoso.com, tenant: contoso, provider: hve, password: 'file:{key}' }}\n"
        "connectors:\n"
        f"  - {{ name: a, provider: connector, tenant: contoso, certificate: {folder}/c.pem, key: 'file:{key}' }}\n"
        "  - { name: b, provider: connector, tenant: contoso }\n"
        "routes:\n"
        "  - { sender: info@contoso.com, through: \"o'neil@contoso.com\" }\n"
        "  - { through: sender }\n")))
    read = json.loads(subprocess.run(["node", str(NODE / "powershell.mjs")], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout)
    assert read["faults"] == []
    assert {"New-ServicePrincipal", "Add-MailboxPermission", "Add-RecipientPermission", "Set-CASMailbox", "New-InboundConnector",
            "New-MailUser", "Add-HVEAppAccess", "New-DkimSigningConfig", "Add-PosternScope"} <= set(read["commands"])
