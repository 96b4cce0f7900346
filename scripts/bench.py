#!/usr/bin/env python3
"""Benchmarks: whole processes, each beside a peer, as ratios. `make bench` runs them all.

    bench.py [export] [engine] [large]

export  a 4 GB checkpoint through `onr export`, against `cp` and `sync` of the same file
engine  the demo's `build-engine`: what is spent outside TensorRT and the backends
large   a 1 GB checkpoint through all of `build-engine`: peak memory

Needs some 15 GB of disk and 10 GB of memory. Prints what docs/benchmarks.md records.
"""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ONR = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "onr"
WORK = ROOT / "build" / "bench"


def model(items: int) -> str:
    """A model whose item table is nearly all of it: 256 floats an item."""
    return f"""[model]
n_items = {items}
n_actions = 4
d_model = 256
n_heads = 4
n_layers = 4
n_rank_layers = 2
max_seq_len = 256
attention = "hstu"
tasks = ["impression", "click", "conversion", "value"]
n_fake_items = 32
rel_pos_buckets = 128
time_buckets = 64
layer_norm_eps = 1e-5
temperature = 0.05
"""


def memory(pid: int) -> tuple[int, int]:
    """Resident anonymous and total memory of a process, in bytes."""
    fields = {}
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            fields[name] = value.split()
    except FileNotFoundError:
        return 0, 0
    read = lambda name: int(fields[name][0]) * 1024 if name in fields else 0
    return read("RssAnon"), read("VmRSS")


def run(*command: object) -> dict:
    """Runs a command to its end: seconds, peak memory (sampled), standard output."""
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=subprocess.STDOUT)
        anonymous = resident = 0
        while process.poll() is None:
            a, r = memory(process.pid)
            anonymous, resident = max(anonymous, a), max(resident, r)
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        out.seek(0)
        text = out.read()
    if process.returncode != 0:
        sys.exit(f"{command}: exit {process.returncode}\n{text}")
    return {"seconds": seconds, "anonymous": anonymous, "resident": resident, "text": text}


def checkpoint(name: str, items: int) -> tuple[Path, Path]:
    """A random checkpoint, made once."""
    toml, weights = WORK / f"{name}.toml", WORK / f"{name}.safetensors"
    toml.write_text(model(items))
    if not weights.exists():
        run(ONR, "init", "--model", toml, "--out", weights)
    return toml, weights


def spread(values: list[float], unit: str = "") -> str:
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:.2f}{unit} ({low:.2f} to {high:.2f})"


def bench_export() -> None:
    toml, weights = checkpoint("4gb", 4_000_000)
    graphs, copy = WORK / "graphs", WORK / "copy.safetensors"
    ratios, exports, copies, peak = [], [], [], 0
    for _ in range(5):
        subprocess.run(["sync"], check=True)
        began = time.perf_counter()
        subprocess.run(["cp", weights, copy], check=True)
        subprocess.run(["sync"], check=True)
        copies.append(time.perf_counter() - began)
        copy.unlink()
        shutil.rmtree(graphs, ignore_errors=True)
        subprocess.run(["sync"], check=True)
        done = run(ONR, "export", "--model", toml, "--weights", weights, "--out", graphs)
        exports.append(done["seconds"])
        ratios.append(exports[-1] / copies[-1])
        peak = max(peak, done["anonymous"])
    shutil.rmtree(graphs)
    size = weights.stat().st_size / 1e9
    print(f"export of {size:.1f} GB: {spread(exports, ' s')}, cp and sync: {spread(copies, ' s')}")
    print(f"  ratio, pair by pair: {spread(ratios)}; at most 2 is wanted")
    print(f"  peak anonymous memory: {peak / 1e6:.0f} MB; at most 256 is wanted")


def bench_engine() -> None:
    out = ROOT / "build" / "ml-100k"
    command = [ONR, "--json", "build-engine", "--model", ROOT / "models/ml-100k.toml"]
    command += ["--weights", out / "trained" / "weights.safetensors", "--requests", out / "requests.jsonl"]
    command += ["--out", WORK / "engine"]
    outside, bounds = [], []
    for _ in range(5):
        shutil.rmtree(WORK / "engine", ignore_errors=True)
        done = run(*command)
        manifest = json.loads(done["text"])["manifest"]
        parity = manifest["parity"]
        inside = parity["reference_seconds"] + parity["candidate_seconds"]
        inside += sum(e["seconds"] for e in manifest["engines"].values())
        outside.append(done["seconds"] - inside)
        began = time.perf_counter()
        for file in manifest["files"]:
            hashlib.sha256((WORK / "engine" / file).read_bytes()).hexdigest()
        hashlib.sha256((out / "trained" / "weights.safetensors").read_bytes()).hexdigest()
        bounds.append(1 + 2 * (time.perf_counter() - began))
    print(f"the demo's build-engine outside TensorRT and the backends: {spread(outside, ' s')}")
    print(f"  wanted: at most 1 s and twice the hashing, {spread(bounds, ' s')}")


def bench_large() -> None:
    toml, weights = checkpoint("1gb", 1_000_000)
    done = run(ONR, "build-engine", "--model", toml, "--weights", weights, "--out", WORK / "large")
    shutil.rmtree(WORK / "large")
    size = weights.stat().st_size / 1e9
    print(f"build-engine of {size:.1f} GB: {done['seconds']:.0f} s")
    print(f"  peak resident memory: {done['resident'] / 1e9:.1f} GB ({done['anonymous'] / 1e9:.1f} anonymous); at most 8 is wanted")


def main() -> None:
    benches = {"export": bench_export, "engine": bench_engine, "large": bench_large}
    names = sys.argv[1:] or list(benches)
    if unknown := [n for n in names if n not in benches]:
        sys.exit(f"bench.py: no benchmark `{unknown[0]}`; there are {', '.join(benches)}")
    WORK.mkdir(parents=True, exist_ok=True)
    for name in names:
        benches[name]()


if __name__ == "__main__":
    main()
