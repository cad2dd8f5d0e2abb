"""A token service and a Graph that answer as they please: nothing of ours goes elsewhere, and no secret comes back into a log."""
import base64
import http.server
import json
import os
import ssl
import threading

import pytest

import support
from test_secrets import assert_only_locked
from wire import Wire

SECRET = "App~secret+456 %"
TOKEN = "TOKEN-789-of-the-test"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, certificate, key, answer):
        self.seen, server = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.seen.append((self.command, self.path, dict(self.headers)))
                code, what, headers = answer(self, body)
                data = json.dumps(what).encode()
                self.send_response(code)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"https://localhost:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass


@pytest.fixture
def place(relay, folder):
    """make(answer) gives a relay whose Graph and token service answer so, the server, and one where nothing may arrive."""
    ca, certificate, key = support.make_certificate(folder / "pki")
    made = []

    def make(answer, route="through: sender", general=""):
        made[:] = [Server(certificate, key, lambda r, b: (200, {"token_type": "Bearer", "expires_in": 3600, "access_token": "EVIL"}, {})),
                   Server(certificate, key, lambda r, b: answer(r, b, made[0].url, made[1].url))]
        secret = folder / "app.secret"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        return made[1], made[0], relay(f"""
tenants:
  - name: contoso
    id: 00000000-0000-0000-0000-000000000001
    domains: [contoso.com]
    app: {{ client_id: 11111111-1111-1111-1111-111111111111, secret: "file:{secret}" }}
    endpoints: {{ login: "{made[1].url}", graph: "{made[1].url}", ca_file: "{ca}" }}
mailboxes:
  - {{ address: erp@contoso.com, tenant: contoso, provider: graph, auth: app }}
routes: [ {{ {route} }} ]
""", general=general + "log: { level: debug }\n")

    yield make
    for s in made:
        s.shutdown()
        s.server_close()


def send(relay, attachment=b""):
    with Wire(relay.port) as c:
        c.hello()
        c.envelope()
        text = b"From: erp@contoso.com\r\nTo: anna@example.org\r\nSubject: t\r\nMIME-Version: 1.0\r\n"
        if attachment:
            text += (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\n"
                     b"Content-Type: application/octet-stream; name=a.bin\r\nContent-Disposition: attachment; filename=a.bin\r\n"
                     b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(attachment).replace(b"\n", b"\r\n") + b"--b--\r\n")
        else:
            text += b"\r\nx\r\n"
        assert c.data(text).startswith("250")


def settled(relay):
    return support.wait_for(lambda: [row for row in relay.waiting() if row.get("reply")])[0]["reply"]


def token(request):
    return (200, {"token_type": "Bearer", "expires_in": 3600, "access_token": TOKEN}, {}) if "token" in request.path else None


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("of", ["token", "graph"])
def test_redirects_are_not_followed(place, code, of):
    def answer(request, body, evil, own):
        return (None if of == "token" else token(request)) or (code, {}, {"Location": evil + "/stolen"})
    server, evil, relay = place(answer)
    send(relay)
    assert str(code) in settled(relay)
    assert server.seen and evil.seen == [] and TOKEN not in relay.log()


UPLOADS = {
    "another port": "{evil}/steal",
    "with a user": "https://localhost:1@{evil_place}/steal",
    "a user that looks right": "https://{own_place}@{evil_place}/steal",
    "a backslash": "https://{own_place}\\@{evil_place}/steal",
    "clear": "http://{own_place}/x",
    "a file": "file:///etc/passwd",
    "a name that ends alike": "https://evil-office.com/x",
    "a name that begins alike": "https://outlook.office.com.evil.example/x",
    "another port of the cloud": "https://outlook.office.com:4443/x",
    "nothing": "",
}


@pytest.mark.parametrize("name", UPLOADS)
def test_attachments_go_to_the_cloud_only(place, name):
    def answer(request, body, evil, own):
        url = UPLOADS[name].format(evil=evil, evil_place=evil[8:], own_place=own[8:])
        if request.path.endswith("/createUploadSession"):
            return 201, {"uploadUrl": url, "expirationDateTime": "2030-01-01T00:00:00Z", "nextExpectedRanges": ["0-"]}, {}
        return token(request) or (201, {"id": "D"}, {})
    server, evil, relay = place(answer)
    send(relay, os.urandom(4_500_000))
    assert "outside of the cloud" in settled(relay) or name == "nothing"
    support.wait_for(lambda: any("createUploadSession" in path for _, path, _ in server.seen))
    assert evil.seen == [] and not any(method == "PUT" for method, _, _ in server.seen)


FORM = {"as it is": lambda body: SECRET, "as the form has it": lambda body: body.decode().split("client_secret=")[1].split("&")[0],
        "the whole form": lambda body: body.decode()}


@pytest.mark.parametrize("how", FORM)
def test_a_secret_that_the_token_service_repeats_is_not_shown(place, how):
    shown = []

    def answer(request, body, evil, own):
        shown.append(FORM[how](body))
        return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: bad secret " + shown[-1]}, {}
    _, _, relay = place(answer)
    send(relay)
    assert "its words are not shown" in settled(relay)
    seen = relay.log() + "".join(relay.cli(*words, code=None) for words in (
        ["status"], ["queue", "list"], ["mailboxes"], ["status", "--json"], ["queue", "list", "--json"], ["trace", "--since", "1d"]))
    assert_only_locked(relay, {"app": SECRET, "as a form": "App%7Esecret%2B456"})
    encoded = "App%7Esecret%2B456"
    assert not any(secret in seen for secret in (SECRET, "secret+456", encoded, encoded.lower(), *[s for s in shown if len(s) < 40]))
    assert "client-secret" in seen or "AADSTS7000215" in seen or "secret" in relay.cli("status").lower(), "still judged by its words"
