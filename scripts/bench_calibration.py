#!/usr/bin/env python3
"""Calibration of an HSTU of width 256 with 8 layers beside ONNX Runtime's own: `make bench-calibration`.

    bench_calibration.py [BATCHES]

Each line is a process of its own: seconds, those of all its threads on a processor, and the most
memory that was resident. ONNX Runtime's
histogram methods keep what they saw of all batches, so they get fewer batches when memory is short: that is
printed. Prints what docs/benchmarks.md records.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import calibration_models as models

ROOT = Path(__file__).resolve().parent.parent
ONR = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "onr"
WORK = ROOT / "build" / "bench-calibration"
THREADS = min(2, os.cpu_count() or 1)
ROWS, LENGTH = 8, 128
# Most seconds that a peer may take, by its own figure for few batches.
PATIENCE = 400


def run(*command: object) -> dict:
    """Runs a command to its end: seconds, peak resident memory, output."""
    with open(WORK / "output", "w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        out.seek(0)
        text = out.read()
    if process.returncode != 0:
        sys.exit(f"{[str(c) for c in command]}: exit {process.returncode}\n{text}")
    cpu = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "cpu": cpu, "memory": usage.ru_maxrss * 1024, "text": text}


def told(what: str, done: dict) -> dict:
    print(f"  {what:<44} {done['seconds']:8.2f} s {done['cpu']:8.2f} s of CPU {done['memory'] / 1e6:8.0f} MB", flush=True)
    return done


def peer(*words: object) -> dict:
    """A job of calibration_peer.py. Its seconds are those without Python's start."""
    done = run(sys.executable, Path(__file__).with_name("calibration_peer.py"), *words)
    return {**done, "seconds": models.found(done["text"])["seconds"]}


def ours(model: Path, data: Path, *more: object) -> dict:
    command = [ONR, "quantize", "--onnx", model, "--data", data, "--precision", "int8"]
    return run(*command, "--threads", THREADS, "--out", WORK / "ours.onnx", *more)


def best(times: int, job) -> dict:
    """The fastest run, whose time others on the machine disturbed least."""
    return min((job() for _ in range(times)), key=lambda done: done["seconds"])


def affordable(method: str, model: Path, count: int) -> int:
    """Batches that a peer can have: it keeps all values, so time and memory grow with them."""
    few = models.histories(model, WORK / "few.npz", 4, ROWS, LENGTH)
    small = peer("static", method, model, few, 2, THREADS, WORK / "peer.onnx")
    more = peer("static", method, model, few, 4, THREADS, WORK / "peer.onnx")
    free = next(int(l.split()[1]) for l in open("/proc/meminfo") if l.startswith("MemAvail")) * 1024
    each = max((more["memory"] - small["memory"]) / 2, 1)
    seconds = max((more["seconds"] - small["seconds"]) / 2, 1e-3)
    fits = min(0.7 * (free - more["memory"]) / each, PATIENCE / seconds)
    return max(4, min(count, int(fits)))


def ratio(of: dict, to: dict) -> str:
    """Of seconds on the clock, and of seconds on a processor, which others on the machine disturb less."""
    return f"{of['seconds'] / to['seconds']:.2f} ({of['cpu'] / to['cpu']:.2f} of CPU)"


def compare(count: int) -> None:
    model = models.hstu(ONR, WORK / "hstu")
    data = models.histories(model, WORK / "inputs.npz", count, ROWS, LENGTH)
    few = models.histories(model, WORK / "inputs-8.npz", 8, ROWS, LENGTH)
    print(f"HSTU of width 256, 8 layers, {count} batches of {ROWS}x{LENGTH}, {THREADS} threads")
    plain = told("plain run, all values as outputs", best(3, lambda: peer("plain", model, data, count, THREADS)))
    everything = ["--calibration-out", WORK / "ranges.json"]
    for name in "Entropy", "Percentile", "MinMax":
        method = ["--method", name.lower()]
        mine = told(f"onr quantize --method {name.lower()}", best(3, lambda: ours(model, data, *method)))
        full = lambda: ours(model, data, *method, *everything)
        whole = told("  the same, ranges of all values", best(3, full))
        batches = affordable(name, model, count)
        peers = lambda: peer("static", name, model, data, batches, THREADS, WORK / "peer.onnx")
        theirs = best(2, peers)
        told(f"quantize_static, {name}, {batches} batches", theirs)
        fewer = models.histories(model, WORK / "few.npz", batches, ROWS, LENGTH)
        same = mine if batches == count else best(3, lambda: ours(model, fewer, *method))
        wanted = "" if name == "MinMax" else " (wanted: 5)"
        memory = "" if name == "MinMax" else " (wanted: 0.1)"
        print(f"    against quantize_static: {ratio(theirs, same)} times faster{wanted},"
              f" {same['memory'] / theirs['memory']:.3f} of its memory{memory}")
        print(f"    against the plain run: {ratio(mine, plain)} times its time,"
              f" {ratio(whole, plain)} with ranges of all values (wanted: 1.3)")
    short = told("onr quantize, 8 batches", ours(model, few))
    long = told(f"onr quantize, {count} batches", ours(model, data))
    print(f"    memory of {count} batches against 8: {long['memory'] / short['memory']:.2f} times (wanted: 1)")


def large() -> None:
    model, data = models.large(WORK / "large")
    size = sum(file.stat().st_size for file in (WORK / "large").iterdir())
    print(f"a model of {size / 1e9:.2f} GB, 8 batches of 8x16")
    done = told("onr quantize --method minmax", ours(model, data))
    print(f"    peak resident memory: {done['memory'] / 1e9:.2f} GB (wanted: at most 1.5)")
    shutil.rmtree(WORK / "large")


def main() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    compare(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
    large()


if __name__ == "__main__":
    main()
