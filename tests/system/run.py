#!/usr/bin/python3
"""The packages and README on a Debian of its own, with systemd (see README.md here). Ends with "N passed, N failed".

usage: tests/system/run.py [--debs DIR] [--cache DIR] [--build SUITE] [--no-story]
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import traceback

import machine
import package
import readme
from machine import Failed, Machine, Unable, run

ROOT = pathlib.Path(__file__).parents[2]
# For the machine and README; the packages bring their own.
TOOLS = ["swaks", "ca-certificates", "adduser", "openssl", "procps", "iproute2", "fail2ban", "acl"]
CONF = "/etc/postern/postern.yaml"
# The last commit with one group for all, queue format 3 and vault format 1.
ONE_GROUP = "1ae8953c6900884078bdd7bee1582f94911dc1d9"
NAMES = "127.0.0.2 smtp.office365.com login.microsoftonline.com graph.microsoft.com\n"


def expect(condition, *what):
    if not condition:
        raise Failed(" ".join(map(str, what)))


class Story:
    """Steps that build on each other, on one machine."""

    def __init__(self, m, debs, scratch, args):
        self.m = m
        self.args = args
        self.debs = debs
        self.scratch = scratch
        self.sandbox = None

    # ---- tools ----

    def install(self, debs, *options):
        paths = " ".join(self.m.copy(d) for d in debs)
        return self.m.out(f"apt-get install -y -qq --no-install-recommends {' '.join(options)} {paths}")

    def rows(self, *args):
        return [json.loads(line) for line in self.m.out(f"postern {' '.join(args)} --json").splitlines()]

    def known(self):
        return {r.get("subject") for r in self.rows("trace", "--since 1d")} | {r.get("subject") for r in self.rows("queue list")}

    def api(self, path, method="GET", body=None):
        data = f"-d '{json.dumps(body)}'" if body else ""
        return self.m.out(f"curl -sS --fail-with-body -X {method} {data} http://127.0.0.1:2580{path}")

    def is_running(self):
        return self.m.sh("systemctl is-active postern", code=None)[1].strip() == "active"

    def begin_load(self):
        load = self.m.on_net("/usr/bin/python3", str(pathlib.Path(__file__).parent / "load.py"))
        time.sleep(2)
        return load

    def end_load(self, load):
        out, _ = load.communicate("", timeout=machine.PATIENCE)
        done = json.loads(out)
        print(f"   {len(done['accepted'])} accepted, {done['refused']} connections refused, "
              f"the longest wait {done['longest_seconds']} s")
        expect(done["accepted"], "the load has handed in nothing")
        expect(done["refused"] == 0, done["refused"], "connections were refused")
        lost = set(done["accepted"]) - self.known()
        expect(not lost, "lost:", sorted(lost)[:5])

    # ---- steps ----

    def fresh_installation(self):
        """says in two lines what comes next; nothing runs, nothing has failed"""
        m = self.m
        text = self.install(self.debs)
        said = [line for line in text.splitlines() if "postern init" in line or "postern import" in line]
        expect(len(said) == 2, "what comes next is not said:", text)
        expect(m.sh("systemctl is-failed postern", code=None)[1].strip() == "inactive", "the service failed")
        expect(m.out("systemctl is-enabled postern").strip() == "enabled", "not enabled")
        m.sh("systemctl start postern && ! systemctl is-failed -q postern")
        expect(m.out("stat -c '%U:%G %a' /usr/sbin/postern-drop").strip() == "root:postern-drop 2755", "no setgid bit")
        expect(m.out("readlink -f /usr/lib/sendmail /usr/sbin/sendmail /usr/bin/mailq").split() == ["/usr/sbin/postern-drop"] * 3,
               "sendmail, mailq")
        for path in ("/usr/share/doc/postern/README.md", "/usr/share/doc/postern/docs/errors/README.md",
                     "/usr/share/doc/postern/examples/postern.yaml", "/usr/share/bash-completion/completions/postern",
                     "/usr/share/zsh/vendor-completions/_postern", "/usr/share/fish/vendor_completions.d/postern.fish"):
            m.sh(f"test -s {path}")
        m.sh("printf '[postern]\\nenabled = true\\n' >/etc/fail2ban/jail.d/postern.local && fail2ban-client -d | grep -q postern && "
             "rm /etc/fail2ban/jail.d/postern.local")
        m.sh(f"test ! -e {CONF}")
        code, text = m.sh("postern status", code=None)
        expect(code != 0 and "postern init" in text, "status does not say what is next:", text)
        code, text = m.sh("postern health", code=None, user="nobody")
        expect(code == 2 and text.startswith("POSTERN CRITICAL"), text)

    def microsoft(self):
        """the sandbox under Microsoft's own names"""
        m = self.m
        m.sh("cat >>/etc/hosts", stdin=NAMES)
        m.sh("mkdir /root/sandbox")
        self.sandbox = m.start("postern sandbox --smtp 127.0.0.2:587 --https 127.0.0.2:443 --http 127.0.0.1:2580 --hve '' "
                               "--connector '' --folder /root/sandbox", "/root/sandbox.log")
        m.wait("curl -sS http://127.0.0.1:2580/verdict", "the sandbox")
        m.sh("cp /root/sandbox/ca.pem /usr/local/share/ca-certificates/sandbox.crt && update-ca-certificates")

    def readme(self):
        """the first five minutes, line by line"""
        m, last_id = self.m, None
        for language, text in readme.blocks("The first five minutes"):
            if language == "yaml":
                m.put(CONF, text, 0o640)
                m.sh(f"chgrp postern {CONF}")
                continue
            if language != "sh":
                continue
            for line in readme.lines(text):
                if last_id:
                    line = re.sub(r"\bID\b|\b0[0-9A-Z]{10}\b", last_id, line)
                print(f"   $ {line}", flush=True)
                if line.startswith("postern init"):
                    line += " --yes --offline --domain contoso.com --sender erp"
                out = m.out(line, stdin="sandbox\nsandbox\n")
                found = re.search(r"queued as ([0-9A-Z]{11})", out)
                last_id = found[1] if found else last_id
                if "systemctl" in line and "start" in line:
                    m.wait("postern health", "the relay to be healthy")
        expect(last_id, "no mail was handed in")
        for subject in ("first mail through postern", "hello from sendmail"):
            m.wait(f"curl -sS http://127.0.0.1:2580/messages | grep -q '{subject}'", subject)

    def health(self):
        """for a user without rights: OK"""
        out = self.m.wait("runuser -u nobody -- postern health", "health")
        expect(out.startswith("POSTERN OK"), out)
        print("   " + out.strip())

    def confined(self):
        """the unit's rules and the daemon's own, both in force, and nothing that it asked for was refused"""
        m = self.m
        said = m.out("systemd-analyze --man=no verify /lib/systemd/system/postern.service", code=None)
        expect("postern.service" not in said, said)
        daemon = m.out("systemctl show -p MainPID --value postern").strip()
        for pid in m.out("pgrep -u postern").split():
            status = m.out(f"cat /proc/{pid}/status")
            for line in (r"^NoNewPrivs:\s1$", r"^Seccomp:\s2$", r"^CapEff:\s0+$", r"^CapPrm:\s0+$"):
                expect(re.search(line, status, re.M), pid, line, status)
        # The first filters are systemd's; two more are the daemon's own.
        expect(int(re.search(r"^Seccomp_filters:\s(\d+)$", m.out(f"cat /proc/{daemon}/status"), re.M)[1]) >= 3, "its own filters")
        expect("confined:" in m.out("journalctl -u postern --no-pager -o cat"), "the log does not say how it is confined")
        print("   " + m.out("journalctl -u postern --no-pager -o cat -g confined: -n 1").strip())
        said = next(r for r in self.rows("status") if "confined" in r)
        print("   " + ", ".join(f"{k}: {v}" for k, v in said.items() if k.startswith("confined")))
        expect(said["confined_system_calls"] is True, said)
        has = "landlock" in m.out("cat /sys/kernel/security/lsm", code=None)
        expect(said["confined_files"] is True or not has and said["confined_lacks"], said)
        expect(m.out(f"pgrep -lP {daemon}", code=None) == "", "no program is named: there is nobody to start one")

    def command_secret(self):
        """a secret that a program prints, under the unit's rules and the daemon's"""
        m = self.m
        m.sh(f"cp -p {CONF} /root/good.yaml && sed -i 's|file:/etc/postern/contoso.secret|command:/bin/cat /etc/postern/contoso.secret|' "
             f"{CONF} && grep -q 'command:/bin/cat' {CONF} && systemctl restart postern")
        m.sh("swaks --server 127.0.0.1 --from erp@contoso.com --to you@example.org --header 'Subject: its secret from a program' >/dev/null")
        m.wait("curl -sS http://127.0.0.1:2580/messages | grep -q 'its secret from a program'", "mail with a secret from a program")
        daemon = m.out("systemctl show -p MainPID --value postern").strip()
        expect("postern-runner" in m.out(f"pgrep -lP {daemon}"), "it is the runner that starts the program")
        expect(next(r for r in self.rows("status") if "confined" in r)["confined_system_calls"] is True, "confined all the same")
        m.sh(f"cp -p /root/good.yaml {CONF} && systemctl restart postern")

    def rights(self):
        """root, a member of postern-admin, and a stranger: each sees what is theirs, a refusal says who may"""
        m = self.m
        m.sh("useradd anna && adduser -q anna postern-admin && useradd bert && useradd nagios")
        for who in (None, "anna"):
            for command in ("status", "queue list", "mailboxes", "trace --since 1d"):
                m.sh(f"postern {command}", user=who)
        m.sh("! cat /etc/postern/contoso.secret && ! cat /var/lib/postern/queue.db && ! ls /var/spool/postern/maildrop", user="anna")
        for command in ("status", "queue list", "queue drop --older 0s --yes", "reload"):
            code, text = m.sh(f"postern {command}", code=None, user="bert")
            expect(code == 77 and "postern-admin" in text, command, code, text)
        m.sh("! ls /var/lib/postern && ! ls /var/spool/postern/maildrop && ! cat /etc/postern/postern.yaml", user="bert")
        m.sh("printf 'Subject: from a stranger\n\nx\n' | sendmail -f erp@contoso.com you@example.org", user="bert")
        m.wait("curl -sS http://127.0.0.1:2580/messages | grep -q 'from a stranger'", "the mail of an ordinary user")
        # As docs/monitoring.md has it.
        m.put("/etc/systemd/system/postern.service.d/monitor.conf", readme.unit_for_monitoring())
        m.sh("systemctl daemon-reload && systemctl restart postern")
        text = m.out("postern status", user="nagios")
        expect("postern" in text, text)
        code, text = m.sh("postern queue list", code=None, user="nagios")
        expect(code == 77, code, text)
        m.sh("rm -r /etc/systemd/system/postern.service.d && systemctl daemon-reload && systemctl restart postern")

    def reload(self):
        """systemctl reload fails on a bad file, and the old one stays in force"""
        m = self.m
        m.sh("systemctl reload postern")
        m.sh(f"cp -p {CONF} /root/good.yaml && echo 'nonsense: true' >>{CONF}")
        code, text = m.sh("systemctl reload postern", code=None)
        expect(code != 0, "it did not fail:", text)
        expect("nonsense" in m.out("journalctl -u postern --no-pager -o cat"), "the log does not name the error")
        expect(self.is_running(), "the relay is down")
        m.sh("swaks --server 127.0.0.1 --from erp@contoso.com --to you@example.org >/dev/null")
        m.sh(f"cp -p /root/good.yaml {CONF} && systemctl reload postern")

    def demo(self):
        """installed, beside the running relay: it touches nothing of the machine's"""
        m = self.m
        before = self.known(), self.m.out("ls -lR /var/spool/postern /run/postern | grep -v health; ss -ltnH | sort")
        others = [m.start("runuser -u nobody -- postern demo", "/root/demo-nobody.log")]
        code, text = m.sh("postern demo", code=None)
        expect(code == 0 and "nothing lost" in text, text[-2000:])
        expect(others[0].wait(600) == 0, m.out("tail -30 /root/demo-nobody.log"))
        after = self.known(), self.m.out("ls -lR /var/spool/postern /run/postern | grep -v health; ss -ltnH | sort")
        expect(before[0] == after[0], "mail of the demo is in the machine's relay:", after[0] - before[0])
        expect(before[1] == after[1], "the machine's sockets or folders changed:", before[1], after[1])
        expect("demo" not in m.out("journalctl -u postern --no-pager -o cat"), "the relay's log knows of the demo")

    def upgrade(self):
        """to a later version, under load: no connection is refused, nothing is lost"""
        m = self.m
        before = m.out("systemctl show -p MainPID --value postern")
        load = self.begin_load()
        self.install(package.later(self.debs, self.scratch))
        time.sleep(2)
        m.sh("systemctl restart postern")
        time.sleep(2)
        self.end_load(load)
        expect(self.is_running() and m.out("systemctl show -p MainPID --value postern") != before, "it was not started anew")
        expect("later" in m.out("dpkg-query -W postern"), "not upgraded")
        expect(m.out("stat -c '%U:%G %a' /usr/sbin/postern-drop").strip() == "root:postern-drop 2755", "the setgid bit is gone")

    def reinstalled(self):
        """the same version over itself, under load"""
        load = self.begin_load()
        self.install(package.later(self.debs, self.scratch), "--reinstall")
        time.sleep(2)
        self.end_load(load)
        expect(self.is_running(), "it does not run")

    def crash(self):
        """kill -9: systemd starts it again, and who connects meanwhile waits"""
        load = self.begin_load()
        for _ in range(2):
            self.m.sh("systemctl kill -s KILL --kill-who=main postern")
            time.sleep(4)
        self.end_load(load)
        expect(self.is_running(), "it does not run")

    def stop(self):
        """refuses connections, as it should, and start works again"""
        m = self.m
        m.sh("systemctl stop postern")
        expect(m.sh("exec 3<>/dev/tcp/127.0.0.1/25", code=None)[0] != 0, "port 25 is still open")
        expect(m.sh("postern health", code=None)[0] == 2, "health does not see it")
        m.sh("printf 'Subject: while down\\n\\nx\\n' | sendmail -f erp@contoso.com you@example.org", user="nobody")
        m.sh("systemctl start postern")
        m.wait("curl -sS http://127.0.0.1:2580/messages | grep -q 'while down' || "
               "postern queue list --json | grep -q 'while down'", "the mail from the maildrop")

    def _park(self):
        self.api("/scenario/smtp-auth-off", "POST")
        self.m.sh("swaks --server 127.0.0.1 --from erp@contoso.com --to you@example.org --header 'Subject: parked' >/dev/null")
        self.m.wait("postern queue list --json | grep -q parked")

    def remove(self):
        """stops it; the waiting mail stays and is said"""
        m = self.m
        self._park()
        text = m.out("apt-get remove -y -qq postern postern-mta")
        expect("Mail waits in /var/lib/postern" in text, text)
        expect(m.sh("pgrep -x -f '/usr/sbin/postern serve'", code=None)[0] != 0, "it still runs")
        expect(m.sh("exec 3<>/dev/tcp/127.0.0.1/25", code=None)[0] != 0, "port 25 is still open")
        m.sh(f"test ! -e /usr/sbin/postern && test ! -e /usr/sbin/sendmail && test -s {CONF} && test -s /var/lib/postern/queue.db")

    def installed_again(self):
        """goes on with the configuration and the mail that stayed"""
        text = self.install(self.debs, "--allow-downgrades")
        expect("postern init" not in text, "asks for a configuration that is there:", text)
        expect(self.is_running(), "it does not run")
        expect("parked" in self.known(), "the parked mail is gone")

    def purge_with_mail(self):
        """keeps the queue and says where; our secrets go, others stay, both are said"""
        m = self.m
        m.sh("printf 'secret\\nsecret\\n' | postern user add app")
        m.sh("test -s /etc/postern/app.scram && test -s /etc/postern/contoso.secret")
        text = m.out("apt-get purge -y -qq postern postern-mta")
        expect("Kept: /var/lib/postern/queue.db" in text, text)
        expect("Deleted, made by postern: /etc/postern/app.scram" in text, text)
        expect(re.search(r"Kept, not made by postern.*\n.*/etc/postern/contoso.secret", text), text)
        m.sh(f"test -s /var/lib/postern/queue.db && test -s /etc/postern/contoso.secret && test ! -e /etc/postern/app.scram && test ! -e {CONF}")
        expect(m.sh("dpkg-statoverride --list /usr/sbin/postern-drop", code=None)[0] != 0, "the statoverride stays")

    def purge_when_empty(self):
        """leaves nothing of ours"""
        m = self.m
        self.install(self.debs)
        m.sh(f"install -m 0640 -o root -g postern /root/good.yaml {CONF} && systemctl start postern")
        expect("parked" in self.known(), "the kept queue is not used")
        m.sh("postern queue drop --older 0s --yes && rm /etc/postern/contoso.secret")
        m.wait("test -z \"$(postern queue list --json)\"")
        text = m.out("apt-get purge -y -qq postern postern-mta")
        expect("Kept" not in text, text)
        m.sh("test ! -e /var/lib/postern && test ! -e /var/spool/postern && test ! -e /etc/postern && test ! -e /run/postern")

    def upgrade_from_0_1_0(self):
        """an edited postern.yaml stays as it is, an untouched sample goes"""
        m = self.m
        old = package.old(self.debs, self.scratch, ROOT / "packaging/postern.yaml")
        for edited in (False, True):
            self.install(old)
            if edited:
                m.sh(f"echo '# mine' >>{CONF}")
            text = self.install(self.debs)
            expect("onfiguration file" not in text, "dpkg asked about the configuration:", text)
            if edited:
                expect(m.out(f"tail -1 {CONF}").strip() == "# mine", "the edited file is gone")
                expect(not m.out("ls /etc/postern/ | grep dpkg", code=None), "copies of dpkg lie about")
            else:
                m.sh(f"test ! -e {CONF}")
                expect("postern init" in text, text)
            expect(m.out("stat -c '%U:%G %a' /usr/sbin/postern-drop").strip() == "root:postern-drop 2755", "no setgid bit")
            m.sh("apt-get purge -y -qq postern postern-mta")
            m.sh("rm -rf /etc/postern /var/lib/postern")


    def upgrade_from_one_group(self):
        """as of the last commit with one group, queue format 3 and vault format 1: mail, secrets and sockets stay"""
        m = self.m
        older = package.of_commit(ONE_GROUP, self.args.cache)
        if not older:
            print(f"   !!! SKIPPED: this checkout does not have {ONE_GROUP}", flush=True)
            return
        for running in (False, True):
            self._begin_with(older)
            self._park()
            if running:
                load = self.begin_load()
            else:
                m.sh("systemctl stop postern")
                m.sh("printf 'Subject: in the maildrop\n\nx\n' | sendmail -f erp@contoso.com you@example.org", user="nobody")
                expect(m.out("ls /var/spool/postern/maildrop").strip(), "the maildrop is empty")
            text = self.install(self.debs)
            expect("Now in group postern-admin" in text and "carl" in text, text)
            if running:
                time.sleep(2)
                self.end_load(load)
            m.sh("systemctl start postern")
            self._all_is_there(set() if running else {"in the maildrop"})

    def _begin_with(self, older):
        m = self.m
        self.api("/reset", "POST")
        m.sh("apt-get purge -y -qq postern postern-mta; rm -rf /etc/postern /var/lib/postern /var/spool/postern; "
             "for group in postern-admin postern-drop; do getent group $group && delgroup -q $group; done; id carl || useradd carl")
        self.install(older, "--allow-downgrades")
        m.sh("adduser -q carl postern")
        yaml = next(text for language, text in readme.blocks("The first five minutes") if language == "yaml")
        m.put(CONF, yaml.replace("file:/etc/postern/contoso.secret", "vault:contoso") + "vault: { key: file:/etc/postern/vault.key }\n", 0o640)
        m.sh(f"chgrp postern {CONF} && postern vault key | install -m 0640 -o root -g postern /dev/stdin /etc/postern/vault.key && "
             "printf sandbox | postern vault put contoso && systemctl start postern")
        m.wait("postern health")
        m.sh("swaks --server 127.0.0.1 --from erp@contoso.com --to you@example.org --header 'Subject: before the upgrade' >/dev/null")
        m.wait("curl -sS http://127.0.0.1:2580/messages | grep -q 'before the upgrade'")

    def _all_is_there(self, more):
        m = self.m
        expect(self.is_running(), "it does not run")
        m.wait("postern status")
        missing = {"before the upgrade", "parked", *more} - self.known()
        expect(not missing, "lost:", missing)
        m.sh("postern queue list", user="carl")
        m.sh("test -s /var/lib/postern/vault.1 && postern vault list | grep -q contoso")
        expect(m.out("stat -c '%U:%G %a' /usr/sbin/postern-drop /var/spool/postern/maildrop").split("\n")[:2] ==
               ["root:postern-drop 2755", "postern:postern-drop 730"], m.out("ls -ld /usr/sbin/postern-drop /var/spool/postern/maildrop"))
        self.api("/reset", "POST")
        m.sh("postern queue retry --older 0s")
        for subject in ("parked", *more):
            m.wait(f"curl -sS http://127.0.0.1:2580/messages | grep -q '{subject}'", f"the delivery of '{subject}'")
        code, text = m.sh("postern doctor", code=None)
        expect(code == 0, text)


