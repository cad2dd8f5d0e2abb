"""A name server on loopback that answers with the records of a table."""
import socket
import struct
import threading

A, MX, TXT = 1, 15, 16


class NameServer:
    """{(name, type): [data]}. What is not in it does not exist; None instead of a list is SERVFAIL."""

    def __init__(self, table):
        self.table = table
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.where = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(2048)
            except OSError:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
                at += query[at] + 1
            end, (kind,) = at + 5, struct.unpack(">H", query[at + 1:at + 3])
            rows = self.table.get((".".join(labels), kind), [])
            code = 0x8182 if rows is None else 0x8180 if rows else 0x8183
            rows = rows or []
            head = query[:2] + struct.pack(">HHHHH", code, 1, len(rows), 0, 0)
            body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(r)) + r for r in rows)
            self.socket.sendto(head + query[12:end] + body, peer)

    def close(self):
        self.socket.close()


def name(text):
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".")) + b"\0"


def text(value):
    """The data of a TXT record, in strings of 255 bytes."""
    value = value.encode()
    return b"".join(bytes([len(value[i:i + 255])]) + value[i:i + 255] for i in range(0, max(len(value), 1), 255))
