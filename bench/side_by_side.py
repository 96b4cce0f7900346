#!/usr/bin/env python3
"""A directory of graphs or plans beside PyTorch: the same model, the same sizes, the same device, in turns.

    side_by_side.py build/engine --model model.toml --weights weights.safetensors --backend ort --device cpu
    side_by_side.py build/engine --model … --weights … --backend tensorrt-rtx --backend ort --device cuda --dtype float16

First the PyTorch model is recorded and `onr parity --golden` judges the directory by the recording: peers that compute something else
are no peers. Then, round after round, `onr bench` and PyTorch run each graph; figures are medians of the rounds' medians.
Copies of ids to the device and of scores back are in all of them; keys and values stay on the device.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from oneranker_torch import OneRanker, random_requests

ROOT = Path(__file__).resolve().parent.parent
ONR = Path(os.environ.get("ONR", ROOT / "target" / "release" / "onr"))
GRAPHS = {"encode": ["encode"], "generate": ["generate"], "rank": ["rank"],
          "cached": ["generate", "rank"], "full": ["encode", "generate", "rank"]}


@dataclass
class Size:
    batch: int
    length: int
    candidates: int

    def __str__(self) -> str:
        return f"{self.batch} x {self.length}, {self.candidates} candidates"


class Peer:
    """PyTorch at one size, eager or compiled."""

    def __init__(self, model: OneRanker, device: str, dtype: torch.dtype, compile_mode: str | None):
        self.device, self.stages = device, {}
        self.model = model.to(device=device, dtype=dtype)
        for name in ("encode", "generate", "rank"):
            stage = getattr(self.model, name)
            self.stages[name] = torch.compile(stage, mode=compile_mode, dynamic=False) if compile_mode else stage

    def prepare(self, size: Size) -> None:
        """Requests of full histories, and what each stage needs of those before it."""
        self.asked = random_requests(self.model.config, size.batch, size.length, size.candidates)
        self.asked["seq_lens"] = torch.full((size.batch,), size.length)
        if self.device != "cpu":
            self.asked = {name: tensor.pin_memory() for name, tensor in self.asked.items()}
        self.past = own(self.run("encode"))
        self.generated = own(self.run("generate"))
        self.run("rank")

    def run(self, stage: str):
        """One stage: ids from the host, results on the device, scores back on the host."""
        asked = {name: tensor.to(self.device, non_blocking=True) for name, tensor in self.asked.items() if name in NEEDS[stage]}
        if stage == "encode":
            return self.stages[stage](**asked)
        if stage == "generate":
            return self.stages[stage](self.past, **asked)
        states, users, prompt = self.generated
        past = self.past[len(self.past) - len(prompt) :]
        return [tensor.cpu() for tensor in self.stages[stage](past=past, prompt=prompt, task_states=states, user_embeddings=users, **asked)]

    def once(self, stages: list[str]) -> float:
        began = time.perf_counter()
        for stage in stages:
            torch.compiler.cudagraph_mark_step_begin()
            self.run(stage)
        if self.device != "cpu":
            torch.cuda.synchronize()
        return 1e3 * (time.perf_counter() - began)

    def median(self, stages: list[str], seconds: float) -> float:
        self.once(stages)
        found, until = [], time.perf_counter() + seconds
        while len(found) < 3 or time.perf_counter() < until:
            found.append(self.once(stages))
        return statistics.median(found)


NOW = {"seq_lens", "timestamps", "request_time"}
NEEDS = {"encode": {"item_ids", "action_ids", "timestamps", "seq_lens"}, "generate": NOW, "rank": NOW | {"candidate_ids"}}


def own(found):
    """Tensors that no later run overwrites: runs recorded as CUDA graphs reuse their outputs."""
    if torch.is_tensor(found):
        return found.clone()
    return type(found)(own(one) for one in found)


def onr(*words) -> dict:
    done = subprocess.run([str(ONR), *map(str, words), "--json"], capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)
    except json.JSONDecodeError:
        found = {}
    if done.returncode:
        said = found.get("error") or (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise SystemExit(f"onr {words[0]}: {said}")
    return found


def judge(args, model: OneRanker) -> dict:
    """The directory against a recording of the PyTorch model, on each backend."""
    with tempfile.TemporaryDirectory() as scratch:
        golden = Path(scratch) / "golden.safetensors"
        script = Path(__file__).with_name("oneranker_torch.py")
        words = ["--model", args.model, "--weights", args.weights, "--golden", golden,
                 "--candidates", min(64, model.config.n_items - 1)]
        subprocess.run([sys.executable, script, *map(str, words)], check=True)
        counts = {}
        for backend in args.backend:
            found = onr("parity", args.dir, "--golden", golden, "--weights", args.weights, "--candidate", backend, "--limit", 4)
            counts[backend] = found["counts"]
    return counts


@dataclass
class Peaks:
    """What the device does at best: products a second, and bytes read and written by a copy."""

    flops: float = 0.0
    bytes: float = 0.0

    @classmethod
    def measure(cls, device: str, dtype: torch.dtype, seconds: float) -> Peaks:
        wait = torch.cuda.synchronize if device != "cpu" else lambda: None
        best = cls()
        for side in (1024, 2048) if device == "cpu" else (4096, 8192):
            a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
            best.flops = max(best.flops, 2 * side**3 / fastest(lambda: a @ b, wait, seconds))
        big = torch.empty((1 << 28) if device == "cpu" else (1 << 30), dtype=torch.uint8, device=device)
        other = torch.empty_like(big)
        best.bytes = 2 * big.numel() / fastest(lambda: other.copy_(big), wait, seconds)
        return best


def fastest(call, wait, seconds: float) -> float:
    call(), wait()
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        call(), wait()
        best = min(best, time.perf_counter() - began)
    return best


@dataclass
class Results:
    sizes: list[Size]
    peers: list[str]
    # [size][graph][peer], milliseconds, one a round
    times: dict = field(default_factory=dict)
    # [size][graph]: operations and bytes of a run
    counted: dict = field(default_factory=dict)
    compile_seconds: dict = field(default_factory=dict)
    memory: dict = field(default_factory=dict)

    def add(self, size: Size, graph: str, peer: str, milliseconds: float) -> None:
        self.times.setdefault(str(size), {}).setdefault(graph, {}).setdefault(peer, []).append(milliseconds)


def measure(args, model: OneRanker) -> Results:
    sizes = [Size(b, l, c) for b in args.batch for l in args.length for c in args.candidates]
    dtype = getattr(torch, args.dtype)
    modes = {"PyTorch eager": None, "torch.compile": "default"}
    if args.device != "cpu":
        modes["torch.compile, CUDA graphs"] = "reduce-overhead"
    results = Results(sizes, [*(f"onr, {b}" for b in args.backend), *modes])
    for size in sizes:
        peers = {}
        for name, mode in modes.items():
            torch.compiler.reset()
            began = time.perf_counter()
            peers[name] = Peer(OneRanker.load(args.model, args.weights), args.device, dtype, mode)
            peers[name].prepare(size)
            results.compile_seconds.setdefault(str(size), {})[name] = time.perf_counter() - began
        for _ in range(args.rounds):
            for backend in args.backend:
                found = onr("bench", args.dir, "--backend", backend, "--batch", size.batch, "--length", size.length,
                            "--candidates", size.candidates, "--seconds", args.seconds, "--warmup", args.seconds / 4)
                for graph, m in found["runs"][0]["measured"].items():
                    results.add(size, graph, f"onr, {backend}", m["latency"]["p50_ms"])
                    results.counted.setdefault(str(size), {})[graph] = {"operations": m["operations"], "bytes": m["bytes"]}
                results.memory[f"onr, {backend}"] = found["memory"]
            for name, peer in peers.items():
                for graph, stages in GRAPHS.items():
                    results.add(size, graph, name, peer.median(stages, args.seconds))
        print(f"measured {size}", file=sys.stderr)
    return results


def medians(results: Results) -> dict:
    return {size: {graph: {peer: statistics.median(times) for peer, times in by_peer.items()} for graph, by_peer in graphs.items()}
            for size, graphs in results.times.items()}


def attainable(counted: dict, peaks: Peaks) -> float:
    """Milliseconds below which the device cannot come: its products, or its memory."""
    return 1e3 * max(counted["operations"] / peaks.flops, counted["bytes"] / peaks.bytes)


def page(found: dict, plot: str | None) -> str:
    """The results in Markdown."""
    peers, peaks = found["peers"], Peaks(**found["peaks"])
    lines = ["# Beside PyTorch", "",
             "Made by `make bench-torch`. One process after the other on the same device, in turns; `bench/oneranker_torch.py` is the peer's model. "
             "`cached` is `generate` and `rank` with keys and values that are there, `full` has `encode` as well.", "",
             f"{found['machine']}; {found['dtype']}; PyTorch {found['torch']}; medians of {found['rounds']} rounds in turns. "
             f"Peaks measured here: {peaks.flops / 1e9:,.0f} GFLOP/s in products, {peaks.bytes / 1e9:,.1f} GB/s in copies.", ""]
    for backend, counts in found["parity"].items():
        lines += [f"`onr parity --golden` of PyTorch's recording on `{backend}`: {counts['passed']} checks passed, {counts['failed']} failed.", ""]
    fast = peers[0]
    head = ["size", "what", *(f"{p}, ms" for p in peers), f"{fast} against the best PyTorch", f"share of the roofline, {fast}"]
    lines += ["| " + " | ".join(head) + " |", "| --- | --- |" + " ---: |" * (len(head) - 2)]
    for size, graphs in found["medians"].items():
        for graph, by_peer in graphs.items():
            best = min(t for p, t in by_peer.items() if not p.startswith("onr"))
            share = attainable(found["counted"][size][graph], peaks) / by_peer[fast]
            lines.append("| " + " | ".join([size, graph, *(f"{by_peer[p]:.3f}" for p in peers), f"{best / by_peer[fast]:.2f} x", f"{share:.0%}"]) + " |")
    if plot:
        lines += ["", f"![latencies and roofline]({plot})"]
    return "\n".join(lines) + "\n"


def draw(found: dict, out: Path) -> bool:
    """Latencies by size, and each graph under the roofline. False where there is no matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "onr"
    from matplotlib import pyplot

    peers, sizes, peaks = found["peers"], list(found["medians"]), Peaks(**found["peaks"])
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 4.8), constrained_layout=True)
    wide = 0.8 / len(peers)
    for at, peer in enumerate(peers):
        bars = [found["medians"][size]["full"][peer] for size in sizes]
        left.bar([i + (at - (len(peers) - 1) / 2) * wide for i in range(len(sizes))], bars, wide, label=peer)
    left.set(yscale="log", ylabel="ms", title="A request from scratch: encode, generate, rank")
    left.set_xticks(range(len(sizes)), [s.replace(", ", "\n") for s in sizes])
    left.legend(fontsize=8)
    least, most = 0.1, 1e4
    xs = [least * (most / least) ** (i / 100) for i in range(101)]
    right.plot(xs, [min(peaks.flops, x * peaks.bytes) / 1e9 for x in xs], color="black", linewidth=1)
    for graph, marker in zip(("encode", "generate", "rank"), "osD"):
        for at, peer in enumerate(peers):
            points = [(c["operations"] / c["bytes"], c["operations"] / found["medians"][size][graph][peer] / 1e6)
                      for size in sizes for c in [found["counted"][size][graph]]]
            right.scatter(*zip(*points), marker=marker, color=f"C{at}", s=28, label=graph if at == 0 else None)
    right.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="GFLOP/s", title="Under the roofline that was measured")
    right.legend(fontsize=8)
    figure.savefig(out, metadata={"Date": None})
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = lambda text: [int(one) for one in text.split(",")]
    parser.add_argument("dir", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backend", action="append", required=True, help="of `onr bench`; may be repeated, the first is compared")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--batch", type=sizes, default=[1, 8])
    parser.add_argument("--length", type=sizes, default=[200])
    parser.add_argument("--candidates", type=sizes, default=[256])
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="figures to write")
    parser.add_argument("--page", type=Path, help="Markdown to write, and a plot beside it where there is matplotlib")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU here")
    torch.set_grad_enabled(False)
    model = OneRanker.load(args.model, args.weights)
    parity = judge(args, model)
    peaks = Peaks.measure(args.device, getattr(torch, args.dtype), args.seconds)
    results = measure(args, model)
    machine = torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    found = {"machine": machine, "dtype": args.dtype, "torch": torch.__version__, "rounds": args.rounds, "parity": parity,
             "peaks": vars(peaks), "peers": results.peers, "medians": medians(results), "rounds_ms": results.times,
             "counted": results.counted, "compile_seconds": results.compile_seconds, "memory": results.memory}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    plot = args.page and args.page.with_suffix(".svg")
    text = page(found, plot.name if plot and draw(found, plot) else None)
    if args.page:
        args.page.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
