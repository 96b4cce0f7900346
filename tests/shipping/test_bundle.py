"""Bundles for closed networks: what `make setup OFFLINE=DIR` takes, and what it refuses by name."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = f"""
set -euo pipefail
readonly scratch=.onr/tmp
say() {{ printf '%s\\n' "$*"; }}
die() {{ printf '%s\\n' "$*" >&2; exit 1; }}
mkdir -p .onr
source {ROOT}/scripts/offline.sh
"""


class Bundle(unittest.TestCase):
    """A checkout and a bundle, both small."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.checkout, self.bundle = Path(folder.name, "checkout"), Path(folder.name, "a bundle")
        (self.checkout / "scripts").mkdir(parents=True)
        (self.bundle / "wheels").mkdir(parents=True)
        lists = ["Cargo.lock", "scripts/requirements.txt"]
        for name in lists:
            (self.checkout / name).write_text(name)
        sums = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in lists]
        (self.bundle / "inputs.sha256").write_text("".join(sums))
        (self.bundle / "pythons").write_text("3.11\n3.12\n")
        (self.bundle / "wheels/a.whl").write_text("a wheel")
        with tarfile.open(self.bundle / "crates.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo("crates/serde-1.0.0/Cargo.toml")
            entry.size = 9
            archive.addfile(entry, io.BytesIO(b"[package]"))
        self.seal()

    def seal(self) -> None:
        """Writes SHA256SUMS anew."""
        files = sorted(f for f in self.bundle.rglob("*") if f.is_file() and f.name != "SHA256SUMS")
        sum_of = lambda f: f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(self.bundle)}\n"
        (self.bundle / "SHA256SUMS").write_text("".join(map(sum_of, files)))

    def run_shell(self, script: str, offline: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "OFFLINE": str(self.bundle) if offline is None else offline}
        return subprocess.run(
            ["bash", "-c", SHELL + script], cwd=self.checkout, env=environment, capture_output=True, text=True
        )

    def takes(self, script: str = "offline_bundle", offline: str | None = None) -> str:
        done = self.run_shell(script, offline)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def refuses(self) -> str:
        """What is said; nothing of the bundle may have been unpacked."""
        done = self.run_shell("offline_bundle")
        self.assertEqual(done.returncode, 1)
        self.assertFalse((self.checkout / ".onr/crates").exists())
        return done.stderr

    def test_crates_are_unpacked_once_and_cargo_is_told(self) -> None:
        self.assertIn("unpacking its crates", self.takes())
        crates = self.checkout / ".onr/crates"
        self.assertEqual((crates / "serde-1.0.0/Cargo.toml").read_text(), "[package]")
        config = (self.checkout / ".onr/offline.toml").read_text()
        self.assertIn(f'directory = "{self.checkout}/.onr/crates"\n', config)
        self.assertIn("offline = true", config)
        self.assertEqual(self.takes(), "", "a rerun does nothing")
        # Another bundle takes the place of the first.
        (self.bundle / "wheels/b.whl").write_text("another")
        self.seal()
        self.assertIn("unpacking its crates", self.takes())

    def test_pip_sees_the_bundle_alone(self) -> None:
        options = self.takes("pip_source").splitlines()
        self.assertEqual(options, ["--isolated", "--no-index", "--find-links", f"{self.bundle}/wheels"])
        self.takes("bundle_serves 3.12")
        self.assertEqual(self.run_shell("bundle_serves 3.13").returncode, 1)

    def test_without_a_bundle_nothing_changes(self) -> None:
        self.assertEqual(self.takes("offline_bundle; pip_source; bundle_serves 3.14", offline=""), "")
        self.assertEqual(list((self.checkout / ".onr").iterdir()), [])

    def test_a_bundle_of_other_lists_is_refused_by_their_names(self) -> None:
        self.takes()
        (self.checkout / "Cargo.lock").write_text("another")
        done = self.run_shell("offline_bundle")
        self.assertEqual(done.returncode, 1)
        self.assertIn("was made from another Cargo.lock than lies here", done.stderr)
        (self.checkout / "scripts/requirements.txt").unlink()
        done = self.run_shell("offline_bundle")
        self.assertIn("from another Cargo.lock scripts/requirements.txt than", done.stderr)

    def test_a_damaged_file_is_named(self) -> None:
        (self.bundle / "wheels/a.whl").write_text("A wheel")
        said = self.refuses()
        self.assertIn("is damaged, copy it again: wheels/a.whl: FAILED", said)

    def test_a_missing_file_is_named(self) -> None:
        (self.bundle / "crates.tar.gz").unlink()
        self.assertIn("crates.tar.gz", self.refuses())

    def test_a_file_that_nobody_listed_is_named(self) -> None:
        (self.bundle / "wheels/evil.whl").write_text("not ours")
        self.assertIn("does not list: wheels/evil.whl", self.refuses())

    def test_what_is_no_bundle(self) -> None:
        (self.bundle / "pythons").unlink()
        self.assertIn("is no bundle: `make bundle` makes one", self.refuses())
        self.bundle = self.bundle / "nothing"
        self.assertIn("which OFFLINE names, is not there", self.refuses())


if __name__ == "__main__":
    unittest.main()
