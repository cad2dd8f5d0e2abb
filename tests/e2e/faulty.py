"""A machine that fails when a test says so: a library, made from faulty.c, is preloaded into the relay."""
import errno
import mmap
import pathlib
import shutil
import struct
import subprocess

import pytest

HEAD = "iiiii64s256s"


class Faulty:
    def __init__(self, folder: pathlib.Path):
        if not shutil.which("cc"):
            pytest.skip("cc is missing: run tools/deps build")
        library, page = folder / "faulty.so", folder / "faulty.page"
        source = pathlib.Path(__file__).with_name("faulty.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        page.write_bytes(bytes(4096))
        self._file = open(page, "r+b")
        self._page = mmap.mmap(self._file.fileno(), 4096)
        self.env = {"LD_PRELOAD": str(library), "FAULTY": str(page)}

    def fail(self, calls, error, path="", after=0, count=1 << 30):
        """`calls`: of o(pen), r(ead), w(rite), s(ync)."""
        self.heal()
        packed = struct.pack(HEAD, 0, error, after, count, 0, calls.encode(), str(path).encode())
        self._page[:len(packed)] = packed
        self._page[:4] = struct.pack("i", 1)

    def hang(self, calls, path=""):
        """They do not return before it is healed."""
        self.fail(calls, 0, path)

    def heal(self):
        self._page[:4] = struct.pack("i", 0)

    def hits(self):
        return struct.unpack_from("i", self._page, 16)[0]


@pytest.fixture
def faulty(folder):
    return Faulty(folder)


PASSING = [errno.EMFILE, errno.EIO, errno.ENOSPC, errno.ENOMEM]
