"""`postern check MAILBOX` on the network: good set-ups are good, and of each broken one the right cause is named first.

docs/broken-set-ups.md is the same list in words.
"""
import json
import pathlib
import socket
import ssl
import threading

import pytest

import support
from entra import APP, TENANT
from support import run

ERP = "erp@contoso.com"
LINK = "relay.contoso.com"


class Setup:
    """A sandbox, and the configuration of one mailbox or connector that goes through it."""

    def __init__(self, folder, sandbox):
        self.folder, self.sandbox = folder, sandbox
        self.password = self.secret("mailbox.secret", "sandbox\n")
        self.app = self.secret("app.secret", "sandbox\n")
        self.routes = "  - { through: sender }\n"
        self.tenant_id, self.client_id, self.more_app, self.endpoints = TENANT, APP, "", ""
        self.general = ""
        self.ca = sandbox.ca
        self.lanes = ""

    def secret(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def mailbox(self, provider="submission", auth="password", port=None, host="localhost", address=ERP, more=""):
        port = port or {"submission": self.sandbox.smtp, "hve": self.sandbox.hve}.get(provider)
        password = f"    password: file:{self.password}\n" if auth == "password" else ""
        endpoint = "" if provider == "graph" else f'    endpoint: {{ host: "{host}", port: {port}, ca_file: "{self.ca}" }}\n'
        self.lanes = (f"mailboxes:\n  - address: {address}\n    tenant: contoso\n    provider: {provider}\n"
                      f"    auth: {auth}\n{password}{endpoint}{more}")
        self.what = address
        return self

    def connector(self, more="", host="localhost", port=None, provider="connector"):
        self.lanes = (f"connectors:\n  - name: link\n    tenant: contoso\n    provider: {provider}\n"
                      f'    host: "{host}"\n    port: {port or self.sandbox.connector}\n    ca_file: "{self.ca}"\n{more}')
        self.routes = "  - { through: link }\n"
        self.what = "link"
        return self

    def write(self):
        path = self.folder / "postern.yaml"
        endpoints = self.endpoints or (f'login: "https://localhost:{self.sandbox.https}", '
                                       f'graph: "https://localhost:{self.sandbox.https}", ca_file: "{self.sandbox.ca}"')
        path.write_text(f"""
data_dir: {self.folder}/data
dnssec: off
hostname: relay.contoso.com
{self.general}
tenants:
  - name: contoso
    id: {self.tenant_id}
    domains: [contoso.com]
    app: {{ client_id: {self.client_id}, {self.more_app or f'secret: "file:{self.app}"'} }}
    endpoints: {{ {endpoints} }}
{self.lanes}
routes:
{self.routes}
""")
        return path

    def check(self, *args, code=0, what=None, plain=False):
        config = self.write()
        done = run([support.POSTERN, "check", what or self.what, *([] if plain else ["--json"]), "--config", str(config), *args],
                   code=None, env={"PATH": "/usr/bin:/bin", "SSL_CERT_FILE": str(self.sandbox.ca)})
        self.out, self.err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, (done.returncode, self.out, self.err)
        if plain:
            return self.out
        rows = [json.loads(line) for line in self.out.splitlines()]
        self.steps = [r for r in rows if r.get("type") == "step"]
        self.verdicts = [r for r in rows if r.get("type") == "verdict"]
        return self.verdicts[0]

    def step(self, name):
        return [s for s in self.steps if s["step"] == name]


@pytest.fixture
def setup(folder, sandbox):
    def make(*args):
        return Setup(folder, sandbox(*args))

    return make


@pytest.fixture
def server():
    """A server of one scripted answer: say(connection)."""
    made = []

    def make(talk):
        listener = socket.create_server(("127.0.0.1", 0))
        made.append(listener)

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=lambda c=connection: attempt(talk, c), daemon=True).start()

        def attempt(say, connection):
            try:
                say(connection)
            except OSError:
                pass
            finally:
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return listener.getsockname()[1]

    yield make
    for listener in made:
        listener.close()


# ---- what is right ----

def statuses(s):
    return {x["step"]: x["status"] for x in s.steps}