STEPS = ["fresh_installation", "microsoft", "readme", "health", "confined", "command_secret", "rights", "demo", "reload", "upgrade", "reinstalled", "crash", "stop",
         "remove", "installed_again", "purge_with_mail", "purge_when_empty", "upgrade_from_0_1_0", "upgrade_from_one_group"]
# Without these no later step says anything; after another one's failure the story goes on, for one run to show all.
NEEDED = {"fresh_installation", "microsoft"}


def story(args, scratch):
    debs = [next(iter(sorted(args.debs.glob(f"{name}_*.deb"))), None) for name in ("postern", "postern-mta")]
    if None in debs:
        raise Failed(f"no packages in {args.debs}: make deb")
    base = machine.base(args.cache, "bookworm", sorted({*machine.depends(debs), *TOOLS, "curl"}))
    m = Machine(base, scratch / "machine")
    passed = failed = 0
    try:
        m.boot()
        s = Story(m, debs, scratch, args)
        for name in [name for name in STEPS if not args.step or name in args.step or name in {*NEEDED, "readme"}]:
            step = getattr(s, name)
            begun = time.monotonic()
            print(f"-- {name.replace('_', ' ')}: {step.__doc__}", flush=True)
            try:
                step()
                passed += 1
                print(f"   ok, {time.monotonic() - begun:.0f} s", flush=True)
            except (Failed, AssertionError, OSError, subprocess.SubprocessError, ValueError) as error:
                failed += 1
                print(f"   FAILED: {error}", flush=True)
                if not isinstance(error, Failed):
                    traceback.print_exc()
                if name in NEEDED:
                    break
        return passed, failed
    finally:
        m.end()


