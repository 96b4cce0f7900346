"""The archive of `make dist`, made of the program that was built for the tests."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EPOCH = 1_700_000_000


def dist(out: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OUT": out, "SOURCE_DATE_EPOCH": str(EPOCH)} | variables
    environment["CARGO_FLAGS"] = environment.get("CARGO_FLAGS") or "--offline"
    return subprocess.run([ROOT / "scripts/dist.sh"], env=environment, capture_output=True, text=True)


class Archive(unittest.TestCase):
    """What is in it, and what keeps it from being made."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.out = Path(folder.name)
        done = dist(folder.name)
        if done.returncode:
            raise AssertionError(f"{done.stdout}{done.stderr}")
        cls.said = done.stdout
        (cls.file,) = cls.out.glob("*.tar.gz")
        with tarfile.open(cls.file) as archive:
            cls.entries = archive.getmembers()
            read = lambda entry: archive.extractfile(entry).read() if entry.isfile() else None
            cls.content = {e.name.partition("/")[2]: read(e) for e in cls.entries}

    def test_nothing_but_the_archive_and_its_checksum_is_left(self) -> None:
        name = self.file.name
        self.assertRegex(name, r"^onr-[0-9.]+-x86_64-linux\.tar\.gz$")
        self.assertEqual(sorted(f.name for f in self.out.iterdir()), [name, f"{name}.sha256"])
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        self.assertEqual((self.out / f"{name}.sha256").read_text(), f"{digest}  {name}\n")

    def test_nothing_in_it_depends_on_the_day_or_the_user(self) -> None:
        names = [e.name for e in self.entries]
        self.assertEqual(names, sorted(names))
        self.assertEqual({(e.mtime, e.uid, e.gid, e.uname, e.gname) for e in self.entries}, {(EPOCH, 0, 0, "", "")})
        modes = {e.name.partition("/")[2]: e.mode for e in self.entries if e.isfile()}
        self.assertEqual([name for name, mode in modes.items() if mode != 0o644], ["bin/onr"])
        with gzip.open(self.file) as stream:
            stream.read(1)
            self.assertEqual(stream.mtime, 0)

    def test_its_own_sums_cover_every_file(self) -> None:
        lines = self.content["SHA256SUMS"].decode().splitlines()
        listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        files = {name: data for name, data in self.content.items() if data is not None and name != "SHA256SUMS"}
        self.assertEqual(listed, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()})

    def test_what_people_look_for_is_there(self) -> None:
        wanted = {"README.md", "LICENSE-MIT", "LICENSE-APACHE", "licences/THIRD-PARTY.txt", "docs/cli.md", "docs/shipping.md"}
        self.assertLessEqual(wanted, set(self.content))
        info = self.content["BUILD-INFO.txt"].decode()
        for line in self.said.splitlines()[-5:]:
            self.assertIn(line, info)
        self.assertRegex(info, r"\nglibc      2\.\d+ or later\n")
        bill = json.loads(self.content["sbom.cdx.json"])
        digest = hashlib.sha256(self.content["bin/onr"]).hexdigest()
        self.assertEqual(bill["metadata"]["component"]["hashes"], [{"alg": "SHA-256", "content": digest}])
        self.assertFalse(any(name.startswith("lib/") for name in self.content))

    def test_a_program_that_needs_too_much_is_not_packed(self) -> None:
        with tempfile.TemporaryDirectory() as out:
            done = dist(out, GLIBC_MOST="2.17")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"bin/onr needs GLIBC 2\.\d+, above 2\.17 \(for \w+")
            self.assertIn("it would not start on a machine that has no more than GLIBC=2.17", done.stderr)
            self.assertEqual(list(Path(out).iterdir()), [])


if __name__ == "__main__":
    unittest.main()