def test_a_mailbox_by_password(setup):
    s = setup().mailbox()
    v = s.check()
    assert (v["status"], v["cause"], v["exit"]) == ("ok", "", 0), v
    assert [x["step"] for x in s.steps] == ["password", "name", "connect", "greeting", "EHLO", "TLS", "EHLO within TLS", "sign-in",
                                            "sender", "copies", "limits"]
    assert set(statuses(s).values()) == {"ok"}
    assert "STARTTLS" in s.step("EHLO")[0]["text"] and "AUTH LOGIN" in s.step("EHLO within TLS")[0]["text"]
    assert "TLSv1" in s.step("TLS")[0]["text"] and "until 20" in s.step("TLS")[0]["text"]
    assert s.sandbox.messages() == []


@pytest.mark.parametrize("provider", ["submission", "hve"])
def test_a_mailbox_by_an_apps_token(setup, provider):
    s = setup().mailbox(provider, "app")
    v = s.check()
    assert v["status"] == "ok", (v, s.steps)
    claims = s.step("claims")[0]["text"]
    assert APP in claims and TENANT in claims and "outlook.office365.com" in claims
    assert "token" in s.step("sign-in")[0]["text"]


def test_hve_by_password(setup):
    s = setup().mailbox("hve")
    assert s.check()["status"] == "ok"
    assert "sign-in" in statuses(s)


def test_graph(setup):
    s = setup().mailbox("graph", "app")
    assert s.check()["status"] == "ok", s.steps
    assert "Mail.Send" in s.step("claims")[0]["text"]
    assert s.step("mailbox")[0]["status"] == "ok" and s.sandbox.messages() == []
    assert s.check("--send")["status"] == "ok"
    assert [m["subject"] for m in s.sandbox.messages()] == ["postern check"]


def test_a_connector(setup):
    s = setup().connector()
    s.sandbox.settings(connector={"sources": ["127.0.0.0/8"], "certificate": False})
    assert s.check()["status"] == "ok", s.steps
    assert s.step("recipient")[0]["status"] == "ok" and s.sandbox.messages() == []


def test_send_and_report(setup, folder):
    s = setup().mailbox()
    s.check("--send", "--report", str(folder / "report.txt"))
    assert [(m["subject"], m["sender"]) for m in s.sandbox.messages()] == [("postern check", ERP)]
    report = (folder / "report.txt").read_text()
    assert "verdict: ok" in report and "STARTTLS" in report and ERP in report
    assert (folder / "report.txt").stat().st_mode & 0o777 == 0o600


def test_several_have_a_line_each_unless_one_fails(setup):
    s = setup().mailbox()
    s.lanes += s.lanes.replace("mailboxes:\n", "").replace(ERP, "crm@contoso.com")
    text = s.check(what="all", plain=True)
    assert text.count(": ok") == 2 and "greeting" not in text
    s.sandbox.settings(mailboxes=[{"address": "crm@contoso.com", "smtp_auth": "off"}])
    text = s.check(what="all", plain=True, code=77)
    assert f"{ERP}: ok" in text and "crm@contoso.com: broken: smtp-auth-off" in text and "greeting" in text
    # A sender of a route is followed to its doors.
    s.routes = "  - { sender: app@contoso.com, through: [crm@contoso.com, erp@contoso.com] }\n"
    assert s.check(what="app@contoso.com", code=77)["target"] == "crm@contoso.com" and len(s.verdicts) == 2
    s.check(what="nobody", plain=True, code=64)


# ---- what is broken ----

def broken(s, cause, code, *args, owner=None, skipped=()):
    v = s.check(*args, code=code)
    assert (v["status"], v["cause"]) == ("fail" if code else "warn", cause), (v, s.steps)
    assert v["first"] and "{" not in v["first"].replace("{ ", ""), v
    if owner:
        assert v["owner"] == owner, v
    for name in skipped:
        assert s.step(name)[0]["status"] == "skipped" and s.step(name)[0]["text"].startswith("because"), s.steps
    for secret in ("eyJ",):
        assert secret not in s.out
    return v


def test_01_wrong_port(setup):
    broken(setup().mailbox(port=support.free_port()), "wrong-port", 78, owner="you")


def test_02_host_does_not_exist(setup):
    v = broken(setup().mailbox(host="smtp.contoso.invalid"), "name-unknown", 78, owner="you", skipped=["session"])
    assert "smtp.contoso.invalid" in v["text"]


def test_04_nothing_is_said(setup, server):
    port = server(lambda c: c.recv(1))
    broken(setup().mailbox(port=port), "no-greeting", 78)


def test_05_tls_intercepted(setup, folder):
    s = setup()
    other, _, _ = support.make_certificate(folder / "other")
    s.ca = other
    v = broken(s.mailbox(), "tls-intercepted", 69, owner="network", skipped=["sign-in", "sender"])
    assert "signed by" in v["text"]


