"""Peers for OAuth that none of us wrote: oidc-provider behind Microsoft's paths, smtp-server and Dovecot that check tokens."""
import json
import pathlib
import shutil
import ssl
import tempfile
import urllib.parse
import urllib.request

import support
from support import NODE, PATIENCE, Process, free_port, listens, run, wait_for

SECRET_APP = "11111111-1111-1111-1111-111111111111"
CERT_APP = "22222222-2222-2222-2222-222222222222"  # PS256
CERT_APP_RS256 = "44444444-4444-4444-4444-444444444444"
PUBLIC_APP = "33333333-3333-3333-3333-333333333333"
SECRET = "s3cret~value"


def make_app_certificate(folder: pathlib.Path, days="2"):
    """(certificate, key, jwk of its public key) of an app registration."""
    cert, key, jwk = folder / "app.pem", folder / "app.key", folder / "app.jwk"
    run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert),
         "-days", days, "-subj", "/CN=postern"])
    key.chmod(0o600)
    script = ("const c=require('crypto'),f=require('fs');"
              "f.writeFileSync(process.argv[2],JSON.stringify(c.createPublicKey(f.readFileSync(process.argv[1]))"
              ".export({format:'jwk'})))")
    run(["node", "-e", script, str(cert), str(jwk)])
    return cert, key, jwk


class Oidc:
    """oidc-provider: /contoso.com/oauth2/v2.0/token, /devicecode, /authorize."""

    def __init__(self, folder: pathlib.Path, jwk=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.ca, cert, key = support.make_certificate(folder)
        self.signing = folder / "signing.pem"
        self.args = ["node", str(NODE / "oidc.mjs"), str(self.port), str(cert), str(key), str(self.signing)]
        if jwk:
            self.args.append(str(jwk))
        self.process = None
        self.context = ssl.create_default_context(cafile=str(self.ca))
        self.start()

    def start(self):
        self.process = Process(self.args, self.folder / "oidc.log")
        wait_for(lambda: listens(self.port) or not self.process.alive())
        assert self.process.alive(), self.process.text()

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def call(self, path, **query):
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, context=self.context, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def log(self):
        return self.call("/__log")["log"]

    def grants(self):
        """Successful answers of the token endpoint."""
        return [line["grant"] for line in self.log() if line["status"] == 200]

    def tenant(self, app: str, extra="") -> str:
        return f"""
tenants:
  - name: contoso
    id: contoso.com
    domains: [contoso.com]
    app: {{ {app} }}
    endpoints: {{ login: "{self.url}", ca_file: "{self.ca}" }}
{extra}"""


class SmtpServer:
    """smtp-server of npm, XOAUTH2 only, tokens checked by jose."""

    def __init__(self, folder: pathlib.Path, signing: pathlib.Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.ca, cert, key = support.make_certificate(folder)
        self.output = folder / "mail.jsonl"
        self.output.touch()
        self.process = Process(
            ["node", str(NODE / "xoauth2.mjs"), str(self.port), str(key), str(cert), str(signing), str(self.output)],
            folder / "smtp.log")
        wait_for(lambda: listens(self.port) or not self.process.alive())
        assert self.process.alive(), self.process.text()

    def lines(self, key):
        return [line for line in map(json.loads, self.output.read_text().splitlines()) if key in line]

    def messages(self):
        return self.lines("raw")

    @property
    def endpoint(self):
        return f'{{ host: localhost, port: {self.port}, ca_file: "{self.ca}" }}'


DOVECOT = """
protocols = submission
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
auth_mechanisms = {mechanisms}
ssl = required
ssl_cert = <{cert}
ssl_key = <{key}
default_internal_user = dovecot
default_login_user = dovenull
mail_location = maildir:{folder}/mail
auth_verbose = yes
auth_debug = yes
submission_relay_host = 127.0.0.1
submission_relay_port = {sink}
submission_relay_trusted = no
hostname = dovecot.example.com
service submission-login {{
  inet_listener submission {{
    port = {port}
  }}
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf.ext
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/home
}}
"""


class Dovecot:
    """Dovecot's submission service: it validates the JWT with the key itself, and relays to a sink."""

    def __init__(self, signing: pathlib.Path, sink: int, mechanisms="xoauth2"):
        # Its processes run as users that may not look into pytest's folders.
        self.folder = folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-dovecot-"))
        folder.chmod(0o755)
        for name in ("run", "state", "mail", "home", "keys/default/RS256"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("mail", "home"):
            shutil.chown(folder / name, "nobody", "nogroup")
        self.port = free_port()
        self.ca, cert, key = support.make_certificate(folder)
        (folder / "keys/default/RS256/default").write_text(signing.read_text())
        (folder / "oauth2.conf.ext").write_text(f"""
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = upn
use_grant_password = no
""")
        (folder / "dovecot.conf").write_text(DOVECOT.format(
            folder=folder, cert=cert, key=key, port=self.port, sink=sink, mechanisms=mechanisms))
        self.process = Process(["dovecot", "-F", "-c", str(folder / "dovecot.conf")], folder / "out.log")
        wait_for(lambda: listens(self.port) or not self.process.alive())
        assert self.process.alive(), self.process.text()

    @property
    def endpoint(self):
        return f'{{ host: localhost, port: {self.port}, ca_file: "{self.ca}" }}'

    def log(self) -> str:
        return (self.folder / "dovecot.log").read_text()

    def stop(self):
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
