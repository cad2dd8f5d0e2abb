"""The daemon's manners: reload, drain, readiness, socket activation, messages for bad input."""
import json
import os
import signal
import smtplib
import socket
import subprocess
import threading

import support
from hostile import Hostile
from support import wait_for


def send(relay, subject, sender="erp@contoso.com"):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail(sender, ["anna@example.org"], f"From: {sender}\r\nSubject: {subject}\r\n\r\nx\r\n")


def test_reload_takes_a_good_file_and_refuses_a_bad_one(submission):
    sandbox, relay = submission()
    good = relay.config.read_text()
    relay.config.write_text(good + "\nnonsense: true\n")
    relay.process.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "nonsense" in relay.log())
    send(relay, "old configuration in force")
    wait_for(lambda: sandbox.messages())
    answer = support.run([support.POSTERN, "reload", "--config", str(relay.config)], code=None)
    assert answer.returncode == 78
    port = support.free_port()
    relay.config.write_text(good.replace("listeners:\n", f"listeners:\n  - address: 127.0.0.1:{port}\n", 1))
    relay.process.process.send_signal(signal.SIGHUP)
    wait_for(lambda: support.listens(port))
    assert support.listens(relay.port)


def test_sigterm_drains_and_exits_cleanly(relay):
    go = threading.Event()
    server = Hostile(lambda step, number: [lambda _: go.wait(support.PATIENCE), b"250 2.0.0 taken\r\n"] if step == "dot" else None)
    r = relay(f"connectors: [{{ name: lab, provider: smtp, host: 127.0.0.1, port: {server.port}, tls: none }}]\n"
              "routes: [{ through: lab }]\n")
    try:
        send(r, "in flight")
        wait_for(lambda: [x for x in r.waiting() if x["state"] == "open"] and server.messages)
        r.process.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not support.listens(r.port))
        go.set()
        assert r.process.process.wait(support.PATIENCE) == 0
    finally:
        go.set()
        server.close()
    # The open attempt was waited for: delivered, not uncertain.
    r.start()
    rows = r.rows("trace")
    assert [x["state"] for x in rows] == ["delivered"] and not rows[0].get("uncertain")
    assert server.messages == 1


def test_notifies_systemd(submission, folder):
    path = folder / "notify.sock"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(str(path))
    s.settimeout(support.PATIENCE)
    sandbox, relay = submission(start=False)
    relay.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
    relay.start()
    seen = b""
    while b"WATCHDOG=1" not in seen or b"READY=1" not in seen:
        seen += s.recv(4096) + b"\n"
    relay.stop()
    s.setblocking(False)
    try:
        while True:
            seen += s.recv(4096) + b"\n"
    except BlockingIOError:
        pass
    assert b"STOPPING=1" in seen


def test_socket_activation(submission, folder):
    sandbox, relay = submission(listeners="  - address: systemd:smtp\n    no_password_from: [127.0.0.0/8]\n", start=False)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    starter = (
        "import os,sys\nos.dup2(int(sys.argv[1]),3)\nos.set_inheritable(3,True)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()),LISTEN_FDS='1',LISTEN_FDNAMES='smtp')\n"
        "os.execv(sys.argv[2],sys.argv[2:])\n")
    log = open(folder / "activated.log", "wb")
    os.set_inheritable(listener.fileno(), True)
    child = subprocess.Popen(["/usr/bin/python3", "-c", starter, str(listener.fileno()), support.POSTERN, "serve",
                              "--config", str(relay.config)], stdout=log, stderr=log, pass_fds=[listener.fileno()])
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=support.PATIENCE) as s:
            s.sendmail("erp@contoso.com", ["anna@example.org"], "Subject: activated\r\n\r\nx\r\n")
        wait_for(lambda: sandbox.messages())
    finally:
        child.terminate()
        child.wait(30)
        log.close()
        listener.close()


def test_second_daemon_says_why_it_will_not_start(submission):
    sandbox, relay = submission()
    second = support.run([support.POSTERN, "serve", "--config", str(relay.config)], code=None)
    assert second.returncode not in (0, -signal.SIGABRT)
    assert b"another" in second.stderr or b"in use" in second.stderr, second.stderr


def test_unreachable_control_socket_reads_the_queue_itself(submission):
    sandbox, relay = submission("--scenario", "smtp-auth-off")
    send(relay, "waits")
    wait_for(lambda: [r for r in relay.waiting() if r.get("reason")])
    relay.stop()
    assert len(relay.waiting()) == 1
    assert "does not run" in relay.cli("status", code=69)


def test_check_prints_all_errors_with_places(folder):
    path = folder / "bad.yaml"
    path.write_text("hostname: relay.example.com.\nlisteners:\n  - address: 127.0.0.1:99999\n    adress: x\nroutes:\n  - { through: nobody }\n")
    done = support.run([support.POSTERN, "check", "--config", str(path)], code=78)
    text = (done.stdout + done.stderr).decode()
    for place in ("bad.yaml:1:", "bad.yaml:3:", "bad.yaml:4:", "bad.yaml:6:"):
        assert place in text, text


def test_no_secret_in_any_output(submission, folder, password):
    secret = "Zq8-unlikely-Secret"
    password.write_text(secret)
    sandbox, relay = submission("--password", "something else", general="log: { level: debug }")
    send(relay, "s")
    wait_for(lambda: [r for r in relay.waiting() if r.get("reason")])
    outputs = relay.log() + relay.cli("status") + relay.cli("queue", "list") + relay.cli("status", "--json")
    assert secret not in outputs
    import base64
    assert base64.b64encode(secret.encode()).decode() not in outputs


def test_answers_larger_than_the_socket_takes_at_once(submission):
    """Answers of some megabytes come whole over the control socket: nothing is cut, nothing hangs."""
    sandbox, relay = submission(general="retry: { first: 1h, ceiling: 1h, expire: 5d }")
    sandbox.fault(at="rcpt", do="reply", reply="450 4.2.1 " + "busy " * 60)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as s:
        s.sendmail("erp@contoso.com", [f"r{n:04}@{'x' * 60}.example.org" for n in range(1000)],
                   f"From: erp@contoso.com\r\nSubject: {'long ' * 30}\r\n\r\nx\r\n")
    rows = wait_for(lambda: [r for r in relay.waiting() if "busy" in r.get("reply", "")])
    rows = wait_for(lambda: (found := relay.waiting()) and all("busy" in r.get("reply", "") for r in found) and found)
    assert len({r["recipient"] for r in rows}) == 1000
    shown = relay.rows("queue", "show", rows[0]["id"])
    assert [sum(1 for line in shown if line["type"] == kind) for kind in ("recipient", "attempt")] == [1000, 1000]
    assert len(json.dumps(shown)) > 1 << 20
