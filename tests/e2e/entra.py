"""A client of the token service: forms over HTTPS, and assertions signed by openssl."""
import base64
import hashlib
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

from support import PATIENCE

APP = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
EXCHANGE = "https://outlook.office365.com/.default"
GRAPH = "https://graph.microsoft.com/.default"
SMTP_SEND = "https://outlook.office.com/SMTP.Send offline_access"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def contoso(folder, sandbox):
    """`tenants:` with an app of that sandbox, and its secret in the folder."""
    secret = folder / "app.secret"
    secret.write_text("sandbox\n")
    secret.chmod(0o600)
    url = f"https://localhost:{sandbox.https}"
    return f"""
tenants:
  - name: contoso
    id: {TENANT}
    domains: [contoso.com]
    app: {{ client_id: "{APP}", secret: "file:{secret}" }}
    endpoints: {{ login: "{url}", graph: "{url}", ca_file: "{sandbox.ca}" }}
"""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(token: str) -> dict:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def call(sandbox, method, path, body=None, headers=None):
    """status, headers, body: whatever they are."""
    context = ssl.create_default_context(cafile=str(sandbox.ca))
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), NoRedirect)
    request = urllib.request.Request(f"https://localhost:{sandbox.https}{path}", method=method, data=body, headers=headers or {})
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def form(sandbox, path, **fields):
    status, headers, body = call(sandbox, "POST", path, urllib.parse.urlencode(fields).encode())
    return status, headers, json.loads(body)


def token(sandbox, tenant=TENANT, **fields):
    fields = {"client_id": APP, **fields}
    status, _, answer = form(sandbox, f"/{tenant}/oauth2/v2.0/token", **fields)
    return status, answer


def app_token(sandbox, scope=EXCHANGE, **fields):
    return token(sandbox, **{"grant_type": "client_credentials", "scope": scope, "client_secret": "sandbox", **fields})


def error(answer) -> int:
    """The AADSTS number, once the body has been seen to be whole."""
    number = answer["error_codes"][0]
    assert answer["error_description"].startswith(f"AADSTS{number}: "), answer
    assert {"error", "timestamp", "trace_id", "correlation_id", "error_uri"} <= set(answer), answer
    return number


class Certificate:
    """A self-signed certificate with an RSA key, made by openssl."""

    def __init__(self, folder, name="app"):
        self.key, self.pem = folder / f"{name}.key", folder / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.pem,
                        "-subj", f"/CN={name}", "-days", "10"], check=True, capture_output=True)
        der = subprocess.run(["openssl", "x509", "-in", self.pem, "-outform", "DER"], check=True, capture_output=True).stdout
        self.x5t, self.x5t_s256 = b64(hashlib.sha1(der).digest()), b64(hashlib.sha256(der).digest())

    def assertion(self, audience, alg="PS256", key=None, header=None, **changes):
        now = int(time.time())
        body = {"aud": audience, "iss": APP, "sub": APP, "jti": str(uuid.uuid4()), "nbf": now, "iat": now, "exp": now + 300, **changes}
        head = {"alg": alg, "typ": "JWT", **({"x5t#S256": self.x5t_s256} if alg == "PS256" else {"x5t": self.x5t}), **(header or {})}
        signed = b64(json.dumps(head).encode()) + "." + b64(json.dumps(body).encode())
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if alg == "PS256" else []
        signature = subprocess.run(["openssl", "dgst", "-sha256", *pss, "-sign", str(key or self.key)], input=signed.encode(), check=True,
                                   capture_output=True).stdout
        return signed + "." + b64(signature)