def test_an_old_list_of_cas_is_no_interception(setup, server, folder):
    """A chain to a public CA that this machine does not know: Debian's list is old, nobody is in between."""
    def openssl(*args):
        run(["openssl", *args])

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/O=DigiCert Inc/CN=DigiCert Cloud Services CA-1",
            "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=outlook.com", "-keyout", str(folder / "leaf.key"), "-out", str(folder / "leaf.csr"))
    (folder / "san").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", str(folder / "leaf.csr"), "-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial",
            "-days", "9", "-extfile", str(folder / "san"), "-out", str(folder / "leaf.pem"))
    s = setup().mailbox(port=server(Starttls(server_context(folder / "leaf.pem", folder / "leaf.key"))))
    v = broken(s, "ca-bundle-old", 69, owner="you")
    assert "ca-certificates" in v["first"] and "DigiCert Cloud Services CA-1" in v["text"]


@pytest.mark.parametrize("kind", ["utf8", "bmp", "ia5 with controls"])
def test_who_signed_is_named_in_his_own_letters(setup, server, folder, kind):
    """Whatever kind of string the name is; what steers a terminal is not in it."""
    name = {"utf8": "Prüfstelle Süd", "bmp": "Prüfstelle Süd", "ia5 with controls": "Firewall\x1b[31m\nred"}[kind]
    mask = {"utf8": "utf8only", "bmp": "MASK:0x800", "ia5 with controls": "MASK:0x10"}[kind]
    (folder / "req.cnf").write_text(f"[req]\nstring_mask = {mask}\nutf8 = yes\ndistinguished_name = dn\nprompt = no\n"
                                    "[dn]\nCN = x\n[ext]\nsubjectAltName = DNS:localhost\n")
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-utf8", "-config", str(folder / "req.cnf"),
         "-extensions", "ext", "-subj", "/CN=" + name, "-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")])
    v = setup().mailbox(port=server(Starttls(server_context(folder / "c.pem", folder / "k.pem"))))
    text = broken(v, "tls-intercepted", 69, owner="network")["text"]
    assert ("'Firewall [31m red'" if kind.startswith("ia5") else f"'{name}'") in text, text


def test_06_starttls_stripped(setup):
    broken(setup("--no-starttls").mailbox(), "starttls-stripped", 69, owner="network")


def smtp_talk(greeting, *answers):
    def talk(connection):
        connection.sendall(greeting + b"\r\n")
        for answer in answers:
            if not connection.recv(4096):
                return
            connection.sendall(answer + b"\r\n")
        connection.recv(4096)

    return talk


def test_07_middle_box(setup, server):
    port = server(smtp_talk(b"220 **************************0**", b"250-relay\r\n250-XXXXXXXA\r\n250 SIZE 1000"))
    broken(setup().mailbox(port=port), "middle-box", 69, owner="network")


def test_08_not_microsoft(setup, server):
    port = server(smtp_talk(b"220 mail.contoso.com ESMTP Postfix", b"250-mail\r\n250 SIZE 1000"))
    s = setup().mailbox(port=port)
    s.check(code=69)
    assert s.step("greeting")[0]["cause"] == "not-microsoft"


def test_09_certificate_for_another_name(setup):
    broken(setup().mailbox(host="ip6-localhost" if False else socket.gethostname()), "certificate-name", 78, owner="you")


def test_10_implicit_tls_on_a_starttls_port(setup):
    s = setup().mailbox()
    s.lanes = s.lanes.replace("ca_file:", "tls: implicit, ca_file:")
    broken(s, "not-tls", 78, owner="you")


def test_11_smtp_auth_off_for_the_tenant(setup):
    broken(setup("--scenario", "smtp-auth-off").mailbox(), "smtp-auth-off", 77, owner="administrator", skipped=["sender"])


def test_12_smtp_auth_off_for_the_mailbox(setup):
    s = setup().mailbox()
    s.sandbox.settings(mailboxes=[{"address": ERP, "smtp_auth": "off"}])
    broken(s, "smtp-auth-off", 77, owner="administrator")


def test_13_smtp_auth_off_gates_tokens_too(setup):
    broken(setup("--scenario", "smtp-auth-off").mailbox(auth="app"), "smtp-auth-off", 77)


def test_14_security_defaults(setup):
    broken(setup("--scenario", "security-defaults").mailbox(), "security-defaults", 77, owner="administrator")


