"""An SMTP server (aiosmtpd) that writes each message as a line of JSON: sink_to_json.py PORT FILE."""
import email
import json
import sys
import time

from aiosmtpd.controller import Controller


class Handler:
    async def handle_DATA(self, server, session, envelope):
        text = envelope.original_content.decode()
        header, body = text.split("\r\n\r\n", 1)
        with open(sys.argv[2], "a") as out:
            out.write(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "body": body,
                                  "subject": email.message_from_string(header + "\r\n\r\n")["Subject"]}) + "\n")
        return "250 2.0.0 OK"


if __name__ == "__main__":
    Controller(Handler(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
    while True:
        time.sleep(3600)
