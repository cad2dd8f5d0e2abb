"""Shapes of messages above 3 MB as real clients make them, each with a line about who does; made anew, none is copied.

A shape is its header fields and body, and what must arrive: the texts that are read, and the attachments in their order
as (type, name, content id, bytes)."""
import base64
import random

BIG, SMALL = random.Random(1).randbytes(3_600_000), random.Random(2).randbytes(90_000)


def b64(content):
    return base64.encodebytes(content).decode().replace("\n", "\r\n")


def part(header, content):
    return header + "\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(content)


def multi(boundary, *parts, end="--"):
    return "".join(f"--{boundary}\r\n{p}\r\n" for p in parts) + (f"--{boundary}{end}\r\n" if end else "")


TEXT, HTML = "Content-Type: text/plain\r\n\r\nwords to read\r\n", "Content-Type: text/html; charset=utf-8\r\n\r\n<p>words<img src=cid:c1@x></p>\r\n"
PDF = part('Content-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment; filename="a.pdf"', BIG)
PNG = part("Content-Type: image/png; name=p.png\r\nContent-ID: <c1@x>\r\nContent-Disposition: inline; filename=p.png", BIG)
LOG = part('Content-Type: text/plain; charset=iso-8859-15; name="run.log"\r\nContent-Disposition: attachment; filename="run.log"', SMALL)
MAIL = b"From: a@b.example\r\nSubject: within\r\n\r\n" + b"line\r\n" * 700_000
A_PDF, A_LOG = ("application/pdf", "a.pdf", None, BIG), ("text/plain; charset=iso-8859-15", "run.log", None, SMALL)
A_PNG = ("image/png", "p.png", "c1@x", BIG)
WORDS = ["words to read"]


def head(kind, more=""):
    return f"MIME-Version: 1.0\r\nContent-Type: {kind}\r\n{more}"


MIXED, RELATED, ALTERNATIVE = (f"multipart/{k}; boundary={b}" for k, b in (("mixed", "m"), ("related", "r"), ("alternative", "a")))


def nested(kind, boundary, *parts):
    return f"Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n" + multi(boundary, *parts)


NAMES = [  # what writers do with names of files: charset, the parameter as it stands, what it says
    ("iso-8859-2", "filename*=iso-8859-2''%A3%F3d%BC.pdf", "Łódź.pdf"),
    ("windows-1251", "filename*=windows-1251''%D1%F7%B8%F2.pdf", "Счёт.pdf"),
    ("koi8-r", 'filename="=?koi8-r?B?89760s7QLnBkZg==?="', "СчюрнП.pdf".encode("koi8-r") and None),
    ("shift_jis", 'filename="=?shift_jis?B?kL+LgY+RLnBkZg==?="', "請求書.pdf"),
    ("gb18030", "filename*=gb18030''%B7%A2%C6%B1.pdf", "发票.pdf"),
    ("iso-2022-jp", 'filename="=?ISO-2022-JP?B?GyRCQEE1YT1xGyhCLnBkZg==?="', "請求書.pdf"),
    ("raw windows-1252", b'filename="St\xf6rung.pdf"', "Störung.pdf"),
    ("raw utf-8", 'filename="Störung.pdf"'.encode(), "Störung.pdf"),
    ("sections", "filename*0*=utf-8''%C3%84; filename*1=\"nderung\"; filename*2=\".pdf\"", "Änderung.pdf"),
]
NAMES = [row for row in NAMES if row[2]]

