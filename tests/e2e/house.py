"""A machine of its own for one set-up: run as `unshare --mount --net --pid --fork --kill-child python3 house.py JOB.json`.

Microsoft's names lead to a sandbox on loopback, /etc, /run, /var/lib and /var/spool are copies or empty, and nothing of
it is left behind. The job: "files" (path -> text), "import" (arguments), "sandbox" (settings), "mail" (a list of
arguments and standard input for sendmail), "expect" (how many messages arrive). The answer is JSON on standard output.
"""
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BUILD = pathlib.Path(os.environ["POSTERN_BUILD"])
POSTERN, DROP = str(BUILD / "src/cli/postern"), str(BUILD / "src/drop/postern-drop")
MICROSOFT, HVE = "127.0.0.2", "127.0.0.3"
APP, PATIENCE = "11111111-1111-1111-1111-111111111111", 60


def run(*args, **kw):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120, **kw)


def must(*args, **kw):
    done = run(*args, **kw)
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_for(what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            value = what()
        except OSError:
            value = None
        if value:
            return value
        time.sleep(0.05)
    return None


def furnish(work: pathlib.Path):
    must("mount", "--make-rprivate", "/")
    must("ip", "link", "set", "lo", "up")
    etc = work / "etc"
    etc.mkdir()
    must("mount", "-t", "tmpfs", "none", etc)
    must("cp", "-a", "/etc/.", etc)
    must("mount", "--bind", etc, "/etc")
    for path in ("/run", "/var/lib", "/var/spool"):
        must("mount", "-t", "tmpfs", "none", path)
    for path in ("/etc/postern", "/var/lib/postern", "/run/postern", "/var/spool/postern/maildrop"):
        pathlib.Path(path).mkdir(parents=True)
    shutil.rmtree("/etc/postfix", ignore_errors=True)
    pathlib.Path("/etc/aliases").unlink(missing_ok=True)
    pathlib.Path("/etc/hosts").write_text(
        f"127.0.0.1 localhost\n{MICROSOFT} smtp.office365.com login.microsoftonline.com graph.microsoft.com\n"
        f"{MICROSOFT} contoso-com.mail.protection.outlook.com\n{HVE} smtp.hve.mx.microsoft\n")
    pathlib.Path("/etc/resolv.conf").write_text("nameserver 127.0.0.1\n")


def sandbox(work: pathlib.Path, settings):
    folder = work / "sandbox"
    folder.mkdir()
    subprocess.Popen([POSTERN, "sandbox", "--smtp", f"{MICROSOFT}:587", "--hve", f"{HVE}:587", "--connector", f"{MICROSOFT}:25",
                      "--https", f"{MICROSOFT}:443", "--http", f"{MICROSOFT}:80", "--folder", str(folder)],
                     stdout=subprocess.DEVNULL, stderr=open(work / "sandbox.log", "w"))
    assert wait_for(lambda: api("GET", "/messages") is not None), (work / "sandbox.log").read_text()
    ca = folder / "ca.pem"
    digest = must("openssl", "x509", "-hash", "-noout", "-in", ca).strip()
    shutil.copy(ca, f"/etc/ssl/certs/{digest}.0")
    with open("/etc/ssl/certs/ca-certificates.crt", "a") as bundle:
        bundle.write(ca.read_text())
    if settings:
        api("PUT", "/settings", settings)
    return folder


def api(method, path, body=None):
    request = urllib.request.Request(f"http://{MICROSOFT}{path}", method=method,
                                     data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read() or b"null")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def refresh_token(user):
    """What sasl-xoauth2-tool would have got: the code flow, answered for a person."""
    tls = ssl.create_default_context(cafile="/etc/ssl/certs/ca-certificates.crt")
    opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=tls))
    base = "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/"
    query = {"client_id": APP, "response_type": "code", "redirect_uri": "http://localhost:1", "sandbox_user": user,
             "scope": "https://outlook.office365.com/SMTP.Send offline_access", "state": "x"}
    try:
        opener.open(base + "authorize?" + urllib.parse.urlencode(query))
        raise AssertionError("no redirect")
    except urllib.error.HTTPError as answer:
        where = urllib.parse.urlparse(answer.headers["Location"])
    code = urllib.parse.parse_qs(where.query)["code"][0]
    body = {"client_id": APP, "client_secret": "sandbox", "grant_type": "authorization_code", "code": code,
            "redirect_uri": "http://localhost:1", "scope": query["scope"]}
    return json.loads(opener.open(base + "token", urllib.parse.urlencode(body).encode()).read())["refresh_token"]


def write(files, folder):
    for path, text in files.items():
        where = pathlib.Path(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        while "@TOKEN(" in text:
            user = text.split("@TOKEN(")[1].split(")")[0]
            text = text.replace(f"@TOKEN({user})", refresh_token(user))
        where.write_text(text.replace("@SANDBOX@", str(folder)))


def main(job):
    work = pathlib.Path(job["work"])
    furnish(work)
    folder = sandbox(work, job.get("sandbox"))
    write(job["files"], folder)
    said = run(POSTERN, "import", *job["import"])
    config = pathlib.Path("/etc/postern/postern.yaml")
    answer = {"said": said.stdout + said.stderr, "code": said.returncode, "yaml": config.read_text() if config.exists() else ""}
    if config.exists():
        # Microsoft lives on this machine, too, so that not all addresses are free.
        config.write_text(answer["yaml"].replace('"*:', '"127.0.0.1:').replace('"0.0.0.0:', '"127.0.0.1:'))
        check = run(POSTERN, "check")
        answer.update(check=check.stdout + check.stderr, check_code=check.returncode)
        log = open(work / "serve.log", "w")
        daemon = subprocess.Popen([POSTERN, "serve"], stdout=log, stderr=log)
        wait_for(lambda: os.path.exists("/run/postern/control.sock") or daemon.poll() is not None)
        for mail in job["mail"]:
            done = subprocess.run(["sendmail", *mail["args"]], executable=DROP, input=mail["text"], capture_output=True, text=True,
                                  timeout=60)
            answer["sendmail"] = answer.get("sendmail", "") + done.stderr
        wait_for(lambda: len(api("GET", "/messages")) >= job["expect"] or daemon.poll() is not None)
        answer["messages"] = api("GET", "/messages")
        answer["raw"] = [urllib.request.urlopen(f"http://{MICROSOFT}/messages/{m['number']}/raw").read().decode(errors="replace")
                         for m in answer["messages"]]
        answer["status"] = run(POSTERN, "status").stdout
        answer["log"] = (work / "serve.log").read_text()
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main(json.loads(pathlib.Path(sys.argv[1]).read_text()))
