"""A reload changes the rules for those who come: a session keeps what it began with, and nobody stays who is gone."""
import json
import select
import ssl

import pytest

import peers
import support
from faulty import faulty  # noqa: F401, a fixture
from wire import Wire


def add_user(folder, name, secret, *more):
    file, scram = folder / f"{name}.password", folder / f"{name}.scram"
    file.write_text(secret + "\n")
    file.chmod(0o600)
    support.run([support.POSTERN, "user", "add", name, "--password-file", str(file), "--output", str(scram), *more])
    return scram


class Setting:
    """A relay with a TLS listener of each kind, two users and a device; everything goes to a sink."""

    def __init__(self, relay, sink, folder):
        self.ca, self.cert, self.key = support.make_certificate(folder / "pki")
        self.key.chmod(0o600)
        self.folder, self.starttls, self.implicit = folder, support.free_port(), support.free_port()
        self.users = {n: add_user(folder, n, "pw-" + n) for n in ("app", "other")}
        self.devices = ["scanner"]
        self.tls = {self.starttls: "starttls", self.implicit: "implicit"}
        self.sink = sink
        self.relay = relay("", start=False)
        self.write()
        self.relay.start()

    def write(self):
        secured = f"    certificate: {self.cert}\n    key: \"file:{self.key}\"\n    auth: required\n"
        listeners = "".join(f"  - address: 127.0.0.1:{port}\n    tls: {tls}\n{secured if tls != 'none' else ''}"
                            for port, tls in self.tls.items())
        users = "users:\n" + "".join(f'  - {{ name: {n}, password: "file:{f}", senders: ["*@contoso.com"] }}\n'
                                     for n, f in self.users.items())
        devices = "devices:\n" + "".join(f"  - {{ name: {n}, from: 127.0.0.7, sender: erp@contoso.com, recipients: any }}\n"
                                         for n in self.devices) if self.devices else ""
        self.relay.write(f"{users}{devices}connectors:\n  - {{ name: lab, provider: smtp, host: 127.0.0.1, "
                         f"port: {self.sink.port}, tls: none }}\nroutes:\n  - {{ through: lab }}\n", listeners=listeners)

    def reload(self):
        self.write()
        self.relay.cli("reload")

    def signed_in(self, name):
        c = Wire(self.starttls)
        c.hello()
        c.starttls(self.ca)
        c.must("AUTH PLAIN " + peers.plain(name, "pw-" + name), "235")
        return c


@pytest.fixture
def setting(relay, sink, folder):
    return Setting(relay, sink, folder)


@pytest.mark.parametrize("to", ["none", "implicit", "gone"])
def test_an_open_session_can_still_start_tls_after_a_reload_of_its_listener(setting, to):
    c = Wire(setting.starttls)
    c.hello()
    if to == "gone":
        del setting.tls[setting.starttls]
    else:
        setting.tls[setting.starttls] = to
    setting.reload()
    c.starttls(setting.ca)
    c.must("AUTH PLAIN " + peers.plain("app", "pw-app"), "235")
    c.envelope()
    assert c.data(b"Subject: later\n\nx\n".replace(b"\n", b"\r\n")).startswith("250")
    c.close()
    assert setting.relay.process.alive()


def test_a_handshake_goes_on_when_its_listener_loses_tls(setting):
    c = support.socket.create_connection(("127.0.0.1", setting.implicit))
    c.sendall(b"\x16\x03\x01")
    setting.tls[setting.implicit] = "none"
    setting.reload()
    c.close()
    with Wire(setting.implicit) as after:
        assert after.greeting.startswith("220"), "new sessions have the new rules"
    assert setting.relay.process.alive()


def test_sessions_of_a_user_who_is_removed_end(setting):
    gone, stays = setting.signed_in("app"), setting.signed_in("other")
    gone.envelope()
    del setting.users["app"]
    setting.reload()
    assert gone.reply().startswith("421 4.7.0"), "in the middle of a transaction"
    assert gone.reply() == ""
    stays.envelope()
    assert stays.data(b"Subject: stays\r\n\r\nx\r\n").startswith("250")


def test_sessions_of_a_user_with_a_new_password_end(setting):
    gone, stays = setting.signed_in("app"), setting.signed_in("other")
    add_user(setting.folder, "app", "another")
    setting.reload()
    assert gone.reply().startswith("421 4.7.0")
    stays.must("NOOP", "250")


def test_sessions_of_a_device_that_is_removed_end(setting):
    c = Wire(setting.relay.port, source="127.0.0.7")
    c.hello()
    c.envelope()
    setting.devices = []
    setting.reload()
    assert c.reply().startswith("421 4.7.0")


def test_a_user_who_is_removed_cannot_sign_in_on_a_session_that_was_open(setting):
    c = Wire(setting.starttls)
    c.hello()
    c.starttls(setting.ca)
    del setting.users["app"]
    setting.reload()
    assert c.say("AUTH PLAIN " + peers.plain("app", "pw-app")).startswith("535")