SHAPES = {
    # name: (who makes it, header, body, texts, attachments)
    "bare pdf": ("odoo/odoo 21101: an ERP sends nothing but the document",
                 head('application/pdf; name="a.pdf"', "Content-Transfer-Encoding: base64\r\nContent-Description: note\r\n"), b64(BIG), [], [A_PDF]),
    "bare image": ("a fax server: image/tiff on top, no name", head("image/tiff", "Content-Transfer-Encoding: base64\r\n"), b64(BIG), [],
                   [("image/tiff", "attachment.tiff", None, BIG)]),
    "bare csv": ("exports of reports, in UTF-8, attached and alone",
                 head("text/csv; charset=utf-8", "Content-Disposition: attachment; filename=e.csv\r\nContent-Transfer-Encoding: base64\r\n"), b64(BIG), [],
                 [("text/csv; charset=utf-8", "e.csv", None, BIG)]),
    "text and pdf": ("every mail library", head(MIXED), multi("m", TEXT, PDF), WORDS, [A_PDF]),
    "order": ("roundcube 7949: three attachments stay in order", head(MIXED), multi("m", TEXT, LOG, PDF, LOG), WORDS, [A_LOG, A_PDF, A_LOG]),
    "text behind": ("a mailing list adds a footer", head(MIXED), multi("m", TEXT, PDF, "Content-Type: text/plain\r\n\r\nfooter\r\n"), WORDS + ["footer"], [A_PDF]),
    "inline image": ("Outlook, Thunderbird: a page that shows its picture", head(RELATED), multi("r", HTML, PNG), [], [A_PNG]),
    "related in mixed": ("Apple Mail, Gmail: alternative in related in mixed",
                         head(MIXED), multi("m", nested("related", "r", nested("alternative", "a", TEXT, HTML), PNG), LOG), WORDS, [A_LOG, A_PNG]),
    "related in alternative": ("Thunderbird: the page and its pictures are one alternative",
                               head(ALTERNATIVE), multi("a", TEXT, nested("related", "r", HTML, PNG)), WORDS, [A_PNG]),
    "calendar": ("Exchange, Google: an invitation with an attachment",
                 head(MIXED), multi("m", nested("alternative", "a", TEXT, HTML, "Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\n"), PDF),
                 WORDS, [A_PDF]),
    "message within": ("a client forwards as an attachment", head(MIXED), multi("m", TEXT, "Content-Type: message/rfc822\r\n\r\n" + MAIL.decode()), WORDS,
                       [("message/rfc822", "attachment.eml", None, MAIL)]),
    "report": ("a bounce that brings the whole message back", head("multipart/report; report-type=delivery-status; boundary=m"),
               multi("m", TEXT, "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n", "Content-Type: message/rfc822\r\n\r\n" + MAIL.decode()),
               WORDS, [("message/rfc822", "attachment.eml", None, MAIL)]),
    "winmail.dat": ("Outlook in rich text", head(MIXED), multi("m", TEXT, part("Content-Type: application/ms-tnef; name=winmail.dat", BIG)), WORDS,
                    [("application/ms-tnef", "winmail.dat", None, BIG)]),
    "mixed in mixed": ("a gateway wraps what it got; nothing stays of the inner one",
                       head(MIXED), multi("m", TEXT, nested("mixed", "n", PDF, LOG)), WORDS, [A_PDF, A_LOG]),
    "attachments only": ("scanners: two scans, no text", head(MIXED), multi("m", PDF, PDF), [], [A_PDF, A_PDF]),
    "same name twice": ("cameras: image.jpg and image.jpg", head(MIXED), multi("m", TEXT, PDF, PDF), WORDS, [A_PDF, A_PDF]),
    "no last delimiter": ("flanker missing-final-boundary: devices that forget the end", head(MIXED), multi("m", TEXT, PDF, end=""), WORDS, [A_PDF]),
    "unknown multipart": ("RFC 2046 5.1.3: read as mixed", head("multipart/x-odd; boundary=m"), multi("m", TEXT, PDF), WORDS, [A_PDF]),
    "similar boundaries": ("mikel/mail email_with_similar_boundaries", head(MIXED), multi("m", nested("alternative", "mm", TEXT, HTML), PDF), WORDS, [A_PDF]),
    "signed part within": ("a list server wraps what is signed",
                           head(MIXED), multi("m", "Content-Type: multipart/signed; boundary=s; protocol=x/y; micalg=z\r\n\r\n" + multi("s", TEXT, "Content-Type: x/y\r\n\r\nAA\r\n"), PDF),
                           WORDS, [A_PDF]),
    "pgp file": ("duplicity, backup scripts: an encrypted file", head(MIXED), multi("m", TEXT, part("Content-Type: application/pgp-encrypted; name=b.gpg", BIG)), WORDS,
                 [("application/pgp-encrypted", "b.gpg", None, BIG)]),
    "quoted-printable": ("text attached by PHP", head(MIXED), multi("m", TEXT, "Content-Type: text/x-log; charset=us-ascii; name=q.log\r\nContent-Disposition: attachment\r\n"
                                                                  "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + "a=3Db =\r\nc\r\n" * 400_000), WORDS,
                         [("text/x-log; charset=us-ascii", "q.log", None, b"a=b c\r\n" * 400_000)]),
    "preamble, odd case": ("old mailers", head("MULTIPART/Mixed; BOUNDARY=\"m\""), "This is MIME.\r\n" + multi("m", TEXT, PDF) + "epilogue\r\n", WORDS, [A_PDF]),
    "empty text": ("scanners: an empty first part", head(MIXED), multi("m", "Content-Type: text/plain\r\n\r\n", PDF), [], [A_PDF]),
}
for _name, _parameter, _said in NAMES:
    _p = _parameter if isinstance(_parameter, bytes) else _parameter.encode()
    SHAPES[f"name in {_name}"] = (f"a name of a file in {_name}", head(MIXED), multi("m", TEXT, "\0").encode().replace(
        b"\0", part("Content-Type: application/pdf\r\nContent-Disposition: attachment; \1", BIG).encode().replace(b"\1", _p)), WORDS,
        [("application/pdf", _said, None, BIG)])
CANNOT = {  # and why
    "signed": (head('multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=s'), multi("s", TEXT, PDF), "signed or encrypted"),
    "smime.p7m": (head("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", "Content-Transfer-Encoding: base64\r\n"), b64(BIG), "signed or encrypted"),
    "text": ("", "long text\r\n" * 400_000, "its text alone"),
    "page": (head("text/html"), "<p>long</p>\r\n" * 400_000, "its text alone (text/html)"),
    "two types": (head("text/plain", "Content-Type: application/pdf\r\n"), "x\r\n" * 1_200_000, "cannot be read"),
}
