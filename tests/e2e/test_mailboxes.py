"""`postern mailboxes`: what holds each, what frees it, and one that is tried at once."""
import smtplib

from support import wait_for


def send(relay, sender, subject="x", to="anna@example.org"):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail(sender, [to], f"Subject: {subject}\r\n\r\nx\r\n".encode())


def row(relay, name):
    (one,) = [x for x in relay.rows("mailboxes") if x["name"] == name]
    return one


def test_all_are_shown_and_the_six_are_honest(submission):
    s, r = submission()
    before = row(r, "erp@contoso.com")
    assert before["state"] == "unused" and before["waiting"] == 0 and before["day_capacity"] > 0
    assert {k: v["state"] for k, v in before["checks"].items()} == {
        "settings": "unknown", "smtp_auth": "unknown", "credentials": "unknown", "domain": "unknown", "warmed": "none",
        "volume": "ok"}
    send(r, "erp@contoso.com")
    wait_for(lambda: row(r, "erp@contoso.com").get("delivered_at"))
    after = row(r, "erp@contoso.com")
    assert after["state"] == "ready" and after["day_used"] == 1 and after["slot_at"]
    assert [after["checks"][k]["state"] for k in ("settings", "smtp_auth", "credentials")] == ["ok"] * 3
    assert "as of the last message" in after["checks"]["settings"]["text"]
    assert row(r, "crm@contoso.com")["state"] == "unused"
    assert "2 mailboxes" in r.cli("status") and "SACDWV" not in r.cli("status")
    text = r.cli("mailboxes", "ERP@contoso.com")
    assert "domain authenticated" in text and "not looked at: postern domain check contoso.com" in text and "no ramp" in text
    assert "SMTP AUTH on              yes" in text and "crm@contoso.com" not in text


def test_a_parked_one_says_why_and_is_tried_at_once(submission):
    s, r = submission()
    s.settings(mailboxes=[{"address": "erp@contoso.com", "smtp_auth": "off"}])
    send(r, "erp@contoso.com")
    send(r, "erp@contoso.com")
    wait_for(lambda: row(r, "erp@contoso.com")["state"] == "parked")
    held = row(r, "erp@contoso.com")
    assert held["reason"] == "smtp-auth-off" and held["freed_by"] == "probe" and held["since"] and held["next_at"]
    assert held["waiting"] == 2 and held["checks"]["smtp_auth"]["state"] == "fail"
    text = r.cli("mailboxes")
    assert "(smtp-auth-off)" in text and "next try in" in text and "--retry erp@contoso.com" in text
    s.settings(mailboxes=[{"address": "erp@contoso.com", "smtp_auth": "on"}])
    assert "tries now; 2 recipients wait" in r.cli("mailboxes", "--retry", "erp@contoso.com")
    wait_for(lambda: len(s.messages()) == 2)
    wait_for(lambda: row(r, "erp@contoso.com")["state"] == "ready")
    r.cli("mailboxes", "--retry", "nobody@contoso.com", code=67)


def test_a_stop_for_reputation_waits_for_a_person(submission):
    s, r = submission(routes="  - { through: [erp@contoso.com, crm@contoso.com] }")
    s.fault(at="rcpt", do="reply", reply="550 5.1.8 Access denied, bad outbound sender. AS(42004)")
    # Two different messages prove it.
    send(r, "erp@contoso.com")
    send(r, "erp@contoso.com", to="bea@example.org")
    wait_for(lambda: row(r, "erp@contoso.com")["state"] == "parked")
    s.api("DELETE", "/faults")
    held = row(r, "erp@contoso.com")
    assert held["nature"] == "reputation" and held["freed_by"] == "person" and "next_at" not in held
    assert "a person must release it" in r.cli("mailboxes")
    # Another one's retry, a reload and the retry of all mail do not release it; it takes no other door.
    r.cli("mailboxes", "--retry", "crm@contoso.com")
    r.cli("reload")
    r.cli("queue", "retry", "--sender", "erp@contoso.com")
    send(r, "erp@contoso.com")
    wait_for(lambda: row(r, "erp@contoso.com")["waiting"] == 3)
    assert row(r, "erp@contoso.com")["freed_by"] == "person" and s.messages() == []
    assert "stop for reputation is released" in r.cli("mailboxes", "--retry", "erp@contoso.com")
    wait_for(lambda: len(s.messages()) == 3)
    assert {m["mailbox"] for m in s.messages()} == {"erp@contoso.com"}


def test_without_a_daemon(submission):
    s, r = submission()
    r.stop()
    assert row(r, "erp@contoso.com")["state"] == "stopped"
    r.cli("mailboxes", "--retry", "erp@contoso.com", code=69)
