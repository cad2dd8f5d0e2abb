"""The sandbox's token service, flow by flow, and what Exchange makes of its tokens."""
import base64
import hashlib
import http.client
import json
import re
import subprocess
import time
import urllib.parse

import pytest

import entra
from entra import APP, ASSERTION, DEVICE, EXCHANGE, GRAPH, SMTP_SEND, TENANT, app_token, call, claims, error, form, token
from support import run
from wire import Wire

USER = "a@contoso.com"


def sign_in(sandbox, bearer, user=USER):
    with Wire(sandbox.smtp) as c:
        c.hello()
        c.starttls(sandbox.ca)
        return c.say("AUTH XOAUTH2 " + base64.b64encode(f"user={user}\x01auth=Bearer {bearer}\x01\x01".encode()).decode())


def events(sandbox):
    return [json.loads(line) for line in (sandbox.folder / "events.jsonl").read_text().splitlines()]


def test_curl_gets_a_token_and_curl_sends_with_it(sandbox, folder):
    s = sandbox()
    said = run(["curl", "-sS", "--cacert", str(s.ca), f"https://localhost:{s.https}/{TENANT}/oauth2/v2.0/token",
                "-d", f"client_id={APP}", "-d", "client_secret=sandbox", "-d", f"scope={EXCHANGE}", "-d", "grant_type=client_credentials"]).stdout
    answer = json.loads(said)
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599) and "refresh_token" not in answer
    inside = claims(answer["access_token"])
    assert inside["aud"] == "https://outlook.office365.com" and inside["appid"] == APP and inside["tid"] == TENANT
    assert "SMTP.SendAsApp" in inside["roles"] and inside["exp"] - inside["iat"] == 3599
    mail = folder / "mail.eml"
    mail.write_bytes(b"From: a@contoso.com\r\nSubject: by token\r\n\r\nx\r\n")
    run(["curl", "-sS", "--ssl-reqd", "--cacert", str(s.ca), "--url", f"smtp://localhost:{s.smtp}", "--user", USER,
         "--oauth2-bearer", answer["access_token"], "--mail-from", USER, "--mail-rcpt", "b@example.org", "--upload-file", str(mail)])
    assert [(m["subject"], m["mailbox"]) for m in s.messages()] == [("by token", USER)]
    # Neither the log nor the API tells a token or a secret.
    log = (s.folder / "events.jsonl").read_text()
    assert answer["access_token"] not in log and '"token"' in log
    assert [(c["grant"], c["count"]) for c in s.get("/tokens")["by"]] == [("client_credentials", 1)]


def test_the_signature_is_that_of_the_published_key(sandbox, folder):
    s = sandbox()
    _, answer = app_token(s)
    _, _, keys = call(s, "GET", f"/{TENANT}/discovery/v2.0/keys")
    key = json.loads(keys)["keys"][0]
    number = lambda name: int.from_bytes(base64.urlsafe_b64decode(key[name] + "=="), "big")
    n, e = number("n"), number("e")
    signed, signature = answer["access_token"].rsplit(".", 1)
    raw = pow(int.from_bytes(base64.urlsafe_b64decode(signature + "=="), "big"), e, n).to_bytes(256, "big")
    assert raw.endswith(hashlib.sha256(signed.encode()).digest()) and raw.startswith(b"\x00\x01\xff")
    assert sign_in(s, answer["access_token"]).startswith("235 2.7.0")


@pytest.mark.parametrize("change, number", [
    ({"client_secret": "33333333-3333-3333-3333-333333333333"}, 7000215),
    ({"client_id": "44444444-4444-4444-4444-444444444444"}, 700016),
    ({"client_secret": ""}, 7000216),
    ({"scope": "https://outlook.office.com/SMTP.Send"}, 1002012),
    ({"scope": "https://nowhere.example/.default"}, 70011),
    ({"scope": ""}, 900144),
    ({"grant_type": "password"}, 70003),
    ({"tenant": "not-a-domain"}, 900023),
])
def test_wrong_requests(sandbox, change, number):
    s = sandbox()
    status, answer = app_token(s, **change)
    assert error(answer) == number
    assert status == (401 if 7000215 <= number <= 7000222 else 400)
    assert "sandbox" not in answer["error_description"]