def test_15_basic_authentication_is_off(setup):
    broken(setup("--scenario", "basic-auth-off").mailbox(), "basic-auth-blocked", 77)


def test_16_wrong_password(setup):
    s = setup()
    s.password.write_text("not-this-one\n")
    broken(s.mailbox(), "wrong-credentials", 77)
    assert "not-this-one" not in s.out


def test_17_pasted_spaces(setup):
    s = setup()
    s.password.write_text(" sandbox \n")
    broken(s.mailbox(), "pasted-spaces", 77, owner="you")


def test_18_password_file_is_missing(setup):
    s = setup()
    s.password.unlink()
    s.mailbox().check(code=78)
    assert s.verdicts[0]["cause"] == "password-missing"


def test_19_secret_expired(setup):
    broken(setup("--scenario", "secret-expired").mailbox(auth="app"), "app-secret-expired", 77, skipped=["sign-in", "sender"])


def test_20_wrong_secret(setup):
    s = setup()
    s.app.write_text("wrong~secret~of~an~app\n")
    broken(s.mailbox(auth="app"), "app-secret-wrong", 77)
    assert "wrong~secret" not in s.out


def test_21_app_is_not_of_this_tenant(setup):
    s = setup()
    s.client_id = "44444444-4444-4444-4444-444444444444"
    broken(s.mailbox(auth="app"), "app-not-in-tenant", 77)


def test_22_tenant_does_not_exist(setup):
    s = setup().mailbox(auth="app")
    s.sandbox.settings(tenants=["contoso.com"])
    broken(s, "tenant-not-found", 77)


def test_23_token_service_down(setup):
    broken(setup("--scenario", "token-service-down").mailbox(auth="app"), "token-service-down", 75)


def test_24_graph_audience(setup):
    v = broken(setup("--scenario", "graph-audience").mailbox(auth="app"), "graph-token", 78, owner="you", skipped=["sign-in"])
    assert "this is a Graph token" in v["text"]


def test_25_role_missing(setup):
    v = broken(setup("--scenario", "smtp-sendasapp-missing").mailbox(auth="app"), "role-missing", 77, owner="administrator")
    assert "SMTP.SendAsApp is missing" in v["text"] and "admin consent" in v["first"] and APP in v["first"]


def test_26_service_principal_is_not_registered(setup):
    s = setup().mailbox(auth="app")
    s.sandbox.settings(apps=[{"client_id": APP, "registered": False}])
    v = broken(s, "token-refused", 77, owner="administrator")
    assert v["first"].startswith(f"New-ServicePrincipal -AppId {APP} -ObjectId ") and "OBJECT_ID" not in v["first"]
    assert f"Add-MailboxPermission -Identity {ERP}" in v["then"] and "hour" in v["then"]


def test_27_no_full_access(setup):
    s = setup().mailbox(auth="app")
    s.sandbox.settings(apps=[{"client_id": APP, "mailboxes": ["other@contoso.com"]}])
    # Exchange opens the mailbox for a message, not for a sign-in.
    assert s.check()["status"] == "ok"
    assert "does not prove the right on the mailbox" in s.step("sign-in")[0]["text"]
    v = broken(s, "app-no-mailbox-permission", 77, "--send", owner="administrator")
    assert "object id" in v["then"], v
    assert not s.sandbox.messages()


def test_28_send_as_missing(setup):
    s = setup().mailbox()
    s.routes = f"  - {{ sender: billing@contoso.com, through: {ERP} }}\n  - {{ through: sender }}\n"
    assert s.check()["status"] == "ok"
    broken(s, "send-as-denied", 77, "--send")


def test_29_connector_does_not_know_the_address(setup):
    broken(setup("--scenario", "connector-unknown").connector(), "connector-missing", 77)


def test_30_certificate_is_not_accepted(setup, folder):
    s = setup("--scenario", "connector-unknown")
    _, cert, key = support.make_certificate(folder / "own")
    key.chmod(0o600)
    s.connector(more=f"    certificate: {cert}\n    key: file:{key}\n")
    v = broken(s, "certificate-not-accepted", 77)
    assert "certificate" in v["first"]


def test_31_hve_external_recipient(setup):
    broken(setup().mailbox("hve"), "external-recipient", 78, "--to", "someone@example.org")


def test_32_clock_is_off(setup):
    s = setup().mailbox(auth="app")
    s.sandbox.api("PUT", "/clock", {"advance_seconds": 600})
    v = broken(s, "clock-off", 0, owner="you")
    assert "10 minutes slow" in v["text"]


