"""Which certificates are good, and for whom: as RFC 9525 says, on the way out by SMTP and by HTTPS. And what our listeners offer."""
import contextlib
import http.server
import json
import os
import shutil
import socketserver
import ssl
import subprocess
import threading

import pytest

import support
from wire import Wire

GOOD = {"good", "chain"}
LEAVES = {  # name: (extensions, subject, who signs)
    "good": ("subjectAltName=DNS:localhost", "/CN=x", "ca"),
    "another name": ("subjectAltName=DNS:other.example", "/CN=x", "ca"),
    "another authority": ("subjectAltName=DNS:localhost", "/CN=x", "other"),
    "a subject alone": ("basicConstraints=CA:FALSE", "/CN=localhost", "ca"),
    "a subject and another name": ("subjectAltName=DNS:other.example", "/CN=localhost", "ca"),
    "a subject and an address": ("subjectAltName=IP:127.0.0.1", "/CN=localhost", "ca"),
    "a subject and a mail address": ("subjectAltName=email:a@b.example", "/CN=localhost", "ca"),
    "a star alone": ("subjectAltName=DNS:*", "/CN=x", "ca"),
    "for clients": ("subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth", "/CN=x", "ca"),
    "a critical extension": ("subjectAltName=DNS:localhost\n1.2.3.4=critical,ASN1:UTF8:x", "/CN=x", "ca"),
    "an intermediate that is missing": ("subjectAltName=DNS:localhost", "/CN=x", "middle"),
    "a leaf that signs": ("subjectAltName=DNS:localhost", "/CN=x", "leaf"),
    "an authority for other names": ("subjectAltName=DNS:localhost", "/CN=x", "narrow"),
}
AUTHORITIES = {
    "middle": "basicConstraints=critical,CA:TRUE",
    "leaf": "basicConstraints=CA:FALSE",
    "narrow": "basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;DNS:example.com",
}


