"""A reload changes the rules for those who come: a session keeps what it began with, and nobody stays who is gone."""
import pytest

import peers
import support
from wire import Wire


@pytest.fixture
def sink():
    s = peers.Sink()
    yield s
    s.close()


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
