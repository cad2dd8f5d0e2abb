"""Clients that hand in mail until standard input ends; then what was accepted, as JSON. Runs on the other's loopback."""
import json
import smtplib
import sys
import threading
import time

accepted, refused, longest = [], [], [0.0]
stop = threading.Event()


def client(number):
    count = 0
    while not stop.is_set():
        subject = f"load {number} {count}"
        count += 1
        begun = time.monotonic()
        try:
            with smtplib.SMTP("127.0.0.1", 25, timeout=60) as s:
                s.sendmail("erp@contoso.com", ["anna@example.org"],
                           f"From: erp@contoso.com\r\nTo: anna@example.org\r\nSubject: {subject}\r\n\r\nx\r\n")
            accepted.append(subject)
        except ConnectionRefusedError:
            refused.append(subject)
        except (smtplib.SMTPException, OSError):
            pass  # 421 in the middle of a session: a client tries again
        longest[0] = max(longest[0], time.monotonic() - begun)
        time.sleep(0.1)


threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
for t in threads:
    t.start()
sys.stdin.read()
stop.set()
for t in threads:
    t.join()
json.dump({"accepted": accepted, "refused": len(refused), "longest_seconds": round(longest[0], 1)}, sys.stdout)
