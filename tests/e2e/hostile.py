"""An SMTP server that answers as it is told to at each step, and knows what it has really taken."""
import contextlib
import re
import socket
import socketserver
import threading

OFFERS = ("PIPELINING", "SIZE 200000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
USUAL = {"greet": b"220 hostile.example ESMTP\r\n", "mail": b"250 2.1.0 Ok\r\n", "rcpt": b"250 2.1.5 Ok\r\n", "data": b"354 go on\r\n",
         "dot": b"250 2.0.0 taken\r\n", "rset": b"250 2.0.0 Ok\r\n", "quit": b"221 2.0.0 Bye\r\n", "other": b"500 5.5.2 what\r\n",
         "ehlo": b"".join(b"250-%s\r\n" % w.encode() for w in ("hostile.example", *OFFERS)) + b"250 OK\r\n"}
UID = re.compile(rb"u([0-9a-f]{16})\.\d+@")


class Cut(Exception):
    """The server hangs up."""


class Hostile:
    """`answer(step, number of the connection)`: None for the usual words, or pieces: bytes, or a function of the socket's
    file, which may raise Cut. `taken` has the uids (see UID) of messages whose end was answered with 2xx, `refused` those that
    heard 5xx, `messages` counts the ends."""

    def __init__(self, answer=None, host="127.0.0.1"):
        self.answer, self.lock = answer, threading.Lock()
        self.taken, self.refused, self.messages, self.connections = set(), set(), 0, 0
        self.busy, self.failures = 0, []  # with pieces that are functions
        hostile = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = 15  # it waits no longer for a client that waits for the rest of its answer
            uids, said_5xx, last = frozenset(), False, b""

            def say(self, step):
                pieces = hostile.answer and hostile.answer(step, self.number)
                pieces = [USUAL[step]] if pieces is None else pieces
                words = b"".join(p for p in pieces if isinstance(p, bytes))
                self.last = words
                # Noted before it is said: whoever hears it may be asked at once.
                self.said_5xx |= words.startswith(b"5") or b"\n5" in words
                with hostile.lock:
                    if self.said_5xx and step in ("mail", "rcpt", "data", "dot"):
                        hostile.refused |= self.uids
                    if step == "dot" and words.startswith(b"2"):
                        hostile.taken |= self.uids
                for p in pieces:
                    if isinstance(p, bytes):
                        self.wfile.write(p)
                    else:
                        self.do(p)

            def do(self, piece):
                with hostile.lock:
                    hostile.busy += 1
                try:
                    piece(self.wfile)
                except AssertionError as e:
                    hostile.failures.append(str(e))
                finally:
                    with hostile.lock:
                        hostile.busy -= 1

            def handle(self):
                with hostile.lock:
                    hostile.connections += 1
                    self.number = hostile.connections
                with contextlib.suppress(OSError, Cut):
                    self.talk()

            def message(self):
                for line in self.rfile:
                    if line == b".\r\n":
                        break
                else:
                    raise Cut
                with hostile.lock:
                    hostile.messages += 1
                self.say("dot")

            def talk(self):
                self.say("greet")
                for line in self.rfile:
                    verb = line[:4].upper()
                    if verb == b"EHLO":
                        self.say("ehlo")
                    elif verb == b"MAIL":
                        self.uids, self.said_5xx = frozenset(), False
                        self.say("mail")
                    elif verb == b"RCPT":
                        self.uids |= {m.decode() for m in UID.findall(line)}
                        self.say("rcpt")
                    elif verb == b"DATA":
                        self.say("data")
                        if self.last.startswith(b"354"):
                            self.message()
                    elif verb == b"RSET":
                        self.say("rset")
                    elif verb == b"QUIT":
                        self.say("quit")
                        return
                    else:
                        self.say("other")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True
            request_queue_size = 200
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def handle_error(self, request, client_address):
                pass

        self.server = Server((host, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def cut(file):
    raise Cut


def memory_peak(pid):
    """In MB."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) // 1024
