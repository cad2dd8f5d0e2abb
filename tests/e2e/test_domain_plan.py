"""`postern domain plan`: what records should become, with Knot as the world's DNS; then those records, and a check that is content."""
import json
import pathlib
import re

import pytest

from support import POSTERN, run
from test_domain import KEY, serve

HEAD = ["$ORIGIN .", "$TTL 300", "@ SOA ns.test. admin.test. 1 3600 600 86400 30", "@ NS ns.test.", "ns.test. A 127.0.0.1",
        'spf.protection.outlook.com. TXT "v=spf1 ip4:192.0.2.0/24 -all"', "autodiscover.outlook.com. A 192.0.2.9"]
LONG = " ".join(f"ip4:198.51.100.{n}" for n in range(20))
RECORDS = ['old.test. TXT "v=spf1 ip4:203.0.113.5 ~all"', 'old.test. TXT "site-verification=1"', '_dmarc.old.test. TXT "v=DMARC1; p=none; rua=mailto:d@old.test; fo=1"',
           'right.test. TXT "v=spf1 include:spf.protection.outlook.com -all"', '_dmarc.right.test. TXT "v=DMARC1; p=reject"',
           f'long.test. TXT "v=spf1 {LONG[:230]}" "{LONG[230:]} -all"',
           'two.test. TXT "v=spf1 ip4:203.0.113.5 -all"', 'two.test. TXT "v=spf1 ip4:203.0.113.6 ~all"',
           'bad.test. TXT "v=spf1 ip:203.0.113.5 -all"', "_dmarc.bad.test. CNAME bad.dmarc.vendor.test.",
           'evil.test. TXT "v=spf1 exists:\\027[2J\\"x\\".test -all"',
           'flat.test. TXT "v=spf1 -all"', f'selector1._domainkey.flat.test. TXT "v=DKIM1; p=" "{KEY[:200]}" "{KEY[200:]}"', "new.test. A 192.0.2.7"]
DKIM = """
Domain         : {0}
Enabled        : False
Status         : CnameMissing
Selector1CNAME : selector1-{1}._domainkey.contoso.n-v1.dkim.mail.microsoft
Selector2CNAME : selector2-{1}._domainkey.contoso.n-v1.dkim.mail.microsoft
"""


def pasted(domain):
    return DKIM.format(domain, domain.replace(".", "-"))


@pytest.fixture(scope="module")
def dns(module_folder):
    with serve(pathlib.Path(module_folder), "\n".join(HEAD + RECORDS) + "\n") as address:
        yield address


def plan(dns, *words, code=0, stdin=None):
    return run([POSTERN, "domain", "plan", "--dns", dns, *words], code=code, input=stdin and stdin.encode()).stdout.decode()


def changes(dns, *words, code=0, stdin=None):
    one = json.loads(plan(dns, "--json", *words, code=code, stdin=stdin))
    return {(c["topic"], c["name"]): c for c in one["changes"]}


def after(change):
    return [v["data"] for v in change["after"]]


def test_an_old_domain_is_shown_as_a_diff(dns):
    screen = plan(dns, "old.test", "--dmarc", "quarantine-test")
    for line in ("- v=spf1 ip4:203.0.113.5 ~all", "+ v=spf1 include:spf.protection.outlook.com ip4:203.0.113.5 ~all", "1 of 10 (now 0)",
                 "- v=DMARC1; p=none; rua=mailto:d@old.test; fo=1", "+ v=DMARC1; p=quarantine; rua=mailto:d@old.test; fo=1; t=y",
                 "mail:  receivers of the rules before RFC 9989 do not know t=y", "2 to change, 0 right, 0 that need you first; nothing was changed"):
        assert line in screen, screen
    assert "site-verification" not in screen


def test_what_is_right_stays(dns):
    found = changes(dns, "right.test")
    assert {c["deed"] for c in found.values()} == {"right"}


def test_microsofts_names_are_taken_from_what_is_pasted(dns):
    found = changes(dns, "new.test", "--dkim", "-", stdin="Domain : x.test\n" + pasted("new.test"))
    assert after(found["DKIM", "selector2._domainkey.new.test"]) == ["selector2-new-test._domainkey.contoso.n-v1.dkim.mail.microsoft"]
    assert after(found["SPF", "new.test"]) == ["v=spf1 include:spf.protection.outlook.com ~all"]
    assert after(found["DMARC", "_dmarc.new.test"]) == ["v=DMARC1; p=none"]
    assert "--reports" in found["DMARC", "_dmarc.new.test"]["risk"]
    flat = changes(dns, "flat.test", "--dkim", "-", stdin=pasted("flat.test"))["DKIM", "selector1._domainkey.flat.test"]
    assert flat["before"][0]["type"] == "TXT" and flat["after"][0]["type"] == "CNAME" and "a key stands here" in flat["risk"]


