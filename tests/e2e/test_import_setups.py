"""Set-ups in the style people post, each imported on a machine of its own that knows the sandbox under Microsoft's names.

Every one ends with cron's mail to root at the sandbox, from a sender that it allows. Passwords are the sandbox's.
"""
import json
import os
import pathlib
import re
import subprocess

import pytest

import support

HOUSE = pathlib.Path(__file__).parent / "house.py"
CRON = {"args": ["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"],
        "text": "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@relay> /usr/local/bin/backup\n"
                "Content-Type: text/plain; charset=UTF-8\nAuto-Submitted: auto-generated\n\nbackup: 3 files\n"}


def mail(sender, to="anna@example.org"):
    return {"args": ["-i", "-f", sender, to], "text": f"From: {sender}\nTo: {to}\nSubject: report\n\ntext\n"}


def can_have_a_house():
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", "mount -t tmpfs none /run"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(
    not can_have_a_house(), reason="SKIPPED LOUDLY: needs root and namespaces (unshare --mount --net --pid); run it as root")

DEBIAN = """# See /usr/share/postfix/main.cf.dist for a commented, more complete version
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6
smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key
smtpd_tls_security_level=may
smtp_tls_CApath=/etc/ssl/certs
smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = relay.contoso.local
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
myorigin = /etc/mailname
mydestination = $myhostname, relay.contoso.local, localhost.contoso.local, , localhost
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = loopback-only
inet_protocols = all
"""
AUTH = """smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = encrypt
"""
MASTER = """# service type  private unpriv  chroot  wakeup  maxproc command + args
smtp      inet  n       -       y       -       -       smtpd
pickup    unix  n       -       y       60      1       pickup
smtp      unix  -       -       y       -       -       smtp
relay     unix  -       -       y       -       -       smtp
        -o syslog_name=postfix/$service_name
"""
SASL = "[smtp.office365.com]:587 erp@contoso.com:sandbox\n"


def postfix(main, master=MASTER, etc=None, **maps):
    return {"import": ["postfix", "/etc/postfix"],
            "files": {"/etc/postfix/main.cf": main, "/etc/postfix/master.cf": master, **(etc or {}),
                      **{f"/etc/postfix/{name}": text for name, text in maps.items()}}}