def test_36_sign_in_service_is_blocked(setup):
    s = setup().mailbox(auth="app")
    s.endpoints = f'login: "https://localhost:{support.free_port()}", graph: "https://localhost:1", ca_file: "{s.sandbox.ca}"'
    broken(s, "https-blocked", 69, owner="network", skipped=["token", "sign-in"])


def test_37_https_is_intercepted(setup, folder):
    s = setup().mailbox("graph", "app")
    other, _, _ = support.make_certificate(folder / "other")
    s.endpoints = f'login: "https://localhost:{s.sandbox.https}", graph: "https://localhost:{s.sandbox.https}", ca_file: "{other}"'
    broken(s, "tls-intercepted", 69, owner="network", skipped=["token", "mailbox"])


def test_38_graph_without_permission(setup):
    s = setup().mailbox("graph", "app")
    s.sandbox.settings(apps=[{"client_id": APP, "roles": ["SMTP.SendAsApp"]}])
    v = broken(s, "role-missing", 77, owner="administrator")
    assert "Mail.Send is missing" in v["text"] and "Microsoft Graph" in v["first"]


def test_39_graph_mailbox_is_not_in_the_apps_scope(setup):
    s = setup().mailbox("graph", "app")
    s.sandbox.settings(apps=[{"client_id": APP, "mailboxes": ["other@contoso.com"]}])
    broken(s, "app-scope-policy", 77)


def test_40_graph_mailbox_does_not_exist(setup):
    s = setup().mailbox("graph", "app")
    s.sandbox.settings(accepted_domains=[])
    broken(s, "mailbox-not-found", 77)


class Starttls:
    """A server that is right up to STARTTLS, and then has the TLS context that a test gives it."""

    def __init__(self, context):
        self.context = context

    def __call__(self, connection):
        connection.sendall(b"220 x.outlook.office365.com Microsoft ESMTP MAIL Service ready\r\n")
        connection.recv(4096)
        connection.sendall(b"250-x\r\n250 STARTTLS\r\n")
        connection.recv(4096)
        connection.sendall(b"220 2.0.0 SMTP server ready\r\n")
        with self.context.wrap_socket(connection, server_side=True) as tls:
            while tls.recv(4096):
                tls.sendall(b"250-x\r\n250 AUTH LOGIN XOAUTH2\r\n")


def server_context(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(cert), str(key))
    return context


def test_33_the_certificate_has_ended(setup, server, folder):
    s = setup()
    ca, cert, key = support.make_certificate(folder / "old")
    run(["openssl", "x509", "-req", "-in", str(folder / "old" / "req.csr"), "-CA", str(ca), "-CAkey", str(folder / "old" / "ca.key"),
         "-CAcreateserial", "-days", "-1", "-extfile", str(folder / "old" / "ext.cnf"), "-out", str(cert)])
    s.ca = ca
    broken(s.mailbox(port=server(Starttls(server_context(cert, key)))), "certificate-expired", 69)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_34_only_old_tls(setup, server, folder):
    s = setup()
    s.ca, cert, key = support.make_certificate(folder / "old")
    context = server_context(cert, key)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    broken(s.mailbox(port=server(Starttls(context))), "server-tls-too-old", 69)


def test_35_a_client_certificate_is_wanted(setup, server, folder):
    s = setup()
    s.ca, cert, key = support.make_certificate(folder / "own")
    context = server_context(cert, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(s.ca))
    broken(s.connector(port=server(Starttls(context))), "client-certificate-refused", 77)


@pytest.mark.parametrize("reply, cause, code", [
    ("535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your "
     "administrator.", "conditional-access", 77),
    ("535 5.7.139 Authentication unsuccessful, the organization configuration doesn't allow this authentication request.",
     "organization-blocks-sign-in", 77),
    ("550 5.7.30 Basic authentication is not supported for Client Submission.", "basic-auth-retired", 77),
    ("454 4.7.0 Temporary authentication failure", "sign-in-unavailable", 75),
])
def test_41_what_else_auth_says(setup, reply, cause, code):
    s = setup().mailbox()
    s.sandbox.fault(at="auth", do="reply", reply=reply)
    broken(s, cause, code)


def test_42_the_app_is_disabled(setup):
    s = setup().mailbox(auth="app")
    s.sandbox.settings(apps=[{"client_id": APP, "disabled": True}])
    broken(s, "app-disabled", 77)