def test_expired_secret_and_unknown_tenant(sandbox):
    s = sandbox("--scenario", "secret-expired")
    status, answer = app_token(s)
    assert (status, error(answer), answer["error"]) == (401, 7000222, "invalid_client")
    s.settings(tenants=["contoso.com"], apps=[{"client_id": APP, "secret_expired": False}])
    assert error(app_token(s)[1]) == 90002
    assert app_token(s, tenant="contoso.com")[0] == 200
    s.settings(apps=[{"client_id": APP, "disabled": True}])
    assert error(app_token(s, tenant="contoso.com")[1]) == 7000112


def test_token_service_down(sandbox):
    s = sandbox("--scenario", "token-service-down")
    status, headers, answer = form(s, f"/{TENANT}/oauth2/v2.0/token", client_id=APP, grant_type="client_credentials", scope=EXCHANGE,
                                   client_secret="sandbox")
    assert (status, headers["Retry-After"], error(answer)) == (503, "5", 90033)
    s.api("DELETE", "/faults")
    s.fault(at="token", do="reply", reply="400 AADSTS50076: Due to a configuration change, you must use multi-factor authentication.", times=1)
    assert error(app_token(s)[1]) == 50076
    s.fault(at="token", do="cut", times=1)
    with pytest.raises((OSError, http.client.HTTPException)):
        app_token(s)
    s.fault(at="token", do="slow", delay_ms=200, times=1)
    assert app_token(s)[0] == 200
    s.fault(at="token", do="cut-after", times=1)
    with pytest.raises((OSError, http.client.HTTPException)):
        app_token(s)
    assert app_token(s)[0] == 200 and s.get("/tokens")["issued"] == 3


def test_certificates(sandbox, folder):
    s = sandbox()
    mine, other = entra.Certificate(folder), entra.Certificate(folder, "other")
    s.settings(apps=[{"client_id": APP, "certificates": [mine.pem.read_text()]}])
    audience = f"https://localhost:{s.https}/{TENANT}/oauth2/v2.0/token"

    def shown(assertion):
        return token(s, grant_type="client_credentials", scope=EXCHANGE, client_assertion_type=ASSERTION, client_assertion=assertion)

    for alg in ("PS256", "RS256"):
        assert shown(mine.assertion(audience, alg))[0] == 200, alg
    assert shown(mine.assertion(f"https://login.microsoftonline.com/{TENANT}/v2.0"))[0] == 200
    now = int(time.time())
    for assertion, number in (
            (other.assertion(audience), 700027),
            (mine.assertion(audience, key=other.key), 700027),
            (mine.assertion(audience, alg="none"), 700027),
            (mine.assertion(audience, alg="RS256", header={"alg": "PS256"}), 700027),
            (mine.assertion("https://localhost/elsewhere"), 700023),
            (mine.assertion(audience, nbf=now - 2000, exp=now - 1000), 700024),
            (mine.assertion(audience, nbf=now + 1000, exp=now + 2000), 700024),
            (mine.assertion(audience, iss="55555555-5555-5555-5555-555555555555"), 700021),
            (mine.assertion(audience, sub="x"), 700021),
            (mine.assertion(audience, jti=""), 50027),
            ("no.jwt", 50027), ("a.b.c", 50027)):
        assert error(shown(assertion)[1]) == number
    once = mine.assertion(audience)
    assert shown(once)[0] == 200
    assert error(shown(once)[1]) == 50013
    # A clock that is ahead sees an assertion that is over.
    s.settings(clock_skew=3600)
    assert error(shown(mine.assertion(audience))[1]) == 700024
    with pytest.raises(AssertionError, match="400"):
        s.settings(apps=[{"client_id": APP, "certificates": ["no certificate"]}])