class Pki:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.number = 0
        for name in ("ca", "other"):
            self.run("req", "-x509", *self.key(name), "-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.pem",
                     "-addext", "keyUsage=critical,keyCertSign", new=False)
        for name, extensions in AUTHORITIES.items():
            self.sign(name, extensions, f"/CN={name}", "ca")
        self.pairs = {}
        for name, (extensions, subject, by) in LEAVES.items():
            self.pairs[name] = self.sign(name.replace(" ", "-"), extensions, subject, by)
            if by in ("leaf", "narrow"):
                self.chain(name, by)
        self.pairs["chain"] = self.sign("chain", "subjectAltName=DNS:localhost", "/CN=x", "middle")
        self.chain("chain", "middle")
        self.pairs["signed by itself"] = (folder / "self.pem", folder / "self.key")
        self.run("req", "-x509", *self.key("self"), "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                 "-out", "self.pem", new=False)
        self.pairs["expired"] = self.dated("expired", "20200101000000Z", "20210101000000Z")
        self.pairs["not valid yet"] = self.dated("early", "20400101000000Z", "20410101000000Z")

    def run(self, *args, new=True):
        support.run(["openssl", *args], cwd=self.folder)

    @staticmethod
    def key(name):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"

    def sign(self, name, extensions, subject, by):
        self.number += 1
        self.run("req", *self.key(name), "-subj", subject, "-out", f"{name}.csr")
        (self.folder / f"{name}.ext").write_text(extensions + "\n")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-set_serial", str(self.number),
                 "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def chain(self, name, by):
        certificate, _ = self.pairs[name]
        certificate.write_text(certificate.read_text() + (self.folder / f"{by}.pem").read_text())

    def dated(self, name, first, last):
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={self.folder}/index.txt\nserial={self.folder}/serial\nnew_certs_dir={self.folder}\n"
            "default_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=optional\n")
        self.run("req", *self.key(name), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", f"{name}.csr")
        self.run("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", f"{name}.csr", "-startdate", first,
                 "-enddate", last, "-out", f"{name}.pem", "-notext")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


def context(pair, *, oldest=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.set_ciphers("ALL:@SECLEVEL=0")
    c.load_cert_chain(*pair)
    if oldest:
        c.minimum_version, c.maximum_version = ssl.TLSVersion.TLSv1, oldest
    return c


class Upstream(socketserver.ThreadingTCPServer):
    """STARTTLS with one certificate; counts the messages that come."""
    daemon_threads = allow_reuse_address = True

    def __init__(self, tls):
        self.tls, self.got = tls, 0
        super().__init__(("127.0.0.1", 0), None)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        with contextlib.suppress(OSError):
            self.talk(request)

    def talk(self, k):
        k.sendall(b"220 x ESMTP\r\n")
        lines, secured = k.makefile("rb"), False
        while line := lines.readline():
            verb = line[:4].upper().strip()
            if verb == b"EHLO":
                k.sendall(b"250-x\r\n250 STARTTLS\r\n" if self.tls and not secured else b"250 x\r\n")
            elif verb == b"STAR":
                k.sendall(b"220 go\r\n")
                k, secured = self.tls.wrap_socket(k, server_side=True), True
                lines = k.makefile("rb")
            elif verb == b"DATA":
                k.sendall(b"354 go\r\n")
                while (part := lines.readline()) not in (b".\r\n", b""):
                    pass
                self.got += part == b".\r\n"
                k.sendall(b"250 ok\r\n")
            else:
                k.sendall(b"221 x\r\n" if verb == b"QUIT" else b"250 ok\r\n")


class TokenService(http.server.ThreadingHTTPServer):
    """Counts who asks it for a token."""
    daemon_threads = True

    def __init__(self, tls):
        self.got = 0
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                service.got += 1
                body = json.dumps({"error": "invalid_client", "error_description": "AADSTS7000215: no"}).encode()
                self.send_response(401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass


@pytest.fixture(scope="module")
def pki(module_folder):
    return Pki(module_folder / "pki")


def test_only_the_right_certificates_get_mail(pki, relay):
    servers = {name: Upstream(context(pair)) for name, pair in pki.pairs.items()}
    for name, version in (("TLS 1.0", ssl.TLSVersion.TLSv1), ("TLS 1.1", ssl.TLSVersion.TLSv1_1)):
        servers[name] = Upstream(context(pki.pairs["good"], oldest=version))
    servers["no STARTTLS"] = Upstream(None)
    names = list(servers)
    r = relay("connectors:\n" + "".join(
        f"  - {{ name: c{i}, provider: smtp, host: localhost, port: {servers[n].port}, tls: required, ca_file: {pki.folder}/ca.pem }}\n"
        for i, n in enumerate(names)) + "routes:\n" + "".join(
        f'  - {{ recipient: "{i}@example.org", through: c{i} }}\n' for i in range(len(names))))
    with Wire(r.port) as c:
        c.hello()
        for i in range(len(names)):
            c.envelope(f"{i}@example.org")
            assert c.data(b"Subject: x\r\n\r\nx\r\n").startswith("250")
    bad = [n for n in names if n not in GOOD]
    support.wait_for(lambda: {row["recipient"] for row in r.waiting() if row.get("reply")} == {
        f"{names.index(n)}@example.org" for n in bad})
    support.wait_for(lambda: {n for n in names if servers[n].got} == GOOD)
    for s in servers.values():
        s.shutdown()
        s.server_close()


def test_only_the_right_certificates_are_asked_for_a_token(pki, relay, folder):
    """libcurl by itself takes a name in the subject where there is no other."""
    secret = folder / "app.secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    servers = {name: TokenService(context(pair)) for name, pair in pki.pairs.items()}
    names = list(servers)
    r = relay("tenants:\n" + "".join(
        f"  - {{ name: t{i}, id: 00000000-0000-0000-0000-0000000000{i:02}, app: {{ client_id: 11111111-1111-1111-1111-111111111111, "
        f'secret: "file:{secret}" }}, endpoints: {{ login: "https://localhost:{servers[n].port}", '
        f'graph: "https://localhost:{servers[n].port}", ca_file: {pki.folder}/ca.pem }} }}\n' for i, n in enumerate(names)) +
        "mailboxes:\n" + "".join(f"  - {{ address: m{i}@contoso.com, tenant: t{i}, provider: graph, auth: app }}\n"
                                 for i in range(len(names))) + "routes:\n  - { through: sender }\n")
    with Wire(r.port) as c:
        c.hello()
        for i in range(len(names)):
            c.envelope(sender=f"m{i}@contoso.com")
            assert c.data(b"Subject: x\r\n\r\nx\r\n").startswith("250")
    support.wait_for(lambda: len([row for row in r.waiting() if row.get("reply") or row.get("cause")]) == len(names))
    assert {n for n in names if servers[n].got} == GOOD
    for s in servers.values():
        s.shutdown()
        s.server_close()


# ---- what our listeners offer ----

WEAK = ("AES128-SHA", "AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384",
        "DHE-RSA-AES128-SHA", "CAMELLIA128-SHA", "ADH-AES128-SHA", "AECDH-AES128-SHA", "NULL-SHA", "ECDHE-ECDSA-NULL-SHA")


def listeners(relay, folder):
    ca, cert, key = support.make_certificate(folder / "pki")
    key.chmod(0o600)
    # Old clients need RSA; what is weak with it must not be there either.
    rsa, rsa_key = folder / "rsa.pem", folder / "rsa.key"
    support.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                 "-addext", "subjectAltName=DNS:localhost", "-keyout", str(rsa_key), "-out", str(rsa)])
    rsa_key.chmod(0o600)
    ports = {}
    text = ""
    for kind in ("starttls", "required", "implicit"):
        for name, (c, k) in {"ec": (cert, key), "rsa": (rsa, rsa_key)}.items():
            ports[kind, name] = support.free_port()
            text += (f"  - {{ address: 127.0.0.1:{ports[kind, name]}, tls: {kind}, certificate: {c}, key: \"file:{k}\", "
                     "no_password_from: [127.0.0.0/8] }\n")
    r = relay("connectors:\n  - { name: lab, host: 127.0.0.1, tls: none }\nroutes:\n  - { through: lab }\n", listeners=text)
    return r, ports


def connects(port, kind, *args):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *([] if kind == "implicit" else ["-starttls", "smtp"]),
                           *args], input=b"QUIT\r\n", capture_output=True, timeout=60, check=False)
    return b"Cipher is (NONE)" not in done.stdout and b"Cipher is " in done.stdout


