"""`address: "*@contoso.com"`: any mailbox of a tenant as sender, with one app that signs in as it."""
import json
import smtplib

import pytest

import entra
import support
from support import wait_for

QUICK = "retry: { first: 1s, ceiling: 2s, expire: 5d }"
LIMITS = "{ share: 100%, messages_per_minute: 1000 }"


@pytest.fixture
def wild(sandbox, relay, folder):
    """Sandbox, relay; crm may send as all of the domain, shop as two of it, any as "*" says."""

    def make(doors="[submission]", limits=LIMITS, more="", **kw):
        s = sandbox()
        users = []
        for name, senders in ("crm", '["*@contoso.com"]'), ("shop", "[a@contoso.com, b@contoso.com]"), ("any", '["*"]'):
            (folder / "pass").write_text(name)
            scram = folder / f"{name}.scram"
            support.run([support.POSTERN, "user", "add", name, "--password-file", str(folder / "pass"), "--output", str(scram)])
            users.append(f'  - {{ name: {name}, password: "file:{scram}", senders: {senders}, from: any }}\n')
        port = support.free_port()
        r = relay(entra.contoso(folder, s) + "users:\n" + "".join(users) + f"""mailboxes:
  - {{ address: "*@contoso.com", tenant: contoso, doors: {doors}, auth: app, limits: {limits}, {more}
      {"" if doors == "[graph]" else f'endpoint: {{ host: localhost, port: {s.smtp}, ca_file: "{s.ca}" }}'} }}
routes: [ {{ through: sender }} ]
""", general=QUICK, listeners=f"  - address: 127.0.0.1:{port}\n    auth: required\n    plaintext_auth: true\n", **kw)
        r.auth_port = port
        return s, r

    return make


def send(relay, user, sender, subject="x", to="b@example.org"):
    with smtplib.SMTP("127.0.0.1", relay.auth_port, timeout=support.PATIENCE) as c:
        c.login(user, user)
        c.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nx\r\n")


def refused(relay, user, sender):
    with pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPRecipientsRefused)) as told:
        send(relay, user, sender)
    return told.value


def signed_in(sandbox):
    lines = [json.loads(line) for line in (sandbox.folder / "events.jsonl").read_text().splitlines()]
    return {line.get("mailbox") or line.get("user") or line.get("text") for line in lines if "signed-in" in json.dumps(line)}


@pytest.mark.parametrize("door", ["submission", "graph"])
def test_each_sender_signs_in_as_itself(wild, door):
    # Exchange takes the mailbox itself in From, not a name with a tag.
    s, r = wild(f"[{door}]", more="sender: rewrite,")
    for n, sender in enumerate(["a@contoso.com", "B@contoso.com", "c+june@contoso.com", "c@contoso.com"]):
        send(r, "crm", sender, str(n))
    wait_for(lambda: not r.waiting())
    got = {m["subject"]: m for m in s.messages()}
    assert sorted(got) == ["0", "1", "2", "3"] and {m["door"] for m in got.values()} == {door}
    rows = {x["name"]: x for x in r.rows("mailboxes") if x.get("type") == "mailbox"}
    assert set(rows) == {"*@contoso.com", "a@contoso.com", "b@contoso.com", "c@contoso.com"}
    assert (rows["*@contoso.com"]["state"], rows["*@contoso.com"]["made"], rows["*@contoso.com"]["at_once"]) == ("wildcard", 3, 1000)
    assert rows["a@contoso.com"]["made_of"] == "*@contoso.com"
    # What stands after the plus has no limits of its own.
    assert rows["c@contoso.com"]["day_used"] == 2 and rows["b@contoso.com"]["day_used"] == 1
    if door == "submission":
        assert {"a@contoso.com", "b@contoso.com", "c@contoso.com"} <= signed_in(s)
    v = s.verdict()
    assert v["duplicates"] == 0 and not v["limits_broken"]
    assert "of its mailboxes are at work" in r.cli("mailboxes")


def test_only_who_names_the_domain_may(wild):
    s, r = wild()
    send(r, "shop", "a@contoso.com", "mine")
    assert "shop" in str(refused(r, "shop", "c@contoso.com"))
    # "*" was written for the mailboxes that there were: the wildcard does not widen it.
    assert "No route takes mail from" in str(refused(r, "any", "c@contoso.com"))
    with smtplib.SMTP("127.0.0.1", r.port, timeout=support.PATIENCE) as c:
        c.ehlo()
        assert c.mail("a@contoso.com")[0] == 550
    wait_for(lambda: not r.waiting())
    assert [m["subject"] for m in s.messages()] == ["mine"]
    shown = r.cli("check", "--offline") if "--offline" in support.run([support.POSTERN, "check", "--help"]).stdout.decode() else r.cli("check")
    assert "does not name contoso.com" in shown