SETUPS = {
    "debian_satellite_with_generic": (
        postfix(DEBIAN + "relayhost = [smtp.office365.com]:587\n" + AUTH + "smtp_generic_maps = hash:/etc/postfix/generic\n",
                sasl_passwd=SASL, generic="root@relay.contoso.local erp@contoso.com\n@relay.contoso.local\terp@contoso.com\n",
                etc={"/etc/mailname": "relay.contoso.local\n", "/etc/aliases": "postmaster: root\nroot: it@contoso.com\n"}),
        [], {"erp@contoso.com"}, "it@contoso.com"),
    "nothing_is_rewritten": (
        postfix(DEBIAN + "relayhost = [smtp.office365.com]:587\n" + AUTH, sasl_passwd=SASL, etc={"/etc/mailname": "relay\n"}),
        [], {"erp@contoso.com"}, "erp@contoso.com"),
    "sender_canonical_regexp_and_header_check": (
        postfix("myhostname = relay.contoso.com\nrelayhost = [smtp.office365.com]:587\n" + AUTH +
                "inet_interfaces = 127.0.0.1\nsender_canonical_classes = envelope_sender, header_sender\n"
                "sender_canonical_maps = regexp:/etc/postfix/sender_canonical\nsmtp_header_checks = regexp:/etc/postfix/header_check\n",
                sasl_passwd=SASL, sender_canonical="/.+/    erp@contoso.com\n",
                header_check='/From:.*/ REPLACE From: "ERP system" <erp@contoso.com>\n'),
        [mail("nobody@relay.contoso.com")], {"erp@contoso.com"}, None),
    "header_checks_pcre_alone": (
        postfix("myhostname = nas.lan.example\nmydomain = contoso.com\nmyorigin = $mydomain\nrelayhost = smtp.office365.com:587\n" + AUTH +
                "inet_interfaces = loopback-only\nmydestination =\nsmtp_header_checks = pcre:${config_directory}/hdr.pcre\n",
                sasl_passwd="smtp.office365.com:587 erp@contoso.com:sandbox\n",
                **{"hdr.pcre": "# one From for all\n/^From:(.*)$/i   REPLACE From: erp@contoso.com\n/^Subject: secret/ DISCARD\n"}),
        [], {"erp@contoso.com"}, None),
    "sender_dependent_relayhosts": (
        postfix("myhostname = relay.contoso.com\ninet_interfaces = loopback-only\nrelayhost = [smtp.office365.com]:587\n" + AUTH +
                "smtp_sender_dependent_authentication = yes\nsender_dependent_relayhost_maps = lmdb:/etc/postfix/relayhost_map\n"
                "smtp_generic_maps = inline:{ root@relay.contoso.com=erp@contoso.com, { root@contoso.com = erp@contoso.com } }\n",
                sasl_passwd=SASL + "crm@contoso.com crm@contoso.com:sandbox\n",
                relayhost_map="crm@contoso.com   [smtp.office365.com]:587\n"),
        [mail("crm@contoso.com")], {"erp@contoso.com", "crm@contoso.com"}, None),
    "sasl_xoauth2_with_token_files": (
        postfix("myhostname = relay.contoso.com\ninet_interfaces = loopback-only\nrelayhost = [smtp.office365.com]:587\n" + AUTH +
                "smtp_sasl_mechanism_filter = xoauth2\nsender_canonical_maps = static:erp@contoso.com\n"
                "import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C\n",
                sasl_passwd="[smtp.office365.com]:587 erp@contoso.com:/etc/tokens/erp@contoso.com\n",
                etc={"/etc/sasl-xoauth2.conf": json.dumps({
                    "client_id": "11111111-1111-1111-1111-111111111111", "client_secret": "sandbox", "log_to_syslog_on_failure": "yes",
                    "token_endpoint": "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"}),
                     "/var/spool/postfix/etc/tokens/erp@contoso.com": '{\n"access_token": "old", "expiry": "1",\n "refresh_token": '
                                                                      '"@TOKEN(erp@contoso.com)"\n}\n'}),
        [], {"erp@contoso.com"}, None),
    "sasl_xoauth2_with_client_credentials": (
        postfix("myhostname = relay.contoso.com\ninet_interfaces = loopback-only\nrelayhost = [smtp.office365.com]:587\n" + AUTH +
                "smtp_sasl_mechanism_filter = xoauth2\nsmtp_generic_maps = regexp:/etc/postfix/generic\n",
                sasl_passwd="[smtp.office365.com]:587 erp@contoso.com:/etc/tokens/erp@contoso.com\n", generic="/^.*$/ erp@contoso.com\n",
                etc={"/etc/sasl-xoauth2.conf": json.dumps({"client_id": "unused", "client_secret": "unused"}),
                     "/etc/tokens/erp@contoso.com": json.dumps({
                         "client_id": "11111111-1111-1111-1111-111111111111", "client_secret": "sandbox", "use_client_credentials": "yes",
                         "refresh_token": "", "token_endpoint": "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"})}),
        [], {"erp@contoso.com"}, None),
    "multi_tenant_transports": (
        postfix("myhostname = relay.contoso.com\ninet_interfaces = loopback-only\nrelayhost =\nsmtp_tls_security_level = encrypt\n"
                "smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/etc/postfix/sasl_contoso\ndefault_transport = contoso:[smtp.office365.com]:587\n"
                "sender_dependent_default_transport_maps = regexp:/etc/postfix/by_sender\n",
                master=MASTER + "contoso   unix  -       -       n       -       -       smtp\n  -o smtp_sasl_password_maps=hash:/etc/postfix/sasl_contoso\n"
                "fabrikam  unix  -       -       n       -       -       smtp\n  -o { smtp_sasl_password_maps = hash:/etc/postfix/sasl_fabrikam }\n"
                "  -o smtp_helo_name=relay.fabrikam.com\n",
                by_sender="/@fabrikam\\.com$/ fabrikam:[smtp.office365.com]:587\n/@contoso\\.com$/ contoso:[smtp.office365.com]:587\n",
                sasl_contoso=SASL, sasl_fabrikam="[smtp.office365.com]:587 scan@fabrikam.com:sandbox\n"),
        [mail("scan@fabrikam.com"), mail("erp@contoso.com")], {"scan@fabrikam.com", "erp@contoso.com"}, None),
    "printers_by_network": (
        postfix("myhostname = printserver.contoso.com\nmynetworks = 127.0.0.0/8, !10.0.5.66, 10.0.5.0/24, cidr:/etc/postfix/nets\n"
                "relayhost = [smtp.office365.com]:587\n" + AUTH + "canonical_maps = hash:/etc/postfix/canonical\nmessage_size_limit = 36700160\n"
                "smtpd_client_restrictions = permit_mynetworks, reject\n",
                sasl_passwd=SASL, nets="192.168.7.0/24 OK\n192.168.7.13 REJECT\n",
                canonical="@printserver.contoso.com erp@contoso.com\nroot erp@contoso.com\n"),
        [], {"erp@contoso.com"}, None),
    "connector_with_client_certificate": (
        postfix("myhostname = mail.contoso.com\nmyorigin = contoso.com\nmydestination =\ninet_interfaces = loopback-only\n"
                "relayhost = [contoso-com.mail.protection.outlook.com]:25\nsmtp_tls_security_level = encrypt\n"
                "smtp_tls_cert_file = @SANDBOX@/client.pem\nsmtp_tls_key_file = @SANDBOX@/client.key\nsmtp_tls_loglevel = 1\n"),
        [mail("erp@contoso.com")], {"root@contoso.com", "erp@contoso.com"}, None),
    "plesk_like_listeners": (
        postfix("myhostname = web1.contoso.com\nrelayhost = [smtp.office365.com]:587\n" + AUTH +
                "smtpd_tls_cert_file = @SANDBOX@/server.pem\nsmtpd_tls_key_file = @SANDBOX@/server.key\nsmtpd_tls_security_level = may\n"
                "virtual_mailbox_domains = hash:/var/spool/postfix/plesk/virtual_domains\nsmtpd_milters = inet:127.0.0.1:12768\n"
                "sender_canonical_maps = pcre:/etc/postfix/canonical\n",
                master=MASTER + "submission inet n      -       y       -       -       smtpd -o smtpd_enforce_tls=yes -o smtpd_tls_security_level=encrypt"
                " -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject -o smtpd_sender_restrictions=\n"
                "smtps      inet n      -       y       -       -       smtpd\n  -o smtpd_tls_wrappermode=yes\n"
                "2525       inet n      -       y       -       -       smtpd\n"
                "plesk_virtual unix - n n - - pipe flags=DORhu user=popuser argv=/usr/lib/plesk-9.0/postfix-local\n",
                sasl_passwd=SASL, canonical="/^(root|www-data|psaadm)@/ erp@contoso.com\n/@web1\\.contoso\\.com$/ erp@contoso.com\n"),
        [], {"erp@contoso.com"}, None),
    "high_volume_email": (
        postfix("myhostname = relay.contoso.com\ninet_interfaces = loopback-only\nrelayhost = [smtp.hve.mx.microsoft]:587\n" + AUTH +
                "smtp_generic_maps = static:hve@contoso.com\n", sasl_passwd="[smtp.hve.mx.microsoft]:587 hve@contoso.com:sandbox\n",
                etc={"/etc/aliases": "root: it@contoso.com\n"}),
        [], {"hve@contoso.com"}, "it@contoso.com"),
    "msmtp_with_passwordeval": (
        {"import": ["msmtp", "/etc/msmtprc"], "files": {
            "/etc/msmtprc": "defaults\nauth on\ntls on\ntls_trust_file /etc/ssl/certs/ca-certificates.crt\nlogfile /var/log/msmtp\n\n"
                            "account office365\nhost smtp.office365.com\nport 587\nfrom erp@contoso.com\nuser erp@contoso.com\n"
                            "passwordeval \"cat /etc/msmtp-password | head -n 1\"\n\naccount default : office365\naliases /etc/aliases\n",
            "/etc/msmtp-password": "sandbox\nold\n", "/etc/aliases": "root: it@contoso.com\ndefault: it@contoso.com\n"}},
        [], {"erp@contoso.com"}, "it@contoso.com"),
    "msmtp_with_several_accounts": (
        {"import": ["msmtp", "/etc/msmtprc"], "files": {
            "/etc/msmtprc": "defaults\nport 587\ntls on\nauth login\nhost smtp.office365.com\n"
                            "account crm\nfrom crm@contoso.com\nuser crm@contoso.com\npassword \"sandbox\"\n"
                            "account erp : crm\nfrom erp@contoso.com\nuser erp@contoso.com\n"
                            "account default : erp\nset_from_header on\nkeepbcc on\n"}},
        [mail("crm@contoso.com")], {"erp@contoso.com", "crm@contoso.com"}, None),
    "smtp2graph_with_force_mailbox": (
        {"import": ["smtp2graph", "/etc/smtp2graph/config.yml"], "files": {
            "/etc/smtp2graph/config.yml": "mode: full\nsend:\n  appReg:\n    tenant: contoso\n    id: 11111111-1111-1111-1111-111111111111\n"
                                          "    secret: sandbox\n  retryLimit: 10\n  forceMailbox: erp@contoso.com\nreceive:\n  port: 2525\n"
                                          "  allowInsecureAuth: true\n  requireAuth: true\n  maxSize: 25m\n  users:\n"
                                          "    - username: scanner\n      password: P@ssword!\n      allowedFrom:\n        - scan@contoso.com\n"}},
        [], {"erp@contoso.com"}, None),
    "smtp2graph_with_allowed_senders": (
        {"import": ["smtp2graph", "/etc/smtp2graph"], "files": {
            "/etc/smtp2graph/config.yml": "mode: full\nsend:\n  appReg: { tenant: contoso, id: 11111111-1111-1111-1111-111111111111, secret: sandbox }\n"
                                          "receive:\n  listenAddress: 127.0.0.1\n  ipWhitelist: [127.0.0.1, 192.168.30.0/24]\n"
                                          "  allowedFrom:\n    - noreply@contoso.com\n    - something@contoso.com\n  authLimit: { limit: 5 }\n"}},
        [mail("something@contoso.com")], {"noreply@contoso.com", "something@contoso.com"}, None),
}
SANDBOX = {"high_volume_email": {"hve_accounts": ["hve@contoso.com"]}}