def device(sandbox, scope=SMTP_SEND):
    status, _, answer = form(sandbox, f"/{TENANT}/oauth2/v2.0/devicecode", client_id=APP, scope=scope)
    assert status == 200
    assert re.fullmatch(r"[A-Z0-9]{9}", answer["user_code"]) and answer["user_code"] in answer["message"]
    assert answer["verification_uri"] == f"https://localhost:{sandbox.https}/devicelogin"
    return answer


def poll(sandbox, code):
    return token(sandbox, grant_type=DEVICE, device_code=code)


def test_device_code(sandbox):
    s = sandbox()
    code = device(s)
    assert (code["expires_in"], code["interval"]) == (900, 5)
    assert poll(s, code["device_code"])[1]["error"] == "authorization_pending"
    assert poll(s, code["device_code"])[1]["error"] == "slow_down"
    assert [w["user_code"] for w in s.get("/logins")] == [code["user_code"]]
    s.api("POST", "/logins/approve", {"user_code": code["user_code"], "user": USER})
    status, answer = poll(s, code["device_code"])
    assert status == 200 and claims(answer["access_token"])["upn"] == USER and claims(answer["access_token"])["scp"] == "SMTP.Send"
    assert answer["refresh_token"] and "id_token" not in answer and answer["scope"] == "https://outlook.office.com/SMTP.Send"
    assert sign_in(s, answer["access_token"]).startswith("235")
    assert error(poll(s, code["device_code"])[1]) == 54005
    assert poll(s, "none")[1]["error"] == "bad_verification_code"

    declined = device(s)
    s.api("POST", "/logins/deny", {"user_code": declined["user_code"]})
    assert poll(s, declined["device_code"])[1]["error"] == "authorization_declined"
    late = device(s)
    s.api("PUT", "/clock", {"advance_seconds": 901})
    assert poll(s, late["device_code"])[1]["error"] == "expired_token"
    with pytest.raises(AssertionError, match="400"):
        s.api("POST", "/logins/approve", {"user_code": late["user_code"], "user": USER})


def test_device_code_on_the_page(sandbox):
    s = sandbox()
    code = device(s)
    status, headers, page = call(s, "GET", "/devicelogin")
    assert status == 200 and headers["Content-Type"].startswith("text/html") and b"<form" in page
    for fields, wanted in (({"code": "WRONGCODE", "user": USER}, 400), ({"code": code["user_code"], "user": "nobody"}, 400),
                           ({"code": code["user_code"].lower(), "user": USER, "answer": "allow"}, 200)):
        assert call(s, "POST", "/devicelogin", urllib.parse.urlencode(fields).encode())[0] == wanted
    assert poll(s, code["device_code"])[0] == 200
    s.settings(auto_approve="c@contoso.com")
    assert claims(poll(s, device(s)["device_code"])[1]["access_token"])["upn"] == "c@contoso.com"


VERIFIER = "v" * 43
CHALLENGE = entra.b64(hashlib.sha256(VERIFIER.encode()).digest())
REDIRECT = "http://localhost:5555/cb"


def authorize(sandbox, **changes):
    query = {"client_id": APP, "response_type": "code", "redirect_uri": REDIRECT, "scope": SMTP_SEND + " openid", "state": "a b&c",
             "code_challenge": CHALLENGE, "code_challenge_method": "S256", "nonce": "n1", "sandbox_user": USER, **changes}
    return call(sandbox, "GET", f"/{TENANT}/oauth2/v2.0/authorize?" + urllib.parse.urlencode({k: v for k, v in query.items() if v}))


