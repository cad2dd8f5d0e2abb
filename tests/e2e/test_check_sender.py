"""`postern check SENDER` goes by the routes and asks the relay that runs; `check all` ends with a sum."""
import smtplib
import ssl

import pytest

import support
from support import wait_for
from test_check_live import ERP, Setup, server, setup, smtp_talk  # noqa: F401 (fixtures)

ROOT = "root@contoso.com"


def rows_of(s, kind):
    import json
    return [r for r in map(json.loads, s.out.splitlines()) if r.get("type") == kind]


def test_the_routes_of_readme(setup):
    """`through: sender`, and everything else as erp: root has no mailbox, and its mail leaves all the same."""
    s = setup().mailbox()
    s.routes = f"  - {{ through: sender }}\n  - {{ through: {ERP}, rewrite_from: {ERP} }}\n"
    v = s.check(what=ROOT)
    assert (v["target"], v["status"]) == (ERP, "ok"), (v, s.out)
    route, = rows_of(s, "route")
    assert (route["through"], route["as"]) == (ERP, ERP) and "anybody@contoso.com" in route["recipients"]
    assert [x["text"].split()[0] for x in s.step("sender")] == [ERP]
    text = s.check(what=ROOT, plain=True)
    assert f"through {ERP}, as {ERP} (route in line " in text and f"{ERP}: ok" in text
    # Its own mailbox, by its own route.
    assert s.check(what=ERP)["status"] == "ok" and not rows_of(s, "route")


def test_a_name_alone_is_completed(setup):
    s = setup().mailbox(more="    sender: rewrite\n")
    s.general = "qualify: contoso.com"
    s.routes = f"  - {{ through: sender }}\n  - {{ through: {ERP} }}\n"
    assert s.check(what="root")["status"] == "ok"
    assert rows_of(s, "route")[0]["as"] == ERP


def test_a_sender_that_no_route_takes(setup):
    s = setup().mailbox()
    v = s.check(what=ROOT, code=78)
    assert (v["status"], v["cause"], v["target"], v["exit"]) == ("fail", "no-route", ROOT, 78) and "refused" in v["text"], v
    assert "no route takes mail from root@contoso.com" in s.check(what=ROOT, code=78, plain=True)
    s.routes = f"  - {{ through: sender }}\n  - {{ recipient: internal, through: {ERP}, rewrite_from: {ERP} }}\n"
    v = s.check(what=ROOT)
    assert (v["status"], v["cause"]) == ("warn", "no-route") and "anybody@example.com" in v["text"]
    assert s.verdicts[1]["status"] == "ok"


def test_a_mailbox_whose_own_mail_goes_elsewhere(setup):
    s = setup().mailbox()
    s.lanes += s.lanes.replace("mailboxes:\n", "").replace(ERP, "crm@contoso.com")
    s.routes = "  - { through: crm@contoso.com }\n"
    s.check(what=ERP)
    assert rows_of(s, "route")[0]["through"] == "crm@contoso.com"


def test_conditions_are_named(setup):
    s = setup().mailbox()
    s.lanes += ("devices: [ { name: hall, from: 10.0.0.7, sender: hall@contoso.com } ]\n")
    s.routes = f"  - {{ device: hall, through: {ERP}, rewrite_from: {ERP} }}\n"
    v = s.check(what="hall@contoso.com")
    assert "from device hall" in rows_of(s, "route")[0]["recipients"], s.out
    assert v["status"] == "ok"


def test_send_as_is_not_said_to_be_right(setup):
    """Exchange takes MAIL FROM:<root@> of erp's session and refuses behind DATA."""
    s = setup().mailbox()
    s.routes = f"  - {{ through: sender }}\n  - {{ through: {ERP} }}\n"
    v = s.check(what=ROOT)
    assert (v["status"], v["cause"]) == ("warn", "send-as-unproven") and "--send" in v["first"] and "rewrite" in v["then"], v
    s.sandbox.settings(mailboxes=[{"address": ERP, "send_as": []}])
    v = s.check("--send", what=ROOT, code=77)
    assert v["status"] == "fail" and v["step"] == "message", v
    s.sandbox.settings(mailboxes=[{"address": ERP, "send_as": [ROOT]}])
    v = s.check("--send", what=ROOT)
    assert v["status"] == "ok" and s.sandbox.messages()[-1]["sender"] == ROOT, (v, s.out)


