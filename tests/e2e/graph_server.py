"""A strict Microsoft Graph for the tests, built from its documented contract, on https://localhost.

sendMail and drafts in MIME format, attachments, upload sessions, and the token endpoint of client
credentials. It takes nothing that the documentation does not allow, and it keeps what it would have sent:
for whom (To, Cc and Bcc, as Graph has no envelope), and the message put together from draft and attachments.
"""
import base64
import binascii
import contextlib
import email
import email.errors
import email.message
import email.policy
import http.server
import json
import re
import socket
import ssl
import threading
import urllib.parse
import uuid

BODY_MAX = 4 << 20            # a request
SESSION_MIN = 3 << 20         # ErrorAttachmentSizeShouldNotBeLessThanMinimumSize below
RANGE_MAX = 4 << 20           # a PUT of an upload session is smaller
RANGE_UNIT = 320 * 1024       # and a multiple of this, but for the last
ATTACHMENT_MAX = 150 << 20
JSON_ROOM = 4096              # around the base64 of an attachment just below SESSION_MIN, which is allowed
AT_ONCE = 4                   # requests for one mailbox
RECIPIENTS_MAX = 500


class Refuse(Exception):
    def __init__(self, status, code, message="", **headers):
        super().__init__(code)
        self.status, self.code, self.message, self.headers = status, code, message, headers


class Fault:
    def __init__(self, match, do, times, **more):
        self.match, self.do, self.times, self.more = re.compile(match), do, times, more
        self.reached = threading.Event()  # of "hold": a request is held
        self.go = threading.Event()       # of "hold": it may go on


def read_header(raw):
    """The header alone: email.message_from_bytes() does not read raw UTF-8 in it (RFC 6532)."""
    header = raw.split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n"
    return email.message_from_string(header.decode("utf-8", "surrogateescape"), policy=email.policy.SMTPUTF8)