def test_authorization_code_with_pkce(sandbox):
    s = sandbox()
    status, headers, page = authorize(s, sandbox_user="", state='"><script>')
    assert status == 200 and b"<form" in page and b"<script>" not in page
    status, headers, _ = authorize(s)
    assert status == 302
    where = urllib.parse.urlsplit(headers["Location"])
    query = dict(urllib.parse.parse_qsl(where.query))
    assert where.netloc == "localhost:5555" and query["state"] == "a b&c"
    spend = {"grant_type": "authorization_code", "code": query["code"], "redirect_uri": REDIRECT}
    assert error(token(s, **spend, code_verifier="w" * 43)[1]) == 501481
    assert error(token(s, **spend)[1]) == 501481
    assert error(token(s, **{**spend, "redirect_uri": "http://localhost:1/"}, code_verifier=VERIFIER)[1]) == 50011
    status, answer = token(s, **spend, code_verifier=VERIFIER)
    assert status == 200 and claims(answer["id_token"])["nonce"] == "n1" and claims(answer["id_token"])["preferred_username"] == USER
    assert error(token(s, **spend, code_verifier=VERIFIER)[1]) == 54005
    page = authorize(s, response_mode="form_post", state='">')[2].decode()
    assert f'action="{REDIRECT}"' in page and 'name="code"' in page and 'value="&#34;&#62;"' in page
    # Declined, elsewhere, or not PKCE's S256.
    assert "error=access_denied" in authorize(s, sandbox_answer="decline")[1]["Location"]
    for change in ({"redirect_uri": "https://evil.example/"}, {"redirect_uri": "http://localhost.evil.example/"},
                   {"redirect_uri": "http://localhost:1/#x"}, {"code_challenge_method": "plain"}, {"response_type": "token"}, {"client_id": "x"}):
        assert authorize(s, **change)[0] == 400, change
    code = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(authorize(s)[1]["Location"]).query))["code"]
    s.api("PUT", "/clock", {"advance_seconds": 700})
    assert error(token(s, grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=VERIFIER)[1]) == 70008


def test_refresh_tokens_rotate(sandbox):
    s = sandbox()
    first = json.loads(s.api("POST", "/tokens", {"user": USER}))

    def refresh(text, **more):
        return token(s, grant_type="refresh_token", refresh_token=text, **more)

    status, second = refresh(first["refresh_token"])
    assert status == 200 and second["refresh_token"] != first["refresh_token"]
    # Entra does not end the old one at once.
    assert refresh(first["refresh_token"])[0] == 200
    s.settings(refresh_once=True)
    status, third = refresh(second["refresh_token"])
    assert status == 200 and error(refresh(second["refresh_token"])[1]) == 50173
    # An access token is no refresh token, and the other way round.
    assert error(refresh(first["access_token"])[1]) == 9002313
    assert sign_in(s, third["refresh_token"]).startswith("535 5.7.3")
    # Another resource with the same sign-in.
    status, graph = refresh(third["refresh_token"], scope="https://graph.microsoft.com/Mail.Send")
    assert claims(graph["access_token"])["aud"] == "https://graph.microsoft.com"
    s.settings(apps=[{"client_id": "second", "secret": "x"}])
    assert error(refresh(graph["refresh_token"], client_id="second")[1]) == 70000
    s.settings(apps=[{"client_id": APP, "consent": False}])
    assert error(refresh(graph["refresh_token"])[1]) == 65001
    s.settings(apps=[{"client_id": APP, "consent": True}], revoke_sessions=True)
    fresh = json.loads(s.api("POST", "/tokens", {"user": USER}))["refresh_token"]
    assert error(refresh(graph["refresh_token"])[1]) == 50173
    s.api("PUT", "/clock", {"advance_seconds": 90 * 86400 + 1})
    assert error(refresh(fresh)[1]) == 700082


def test_tokens_outlive_a_restart(sandbox, folder):
    s = sandbox()
    answer = json.loads(s.api("POST", "/tokens", {"user": USER}))
    s.stop()
    again = type(s)(s.folder)
    try:
        assert sign_in(again, answer["access_token"]).startswith("235")
        assert token(again, grant_type="refresh_token", refresh_token=answer["refresh_token"])[0] == 200
    finally:
        again.stop()


