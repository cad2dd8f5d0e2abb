"""Microsoft's own libraries accept the sandbox: @azure/msal-node and @microsoft/microsoft-graph-client."""
import email.policy
import hashlib
import json
import os
import subprocess

import entra
from entra import APP, GRAPH, TENANT, claims
from support import NODE

USER = "a@contoso.com"


def start(sandbox, script, **o):
    o = {"client_id": APP, "authority": f"https://localhost:{sandbox.https}/{TENANT}", "known": f"localhost:{sandbox.https}", **o}
    return subprocess.Popen(["node", str(NODE / script), json.dumps(o)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(sandbox.ca)})


def finish(process, code=0):
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    return [json.loads(line) for line in out.splitlines()], err


def node(sandbox, script, code=0, **o):
    return finish(start(sandbox, script, **o), code)


def test_msal_by_secret(sandbox):
    s = sandbox()
    (answer,), _ = node(s, "msal.js", how="secret", secret="sandbox", scope=GRAPH)
    assert claims(answer["access_token"])["aud"] == "https://graph.microsoft.com"
    _, said = node(s, "msal.js", code=1, how="secret", secret="wrong", scope=GRAPH)
    assert "AADSTS7000215" in said
    # Without "knownAuthorities": by metadata that the operator gives, as for a cloud of its own.
    metadata = entra.call(s, "GET", "/common/discovery/instance")[2].decode()
    (answer,), _ = node(s, "msal.js", how="secret", secret="sandbox", scope=GRAPH, known="", metadata=metadata)
    assert answer["access_token"]


def test_msal_by_certificate(sandbox, folder):
    s = sandbox()
    mine = entra.Certificate(folder)
    s.settings(apps=[{"client_id": APP, "certificates": [mine.pem.read_text()]}])
    der = subprocess.run(["openssl", "x509", "-in", mine.pem, "-outform", "DER"], check=True, capture_output=True).stdout
    thumbprint = hashlib.sha256(der).hexdigest()
    (answer,), _ = node(s, "msal.js", how="certificate", thumbprint=thumbprint, key=str(mine.key), scope=GRAPH)
    assert claims(answer["access_token"])["appid"] == APP
    _, said = node(s, "msal.js", code=1, how="certificate", thumbprint="00" * 32, key=str(mine.key), scope=GRAPH)
    assert "AADSTS700027" in said


def test_msal_by_device_code_and_silently(sandbox):
    s = sandbox()
    s.settings(device_interval=1)
    p = start(s, "msal.js", how="device", scope="https://outlook.office.com/SMTP.Send")
    code = json.loads(p.stderr.readline())
    assert code["uri"].endswith("/devicelogin")
    s.api("POST", "/logins/approve", {"user_code": code["user_code"], "user": USER})
    answers, _ = finish(p)
    assert [a["user"] for a in answers] == [USER, USER]
    assert claims(answers[1]["access_token"])["scp"] == "SMTP.Send"
    assert {c["grant"] for c in s.get("/tokens")["by"]} == {"device_code", "refresh_token"}


def test_msal_in_the_browser(sandbox):
    s = sandbox()
    (answer,), _ = node(s, "msal.js", how="interactive", user=USER, scope="https://graph.microsoft.com/Mail.Send")
    assert answer["user"] == USER and claims(answer["access_token"])["scp"] == "Mail.Send"


def graph(sandbox, code=0, **o):
    o = {"base": f"https://localhost:{sandbox.https}/", "from": USER, "to": "b@example.org", **o}
    p = subprocess.Popen(["node", str(NODE / "graph.js"), json.dumps(o)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "NODE_EXTRA_CA_CERTS": str(sandbox.ca)})
    out, err = p.communicate(timeout=120)
    assert p.returncode == code, out + err
    return out + err


def test_the_graph_sdk_sends(sandbox):
    s = sandbox()
    token = entra.app_token(s, GRAPH)[1]["access_token"]
    graph(s, how="send", token=token)
    graph(s, how="large", token=token, size=5_000_000)
    small, large = s.messages()
    assert (small["subject"], small["recipients"], small["door"]) == ("by the SDK", ["b@example.org"], "graph")
    parsed = email.message_from_bytes(s.raw(large["number"]), policy=email.policy.default)
    (scan,) = parsed.iter_attachments()
    assert scan.get_filename() == "scan.pdf" and scan.get_content() == b"abcdefghij" * 500_000
    assert "401 InvalidAuthenticationToken" in graph(s, how="send", token="none", code=1)
    # The SDK waits for Retry-After by itself.
    s.fault(at="graph", do="reply", reply="429 ApplicationThrottled: slowly", retry_after=1, times=2)
    graph(s, how="send", token=token)
    assert len(s.messages()) == 3