def test_43_the_certificate_of_the_app_is_not_uploaded(setup, folder):
    s = setup().mailbox(auth="app")
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "a.key"), "-out", str(folder / "a.pem"),
         "-days", "2", "-subj", "/CN=postern"])
    (folder / "a.key").chmod(0o600)
    s.more_app = f'certificate: "{folder}/a.pem", key: "file:{folder}/a.key"'
    broken(s, "app-certificate-wrong", 77)


def test_44_the_id_of_a_secret_instead_of_the_secret(setup):
    s = setup().mailbox(auth="app")
    s.app.write_text("33333333-3333-3333-3333-333333333333\n")
    broken(s, "app-credentials", 78)


def vault(s, key="00112233445566778899aabbccddeeff" * 2):
    path = s.secret("vault.key", key + "\n")
    s.general = f"vault: {{ key: 'file:{path}' }}"
    return s


def test_45_nobody_has_signed_in(setup):
    v = broken(vault(setup().mailbox(auth="user")), "login-needed", 77, skipped=["sign-in"])
    assert f"postern login --browser {ERP}" in v["first"]


def test_53_the_vault_does_not_open(setup):
    broken(vault(setup().mailbox(auth="user"), "no key"), "vault-closed", 78, owner="you")


@pytest.mark.parametrize("settings, cause, code", [
    ({"full": True}, "mailbox-full", 75),
    ({"blocked": True}, "mailbox-restricted", 77),
])
def test_46_what_shows_behind_data_only(setup, settings, cause, code):
    s = setup().mailbox()
    s.sandbox.settings(mailboxes=[{"address": ERP, **settings}])
    assert s.check()["status"] == "ok"
    broken(s, cause, code, "--send")


def test_47_not_an_hve_account(setup):
    s = setup().mailbox("hve")
    s.sandbox.settings(hve_accounts=["other@contoso.com"])
    broken(s, "not-an-hve-account", 77)


def test_48_direct_send_is_rejected(setup):
    s = setup().connector(provider="direct")
    s.sandbox.settings(reject_direct_send=True)
    broken(s, "direct-send-off", 77, "--to", "anna@contoso.com")


def test_49_limits_above_the_providers(setup):
    s = setup().mailbox(more="    limits: { messages_per_minute: 100 }\n")
    v = broken(s, "limit-above-provider", 0, owner="you")
    assert "messages_per_minute is 100" in v["text"]


def test_50_the_secret_is_never_shown(setup, server, folder):
    """A server that sends back what it was sent in confidence."""
    s = setup().mailbox()
    s.sandbox.fault(at="auth", do="reply", reply="535 5.7.8 Error: authentication failed: sandbox-is-wrong")
    s.password.write_text("sandbox-is-wrong\n")
    s.check("--report", str(folder / "report.txt"), code=77)
    assert "sandbox-is-wrong" not in s.out + (folder / "report.txt").read_text()


def test_51_a_person_signs_in_and_is_signed_out(setup, folder):
    s = vault(setup().mailbox(auth="user"))
    s.sandbox.settings(auto_approve=ERP)
    run([support.POSTERN, "login", ERP, "--json", "--config", str(s.write())])
    v = s.check()
    assert v["status"] == "ok", s.steps
    assert ERP in s.step("claims")[0]["text"] and "SMTP.Send" in s.step("claims")[0]["text"]
    # The refresh token that was used is replaced in the vault, so that it goes on.
    assert s.check()["status"] == "ok"
    s.sandbox.settings(revoke_sessions=True)
    v = broken(s, "login-revoked", 77, skipped=["sign-in"])
    assert "eyJ" not in s.out


def test_52_a_clock_that_breaks_the_certificate_of_an_app(setup, folder):
    s = setup().mailbox(auth="app")
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "a.key"), "-out", str(folder / "a.pem"),
         "-days", "2", "-subj", "/CN=postern"])
    (folder / "a.key").chmod(0o600)
    s.more_app = f'certificate: "{folder}/a.pem", key: "file:{folder}/a.key"'
    s.sandbox.settings(apps=[{"client_id": APP, "certificates": [(folder / "a.pem").read_text()]}])
    assert s.check()["status"] == "ok", s.steps
    assert "certificate" in s.step("token")[0]["text"]
    s.sandbox.settings(clock_skew=3600)
    broken(s, "clock-wrong", 77, skipped=["sign-in"])
