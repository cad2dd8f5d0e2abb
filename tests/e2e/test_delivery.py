"""What the provider answers, and what becomes of the mail: retry, park, bounce, split, uncertain."""
import email
import email.policy
import smtplib

import pytest

import support
from support import wait_for

FREE = "{ messages_per_minute: 100000, connections: 2, share: 100% }"
QUICK = "retry: { first: 1s, ceiling: 2s, expire: 5d }"


def send(relay, subject="s", sender="erp@contoso.com", to=("anna@example.org",), body="x\r\n", header=""):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail(sender, list(to), f"From: {sender}\r\nSubject: {subject}\r\n{header}\r\n{body}".encode())


def delivered(sandbox, count=1):
    return wait_for(lambda: (m := sandbox.messages()) and len(m) >= count and m)


def test_header_gets_only_what_is_missing(submission):
    sandbox, relay = submission()
    send(relay, header="Bcc: secret@example.org\r\nX-Odd:   kept  \r\n\tfolded\r\n")
    raw = sandbox.raw(delivered(sandbox)[0]["number"])
    assert b"secret@example.org" not in raw
    assert b"X-Odd:   kept  \r\n\tfolded\r\n" in raw
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert len(parsed.get_all("Received")) == 1
    assert parsed["Message-ID"] and parsed["Date"]
    assert raw.endswith(b"\r\n\r\nx\r\n")


def test_temporary_refusal_is_retried(submission):
    sandbox, relay = submission(general=QUICK)
    sandbox.fault(at="dot", do="reply", reply="451 4.7.0 Temporary server error. Please try again later. PRX2", times=2)
    send(relay)
    delivered(sandbox)
    row = wait_for(lambda: [r for r in relay.rows("trace") if r["state"] == "delivered"])[0]
    assert row["attempts"] == 3
    story = relay.rows("queue", "show", row["id"])
    attempts = [x for x in story if x["type"] == "attempt"]
    assert [a["verdict"] for a in attempts] == ["retry", "retry", "delivered"]
    assert "PRX2" in attempts[0]["reply"]


@pytest.mark.parametrize("scenario, words", [
    ("smtp-auth-off", "SmtpClientAuthentication is disabled for the Tenant"),
    ("basic-auth-off", "basic authentication is disabled"),
    ("security-defaults", "security defaults"),
    ("mailbox-full", "mailbox full"),
])
def test_fault_of_configuration_parks_and_never_bounces(submission, scenario, words):
    sandbox, relay = submission("--scenario", scenario, general=QUICK)
    for i in range(6):
        send(relay, f"m{i}")
    rows = wait_for(lambda: [r for r in relay.waiting() if words in r.get("reply", "")])
    assert len(relay.waiting()) == 6
    assert all(r["state"] in ("queued", "open") for r in relay.waiting())
    lanes = wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "lane" and x["state"] == "parked"])
    assert lanes[0]["reason"] == rows[0]["reason"]
    # The first hit parks, or the second, where it is said to a message, and another one may be under way on the other
    # connection: no hammering.
    assert sandbox.verdict()["refused"] <= 3
    # Somebody fixes it; `queue retry` does not wait for the next probe.
    sandbox.settings(tenant_auth=True, basic_auth=True, security_defaults=False, all_full=False)
    relay.cli("queue", "retry", "--sender", "erp@contoso.com")
    delivered(sandbox, 6)
    assert sandbox.verdict()["limits_broken"] == []


def test_send_as_refusal_parks_that_sender_only(submission):
    sandbox, relay = submission(
        routes='  - { sender: "boss@contoso.com", through: erp@contoso.com }\n  - { through: sender }')
    for i in range(12):
        send(relay, f"refused{i}", sender="boss@contoso.com")
    wait_for(lambda: [r for r in relay.waiting() if "SendAsDenied" in r.get("reply", "")])
    send(relay, "fine")
    assert [m["subject"] for m in delivered(sandbox)] == ["fine"]
    assert sandbox.verdict()["limits_broken"] == []
    assert len(relay.waiting()) == 12