def test_several_records_become_one(dns):
    spf = changes(dns, "two.test")["SPF", "two.test"]
    assert len(spf["before"]) == 2
    (one,) = after(spf)
    assert sorted(one.split()) == sorted("v=spf1 include:spf.protection.outlook.com ip4:203.0.113.5 ip4:203.0.113.6 ~all".split())


def test_what_needs_a_person_first(dns):
    found = changes(dns, "bad.test", code=69)
    assert found["SPF", "bad.test"]["deed"] == "blocked" and "--drop 'ip:203.0.113.5'" in found["SPF", "bad.test"]["step"]
    assert "bad.dmarc.vendor.test" in found["DMARC", "_dmarc.bad.test"]["why"]
    fixed = changes(dns, "bad.test", "--drop", "ip:203.0.113.5", "--add", "ip4:203.0.113.5", code=69)["SPF", "bad.test"]
    assert after(fixed) == ["v=spf1 include:spf.protection.outlook.com ip4:203.0.113.5 -all"]


def test_what_strangers_publish_does_not_reach_the_terminal(dns):
    assert "\x1b[2J" not in plan(dns, "evil.test", code=69)


def test_the_planned_zone_is_content(dns, folder):
    """Its lines are read by Knot, and the domain then meets all receivers' rules."""
    zone = plan(dns, "long.test", "--dkim", "-", "--reports", "d@long.test", "--mx", "long-test.mail.protection.outlook.com", "--format", "zone",
                stdin=pasted("long.test"))
    added = [line for line in zone.splitlines() if not line.startswith(";")]
    assert any(re.search(r'TXT "v=spf1 include[^"]{200,}" "', line) for line in added)  # no string over 255 bytes
    assert [line for line in zone.splitlines() if line.startswith("; remove: long.test.")]
    keys = [f'{s}-long-test._domainkey.contoso.n-v1.dkim.mail.microsoft. TXT "v=DKIM1; k=rsa; p=" "{KEY[:200]}" "{KEY[200:]}"' for s in ("selector1", "selector2")]
    with serve(folder, "\n".join(HEAD + keys + added) + "\n") as then:
        report = json.loads(run([POSTERN, "domain", "check", "--dns", then, "--json", "long.test"]).stdout)
        assert report["meets"] == "meets"
        assert {c["deed"] for c in changes(then, "long.test", "--dkim", "-", stdin=pasted("long.test")).values()} == {"right"}


def test_what_a_hosts_form_takes(dns):
    text = plan(dns, "new.test", "--dkim", "-", "--format", "paste", stdin=pasted("new.test"))
    assert "add TXT\n  name   @\n  value  v=spf1 include:spf.protection.outlook.com ~all\n" in text
    assert "add CNAME\n  name   selector1._domainkey\n  value  selector1-new-test._domainkey.contoso.n-v1.dkim.mail.microsoft\n" in text


@pytest.mark.parametrize("words, said", [
    ([], "name one domain or several, or --all"),
    (["new.test", "--add", "ip4:300.0.0.1"], "is no term of SPF that lets pass"),
    (["new.test", "--add", "-ip4:192.0.2.1"], "is no term of SPF that lets pass"),
    (["new.test", "--add", "+all"], "is no term of SPF that lets pass"),
    (["new.test", "--spf-all", "+all"], "is neither -all, ~all nor ?all"),
    (["new.test", "--dmarc", "harsh"], "is none of none, quarantine-test"),
    (["new.test", "--reports", "d@x.test; p=none"], "is no address"),
    (["new.test", "--format", "bind"], "is neither diff, zone nor paste"),
    (["new.test", "other.test", "--mx", "x.mail.protection.outlook.com"], "--mx is for one domain"),
    (["not a name"], "is not a domain name"),
])
def test_what_is_asked_wrongly_is_said(dns, words, said):
    assert said in run([POSTERN, "domain", "plan", "--dns", dns, *words], code=64).stderr.decode()


def test_pasted_text_that_is_not_microsofts(dns, folder):
    (folder / "other").write_text("hello\n")
    assert "there is no Selector1CNAME" in run([POSTERN, "domain", "plan", "--dns", dns, "new.test", "--dkim", folder / "other"], code=65).stderr.decode()
    assert "New-DkimSigningConfig" in run([POSTERN, "domain", "plan", "--dns", dns, "new.test", "--dkim", "-"], code=65,
                                          input=b"Selector1CNAME :\nSelector2CNAME :\n").stderr.decode()
    assert "No such file" in run([POSTERN, "domain", "plan", "--dns", dns, "new.test", "--dkim", folder / "none"], code=66).stderr.decode()
