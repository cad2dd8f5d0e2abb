"""Packages that differ from the built ones: a later version, and the layout of 0.1.0."""
import pathlib
import re
import shutil
import subprocess

from machine import run

ROOT = pathlib.Path(__file__).parents[2]
OLD_POSTINST = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
	adduser --quiet --system --group --home /var/lib/postern --no-create-home --gecos "postern mail relay" postern
	[ -d /var/lib/postern ] || install -d -o postern -g postern -m 0700 /var/lib/postern
	[ -d /var/spool/postern ] || install -d -o root -g root -m 0755 /var/spool/postern
	[ -d /var/spool/postern/maildrop ] || install -d -o postern -g postern -m 0730 /var/spool/postern/maildrop
	chown root:postern /etc/postern/postern.yaml
	chmod 0640 /etc/postern/postern.yaml
fi
"""
OLD_POSTRM = """#!/bin/sh
set -e
if [ "$1" = purge ]; then
	rm -rf /var/lib/postern /var/spool/postern
fi
"""


def unpack(deb, scratch):
    folder = pathlib.Path(scratch) / pathlib.Path(deb).stem
    shutil.rmtree(folder, ignore_errors=True)
    run("dpkg-deb", "-R", str(deb), str(folder))
    return folder


def pack(folder, scratch):
    control = (folder / "DEBIAN/control").read_text()
    name = re.search(r"^Package: (.*)$", control, re.M)[1]
    version = re.search(r"^Version: (.*)$", control, re.M)[1]
    deb = pathlib.Path(scratch) / f"{name}_{version}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", str(folder), str(deb))
    return deb


def edit_control(folder, *changes):
    path = folder / "DEBIAN/control"
    text = path.read_text()
    for pattern, to in changes:
        text = re.sub(pattern, to, text, flags=re.M)
    path.write_text(text)


def later(debs, scratch):
    """The same program as a later version."""
    made = []
    for deb in debs:
        folder = unpack(deb, scratch)
        edit_control(folder, (r"^Version: (.*)$", r"Version: \1+later"), (r"postern \(= ([^)]*)\)", r"postern (= \1+later)"))
        made.append(pack(folder, scratch))
    return made


def old(debs, scratch, sample):
    """As 0.1.0 was laid out: the sample as a conffile, postern-drop in postern-mta, the service never started."""
    relay, mta = (unpack(deb, scratch) for deb in debs)
    for folder in (relay, mta):
        edit_control(folder, (r"^Version: .*$", "Version: 0.1.0"), (r"postern \(= [^)]*\)", "postern (= 0.1.0)"),
                     (r"^(Breaks|Replaces): postern-mta .*\n", ""))
    (mta / "usr/sbin").mkdir(parents=True, exist_ok=True)
    shutil.move(str(relay / "usr/sbin/postern-drop"), str(mta / "usr/sbin/postern-drop"))
    (relay / "etc/postern").mkdir(parents=True, exist_ok=True)
    shutil.copy(sample, relay / "etc/postern/postern.yaml")
    (relay / "DEBIAN/conffiles").write_text("/etc/postern/postern.yaml\n")
    for name in ("postinst", "postrm", "prerm", "preinst"):
        (relay / "DEBIAN" / name).unlink(missing_ok=True)
    for name, text in (("postinst", OLD_POSTINST), ("postrm", OLD_POSTRM)):
        (relay / "DEBIAN" / name).write_text(text)
        (relay / "DEBIAN" / name).chmod(0o755)
    return [pack(folder, scratch) for folder in (relay, mta)]


def of_commit(commit, cache):
    """The packages of an older commit, built once; None where the checkout has no such commit."""
    folder = cache / f"older-{commit[:12]}"
    names = ("postern", "postern-mta")
    if not all(list(folder.glob(f"{name}_*.deb")) for name in names):
        if subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"], stderr=subprocess.DEVNULL).returncode:
            return None
        source = folder / "postern"
        shutil.rmtree(folder, ignore_errors=True)
        source.mkdir(parents=True)
        print(f"   building the packages of {commit[:12]} ...", flush=True)
        run("sh", "-c", f"git -C {ROOT} archive {commit} | tar -x -C {source}")
        run("dpkg-buildpackage", "--no-sign", "--build=binary", cwd=source)
        shutil.rmtree(source)
    return [next(iter(folder.glob(f"{name}_*.deb"))) for name in names]