def test_unknown_recipient_bounces_from_the_mailbox(submission):
    sandbox, relay = submission()
    sandbox.fault(at="rcpt", do="reply", match="gone@example.org",
                  reply="550 5.4.1 Recipient address rejected: Access denied [AS(201806281)]")
    send(relay, "to two", to=("gone@example.org", "anna@example.org"))
    messages = delivered(sandbox, 2)
    assert {"to two"} <= {m["subject"] for m in messages}
    bounce = next(m for m in messages if m["subject"] != "to two")
    # The null sender is refused on mailbox doors: the bounce comes from the mailbox itself.
    assert bounce["sender"] == "erp@contoso.com" and bounce["recipients"] == ["erp@contoso.com"]
    parsed = email.message_from_bytes(sandbox.raw(bounce["number"]), policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed["Auto-Submitted"].startswith("auto-")
    status = parsed.get_payload(1).as_string()
    assert "gone@example.org" in status and "5.4.1" in status and "Action: failed" in status
    assert "Subject: to two" in parsed.get_payload(2).as_string()


def test_refused_bounce_does_not_bounce(submission):
    sandbox, relay = submission()
    sandbox.fault(at="rcpt", do="reply", reply="550 5.1.10 RESOLVER.ADR.RecipientNotFound")
    send(relay)
    wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "bounced"]) == 2)
    wait_for(lambda: not relay.waiting())
    assert len(relay.rows("trace")) == 2


def test_recipients_are_split_by_the_limit(submission):
    sandbox, relay = submission(limits="{ messages_per_minute: 1000, recipients_per_message: 100, share: 100% }")
    sandbox.settings(limits={"messages_per_minute": 1000, "recipients_per_message": 100})
    send(relay, to=[f"r{i}@example.org" for i in range(250)])
    wait_for(lambda: sum(len(m["recipients"]) for m in sandbox.messages()) == 250)
    assert max(len(m["recipients"]) for m in sandbox.messages()) <= 100
    assert sandbox.verdict()["limits_broken"] == [] and sandbox.verdict()["duplicates"] == 0


def test_minute_limit_is_kept(submission):
    sandbox, relay = submission("--speed", "1", limits="{ messages_per_minute: 5, share: 100% }")
    sandbox.settings(limits={"messages_per_minute": 5})
    for i in range(9):
        send(relay, f"m{i}")
    delivered(sandbox, 5)
    lane = wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "lane" and x["state"] == "waiting"])[0]
    assert lane["minute_used"] == 5 and lane["next_at"]
    # A restart does not forget the window: the server would say so, which counts by its own clock.
    relay.stop()
    relay.start()
    wait_for(lambda: len(sandbox.messages()) == 9, seconds=150, every=1)
    assert sandbox.verdict()["limits_broken"] == []


def test_cut_before_the_reply_is_uncertain_and_retried_with_the_same_id(submission):
    sandbox, relay = submission(general=QUICK)
    sandbox.fault(at="dot", do="cut-after", times=1)
    send(relay, "twice")
    uncertain = wait_for(lambda: [r for r in relay.rows("trace") if r.get("uncertain")])
    assert uncertain[0]["uncertain"] == 1
    relay.cli("queue", "retry", uncertain[0]["id"])
    messages = delivered(sandbox, 2)
    assert messages[0]["message_id"] == messages[1]["message_id"]
    assert sandbox.verdict()["duplicates"] == 1


def test_uncertain_can_be_assumed_sent(submission):
    sandbox, relay = submission(general="uncertain: assume-sent")
    sandbox.fault(at="dot", do="cut-after", times=1)
    send(relay, "once")
    wait_for(lambda: [r for r in relay.rows("trace") if r["state"] == "delivered" and r.get("uncertain")])
    assert len(sandbox.messages()) == 1


def test_uncertain_then_duplicate_refusal_counts_as_delivered(submission):
    sandbox, relay = submission(general=QUICK)
    sandbox.fault(at="dot", do="cut-after", times=1)
    send(relay, "dup")
    row = wait_for(lambda: [r for r in relay.rows("trace") if r.get("uncertain")])[0]
    sandbox.fault(at="dot", do="reply", times=1, reply="554 5.2.0 STOREDRV.Submission.Exception:"
                  "StoragePermanentException.MapiExceptionDuplicateDelivery; Failed to process message")
    relay.cli("queue", "retry", row["id"])
    wait_for(lambda: [r for r in relay.rows("trace") if r["state"] == "delivered"])
    assert len(sandbox.messages()) == 1