# ---- while it reads ----

LAB = """connectors:
  - {{ name: {name}, provider: smtp, host: 127.0.0.1, port: {port}, tls: none }}
routes:
  - {{ through: {name} }}
"""


class Asker:
    """One request on the control socket, whose answer may take a while."""

    def __init__(self, relay, do):
        self.socket = support.socket.socket(support.socket.AF_UNIX)
        self.socket.connect(str(relay.control))
        self.socket.sendall(json.dumps({"do": do}).encode() + b"\n")
        self.socket.settimeout(support.PATIENCE)

    def has_answer(self):
        return bool(select.select([self.socket], [], [], 0)[0])

    def answer(self):
        lines = []
        with self.socket.makefile("rb") as f:
            while not lines or not ({"end", "error"} & lines[-1].keys()):
                lines.append(json.loads(f.readline()))
        return lines


@pytest.fixture
def reading(relay, faulty, sink):
    """A relay whose reload has begun, and waits for the file of its configuration."""
    r = relay(LAB.format(name="lab", port=sink.port), env=faulty.env)
    faulty.hang("o", "postern.yaml")
    first = Asker(r, "reload")
    support.wait_for(faulty.hits)
    return r, first


def send(port, subject):
    with Wire(port) as c:
        c.hello()
        c.envelope()
        assert c.data(f"Subject: {subject}\r\n\r\nx\r\n".encode()).startswith("250")


def test_mail_goes_on_while_a_reload_reads_and_who_asks_meanwhile_is_served_once(reading, faulty, sink):
    r, first = reading
    send(r.port, "meanwhile")
    support.wait_for(lambda: len(sink.got) == 1)
    assert Asker(r, "status").answer()[-1]["end"]
    r.write(LAB.format(name="other", port=sink.port))
    more = [Asker(r, "reload") for _ in range(3)]
    r.process.process.send_signal(support.signal.SIGHUP)
    send(r.port, "later")
    support.wait_for(lambda: len(sink.got) == 2)
    assert not any(x.has_answer() for x in [first, *more])
    faulty.heal()
    assert all(x.answer()[-1].get("end") for x in [first, *more])
    # The first, and one for all that came after it had begun.
    support.wait_for(lambda: r.log().count("configuration reloaded") == 2)
    assert [x["name"] for x in r.rows("mailboxes") if x["state"] != "gone"] == ["other"]
    assert r.log().count("configuration reloaded") == 2


def test_what_is_wrong_is_told_to_whoever_waits(reading, faulty):
    r, first = reading
    r.write("routes: [ { through: nobody } ]\n")
    second = Asker(r, "reload")
    faulty.heal()
    for x in (first, second):
        lines = x.answer()
        assert lines[-1]["code"] == 78 and any("postern.yaml:" in y.get("finding", "") for y in lines)
    assert [x["name"] for x in r.rows("mailboxes")] == ["lab"], "the old one stays in force"


def test_who_does_not_wait_for_a_reload_does_not_stop_it(reading, faulty, sink):
    r, first = reading
    first.socket.close()
    gone = Asker(r, "reload")
    gone.socket.close()
    r.write(LAB.format(name="other", port=sink.port))
    faulty.heal()
    support.wait_for(lambda: [x["name"] for x in r.rows("mailboxes") if x["state"] != "gone"] == ["other"])
    assert r.process.alive()


def test_a_stop_in_the_middle_of_a_reload_ends_well(reading, faulty):
    r, first = reading
    r.process.process.send_signal(support.signal.SIGTERM)
    support.wait_for(lambda: not support.listens(r.port))
    faulty.heal()
    assert r.stop() == 0
    assert "configuration reloaded" not in r.log()


# ---- what has not changed ----

def test_clients_resume_their_tls_session_after_a_reload_of_the_same_certificate(setting):
    def session(old=None):
        context = ssl.create_default_context(cafile=setting.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        raw = support.socket.create_connection(("127.0.0.1", setting.implicit))
        context = old.context if old else context
        s = context.wrap_socket(raw, server_hostname="localhost", session=old.session if old else None)
        assert s.recv(4) == b"220 "
        return s

    setting.tls[setting.implicit] = "implicit"
    before = session()
    setting.reload()
    assert session(before).session_reused
    _, cert, key = support.make_certificate(setting.folder / "new")
    setting.cert.write_bytes(cert.read_bytes())
    setting.key.write_bytes(key.read_bytes())
    (setting.folder / "pki" / "ca.pem").write_bytes((setting.folder / "new" / "ca.pem").read_bytes())
    setting.reload()
    # Another certificate begins anew.
    raw = support.socket.create_connection(("127.0.0.1", setting.implicit))
    context = ssl.create_default_context(cafile=setting.ca)
    with context.wrap_socket(raw, server_hostname="localhost") as fresh:
        assert not fresh.session_reused
        assert fresh.getpeercert(True) == ssl.PEM_cert_to_DER_cert(cert.read_text())
