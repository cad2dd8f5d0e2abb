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
    # The grammar is a megabyte of WASM: optimising it costs half a minute, reading the script nothing.
    read = json.loads(subprocess.run(["node", "--liftoff-only", str(NODE / "powershell.mjs")], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout)
    assert read["faults"] == []
    assert {"New-ServicePrincipal", "Add-MailboxPermission", "Add-RecipientPermission", "Set-CASMailbox", "New-InboundConnector",
            "New-MailUser", "Add-HVEAppAccess", "New-DkimSigningConfig", "Add-PosternScope"} <= set(read["commands"])


# ---- apply and undo, against the sandbox's Graph and admin endpoint ----

ADMIN = "99999999-9999-9999-9999-999999999999"
SCOPES = ["Exchange.Manage", "Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All"]


class Tenant:
    """A sandbox where an administrator signs in at once, and a configuration that points there."""

    def __init__(self, folder, s):
        self.sandbox, self.folder, self.config = s, folder, folder / "postern.yaml"
        s.settings(apps=[{"client_id": ADMIN, "scopes": SCOPES}], auto_approve="admin@contoso.com", device_interval=1,
                   admin={"applications": [{"id": "app-object", "appId": GUID}]})
        door = "connectors: [ { name: mx, provider: connector, tenant: contoso } ]\n"
        text = tenant(folder, "mailboxes: [ { address: erp@contoso.com, tenant: contoso, auth: app } ]\n" + door +
                      "routes:\n  - { sender: info@contoso.com, through: erp@contoso.com }\n  - { through: sender }\n")
        url = f"https://localhost:{s.https}"
        self.config.write_text(text.replace(
            "    domains:", f"    endpoints: {{ login: \"{url}\", graph: \"{url}\", ca_file: {s.ca} }}\n    domains:"))
        self.before = folder / "setup-contoso.json"

    def run(self, verb, *args, code=0, stdin=b""):
        done = run([support.POSTERN, "setup", verb, "--config", str(self.config), "--admin", "admin@contoso.com",
                    "--exchange", f"https://localhost:{self.sandbox.https}", "--client-id", ADMIN, *args], code=code, input=stdin)
        shown = (done.stdout + done.stderr).decode()
        assert "eyJ" not in shown and SECRET not in shown
        return shown

    def apply(self, *args, **kw):
        return self.run("apply", "--yes", "--address", "192.0.2.7", *args, **kw)

    def state(self):
        return self.sandbox.get("/admin")


@pytest.fixture
def admin(folder, sandbox):
    return Tenant(folder, sandbox())


def test_apply_twice_then_undo(admin):
    first = admin.apply()
    assert "All is as it should be" in first and "FAIL" not in first
    state = admin.state()
    box = state["mailboxes"]["erp@contoso.com"]
    assert box["SmtpClientAuthenticationDisabled"] is False and box["MessageCopyForSMTPClientSubmissionEnabled"] is False
    principal, = state["principals"]
    enterprise = next(p for p in state["servicePrincipals"] if p["appId"] == GUID)
    assert principal["ObjectId"] == enterprise["id"] != "app-object"
    assert state["permissions"] == [{"Identity": "erp@contoso.com", "User": enterprise["id"], "AccessRights": ["FullAccess"]}]
    assert [p["Identity"] for p in state["sendas"]] == ["info@contoso.com"]
    assert state["connectors"][0]["SenderIPAddresses"] == ["192.0.2.7"]
    assert state["dkim"][0]["Enabled"] is True and state["dkim"][0]["KeySize"] == 2048
    assert len(state["appRoleAssignments"]) == 1

    again = admin.apply()
    assert admin.state() == state and "  do  " not in again and "  done" not in again

    assert admin.before.stat().st_mode & 0o777 == 0o600
    admin.run("undo", "--yes")
    state = admin.state()
    box = state["mailboxes"]["erp@contoso.com"]
    assert box["SmtpClientAuthenticationDisabled"] is None and box["MessageCopyForSMTPClientSubmissionEnabled"] is True
    assert state["principals"] == state["permissions"] == state["sendas"] == state["connectors"] == state["appRoleAssignments"] == []
    assert state["dkim"][0]["Enabled"] is False
    assert not any(p["appId"] == GUID for p in state["servicePrincipals"])
    assert not admin.before.exists()
    assert "Nothing is left to undo" in admin.run("undo", "--yes")


@pytest.mark.parametrize("cmdlet, script", [
    ("Set-CASMailbox", "Set-CASMailbox -Identity 'erp@contoso.com'"),
    ("Add-MailboxPermission", "Add-MailboxPermission -Identity $mailbox"),
    ("Get-ServicePrincipal", "New-ServicePrincipal -AppId"),
    ("New-InboundConnector", "New-InboundConnector -Name"),
    ("POST appRoleAssignments", "Add-PosternRole $app $sp"),
])
def test_a_refusal_prints_the_script_of_its_step(admin, cmdlet, script):
    admin.sandbox.settings(admin={"refuse": {cmdlet: "You may not."}})
    shown = admin.apply(code=77)
    assert "it was refused: You may not." in shown and script in shown and "1 step is left" in shown
    # What was refused is not remembered, what was done is.
    if cmdlet[0:3] in ("Set", "Add", "New"):
        assert cmdlet.replace("Add-", "Remove-").replace("New-", "Remove-") not in admin.before.read_text()
    # Once it is allowed, only that is left to do.
    admin.sandbox.settings(admin={"refuse": {}})
    again = admin.apply()
    assert again.count("  done") == 1 and "All is as it should be" in again
    admin.run("undo", "--yes")
    assert admin.state()["permissions"] == []


def test_half_done_states(admin):
    """A principal with the wrong object id, a permission that is there, a DKIM that waits for its DNS."""
    admin.sandbox.settings(admin={
        "principals": [{"AppId": GUID, "ObjectId": "app-object", "DisplayName": "old"}], "dkim_ready": False,
        "mailboxes": {"erp@contoso.com": {"SmtpClientAuthenticationDisabled": True, "MessageCopyForSMTPClientSubmissionEnabled": False}}})
    shown = admin.apply(code=77)
    assert "CNAME record does not exist" in shown and "ok    no copies in Sent Items" in shown
    state = admin.state()
    enterprise = next(p for p in state["servicePrincipals"] if p["appId"] == GUID)
    assert [p["ObjectId"] for p in state["principals"]] == [enterprise["id"]]
    admin.sandbox.settings(admin={"dkim_ready": True})
    admin.apply()
    admin.run("undo", "--yes")
    state = admin.state()
    assert [p["ObjectId"] for p in state["principals"]] == ["app-object"]
    assert state["mailboxes"]["erp@contoso.com"]["SmtpClientAuthenticationDisabled"] is True


def test_no_changes_nothing(admin):
    shown = admin.run("apply", "--address", "192.0.2.7", code=77, stdin=b"no\n" * 50)
    assert "  do    " in shown and "  done" not in shown
    state = admin.state()
    assert state.get("principals", []) == [] and not admin.before.exists()


def test_app_that_is_not_there(admin):
    admin.sandbox.settings(admin={"applications": []})
    shown = admin.apply(code=77)
    assert "no app with this client_id" in shown


def test_nobody_signs_in(admin):
    admin.sandbox.settings(auto_approve=None, device_life=1)
    shown = admin.apply(code=77)
    assert "nobody signed in" in shown and "setup powershell" in shown and admin.state() == {"applications": [{"id": "app-object", "appId": GUID}]}


def test_apply_wants_an_administrator(admin):
    run([support.POSTERN, "setup", "apply", "--config", str(admin.config)], code=64)


# ---- survey: who still signs in with a password ----

SIGN_INS = ("Date (UTC),Username,IP address,Client app,User agent\n"
            "2026-11-01T10:00:00Z,erp@contoso.com,203.0.113.7,Authenticated SMTP,BAV2ROPC\n"
            "2026-11-03T10:00:00Z,scan-2@contoso.com,203.0.113.7,Authenticated SMTP,\n"
            "2026-11-02T10:00:00Z,anna@contoso.com,203.0.113.9,Browser,Mozilla\n")


def test_survey_of_an_export(folder):
    report = folder / "sign-ins.csv"
    report.write_text(SIGN_INS)
    args = [support.POSTERN, "setup", "survey", "--report", str(report), "--config", str(folder / "none.yaml")]
    shown = run(args).stdout.decode()
    assert shown.startswith("SMTP AUTH with a password: 2 senders, 2 devices, 2 sign-ins")
    assert "anna@contoso.com" not in shown and "1 other rows" in shown and "end of December 2026" in shown
    assert "postern user add" in shown and "`devices:`" in shown
    rows = [json.loads(line) for line in run([*args, "--json"]).stdout.splitlines()]
    assert {(r["sender"], r["move"]) for r in rows} == {("erp@contoso.com", "application"), ("scan-2@contoso.com", "device")}
    (folder / "bad.csv").write_text("no,header\n1,2\n")
    bad = run([support.POSTERN, "setup", "survey", "--report", str(folder / "bad.csv"), "--config", str(folder / "none.yaml")], code=65)
    assert b"Sender address" in bad.stderr
    run([support.POSTERN, "setup", "survey", "--report", str(folder / "absent.csv")], code=66)


def test_survey_knows_the_relays_own_mailboxes(folder):
    (folder / "erp.secret").write_text("x\n")
    (folder / "erp.secret").chmod(0o600)
    config = folder / "postern.yaml"
    config.write_text(f"data_dir: {folder}/data\nhostname: relay.contoso.com\n" + support.TENANT +
                      "mailboxes:\n  - { address: erp@contoso.com, tenant: contoso, auth: password, "
                      f"password: \"file:{folder}/erp.secret\" }}\nroutes:\n  - {{ through: sender }}\n")
    report = folder / "sign-ins.csv"
    report.write_text(SIGN_INS)
    shown = run([support.POSTERN, "setup", "survey", "--report", str(report), "--config", str(config)]).stdout.decode()
    assert "This relay's own mailbox" in shown


def test_survey_asks_graph_page_by_page(folder, sandbox):
    admin = Tenant(folder, sandbox())
    rows = [{"userPrincipalName": f"m{i % 7}@contoso.com", "ipAddress": f"203.0.113.{i % 3}", "userAgent": "BAV2ROPC",
             "clientAppUsed": "Authenticated SMTP", "createdDateTime": f"2026-11-{i % 28 + 1:02}T10:00:00Z"} for i in range(1203)]
    rows.append({"userPrincipalName": "anna@contoso.com", "clientAppUsed": "Browser"})
    admin.sandbox.settings(apps=[{"client_id": ADMIN, "scopes": ["AuditLog.Read.All", "Directory.Read.All"]}], admin={"signIns": rows})
    shown = admin.run("survey")
    assert "7 senders, 21 devices, 1203 sign-ins" in shown and "anna" not in shown
    admin.sandbox.settings(admin={"refuse": {"GET signIns": "Neither tenant is B2C or tenant doesn't have premium license"}})
    refused = admin.run("survey", code=77)
    assert "premium license" in refused and "--report FILE.csv" in refused
    assert "no tenant fabrikam" in admin.run("survey", "--tenant", "fabrikam", code=64)
