"""Exchange's own counter of what a tenant sends to the outside corrects ours (`counters:`), where the administrator allows it."""
import smtplib

import pytest

import entra
import support
from support import wait_for

ERP = "erp@contoso.com"
QUICK = "retry: { first: 1s, ceiling: 2s, expire: 5d }"


@pytest.fixture
def counted(sandbox, relay, folder):
    def make(roles=("SMTP.SendAsApp", "Exchange.ManageAsApp"), tenant="licences: 1", allowed=20, people=0):
        s = sandbox()
        s.api("POST", "/scenario/strict")
        s.settings(apps=[{"client_id": entra.APP, "roles": list(roles)}],
                   tenant_limits={"external_per_day": allowed, "people_external_per_hour": people})
        head = entra.contoso(folder, s).replace(
            "    domains: [contoso.com]\n", f"    domains: [contoso.com]\n    counters: 5m\n    {tenant}\n").replace(
            "endpoints: {", f"endpoints: {{ exchange: \"https://localhost:{s.https}\",")
        return s, relay(head + f"""mailboxes:
  - {{ address: {ERP}, tenant: contoso, auth: app, limits: {{ share: 100%, messages_per_minute: 1000 }},
      endpoint: {{ host: localhost, port: {s.smtp}, ca_file: "{s.ca}" }} }}
routes: [ {{ through: sender }} ]
""", general=QUICK)

    return make


def send(relay, count):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as c:
        for n in range(count):
            c.sendmail(ERP, ["b@example.org"], f"From: {ERP}\r\nSubject: {n}\r\n\r\nx\r\n")


def tenants(relay):
    return [x for row in relay.rows("mailboxes") for x in row.get("limits", []) if x["limit_of"] == "tenant" and "observed_at" in x]


def test_the_threshold_is_exchanges_not_the_formulas(counted):
    """By the formula a licence has 10,000: Exchange says 20, and refuses nothing."""
    s, r = counted(allowed=20)
    send(r, 1)
    (limit,) = wait_for(lambda: tenants(r))
    assert (limit["threshold"], limit["capacity"], limit["others"]) == (20, 20, 0)
    send(r, 30)
    wait_for(lambda: len(s.messages()) == 20)
    wait_for(lambda: [x for x in tenants(r) if x["left"] == 0])
    v = s.verdict()
    assert not v["limits_broken"] and len(s.messages()) == 20, v
    assert "as Exchange counted" in r.cli("mailboxes", "--long", ERP)
    # It is known after a kill, before anybody asks again.
    r.kill()
    s.settings(apps=[{"client_id": entra.APP, "roles": ["SMTP.SendAsApp"]}])
    r.start()
    (limit,) = wait_for(lambda: tenants(r))
    assert (limit["threshold"], limit["left"]) == (20, 0)
    assert len(s.messages()) == 20 and not s.verdict()["limits_broken"]


def test_an_app_that_may_not_ask_sends_all_the_same(counted):
    s, r = counted(roles=("SMTP.SendAsApp", "Exchange.Manage"), allowed=1000)
    send(r, 3)
    wait_for(lambda: len(s.messages()) == 3)
    wait_for(lambda: "Exchange's counter could not be asked" in r.log())
    assert "Exchange.ManageAsApp" in r.log() and not tenants(r)
    assert not [x for x in r.rows("mailboxes") if x.get("reason")]


def test_what_people_send_beside_us_counts(counted):
    s, r = counted(allowed=1000000, people=3600000)
    send(r, 1)
    (limit,) = wait_for(lambda: tenants(r))
    # A thousand a second: they had some before the first question, and it is taken that they go on.
    assert limit["others"] > 0 and limit["used"] >= limit["others"] and limit["threshold"] == 1000000
    assert not s.verdict()["limits_broken"]
