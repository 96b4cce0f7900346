"""What `make dist` puts beside the program, from this repository's own Cargo.lock and program."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import abi_floor
import inventory

# What a Python is linked with is near enough to what a program is.
PROGRAM = Path(sys.executable).resolve()


class Floor(unittest.TestCase):
    """Versions that a program asks for, and what is refused."""

    def test_versions_compare_as_numbers(self) -> None:
        self.assertLess(abi_floor.number("2.9"), abi_floor.number("2.35"))
        self.assertLess(abi_floor.number("2.2.5"), abi_floor.number("2.35"))

    def test_a_program_below_the_limit_is_fine(self) -> None:
        floor, libraries, problems = abi_floor.check([PROGRAM], {"GLIBC": "99.0"})
        self.assertGreater(abi_floor.number(floor["GLIBC"]), (2,))
        self.assertIn("libc.so.6", libraries)
        self.assertEqual([p for p in problems if "above" in p], [])

    def test_a_program_above_the_limit_is_refused_with_its_symbols(self) -> None:
        floor, _, problems = abi_floor.check([PROGRAM], {"GLIBC": "2.0"})
        (problem,) = [p for p in problems if "above" in p]
        self.assertRegex(problem, rf"needs GLIBC {re.escape(floor['GLIBC'])}, above 2\.0 \(for \w+")

    def test_a_library_that_images_lack_is_refused(self) -> None:
        known, abi_floor.LIBRARIES = abi_floor.LIBRARIES, {}
        self.addCleanup(setattr, abi_floor, "LIBRARIES", known)
        _, _, problems = abi_floor.check([PROGRAM], {})
        self.assertTrue(any("libc.so.6, which base images do not have" in p for p in problems), problems)

    def test_the_command_fails(self) -> None:
        for arguments, said in [
            (["--most", "GLIBC=2.0", str(PROGRAM)], "above 2.0"),
            ([str(ROOT / "README.md")], "README.md is no program"),
            (["--most", "GLIBC=2.0", str(ROOT / "nothing")], "nothing is no program"),
        ]:
            errors = io.StringIO()
            self.addCleanup(setattr, sys, "argv", sys.argv)
            sys.argv = ["abi_floor.py", *arguments]
            with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(abi_floor.main(), 1)
            self.assertIn(said, errors.getvalue())


class Inventory(unittest.TestCase):
    """The bill of materials and the licences of the real dependencies."""

    @classmethod
    def setUpClass(cls) -> None:
        # What is built is here: nothing is fetched. In a closed network `make` says where it is.
        cls.packages = inventory.linked(os.environ.get("CARGO_FLAGS", "").split() or ["--offline"])
        cls.others = [inventory.other("onnxruntime", "1.2", "MIT", "pkg:pypi/onnxruntime@1.2", ROOT / "LICENSE-MIT")]
        cls.bill = inventory.bill(cls.packages, ROOT / "LICENSE-MIT", cls.others, 1_700_000_000)

    def test_the_bill_has_what_cyclonedx_1_5_requires(self) -> None:
        bill = self.bill
        self.assertEqual((bill["bomFormat"], bill["specVersion"], bill["version"]), ("CycloneDX", "1.5", 1))
        uuid = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
        self.assertRegex(bill["serialNumber"], f"^{uuid}$")
        self.assertEqual(bill["metadata"]["timestamp"], "2023-11-14T22:13:20Z")
        self.assertEqual(bill["metadata"]["component"]["type"], "application")
        references = [c["bom-ref"] for c in [bill["metadata"]["component"], *bill["components"]]]
        self.assertEqual(len(set(references)), len(references), "references are unique")
        for component in bill["components"]:
            self.assertEqual(component["type"], "library")
            self.assertTrue(component["name"] and component["version"], component)
            (licence,) = component["licenses"]
            self.assertRegex(licence["expression"], r"^[A-Za-z0-9.+() -]+$")
            for digest in component.get("hashes", []):
                self.assertEqual(digest["alg"], "SHA-256")
                self.assertRegex(digest["content"], "^[0-9a-f]{64}$")
        for entry in bill["dependencies"]:
            self.assertLessEqual({entry["ref"], *entry["dependsOn"]}, set(references))
        self.assertEqual(sorted(e["ref"] for e in bill["dependencies"]), sorted(references))

    def test_crates_of_others_have_purl_and_checksum_and_ours_have_none(self) -> None:
        sums = inventory.checksums()
        by_name = {c["name"]: c for c in self.bill["components"]}
        for package in self.packages:
            if package["name"] == "onr":
                continue
            component = by_name[package["name"]]
            if component["version"] == package["version"] and not inventory.is_ours(package):
                digest = component["hashes"][0]["content"]
                self.assertEqual(digest, sums[package["name"], package["version"]])
                self.assertTrue(component["purl"].startswith(f"pkg:cargo/{package['name']}@"))
            elif inventory.is_ours(package):
                self.assertNotIn("purl", component)

    def test_what_builds_and_tests_is_left_out(self) -> None:
        names = {p["name"] for p in self.packages}
        self.assertLessEqual({"onr-graphs", "ort", "safetensors", "serde", "tract-onnx", "trtx-sys"}, names)
        self.assertEqual(names & {"bindgen", "cc", "insta", "proptest", "serde_derive", "onr-mutation"}, set())

    def test_dependencies_lead_from_the_program_to_everything(self) -> None:
        uses = {e["ref"]: e["dependsOn"] for e in self.bill["dependencies"]}
        todo, met = [self.bill["metadata"]["component"]["bom-ref"]], set()
        while todo:
            reference = todo.pop()
            if reference not in met:
                met.add(reference)
                todo += uses[reference]
        self.assertEqual(met, set(uses))

    def test_equal_input_gives_equal_bills(self) -> None:
        self.assertEqual(inventory.bill(self.packages, ROOT / "LICENSE-MIT", self.others, 1_700_000_000), self.bill)
        other = inventory.bill(self.packages, ROOT / "LICENSE-APACHE", self.others, 1_700_000_000)
        self.assertNotEqual(other["serialNumber"], self.bill["serialNumber"])

    def test_every_crate_of_others_has_its_licence(self) -> None:
        text = inventory.licences(self.packages)
        for package in self.packages:
            line = f"{package['name']} {package['version']}"
            self.assertEqual(f"\n{line} (" in text, not inventory.is_ours(package), line)
        # Code that is carried inside another crate.
        self.assertIn("(zstd/LICENSE)", text)

    def test_a_crate_without_licence_or_text_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            crate = {
                "name": "lost", "version": "1.0.0", "license": "ISC", "authors": ["A. Nn <a@example.org>"],
                "manifest_path": f"{folder}/Cargo.toml", "source": "registry",
            }  # fmt: skip
            with self.assertRaisesRegex(inventory.Refused, r"lost 1\.0\.0 \(ISC\) has no licence text"):
                inventory.texts(crate)
            with self.assertRaisesRegex(inventory.Refused, r"lost 1\.0\.0 names no licence"):
                inventory.texts(crate | {"license": None})
            ((name, text),) = inventory.texts(crate | {"license": "MIT / Zlib"})
            self.assertEqual(name, "MIT, as its Cargo.toml says")
            self.assertIn("Copyright (c) A. Nn <a@example.org>\n", text)
            Path(folder, "LICENSE").write_text("Do as you like.\r\n")
            self.assertEqual(inventory.texts(crate), [("LICENSE", "Do as you like.\n")])
            with self.assertRaisesRegex(inventory.Refused, "has no checksum in Cargo.lock"):
                inventory.component(crate | {"description": "", "repository": None}, {})


if __name__ == "__main__":
    unittest.main()
