#!/usr/bin/env python3
"""What a program needs of the machine it will run on: C library, C++ library, other libraries.

    abi_floor.py [--most GLIBC=2.35,GLIBCXX=3.4.30,CXXABI=1.3.13] FILE...

Prints the highest version of each that the files ask for, which is the lowest a machine must have, and
the libraries that the loader will look for. Ends with 1 if a version is above the most that is allowed,
or if a library is needed that base images do not have. Reads the files with `readelf`, which every linker
comes with.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

# Ubuntu 22.04: glibc 2.35, and the libstdc++ of GCC 12. 24.04 has more of each.
MOST = "GLIBC=2.35,GLIBCXX=3.4.30,CXXABI=1.3.13"

# What images of Ubuntu 22.04 and 24.04 have, and the package it is in there.
LIBRARIES = {
    "ld-linux-x86-64.so.2": "libc6",
    "libc.so.6": "libc6",
    "libdl.so.2": "libc6",
    "libm.so.6": "libc6",
    "libpthread.so.0": "libc6",
    "librt.so.1": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
    "libstdc++.so.6": "libstdc++6",
}


class Refused(Exception):
    """A file that cannot be shipped, or is none; the message names it."""


def number(version: str) -> tuple[int, ...]:
    """`2.35` as something that compares."""
    return tuple(int(part) for part in version.split("."))


def readelf(file: Path, *options: str) -> str:
    """What `readelf` says about a file."""
    command = ["readelf", "--wide", *options, str(file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        raise Refused("readelf is not there: install binutils") from None
    if done.returncode or "Error:" in done.stderr:
        raise Refused(f"{file} is no program or library that readelf can read: {done.stderr.strip()}")
    return done.stdout


def floors(file: Path) -> dict[str, str]:
    """The highest version of each family that a file asks for: `{"GLIBC": "2.35", ...}`."""
    found: dict[str, str] = {}
    for family, version in re.findall(r"Name: ([A-Z]+)_([0-9][0-9.]*)\b", readelf(file, "--version-info")):
        if number(version) > number(found.get(family, "0")):
            found[family] = version
    return found


def needed(file: Path) -> list[str]:
    """The libraries that the loader will look for."""
    return re.findall(r"\(NEEDED\).*\[(.*)\]", readelf(file, "--dynamic"))


def symbols(file: Path, family: str, version: str) -> list[str]:
    """Symbols that a file takes in that version."""
    listed = readelf(file, "--dyn-syms")
    return sorted(set(re.findall(rf" UND (\S+)@{family}_{re.escape(version)}(?![0-9.])", listed)))


def check(files: list[Path], most: dict[str, str]) -> tuple[dict[str, str], list[str], list[str]]:
    """The floors of all files together, the libraries they need, and what is wrong with that."""
    floor: dict[str, str] = {}
    libraries: set[str] = set()
    problems = []
    for file in files:
        own = floors(file)
        if not own and not needed(file):
            raise Refused(f"{file} asks for no version of any library: is it linked statically?")
        for family, version in own.items():
            if number(version) > number(floor.get(family, "0")):
                floor[family] = version
            if family in most and number(version) > number(most[family]):
                takes = ", ".join(symbols(file, family, version)[:3])
                problems.append(f"{file} needs {family} {version}, above {most[family]} (for {takes})")
        for library in needed(file):
            libraries.add(library)
            if library not in LIBRARIES:
                problems.append(f"{file} needs {library}, which base images do not have")
    return floor, sorted(libraries), problems


def limits(text: str) -> dict[str, str]:
    """`GLIBC=2.35,CXXABI=1.3.13`"""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(re.fullmatch(r"[A-Z]+", name) and re.fullmatch(r"[0-9]+(\.[0-9]+)*", version) for name, _, version in pairs):
        raise argparse.ArgumentTypeError(f"`{text}` is not like {MOST}")
    return {name: version for name, _, version in pairs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--most", type=limits, default=MOST, help="highest versions that are allowed")
    parser.add_argument("files", nargs="+", type=Path)
    args = parser.parse_args()
    try:
        floor, libraries, problems = check(args.files, args.most)
    except Refused as error:
        print(f"abi_floor: {error}", file=sys.stderr)
        return 1
    for family in ("GLIBC", "GLIBCXX", "CXXABI"):
        if family in floor:
            print(f"{family.lower():<10} {floor[family]} or later")
    packages = sorted({LIBRARIES[library] for library in libraries if library in LIBRARIES})
    print(f"{'libraries':<10} {', '.join(libraries)}")
    print(f"{'packages':<10} {', '.join(packages)} (names of Debian and Ubuntu)")
    for problem in problems:
        print(f"abi_floor: {problem}", file=sys.stderr)
    if problems:
        print("abi_floor: build on an older distribution, such as Ubuntu 22.04", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
