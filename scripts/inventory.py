#!/usr/bin/env python3
"""What is linked into `onr`: a software bill of materials, and the licences that come with it.

    inventory.py --sbom FILE --licences FILE [--program FILE] [--onnxruntime VERSION=FILE] [--epoch SECONDS] [-- CARGO_FLAGS]

The bill is CycloneDX 1.5 as JSON: every crate of the program with its version, its checksum of Cargo.lock
and its licence, the standard library, and who depends on whom. Crates that only build or test are left out.
The licences are the texts that lie in the sources of these crates, each text once. A crate without
a licence, or without a text that we could give, is an error. Equal input gives equal bytes.
"""

import argparse
import datetime
import hashlib
import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
TEXT = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
CODE = {".rs", ".c", ".h", ".cpp", ".py", ".html"}
# Texts for crates that say which licence they have and forget the text.
OURS = {"Apache-2.0": ROOT / "LICENSE-APACHE", "MIT": ROOT / "LICENSE-MIT"}


class Refused(Exception):
    """Something that may not be shipped; the message names it."""


def cargo(flags: list[str], *arguments: str) -> str:
    """What cargo prints."""
    command = ["cargo", *arguments, "--locked", *[flag for flag in flags if flag != "--locked"]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def linked(flags: list[str]) -> list[dict]:
    """The packages whose code is in the program, sorted; ours are among them."""
    metadata = json.loads(cargo(flags, "metadata", "--format-version", "1", "--filter-platform", TARGET))
    tree = ["tree", "-p", "onr", "-e", "normal,no-proc-macro", "--target", TARGET, "--prefix", "none"]
    lines = cargo(flags, *tree, "--format", "{p}").splitlines()
    inside = {tuple(line.split()[:2]) for line in lines if line.strip()}
    packages = [p for p in metadata["packages"] if (p["name"], f"v{p['version']}") in inside]
    if len(packages) != len(inside):
        raise Refused(f"cargo tree names {len(inside)} packages, cargo metadata knows {len(packages)} of them")
    by_id = {p["id"]: p for p in packages}
    for node in metadata["resolve"]["nodes"]:
        if node["id"] in by_id:
            uses = {d["pkg"] for d in node["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"])}
            by_id[node["id"]]["uses"] = sorted(reference(by_id[d]) for d in uses if d in by_id)
    return sorted(packages, key=lambda p: (p["name"], number(p["version"])))


def number(version: str) -> list:
    """Something that sorts as versions do."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"[.+-]", version)]


def is_ours(package: dict) -> bool:
    return package["source"] is None


def reference(package: dict) -> str:
    """The name of a package within the bill, and for others' packages its purl."""
    name = f"{package['name']}@{package['version'].replace('+', '%2B')}"
    return f"onr:{name}" if is_ours(package) else f"pkg:cargo/{name}"


def expression(package: dict) -> str:
    """The licence as SPDX writes it; older crates have a slash for OR."""
    if not package["license"]:
        raise Refused(f"{package['name']} {package['version']} names no licence")
    return re.sub(r"\s*/\s*", " OR ", package["license"])


# --- the bill -----------------------------------------------------------------------------------


