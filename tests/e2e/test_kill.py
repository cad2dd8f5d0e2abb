"""kill -9 of the relay under load, while the upstream cuts replies at random: nothing that got 250 is lost."""
import random
import smtplib
import threading
import time

import support
from support import wait_for

KILLS = 200


class Load(threading.Thread):
    """Sends numbered messages until told to end; keeps those that got 250."""

    def __init__(self, port, name):
        super().__init__(daemon=True)
        self.port, self.label = port, name
        self.acknowledged, self.ended = [], threading.Event()

    def run(self):
        n = 0
        while not self.ended.is_set():
            n += 1
            tag = f"{self.label}-{n}"
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as s:
                    s.sendmail("erp@contoso.com", [f"{tag}@example.org"],
                               f"From: erp@contoso.com\r\nSubject: {tag}\r\nMessage-ID: <{tag}@test>\r\n\r\n{'y' * 3000}\r\n")
                    self.acknowledged.append(tag)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)


def test_two_hundred_kills_lose_nothing(submission):
    limits = "{ messages_per_minute: 1000000, recipients_per_day: 1000000, connections: 3, share: 100% }"
    sandbox, relay = submission("--keep", "1GB", limits=limits, general="retry: { first: 1s, ceiling: 2s, expire: 5d }")
    sandbox.settings(limits={"messages_per_minute": 1000000, "recipients_per_day": 1000000})
    sandbox.fault(at="dot", do="cut-after", probability=0.02)
    sandbox.fault(at="dot", do="cut", probability=0.02)
    seed = random.randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    loads = [Load(relay.port, f"l{seed}-{i}") for i in range(3)]
    for load in loads:
        load.start()
    for _ in range(KILLS):
        time.sleep(dice.uniform(0.0, 0.12))
        relay.kill()
        relay.start()
    for load in loads:
        load.ended.set()
    for load in loads:
        load.join()
    sandbox.api("DELETE", "/faults")
    acknowledged = {tag for load in loads for tag in load.acknowledged}
    assert len(acknowledged) > 50
    relay.cli("queue", "retry", "--older", "0s")

    def all_gone():
        relay.cli("queue", "retry", "--older", "0s")
        return not relay.waiting()

    wait_for(all_gone, seconds=180, every=1)
    messages = sandbox.messages()
    arrived = {m["subject"] for m in messages}
    assert acknowledged <= arrived, sorted(acknowledged - arrived)[:10]
    # Duplicates can only come from attempts that were open: the trace counts each of them.
    uncertain = sum(r.get("uncertain", 0) for r in relay.rows("trace"))
    duplicates = sandbox.verdict()["duplicates"]
    print(f"{len(acknowledged)} acknowledged, {len(arrived)} arrived, {uncertain} uncertain, {duplicates} duplicates")
    assert duplicates <= uncertain
    assert sandbox.verdict()["limits_broken"] == []