def test_new_message_id_of_exchange_is_kept(submission):
    sandbox, relay = submission("--rewrite-ids")
    send(relay, "renamed")
    new_id = delivered(sandbox)[0]["new_id"]
    row = wait_for(lambda: [r for r in relay.rows("trace") if r["state"] == "delivered"])[0]
    attempt = [x for x in relay.rows("queue", "show", row["id"]) if x["type"] == "attempt"][0]
    assert attempt["remote_message_id"] == new_id and row["message_id"] != new_id


def test_hold_release_and_drop(submission):
    sandbox, relay = submission("--scenario", "smtp-auth-off")
    for i in range(4):
        send(relay, f"m{i}")
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "lane" and x["state"] == "parked"])
    first, second = sorted(r["id"] for r in relay.waiting())[:2]
    wait_for(lambda: all(r["state"] == "queued" for r in relay.waiting()))
    relay.cli("queue", "hold", first)
    relay.cli("queue", "drop", second)
    assert [r["state"] for r in relay.rows("queue", "list", "--id", first)] == ["held"]
    sandbox.settings(tenant_auth=True)
    relay.cli("queue", "retry", "--older", "0s")
    delivered(sandbox, 2)
    wait_for(lambda: len(relay.waiting()) == 1)
    relay.cli("queue", "release", first)
    delivered(sandbox, 3)
    assert [r["state"] for r in relay.rows("trace", "--id", second)] == ["dropped"]


def test_large_message_streams(submission):
    sandbox, relay = submission()
    line = "0123456789abcdef" * 4 + "\r\n"
    send(relay, "large", body=line * (20 * 1024 * 1024 // len(line)))
    found = wait_for(lambda: sandbox.messages(), seconds=120)[0]
    assert found["size"] > 20 * 1024 * 1024 - 70
    with open(f"/proc/{relay.process.pid}/status") as f:
        peak_kb = next(int(x.split()[1]) for x in f if x.startswith("VmHWM"))
    assert peak_kb < 64 * 1024, peak_kb


def test_dsn_parameters_reach_the_provider_and_success_is_not_invented(submission):
    sandbox, relay = submission()
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail("erp@contoso.com", ["anna@example.org"], "Subject: dsn\r\n\r\nx\r\n",
                   mail_options=["RET=HDRS", "ENVID=abc+2B1"], rcpt_options=["NOTIFY=NEVER", "ORCPT=rfc822;anna@example.org"])
    delivered(sandbox)


def test_mail_whose_route_is_gone_waits(submission):
    sandbox, relay = submission("--scenario", "smtp-auth-off")
    send(relay, "stranded", sender="crm@contoso.com")
    wait_for(lambda: [r for r in relay.waiting() if r.get("reason")])
    relay.stop()
    text = relay.config.read_text()
    relay.config.write_text(text.replace("address: crm@contoso.com", "address: other@contoso.com"))
    relay.start()
    rows = wait_for(lambda: [r for r in relay.waiting() if r.get("reason") == "no-route"])
    assert rows[0]["state"] == "queued"
    sandbox.settings(tenant_auth=True)
    relay.cli("queue", "reroute", rows[0]["id"], "--through", "erp@contoso.com")


def test_provider_down_then_up(submission):
    sandbox, relay = submission(general=QUICK)
    sandbox.process.stop()
    send(relay, "patience")
    rows = wait_for(lambda: [r for r in relay.waiting() if r.get("reply")])
    assert rows[0]["state"] == "queued"
    sandbox.start()
    relay.cli("queue", "retry", "--older", "0s")
    delivered(sandbox)


def test_reroute_to_a_mailbox_that_never_had_mail(sandbox, relay, password):
    s = sandbox()
    r = relay(support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", s, password)
              + support.mailbox("crm@contoso.com", s, password) + "\nroutes:\n  - { through: sender }\n")
    s.settings(mailboxes=[{"address": "erp@contoso.com", "smtp_auth": "off"},
                          {"address": "crm@contoso.com", "send_as": ["erp@contoso.com"]}])
    send(r, "goes another way")
    wait_for(lambda: [x for x in r.rows("status") if x["type"] == "lane" and x["state"] == "parked"])
    wait_for(lambda: [x for x in r.waiting() if x["state"] == "queued"])
    r.cli("queue", "reroute", "--recipient", "anna@example.org", "--through", "crm@contoso.com")
    assert delivered(s)[0]["mailbox"] == "crm@contoso.com"
