"""A Debian of its own in namespaces of its own, with systemd as pid 1 and a loopback that nobody shares.

Everything that is started here is a descendant of one `unshare`, and ends with it.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).parent
MARKER = "postern-test-root"
PATIENCE = 120  # seconds: how long a step waits for what must come; never a measure of speed


class Unable(Exception):
    """This machine cannot run it: skipped, loudly."""


class Failed(Exception):
    pass


def run(*args, **kw):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **kw)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, args))}: exit code {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def depends(debs):
    """What the packages need from Debian."""
    names = set()
    for deb in debs:
        for part in run("dpkg-deb", "-f", deb, "Depends").replace("\n", "").split(","):
            name = part.split("(")[0].strip()
            if name and not name.startswith("postern"):
                names.add(name)
    return sorted(names)


def base(cache, suite, packages, mirror="http://deb.debian.org/debian"):
    """A fresh Debian with these packages, made once: the folder that the machines are laid over."""
    key = hashlib.sha256(" ".join([suite, *packages]).encode()).hexdigest()[:12]
    root = cache / f"{suite}-{key}"
    if (root / MARKER).exists():
        return root
    for old in cache.glob(f"{suite}-*"):
        shutil.rmtree(old)
    cache.mkdir(parents=True, exist_ok=True)
    print(f"   making a Debian {suite} in {root} ...", flush=True)
    try:
        run("debootstrap", "--variant=minbase", "--include=systemd-sysv,dbus", suite, str(root), mirror)
    except (Failed, FileNotFoundError) as error:
        shutil.rmtree(root, ignore_errors=True)
        raise Unable(f"debootstrap of {suite} failed: {error}") from None
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    chroot(root, "apt-get", "update", "-qq")
    chroot(root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)
    (root / "usr/sbin/policy-rc.d").unlink()
    (root / MARKER).write_text("made by tests/system\n")
    return root


def chroot(root, *args):
    """Without systemd, with the machine's network: to install packages of Debian."""
    run("mount", "-t", "proc", "proc", str(root / "proc"))
    try:
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        return run("chroot", str(root), "env", "-i", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C",
                   "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *args)
    finally:
        run("umount", str(root / "proc"))


class Machine:
    def __init__(self, base_folder, scratch):
        self.scratch = pathlib.Path(scratch)
        self.root = self.scratch / "root"
        for name in ("root", "upper", "work"):
            (self.scratch / name).mkdir(parents=True)
        self.process = None
        self.pid = None
        try:
            run("mount", "-t", "overlay", "-o",
                f"lowerdir={base_folder},upperdir={self.scratch}/upper,workdir={self.scratch}/work", "overlay", str(self.root))
        except Failed as error:
            raise Unable(f"overlayfs: {error}") from None
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 postern-test\n::1 localhost ip6-localhost\n")
        # No name server answers: what is not in /etc/hosts does not exist.
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        (self.root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def boot(self):
        self.console = open(self.scratch / "console.log", "wb")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--cgroup",
             str(HERE / "boot"), str(self.root), MARKER],
            stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Unable(f"no namespaces or no systemd here: {(self.scratch / 'console.log').read_text()[-1000:]}")
            children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                self.pid = int(children[0])
                if self.sh("test -d /run/systemd/system && systemctl is-system-running", code=None)[1].strip() in ("running", "degraded"):
                    return self
            time.sleep(0.2)
        raise Failed(f"systemd did not come up: {(self.scratch / 'console.log').read_text()[-3000:]}")

    def enter(self):
        return ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd", "--", "env", "-i", "LC_ALL=C.UTF-8",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb",
                "DEBIAN_FRONTEND=noninteractive"]

    def sh(self, command, code=0, stdin="", user=None, env=None):
        """A command line inside, by bash; returns (exit code, output). `code` None: any."""
        args = self.enter() + [f"{k}={v}" for k, v in (env or {}).items()]
        if user:
            args += ["runuser", "-u", user, "--"]
        try:
            done = subprocess.run([*args, "bash", "-c", "cd \"$HOME\" 2>/dev/null || cd /; " + command], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", timeout=600)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"$ {command}\nno end after {error.timeout} s: {error.output}") from None
        if code is not None and done.returncode != code:
            raise Failed(f"$ {command}\nexit code {done.returncode}, not {code}:\n{done.stdout[-4000:]}\n{self.journal()}")
        return done.returncode, done.stdout

    def out(self, command, **kw):
        return self.sh(command, **kw)[1]

    def start(self, command, log):
        """A process that goes on; it ends with the machine."""
        return subprocess.Popen([*self.enter(), "bash", "-c", f"exec {command} >{log} 2>&1"], stdin=subprocess.DEVNULL)

    def on_net(self, *args):
        """A program of this machine on the loopback of that one."""
        return subprocess.Popen(["nsenter", f"--target={self.pid}", "--net", "--", *args],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait(self, command, what=None):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            code, out = self.sh(command, code=None)
            if code == 0:
                return out
            time.sleep(0.3)
        raise Failed(f"waited in vain for {what or command}:\n{out}\n{self.journal()}")

    def journal(self):
        try:
            done = subprocess.run([*self.enter(), "journalctl", "-u", "postern", "-n", "30", "--no-pager", "-o", "cat"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
            return "-- journal\n" + done.stdout
        except (OSError, subprocess.SubprocessError):
            return ""

    def put(self, path, text, mode=0o644):
        self.sh(f"install -D -m {mode:o} /dev/stdin {path}", stdin=text)

    def copy(self, file, folder="root"):
        """A file of this machine to a folder of that one; returns its path there."""
        shutil.copy(file, self.root / folder)
        return f"/{folder}/{pathlib.Path(file).name}"

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()  # --kill-child: systemd, and with the namespace's pid 1 all others
            self.process.wait()
        if self.process:
            self.console.close()
        for _ in range(50):
            if subprocess.run(["umount", str(self.root)], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        else:
            subprocess.run(["umount", "-l", str(self.root)])
        shutil.rmtree(self.scratch, ignore_errors=True)


def check_able():
    if os.geteuid() != 0:
        raise Unable("needs root, for namespaces and mounts")
    for tool in ("debootstrap", "unshare", "nsenter", "pivot_root", "ip", "dpkg-deb"):
        if not shutil.which(tool):
            raise Unable(f"{tool} is missing: tools/deps system")
