"""What clients say, each with where it was seen; the words are ours. A dialogue is its lines, as bytes with their line ends; a
reply is awaited after each. STRICTER and MORE: where postern differs from Postfix 3.7 on purpose (docs/decisions/0071)."""
END = b"Subject: dialogue\r\n\r\nbody\r\n.\r\n"


def mail(*to, helo=b"EHLO c.example\r\n", sender=b"MAIL FROM:<erp@contoso.com>\r\n", data=b"DATA\r\n", body=END, quit=b"QUIT\r\n"):
    return [helo, sender, *(b"RCPT TO:" + t + b"\r\n" for t in to), data, body, quit]


OK = b"<b@example.org>"


def lines(end):
    """The whole dialogue with another line end."""
    return [line.replace(b"\r\n", end) for line in mail(OK)]


DIALOGUES = {
    "no brackets (LSI MegaRAID; cosullivan/SmtpServer 219)": mail(b"b@example.org", sender=b"MAIL FROM:erp@contoso.com\r\n"),
    "blank behind the colon (mludvig/smtp-cli 9)": mail(b" <b@example.org>", sender=b"MAIL FROM: <erp@contoso.com>\r\n"),
    "blank and no brackets (maildev 212)": mail(b" b@example.org", sender=b"MAIL FROM: erp@contoso.com\r\n"),
    "blanks within the brackets (Papercut-SMTP 183)": mail(b"< b@example.org >"),
    "brackets twice (CPP-SMTPClient 23)": mail(b"<<b@example.org>>"),
    "closing bracket only": mail(b"b@example.org>"),
    "opening bracket only": mail(b"<b@example.org", OK),
    "semicolon behind": mail(b"<b@example.org>;"),
    "tabs": mail(b"\t<b@example.org>\t", sender=b"MAIL\tFROM:<erp@contoso.com>\r\n"),
    "blanks at the front and at the end (nodemailer/smtp-server 24)": mail(OK, helo=b"EHLO c.example \r\n", sender=b" MAIL  FROM:<erp@contoso.com>  \r\n"),
    "a name before the address (Indy 35, pharo 17240)": mail(b"Anna <b@example.org>", OK),
    "two addresses in one": mail(b"<b@example.org>,<c@example.org>", OK),
    "a list in brackets": mail(b"<b@example.org,c@example.org>", OK),
    "dots in a row (KumoCorp/kumomta 77)": mail(b"<taro..0707@example.org>"),
    "a dot first (PHPMailer 418)": mail(b"<.a@example.org>"),
    "a dot last (PHPMailer 413)": mail(b"<a.@example.org>"),
    "dots of the sender": mail(OK, sender=b"MAIL FROM:<e..rp.@contoso.com>\r\n"),
    "quoted dots (jakartaee/mail-api 398)": mail(b'<"foo..bar"@example.org>'),
    "quotes that nobody needs": mail(b'<"abc"@example.org>'),
    "a blank in quotes": mail(b'<"a b"@example.org>'),
    "VERP longer than 64 (sympa 1160)": mail(OK, sender=b"MAIL FROM:<bounce+" + b"x" * 90 + b"==a@contoso.com>\r\n"),
    "reply address longer than 64 (quackback 293)": mail(b"<reply+" + b"0123456789abcdef" * 8 + b"@example.org>"),
    "a dot behind the domain (rspamd 1543)": mail(b"<b@example.org.>"),
    "two dots behind the domain": mail(b"<b@example.org..>", OK),
    "a hyphen first in the domain": mail(b"<b@-example.org>", OK),
    "an underscore in the domain": mail(b"<b@host_1.example.org>"),
    "no domain (OpenSMTPD 620)": mail(b"<postmaster>"),
    "a source route": mail(b"<@relay.example:b@example.org>"),
    "percent": mail(b"<b%example.org@contoso.com>"),
    "exclamation": mail(b"<b!c@example.org>"),
    "plus and equals": mail(b"<b+c=d@example.org>"),
    "apostrophe": mail(b"<o'neill@example.org>"),
    "two ats": mail(b"<a@b@example.org>", OK),
    "a comment": mail(b"<b(home)@example.org>", OK),
    "mailto": mail(b"<mailto:b@example.org>", OK),
    "UTF-8 without the keyword": mail("<jürg@example.org>".encode()),
    "Latin-1": mail("<jürg@example.org>".encode("latin-1"), OK),
    "ORCPT (OpenSMTPD 658)": mail(b"<b@example.org> ORCPT=rfc822;b@example.org"),
    "NOTIFY": mail(b"<b@example.org> NOTIFY=SUCCESS,FAILURE"),
    "a parameter that nobody knows": mail(b"<b@example.org> FOO=BAR", OK),
    "SMTPUTF8 for plain addresses (golang/go 40627)": mail(OK, sender=b"MAIL FROM:<erp@contoso.com> BODY=8BITMIME SMTPUTF8\r\n",
                                                       body="Subject: Störung\r\n\r\nbody\r\n.\r\n".encode()),
    "the same twice": mail(OK, b"<b@EXAMPLE.org>", b'<"b"@example.org>', b"b@example.org."),
    "the null sender": mail(OK, sender=b"MAIL FROM:<>\r\n"),
    "a product's name in EHLO (PHPMailer 1011)": mail(OK, helo=b"EHLO Plant Monitoring 2\r\n"),
    "an underscore in EHLO (roundcube 6408)": mail(OK, helo=b"EHLO _\r\n"),
    "a container's name in EHLO (ix-ai/smtp 6)": mail(OK, helo=b"EHLO podcast_craft_1.internal_net\r\n"),
    "an address in EHLO (uptime-kuma 4473)": mail(OK, helo=b"EHLO [127.0.0.1]\r\n"),
    "IPv6 in EHLO (james 5317)": mail(OK, helo=b"ehlo [IPV6:2001:db8::1]\r\n"),
    "bare IPv6 in EHLO (qBittorrent 1845)": mail(OK, helo=b"ehlo FE80::1\r\n"),
    "a hyphen last in EHLO (james 5317)": mail(OK, helo=b"EHLO host-.domain\r\n"),
    "UTF-8 in EHLO": mail(OK, helo="EHLO Büro-PC\r\n".encode()),
    "a long name in EHLO": mail(OK, helo=b"EHLO " + b"x" * 400 + b"\r\n"),
    "no name in HELO (OpenSMTPD 1054: a UPS)": mail(OK, helo=b"HELO \r\n"),
    "no EHLO": mail(OK, helo=b"NOOP\r\n"),
    "lines that end in LF (ossec 231, MailHog-MTA 1, twisted 5305)": lines(b"\n"),
    "lines that end in CR CR LF (mailsend 52)": lines(b"\r\r\n"),
    "LF in the body only (vert-x3 220)": mail(OK, body=b"Subject: dialogue\n\nbody\nmore\n\r\n.\r\n"),
    "commands with LF, body with CR LF (email-check 13)": [b"EHLO c.example\n", b"MAIL FROM:<erp@contoso.com>\n", b"RCPT TO:<b@example.org>\n", b"DATA\n", END, b"QUIT\n"],
    "NOOP with words, RSET, VRFY": [b"EHLO c.example\r\n", b"NOOP x y\r\n", b"RSET\r\n", b"VRFY b@example.org\r\n", *mail(OK)[1:]],
    "an empty line": [b"EHLO c.example\r\n", b"\r\n", *mail(OK)[1:]],
    "bad recipients among good ones": mail(b"<>", b"<b@example..org>", OK, b"<c@example.org>"),
    "dots in the body": mail(OK, body=b"Subject: dialogue\r\n\r\n..\r\n..x\r\ny\r\n.\r\n"),
}
STRICTER = {"two ats": "the receiver refuses it", "a comment": "a path has none", "mailto": "no address begins so"}