def test_a_sign_in_does_not_prove_the_right_on_the_mailbox(setup):
    s = setup().mailbox(auth="app")
    reply = ("430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Storage; MapiExceptionLogonFailed: Unable to make connection "
             "to the server. [AM8P191MB0001.EURP191.PROD.OUTLOOK.COM 2026-08-28T19:45:50.437Z 08DF04C6D9A404E7]")
    s.sandbox.fault(at="dot", do="reply", reply=reply)
    assert s.check()["status"] == "ok"
    assert "does not prove the right on the mailbox" in s.step("sign-in")[0]["text"]
    config = s.write()
    done = support.run([support.POSTERN, "check", ERP, "--send", "--config", str(config)], code=None,
                       env={"PATH": "/usr/bin:/bin", "SSL_CERT_FILE": str(s.sandbox.ca)})
    assert done.returncode != 0 and b"mailbox logon failure" in done.stdout, done
    assert b"does not prove" not in done.stdout


def submit(relay, sender, recipient="anna@example.org"):
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        c.sendmail(sender, [recipient], f"From: {sender}\r\nSubject: x\r\n\r\nx\r\n")


def ask(relay, what, code):
    import json
    done = support.run([support.POSTERN, "check", "--json", what, "--config", str(relay.config)], code=code)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [r for r in rows if r.get("type") == "verdict"][0], [r for r in rows if r.get("step") == "relay" and r["type"] == "step"]


def test_the_relay_that_runs_is_asked(submission):
    sandbox, relay = submission(routes=f"  - {{ through: sender }}\n  - {{ through: {ERP} }}\n")
    verdict, step = ask(relay, ERP, 0)
    assert verdict["status"] == "ok" and "holds nothing" in step[0]["text"]
    sandbox.settings(mailboxes=[{"address": ERP, "send_as": []}])
    submit(relay, ROOT)
    wait_for(lambda: [r for r in relay.waiting() if r.get("reason")])
    verdict, step = ask(relay, ROOT, 77)
    assert (verdict["status"], verdict["step"]) == ("fail", "relay") and "SendAsDenied" in step[0]["text"], (verdict, step)
    # The mailbox itself is well.
    assert ask(relay, ERP, 0)[0]["status"] == "ok"


def test_the_relay_says_why_it_holds_a_mailbox(submission):
    sandbox, relay = submission()
    sandbox.fault(at="auth", do="reply", reply="535 5.7.3 Authentication unsuccessful", times=1)
    submit(relay, ERP)
    wait_for(lambda: [r for r in relay.waiting() if r.get("reason")])
    verdict, step = ask(relay, ERP, 0)
    assert (verdict["status"], verdict["cause"]) == ("warn", "held-by-relay"), verdict
    assert f"postern mailboxes --retry {ERP}" in verdict["first"]
    assert step[0]["text"].startswith("the relay holds this mailbox since 20") and "Authentication unsuccessful" in step[0]["text"], step


def test_all_ends_with_a_sum(setup):
    s = setup().mailbox()
    s.lanes += "".join(s.lanes.replace("mailboxes:\n", "").replace(ERP, f"m{i:02}@contoso.com") for i in range(24))
    off = [{"address": f"m{i:02}@contoso.com", "smtp_auth": "off"} for i in range(4, 24, 2)]
    s.sandbox.settings(mailboxes=off)
    text = s.check(what="all", plain=True, code=77)
    lines = text.splitlines()
    assert len(lines) < 45 and text.count(": ok") == 0, text
    assert "25 checked: 15 ok, 0 with a warning, 10 broken" in text, text
    assert "    10 broken   smtp-auth-off: m04@contoso.com, " in text and " and 5 more" in text, text
    assert text.count("first ") == 1, text
    s.check(what="all", code=77)
    total, = rows_of(s, "sum")
    assert (total["checked"], total["ok"], total["broken"]) == (25, 15, 10) and total["causes"][0]["cause"] == "smtp-auth-off"
    assert len(s.verdicts) == 25


def test_a_dead_server_is_tried_once(setup, server):
    """All mailboxes of one server share what fails before anybody signs in: ten seconds, not ten for each."""
    asked = []

    def silent(connection):
        asked.append(connection)
        while connection.recv(4096):
            pass

    s = setup().mailbox(port=server(silent))
    s.lanes += "".join(s.lanes.replace("mailboxes:\n", "").replace(ERP, f"m{i:02}@contoso.com") for i in range(30))
    text = s.check(what="all", plain=True, code=78)
    assert "31 checked: 0 ok, 0 with a warning, 31 broken" in text and len(asked) <= 2, (len(asked), text)