def test_an_address_that_does_not_exist_holds_its_own_mail(wild):
    s, r = wild()
    s.settings(mailboxes=[{"address": "nobody@contoso.com", "missing": True}])
    send(r, "crm", "nobody@contoso.com", "lost")
    held = wait_for(lambda: [x for x in r.rows("mailboxes") if x.get("name") == "nobody@contoso.com" and x.get("reason")])
    # Exchange gives one bare refusal for all that is wrong with a token's user.
    assert (held[0]["state"], held[0]["reason"]) == ("parked", "token-refused")
    assert held[0]["title"] and held[0]["step"] and held[0]["made_of"] == "*@contoso.com"
    send(r, "crm", "a@contoso.com", "there")
    wait_for(lambda: [m["subject"] for m in s.messages()] == ["there"])
    # It is there now: a person says so.
    s.settings(mailboxes=[{"address": "nobody@contoso.com", "missing": False}])
    r.cli("mailboxes", "--retry", "nobody@contoso.com")
    wait_for(lambda: not r.waiting())
    assert sorted(m["subject"] for m in s.messages()) == ["lost", "there"]


def test_graph_names_an_address_that_does_not_exist(wild):
    s, r = wild("[graph]")
    s.settings(mailboxes=[{"address": "nobody@contoso.com", "missing": True}])
    send(r, "crm", "nobody@contoso.com", "lost")
    wait_for(lambda: "mailbox-not-found" in json.dumps(r.waiting()))
    send(r, "crm", "a@contoso.com", "there")
    wait_for(lambda: [m["subject"] for m in s.messages()] == ["there"])
    s.settings(mailboxes=[{"address": "nobody@contoso.com", "missing": False}])
    wait_for(lambda: not r.waiting())
    assert sorted(m["subject"] for m in s.messages()) == ["lost", "there"]


def test_a_refused_app_holds_all_of_them_once(wild):
    s, r = wild()
    s.settings(apps=[{"client_id": entra.APP, "secret_expired": True}])
    for n in range(4):
        send(r, "crm", f"m{n}@contoso.com")
    wait_for(lambda: sum("reason" in x for x in r.rows("mailboxes")) == 4)
    assert len([x for x in r.log().splitlines() if "/qmgr[" in x and "parked, scope=" in x]) == 1, r.log()
    s.settings(apps=[{"client_id": entra.APP, "secret_expired": False}])
    r.cli("mailboxes", "--retry", "m0@contoso.com")
    wait_for(lambda: not r.waiting())
    assert len(s.messages()) == 4


def test_what_one_has_used_outlives_its_lane_and_a_kill(wild):
    """Three places, twelve senders, three recipients a day each."""
    s, r = wild(limits="{ share: 100%, messages_per_minute: 1000, recipients_per_day: 3 }", more="at_once: 3,")
    s.settings(limits={"recipients_per_day": 3})
    for n in range(12):
        send(r, "crm", f"m{n}@contoso.com", f"first{n}")
        send(r, "crm", f"m{n}@contoso.com", f"second{n}")
    wait_for(lambda: len(s.messages()) >= 8, 120)
    r.kill()
    r.start()
    wait_for(lambda: not r.waiting(), 120)
    for n in range(12):
        send(r, "crm", f"m{n}@contoso.com", f"third{n}")
    wait_for(lambda: not r.waiting(), 120)
    # One more than a day has, of one whose lane is gone.
    send(r, "crm", "m0@contoso.com", "too many")
    wait_for(lambda: [x for x in r.rows("mailboxes") if x.get("name") == "m0@contoso.com" and x.get("reason") == "limit"], 120)
    v = s.verdict()
    assert not v["limits_broken"] and v["duplicates"] == 0, v
    assert len(s.messages()) == 36
    at_work = next(x for x in r.rows("mailboxes") if x.get("name") == "*@contoso.com")
    assert at_work["made"] <= 3


def test_check_tries_one_by_its_address(wild):
    s, r = wild()
    # Its routes are asked as the accounts that may have it hand mail in.
    assert "no-route" not in r.cli("check", "bob@contoso.com")
    assert "bob@contoso.com" in signed_in(s)
    # All there are: none is listed, and "*@contoso.com" is no name to sign in with.
    r.cli("check", "all", code=None)
    assert "*@contoso.com" not in signed_in(s)