class GraphServer:
    def __init__(self, certificate, key, mailboxes, client_id="11111111-1111-1111-1111-111111111111", secret="graph-test-secret"):
        self.mailboxes, self.client_id, self.secret = set(mailboxes), client_id, secret
        self.lock = threading.Lock()
        self.sent, self.drafts, self.sessions, self.requests, self.faults = [], {}, {}, [], []
        self.sockets = set()
        self.tokens, self.tokens_issued, self.complaints, self.running, self.most = set(), 0, [], {}, {}
        server = self

        class Handler(RequestHandler):
            graph = server

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.http.server_address[1]
        self.url = f"https://localhost:{self.port}"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        for f in self.faults:
            f.go.set()
        self.http.shutdown()
        self.http.server_close()
        with self.lock:
            for s in self.sockets:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)

    def fault(self, match, do, times=1, **more):
        f = Fault(match, do, times, **more)
        with self.lock:
            self.faults.append(f)
        return f

    def take_fault(self, what):
        with self.lock:
            for f in self.faults:
                if f.times > 0 and f.match.search(what):
                    f.times -= 1
                    return f
        return None

    def complain(self, text):
        """What postern must never do; the tests look here."""
        with self.lock:
            self.complaints.append(text)
        return text

    # ---- tokens ----

    def token(self, tenant, form):
        fields = {k: v[0] for k, v in urllib.parse.parse_qs(form.decode(), strict_parsing=True).items()}
        if fields.get("grant_type") != "client_credentials" or fields.get("client_id") != self.client_id:
            raise Refuse(400, "unauthorized_client")
        if fields.get("client_secret") != self.secret:
            raise Refuse(401, "invalid_client")
        if not fields.get("scope", "").endswith("/.default"):
            raise Refuse(400, "invalid_scope")
        token = f"graph-token-{uuid.uuid4()}"
        with self.lock:
            self.tokens.add(token)
            self.tokens_issued += 1
        return 200, {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}

    def revoke(self):
        with self.lock:
            self.tokens.clear()

    # ---- mail ----

    def read_mime(self, headers, body):
        if headers.get("Content-Type") != "text/plain":
            raise Refuse(400, "RequestBodyRead", "not text/plain")
        try:
            raw = base64.b64decode(body, validate=True)
        except binascii.Error:
            raise Refuse(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.") from None
        parsed = read_header(raw)
        people = {}
        for field in ("To", "Cc", "Bcc"):
            if len(parsed.get_all(field, [])) > 1:
                self.complain(f"more than one {field}")
            value = parsed[field]
            # RFC 6532 allows what the email package still calls a defect.
            defects = [d for d in value.defects if not isinstance(d, email.errors.NonASCIILocalPartDefect)] if value else []
            if defects:
                self.complain(f"{field}: {defects} in {value!r}")
            people[field] = [a.addr_spec for a in value.addresses] if value is not None else []
        everybody = [a for field in people.values() for a in field]
        if len(everybody) != len(set(everybody)):
            self.complain(f"a recipient twice: {everybody}")
        if not everybody:
            raise Refuse(400, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
        if len(everybody) > RECIPIENTS_MAX:
            raise Refuse(400, "ErrorExceededMessageLimit", "Too many recipients.")
        return {"raw": raw, "recipients": everybody, "to": people["To"], "cc": people["Cc"], "bcc": people["Bcc"],
                "message_id": parsed["Message-ID"], "subject": parsed["Subject"]}

    def record(self, mailbox, message):
        with self.lock:
            self.sent.append({**message, "mailbox": mailbox})

    def send_mail(self, mailbox, headers, body):
        message = {**self.read_mime(headers, body), "attachments": [], "draft": False}
        message["parsed"] = email.message_from_bytes(message["raw"], policy=email.policy.SMTPUTF8)
        self.record(mailbox, message)
        return 202, None

    def create_draft(self, mailbox, headers, body):
        draft = self.read_mime(headers, body)
        key = f"AAMk{uuid.uuid4().hex}+/A="
        with self.lock:
            self.drafts[key] = {**draft, "attachments": [], "mailbox": mailbox}
        return 201, {"id": key, "isDraft": True, "subject": draft["subject"], "internetMessageId": draft["message_id"]}

    def draft_of(self, mailbox, key):
        draft = self.drafts.get(key)
        if not draft or draft["mailbox"] != mailbox:
            raise Refuse(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return draft

    def find_drafts(self, mailbox, condition):
        wanted = re.fullmatch(r"isDraft eq true and internetMessageId eq '([^']*)'", condition)
        if not wanted:
            raise Refuse(400, "BadRequest", self.complain(condition))
        return 200, {"value": [{"id": key} for key, d in self.drafts.items()
                               if d["mailbox"] == mailbox and d["message_id"] == wanted.group(1)]}

    def attach(self, draft, body):
        item = json.loads(body)
        if item.get("@odata.type") != "#microsoft.graph.fileAttachment":
            raise Refuse(400, "ErrorInvalidRequest")
        content = base64.b64decode(item["contentBytes"], validate=True)
        if len(content) >= SESSION_MIN:
            raise Refuse(413, "RequestEntityTooLarge")
        draft["attachments"].append((item["name"], item["contentType"], item.get("contentId"), item["isInline"], content))
        return 201, {"id": uuid.uuid4().hex}

    def create_session(self, draft, body):
        item = json.loads(body)["AttachmentItem"]
        if item["attachmentType"] != "file" or not item["name"] or item["size"] > ATTACHMENT_MAX:
            raise Refuse(400, "ErrorInvalidRequest")
        if item["size"] < SESSION_MIN:
            raise Refuse(400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")
        key = uuid.uuid4().hex
        with self.lock:
            self.sessions[key] = {"item": item, "draft": draft, "bytes": b""}
        return 201, {"uploadUrl": f"{self.url}/api/v2.0/AttachmentSessions('{key}')?authtoken=eyJ.{key}",
                     "expirationDateTime": "2030-01-01T00:00:00Z", "nextExpectedRanges": ["0-"]}

    def put_range(self, key, headers, body):
        if headers.get("Authorization"):
            raise Refuse(401, "InvalidAuthenticationToken", self.complain("a token went with an upload"))
        session = self.sessions.get(key)
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
        if not session or not match:
            raise Refuse(404 if not session else 400, "ErrorItemNotFound")
        first, last, size = map(int, match.groups())
        wanted = session["item"]["size"]
        if headers.get("Content-Type") != "application/octet-stream" or size != wanted or last - first + 1 != len(body):
            raise Refuse(400, "ErrorInvalidRequest", self.complain(f"range {match.group()} with {len(body)} bytes"))
        if first != len(session["bytes"]):
            raise Refuse(416, "InvalidRange", self.complain(f"range {match.group()} is out of order"))
        if len(body) >= RANGE_MAX or (last + 1 != size and len(body) % RANGE_UNIT):
            raise Refuse(400, "ErrorInvalidRequest", self.complain(f"a range of {len(body)} bytes"))
        session["bytes"] += body
        if last + 1 < size:
            return 200, {"expirationDateTime": "2030-01-01T00:00:00Z", "nextExpectedRanges": [str(last + 1)]}
        item = session["item"]
        session["draft"]["attachments"].append(
            (item["name"], item["contentType"], item.get("contentId"), item["isInline"], session["bytes"]))
        del self.sessions[key]
        return 201, None

    def send_draft(self, mailbox, key, body):
        draft = self.draft_of(mailbox, key)
        if body:
            raise Refuse(400, "ErrorInvalidRequest")
        with self.lock:
            del self.drafts[key]
        # Put together as Exchange does, for whoever reads it.
        parsed = email.message_from_bytes(draft["raw"], policy=email.policy.SMTPUTF8)
        for name, kind, content_id, inline, content in draft["attachments"]:
            described = email.message.EmailMessage()
            described["Content-Type"] = kind
            parsed.add_attachment(content, *described.get_content_type().split("/", 1), filename=name,
                                  cid=content_id and f"<{content_id}>", params=dict(described["Content-Type"].params),
                                  disposition="inline" if inline else "attachment")
        self.record(mailbox, {**draft, "parsed": parsed, "draft": True})
        return 202, None

    # ---- who is asked for what ----

    def answer(self, method, path, headers, body):
        found = re.fullmatch(r"/([^/]+)/oauth2/v2\.0/token", path)
        if found and method == "POST":
            return self.token(found.group(1), body)
        found = re.fullmatch(r"/api/v2\.0/AttachmentSessions\('([0-9a-f]+)'\)\?authtoken=eyJ\.\1", path)
        if found and method == "PUT":
            return self.put_range(found.group(1), headers, body)
        found = re.fullmatch(r"/v1\.0/users/([^/]+)(/.*)", path)
        if not found:
            raise Refuse(404, "ResourceNotFound", path)
        mailbox, rest = urllib.parse.unquote(found.group(1)), found.group(2)
        if headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise Refuse(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
        if mailbox not in self.mailboxes:
            raise Refuse(404, "ErrorInvalidUser", f"The requested user '{mailbox}' is invalid.")
        return self.for_mailbox(method, mailbox, rest, headers, body)

    def for_mailbox(self, method, mailbox, rest, headers, body):
        if (method, rest) == ("POST", "/sendMail"):
            return self.send_mail(mailbox, headers, body)
        if (method, rest) == ("POST", "/messages"):
            return self.create_draft(mailbox, headers, body)
        found = re.fullmatch(r"/messages\?\$select=id&\$filter=(.*)", rest)
        if method == "GET" and found:
            return self.find_drafts(mailbox, urllib.parse.unquote(found.group(1)))
        found = re.fullmatch(r"/messages/([^/]+)(/attachments|/attachments/createUploadSession|/send)?", rest)
        if not found:
            raise Refuse(404, "ResourceNotFound", rest)
        key, action = urllib.parse.unquote(found.group(1)), found.group(2)
        if method == "DELETE" and not action:
            self.draft_of(mailbox, key)
            del self.drafts[key]
            return 204, None
        if method != "POST" or not action:
            raise Refuse(405, "MethodNotAllowed")
        if action == "/send":
            return self.send_draft(mailbox, key, body)
        draft = self.draft_of(mailbox, key)
        return self.attach(draft, body) if action == "/attachments" else self.create_session(draft, body)

    def enter(self, path):
        """Counts what runs for a mailbox at once."""
        found = re.match(r"/v1\.0/users/([^/]+)/", path)
        if not found:
            return None
        key = urllib.parse.unquote(found.group(1))
        with self.lock:
            self.running[key] = self.running.get(key, 0) + 1
            self.most[key] = max(self.most.get(key, 0), self.running[key])
        return key

    def leave(self, key):
        with self.lock:
            if key:
                self.running[key] -= 1


class RequestHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    graph: GraphServer

    def setup(self):
        super().setup()
        with self.graph.lock:
            self.graph.sockets.add(self.connection)

    def finish(self):
        with self.graph.lock:
            self.graph.sockets.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *args):
        pass

    def reply(self, status, data, headers=None):
        body = json.dumps(data).encode() if data is not None else b""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name.replace("_", "-"), value)
        if body:
            self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def cut(self):
        self.close_connection = True
        self.connection.close()

    def handle_call(self):
        what = f"{self.command} {self.path}"
        length = self.headers.get("Content-Length")
        if length is None and self.command in ("POST", "PUT"):
            self.reply(411, None)
            return
        fault = self.graph.take_fault(what)
        if fault and fault.do == "cut-in":
            self.rfile.read(int(length) // 2)
            self.cut()
            return
        body = self.rfile.read(int(length or 0))
        with self.graph.lock:
            self.graph.requests.append((what, len(body)))
        key = self.graph.enter(self.path)
        try:
            self.work(fault, body, key)
        finally:
            self.graph.leave(key)

    def work(self, fault, body, key):
        try:
            if fault and fault.do == "hold":
                fault.reached.set()
                fault.go.wait(60)
            if fault and fault.do == "cut":
                self.cut()
                return
            if fault and fault.do == "status":
                raise Refuse(fault.more["status"], fault.more.get("code", ""), fault.more.get("text", "scripted"), **fault.more.get("headers", {}))
            if key and self.graph.running[key] > AT_ONCE:
                self.graph.complain(f"{self.graph.running[key]} at once for {key}")
                raise Refuse(429, "ApplicationThrottled", "MailboxConcurrency", Retry_After="1")
            if len(body) > BODY_MAX + (JSON_ROOM if self.path.endswith("/attachments") else 0):
                raise Refuse(413, "RequestEntityTooLarge", self.graph.complain(f"{len(body)} bytes"))
            status, data = self.graph.answer(self.command, self.path, self.headers, body)
            if fault and fault.do == "cut-after":
                self.cut()
                return
            self.reply(status, data)
        except Refuse as r:
            # The token service says "error" in another way than Graph.
            data = {"error": r.code, "error_description": r.message} if "/oauth2/" in self.path else \
                {"error": {"code": r.code, "message": r.message, "innerError": {"request-id": str(uuid.uuid4())}}}
            self.reply(r.status, data, r.headers)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_call