def live_in(folder, name, setup, mails):
    job = folder / "job.json"
    job.write_text(json.dumps({**setup, "work": str(folder), "mail": [CRON, *mails], "expect": 1 + len(mails),
                               "sandbox": SANDBOX.get(name)}))
    done = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "/usr/bin/python3", str(HOUSE), str(job)],
                          capture_output=True, text=True, timeout=240, env={**os.environ, "POSTERN_BUILD": str(support.BUILD)})
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SETUPS)
def test_cron_mail_leaves(folder, name):
    setup, mails, senders, reader = SETUPS[name]
    a = live_in(folder, name, setup, mails)
    shown = f"{a['said']}\n{a['yaml']}\n{a.get('log')}\n{a.get('status')}"
    # 69: the sandbox has a port that the relay wants, as Postfix would have it.
    assert a["code"] in (0, 69) and a["check_code"] == 0, f"{shown}\n{a.get('check')}"
    assert len(a["messages"]) == 1 + len(mails), shown
    froms = {re.search(r"(?im)^from:.*?([\w.+-]+@[\w.-]+)", raw).group(1).lower() for raw in a["raw"]}
    assert froms == senders and {m["sender"] for m in a["messages"]} == senders, shown
    if reader:
        assert any(reader in json.dumps(m) for m in a["messages"]), a["messages"]
    # Neither the screen nor the configuration holds a password, or the path of a token file instead of one.
    for text in (a["said"], a["yaml"]):
        assert "P@ssword!" not in text and ":sandbox" not in text and 'password: "/etc' not in text


def test_what_stands_in_the_files(folder):
    """What becomes of the rarer keys, seen in the file that was written."""
    setup = SETUPS["printers_by_network"][0]
    a = live_in(folder, "printers_by_network", setup, [])
    networks = re.search(r"no_password_from: \[(.*)\]", a["yaml"]).group(1)
    assert '"10.0.5.66"' not in networks and '"10.0.5.0/24"' not in networks and '"10.0.5.0/26"' in networks
    assert '"192.168.7.13"' not in networks and '"192.168.7.12"' in networks
    assert "message_size: 35840KB" in a["yaml"]