def test_every_listener_speaks_tls_with_forward_secrecy_only(relay, folder):
    _, ports = listeners(relay, folder)
    for (kind, name), port in ports.items():
        assert connects(port, kind, "-tls1_3"), kind
        assert connects(port, kind, "-tls1_2", "-cipher", "ECDHE+AESGCM"), kind
        assert connects(port, kind, "-tls1_2", "-cipher", "ECDHE+CHACHA20"), kind
        assert connects(port, kind, "-tls1_2", "-cipher", "DHE+AESGCM") == (name == "rsa"), kind
        for suite in WEAK:
            assert not connects(port, kind, "-tls1_2", "-cipher", suite + ":@SECLEVEL=0"), (kind, suite)
        for version in ("-tls1", "-tls1_1"):
            assert not connects(port, kind, version, "-cipher", "ALL:@SECLEVEL=0"), (kind, version)


def run_testssl(folder, kind, port, *options):
    """What it found: {id: (severity, words)}."""
    found = folder / "testssl.json"
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", *options, "--fast",
                    "--jsonfile", str(found), *([] if kind == "implicit" else ["-t", "smtp"]), f"127.0.0.1:{port}"],
                   capture_output=True, timeout=900, check=False)
    return {row["id"]: (row["severity"], row["finding"]) for row in json.loads(found.read_text())}


# Of the certificate only the test's own authority is odd: it has no revocation, and nobody knows it.
OWN = ("cert", "DNS_CAA", "OCSP", "ocsp", "crl", "CRL", "chain", "trust", "Issuer", "scanProblem", "engine_problem")


def weak(found):
    return {name: row for name, row in found.items() if row[0] in ("MEDIUM", "HIGH", "CRITICAL") and not any(o in name for o in OWN)}


needs_testssl = pytest.mark.skipif(not shutil.which("testssl"), reason="testssl.sh is not installed: tools/deps test")


@needs_testssl
def test_testssl_finds_nothing_weak_at_a_glance(relay, folder):
    """Versions and classes of suites, by OpenSSL: half a minute. What each kind of listener offers is looked at above."""
    _, ports = listeners(relay, folder)
    found = run_testssl(folder, "implicit", ports["implicit", "rsa"], "--ssl-native", "-p", "-s")
    assert [found[name][1] for name in ("TLS1", "TLS1_1", "TLS1_2", "TLS1_3")] == ["not offered", "not offered", "offered", "offered"]
    assert [found["cipherlist_" + name][1] for name in ("NULL", "aNULL", "AVERAGE", "STRONG")] == [*["not offered"] * 3, "offered"]
    assert weak(found) == {}


@needs_testssl
@pytest.mark.skipif(not os.environ.get("POSTERN_TESTSSL"), reason="all that testssl.sh looks at takes minutes a listener: POSTERN_TESTSSL=1")
@pytest.mark.parametrize("kind", [("starttls", "ec"), ("required", "rsa"), ("implicit", "rsa")])
def test_testssl_finds_nothing_weak(relay, folder, kind):
    _, ports = listeners(relay, folder)
    found = run_testssl(folder, kind[0], ports[kind], "-p", "-s", "-f", "-P", "-S", "-U")
    assert {"TLS1", "TLS1_1", "TLS1_2", "TLS1_3"} <= found.keys() and len(found) > 40, "it looked"
    assert weak(found) == {}
