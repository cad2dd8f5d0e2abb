"""SMTP by hand, where a library would say more, or less, than a test wants to."""
import re
import socket
import ssl

import support

LINE_START_DOT = re.compile(rb"(?m)^\.")


def stuffed(message: bytes) -> bytes:
    """What follows DATA: leading dots doubled, a line end at the end, and the final dot."""
    message = LINE_START_DOT.sub(b"..", message)
    if message and not message.endswith(b"\r\n"):
        message += b"\r\n"
    return message + b".\r\n"


class Wire:
    def __init__(self, port, timeout=support.PATIENCE, source=None):
        self.sock = socket.create_connection(
            ("127.0.0.1", port), timeout=timeout, source_address=(source, 0) if source else None)
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()

    def reply(self) -> str:
        """All lines of one reply; empty when the other side closed."""
        lines = []
        while True:
            line = self.file.readline().decode("latin-1")
            lines.append(line)
            if not line or line[3:4] != "-":
                return "".join(lines).rstrip("\r\n")

    def send(self, data: bytes):
        self.sock.sendall(data)

    def say(self, command: str) -> str:
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def must(self, command: str, code: str) -> str:
        answer = self.say(command)
        assert answer.startswith(code), f"{command[:60]} -> {answer}"
        return answer

    def hello(self):
        return self.must("EHLO client.example", "250")

    def starttls(self, ca, hello=True):
        self.must("STARTTLS", "220")
        self.file.close()
        self.sock = ssl.create_default_context(cafile=str(ca)).wrap_socket(self.sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")
        return self.hello() if hello else ""

    def envelope(self, *to, sender="erp@contoso.com", options=""):
        self.must(f"MAIL FROM:<{sender}>{options}", "250")
        for address in to or ("anna@example.org",):
            self.must(f"RCPT TO:<{address}>", "250")

    def data(self, message: bytes) -> str:
        self.must("DATA", "354")
        self.send(stuffed(message))
        return self.reply()

    def bdat(self, message: bytes) -> str:
        self.send(b"BDAT %d LAST\r\n" % len(message) + message)
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