def build(suite, args, scratch):
    """`make deb`, `make` and `make install` on a fresh Debian with nothing but make."""
    base = machine.base(args.cache / "build", suite, ["make", "ca-certificates"])
    m = Machine(base, scratch / "build")
    try:
        run("sh", "-c", f"cd {ROOT} && git ls-files -z --cached --others --exclude-standard | "
            f"tar --null -T - -cf - | (mkdir -p {m.root}/root/postern && tar -xf - -C {m.root}/root/postern --no-same-owner)")
        for what in (["make", "deb"], ["make"], ["make", "install"], ["make", "install"]):
            print(f"-- on a fresh {suite}: {' '.join(what)}", flush=True)
            begun = time.monotonic()
            out = machine.chroot(m.root, "sh", "-c", f"cd /root/postern && {' '.join(what)}")
            print("   " + "\n   ".join(out.strip().splitlines()[-6:]))
            print(f"   ok, {time.monotonic() - begun:.0f} s", flush=True)
        mode = machine.chroot(m.root, "stat", "-c", "%U:%G %a", "/usr/sbin/postern-drop").strip()
        expect(mode == "root:postern-drop 2755", "make install:", mode)
        expect("enable --now postern" in out, "make install does not say what is next:", out)
        expect(not (m.root / "etc/postern/postern.yaml").exists(), "make install wrote a configuration")
        return 4, 0
    except Failed as error:
        print(f"   FAILED: {error}", flush=True)
        return 0, 1
    finally:
        m.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--debs", type=pathlib.Path, default=ROOT / "out")
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "out/system", help="where the Debians are kept")
    parser.add_argument("--build", action="append", default=[], metavar="SUITE", help="build on a fresh bookworm, trixie, too")
    parser.add_argument("--step", action="append", default=[], choices=STEPS, help="only these, after those that they need")
    parser.add_argument("--no-story", action="store_true", help="only --build")
    args = parser.parse_args()
    args.cache = args.cache.resolve()
    passed = failed = 0
    try:
        machine.check_able()
        args.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=args.cache) as scratch:
            if not args.no_story:
                passed, failed = story(args, pathlib.Path(scratch))
            for suite in args.build:
                more = build(suite, args, pathlib.Path(scratch))
                passed, failed = passed + more[0], failed + more[1]
    except Failed as error:
        failed += 1
        print(f"   FAILED: {error}", flush=True)
    except Unable as error:
        print(f"\n!!! SKIPPED: the system tests cannot run here: {error}\n", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