def test_exchange_says_535_and_the_log_says_why(sandbox):
    s = sandbox()
    s.settings(apps=[{"client_id": "unregistered", "registered": False}, {"client_id": "weak", "roles": ["Mail.Send"]},
                     {"client_id": "narrow", "mailboxes": ["scan@contoso.com"]}], delegates={"shared@contoso.com": ["c@contoso.com"]})

    def mint(**spec):
        return json.loads(s.api("POST", "/tokens", spec))["access_token"]

    good = mint()
    assert sign_in(s, good).startswith("235 2.7.0 Authentication successful")
    head, body, signature = good.split(".")
    forged = json.dumps({**claims(good), "exp": claims(good)["exp"] + 9}).encode()
    for bearer, why in (
            ("token-sandbox", "not a JWT"),
            (".".join((head, entra.b64(forged), signature)), "signature"),
            (".".join((entra.b64(b'{"alg":"none","typ":"JWT"}'), body, "")), "signature"),
            (mint(age=4000), "expired"),
            (mint(age=-1000), "not valid yet"),
            (mint(scope=GRAPH), "Microsoft Graph"),
            (mint(client_id="weak"), "application permission"),
            (mint(client_id="unregistered"), "service principal"),
            (mint(user=USER, scope="https://outlook.office.com/Mail.Send"), "delegated permission"),
            (mint(user="c@contoso.com"), "not the mailbox")):
        answer = sign_in(s, bearer)
        assert re.fullmatch(r"535 5\.7\.3 Authentication unsuccessful \[\S+ \S+ \S+\]", answer.strip()), answer
        assert why in [e for e in events(s) if e["event"] == "token-rejected"][-1]["text"], why
    # An app without full access is told after DATA, not here.
    assert sign_in(s, mint(client_id="narrow")).startswith("235")
    assert sign_in(s, mint(client_id="narrow"), "scan@contoso.com").startswith("235")
    assert sign_in(s, mint(user="c@contoso.com"), "shared@contoso.com").startswith("235")
    # The switch for SMTP AUTH holds for tokens, too; basic authentication's end does not.
    s.settings(basic_auth=False)
    assert sign_in(s, good).startswith("235")
    s.settings(tenant_auth=False)
    assert sign_in(s, good).startswith("535 5.7.139")


def test_tokens_end_by_the_sandbox_clock(sandbox):
    s = sandbox()
    s.settings(token_life=600)
    answer = app_token(s)[1]
    assert answer["expires_in"] == 600 and sign_in(s, answer["access_token"]).startswith("235")
    s.api("PUT", "/clock", {"advance_seconds": 601})
    assert sign_in(s, answer["access_token"]).startswith("535 5.7.3")
    assert sign_in(s, app_token(s)[1]["access_token"]).startswith("235")


def test_scenarios_of_sign_in(sandbox):
    s = sandbox("--scenario", "smtp-sendasapp-missing")
    status, answer = app_token(s)
    assert status == 200 and sign_in(s, answer["access_token"]).startswith("535 5.7.3")


def test_metadata(sandbox):
    s = sandbox()
    base = f"https://localhost:{s.https}"
    _, _, body = call(s, "GET", f"/{TENANT}/v2.0/.well-known/openid-configuration")
    found = json.loads(body)
    assert found["token_endpoint"] == f"{base}/{TENANT}/oauth2/v2.0/token" and found["issuer"] == f"{base}/{TENANT}/v2.0"
    _, _, body = call(s, "GET", f"/common/discovery/instance?api-version=1.1&authorization_endpoint={base}/x/oauth2/v2.0/authorize")
    assert json.loads(body)["metadata"][0]["aliases"] == [f"localhost:{s.https}"]
    assert call(s, "GET", "/nothing")[0] == 404
    assert call(s, "GET", f"/{TENANT}/oauth2/v2.0/token")[0] == 405
    assert call(s, "POST", f"/{TENANT}/oauth2/v2.0/token", b"a=%zz")[0] == 400
    assert call(s, "POST", f"/{TENANT}/oauth2/v2.0/token", b"&".join(b"a=b" for _ in range(100)))[0] == 400