def checksums() -> dict[tuple[str, str], str]:
    """SHA-256 of each package by Cargo.lock."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(p["name"], p["version"]): p["checksum"] for p in lock["package"] if "checksum" in p}


def component(package: dict, sums: dict[tuple[str, str], str]) -> dict:
    """A package as the bill has it."""
    entry = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"expression": expression(package)}],
    }
    if package["description"]:
        entry["description"] = " ".join(package["description"].split())
    if is_ours(package):
        return entry
    if not (checksum := sums.get((package["name"], package["version"]))):
        raise Refused(f"{package['name']} {package['version']} has no checksum in Cargo.lock")
    entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    entry["purl"] = reference(package)
    if package["repository"]:
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return entry


def other(name: str, version: str, licence: str, purl: str, file: Path | None = None) -> dict:
    """Something that is no crate."""
    entry = {"type": "library", "bom-ref": purl, "name": name, "version": version}
    entry |= {"licenses": [{"expression": licence}], "purl": purl}
    return entry | hashed(file)


def hashed(file: Path | None) -> dict:
    if file is None:
        return {}
    return {"hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]}


def bill(packages: list[dict], program: Path | None, others: list[dict], epoch: int) -> dict:
    """The whole bill."""
    (main,) = [p for p in packages if p["name"] == "onr"]
    sums = checksums()
    components = [component(p, sums) for p in packages if p is not main] + others
    top = component(main, sums) | {"type": "application"} | hashed(program)
    dependencies = [{"ref": reference(p), "dependsOn": p["uses"]} for p in packages]
    dependencies += [{"ref": o["bom-ref"], "dependsOn": []} for o in others]
    for entry in dependencies:
        if entry["ref"] == reference(main):
            entry["dependsOn"] = sorted(entry["dependsOn"] + [o["bom-ref"] for o in others])
    when = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    content = {
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": top,
            "tools": {"components": [{"type": "application", "name": "scripts/inventory.py", "version": main["version"]}]},
        },
        "components": components,
        "dependencies": dependencies,
    }
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return {"$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json", **head, **content}


# --- the licences -------------------------------------------------------------------------------


def own_texts(package: dict) -> list[tuple[str, str]]:
    """The licences in the sources of a package, of code that it carries along too: name and text."""
    folder = Path(package["manifest_path"]).parent
    if is_ours(package):
        return [(file.name, file.read_text()) for file in OURS.values()]
    found = [f for f in sorted(folder.rglob("*")) if f.is_file() and TEXT.match(f.name) and f.suffix not in CODE]
    read = lambda file: file.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip() + "\n"
    return [(str(file.relative_to(folder)), read(file)) for file in found]


def texts(package: dict) -> list[tuple[str, str]]:
    """The licences to give with a package."""
    found = own_texts(package)
    if found:
        return found
    choices = expression(package).split(" OR ")
    known = [name for name in OURS if name in choices]
    if not known:
        raise Refused(f"{package['name']} {package['version']} ({expression(package)}) has no licence text in its sources")
    text = OURS[known[0]].read_text()
    if known[0] == "MIT":
        holders = ", ".join(package["authors"]) or f"the authors of {package['name']}"
        text = re.sub(r"Copyright \(c\).*", lambda _: f"Copyright (c) {holders}", text)
    return [(f"{known[0]}, as its Cargo.toml says", text)]


def licences(packages: list[dict]) -> str:
    """Who has which licence, then each text once."""
    others = [p for p in packages if not is_ours(p)]
    users: dict[str, list[str]] = {}
    for package in others:
        for name, text in texts(package):
            users.setdefault(text, []).append(f"{package['name']} {package['version']} ({name})")
    lines = ["Code of others that is linked into onr", "=" * 38, ""]
    lines += [f"{p['name']} {p['version']}: {expression(p)}" for p in others]
    for text, whose in sorted(users.items(), key=lambda entry: entry[1]):
        lines += ["", "-" * 100, *whose, "-" * 100, "", text.rstrip("\n")]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------


def rust_version() -> str:
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sbom", type=Path, required=True, help="bill to write")
    parser.add_argument("--licences", type=Path, required=True, help="texts to write")
    parser.add_argument("--program", type=Path, help="the program, for its SHA-256")
    parser.add_argument("--onnxruntime", metavar="VERSION=FILE", help="a library that is shipped along")
    parser.add_argument("--epoch", type=int, default=0, help="seconds since 1970 that the bill is dated")
    parser.add_argument("cargo", nargs="*", help="flags for cargo, behind `--`")
    args = parser.parse_args()
    try:
        packages = linked(args.cargo)
        others = [other("rust-std", rust_version(), "MIT OR Apache-2.0", f"pkg:generic/rust-std@{rust_version()}")]
        if args.onnxruntime:
            version, _, file = args.onnxruntime.partition("=")
            others.append(other("onnxruntime", version, "MIT", f"pkg:pypi/onnxruntime@{version}", Path(file)))
        sbom = bill(packages, args.program, others, args.epoch)
        args.sbom.write_text(json.dumps(sbom, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        args.licences.write_text(licences(packages), encoding="utf-8")
    except Refused as error:
        print(f"inventory: {error}", file=sys.stderr)
        return 1
    print(f"inventory: {len(sbom['components'])} components, {len(packages)} of them crates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
