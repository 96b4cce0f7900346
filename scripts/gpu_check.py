"""Everything that needs a GPU, in one go and without a network; writes docs/gpu-results.md.

    make gpu-check                              on a machine with a GPU, in a checkout where `make engine` ran
    python3 scripts/gpu_check.py pack           elsewhere: build/gpu-check, to be carried to a machine with a GPU
    python3 scripts/gpu_check.py run            there, beside what was packed
    python3 scripts/gpu_check.py run --backend ort --quick --out FILE
                                                a rehearsal without a GPU

A step that fails is a row that says why; the others go on. Needs Python alone.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACK = ROOT / "build" / "gpu-check"
DEMO = ROOT / "build" / "ml-100k"
# The whole script stays below ten minutes.
LIMIT = 560
# Archives are cut into parts of this size.
PART = 60 << 20

MODEL = """[model]
n_items = {items}
n_actions = 4
d_model = {width}
n_heads = {heads}
n_layers = {layers}
n_rank_layers = {rank}
max_seq_len = {length}
attention = "hstu"
tasks = ["impression", "click", "conversion", "value"]
n_fake_items = 8
rel_pos_buckets = 128
time_buckets = 64
layer_norm_eps = 1e-5
temperature = 0.1
"""
# Random weights at published shapes. `wide`: generative-recommenders #530 (5 layers, width 512, 4 heads of 128, batch
# 32, about 1024 behaviours, 2048 candidates; 9.30 ms on one H100 in BF16). `long`: 4096 behaviours, 256 candidates.
SHAPES = {
    "wide": (dict(items=100_000, width=512, heads=4, layers=5, rank=2, length=1024), ["32"], "2048"),
    "long": (dict(items=100_000, width=512, heads=4, layers=8, rank=2, length=4096), ["1", "8"], "256"),
}
QUICK = {"wide": (dict(items=1000, width=64, heads=4, layers=3, rank=1, length=64), ["2"], "32")}


class Check:
    def __init__(self, args):
        self.args, self.rows, self.began, self.pages = args, [], time.monotonic(), []
        self.cache = tempfile.mkdtemp(prefix="gpu-check-")
        self.onr = pathlib.Path(os.environ.get("ONR", find_program()))
        self.shapes = QUICK if args.quick else SHAPES
        self.seconds = "0.2" if args.quick else "2"

    def left(self):
        return max(1, LIMIT - (time.monotonic() - self.began))

    def run(self, *words):
        """Runs the program; what it prints as JSON, its exit code, its last words and the seconds it took."""
        words = [str(self.onr), *map(str, words), "--json"]
        began = time.monotonic()
        # Kernels of an earlier check would hide what a cold start costs.
        env = os.environ | {"XDG_CACHE_HOME": self.cache}
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=self.left(), cwd=ROOT, env=env)
        except subprocess.TimeoutExpired:
            return None, 124, "no time was left", time.monotonic() - began
        seconds = time.monotonic() - began
        try:
            found = json.loads(done.stdout)
        except json.JSONDecodeError:
            found = None
        return found, done.returncode, last_words(found, done), seconds

    def row(self, what, outcome, detail):
        self.rows.append((what, outcome, detail))
        print(f"{what}: {outcome}. {detail}", flush=True)

    # The steps

    def parity(self, name, backend=None):
        backend = backend or self.args.backend
        found, code, words, seconds = self.run(
            "parity", PACK / name, "--requests", PACK / "requests.jsonl", "--limit", 64, "--candidate", backend)
        if found is None or code not in (0, 4):
            return self.row(f"parity, {name}, {backend}", "did not run", words)
        counts = found["counts"]
        self.row(f"parity, {name}, {backend}", "holds" if code == 0 else "FAILS",
                 f"{counts['passed']} checks passed, {counts['failed']} failed, {seconds:.1f} s")

    def bench(self, name, batches, length, candidates, backend=None):
        backend = backend or self.args.backend
        found, code, words, _ = self.run(
            "bench", PACK / name, "--backend", backend, "--batch", ",".join(batches), "--length", length,
            "--candidates", candidates, "--seconds", self.seconds, "--warmup", "0.5")
        if code != 0:
            return self.row(f"latency, {name}, {backend}", "did not run", words)
        again = None if backend.startswith("ort") else self.run(
            "bench", PACK / name, "--backend", backend, "--batch", batches[0], "--length", length, "--candidates", candidates,
            "--seconds", "0.05", "--warmup", "0")[0]
        for at, opened in enumerate(found["opened"]):
            built = opened["build_seconds"]
            words = f"first run {opened['first_seconds']:.3f} s" + ("" if built is None else f"; built in {built:.1f} s")
            if again:
                warm = again["opened"][at]
                words += f"; with the kernels of the first time {warm['open_seconds']:.3f} s, first run {warm['first_seconds']:.3f} s"
            self.row(f"{name}, {opened['graph']}, {backend}, opened", f"{opened['open_seconds']:.3f} s", words)
        memory = found["memory"]
        if memory["device"] is not None:
            self.row(f"{name}, {backend}, memory of the GPU", f"{memory['device'] / 1e6:.0f} MB", "with everything below at most")
        for run in found["runs"]:
            size = f"{run['batch']} x {run['length']}, {run['candidates']} candidates"
            for what, m in run["measured"].items():
                latency = m["latency"]
                self.row(f"{name}, {what}, {size}, {backend}", f"{latency['p50_ms']:.3f} ms",
                         f"p90 {latency['p90_ms']:.3f}, p99 {latency['p99_ms']:.3f} ms, {m['gflops']:.0f} GFLOP/s")
            share = (run["speed_up"] - 1) / max(1e-9, run["counted_speed_up"] - 1)
            self.row(f"{name}, cached against full, {size}, {backend}", f"{run['speed_up']:.2f} x",
                     f"counted operations allow {run['counted_speed_up']:.2f}; speed-up over it {run['speed_up'] / run['counted_speed_up']:.2f}, gains {share:.2f}")

    def side_by_side(self, name, sizes, dtype):
        """PyTorch on the same GPU, where there is one that sees it."""
        out = PACK / f"side-by-side-{name}.json"
        seconds, cuda = self.seconds, not self.args.backend == "ort"
        script = [sys.executable, ROOT / "bench/side_by_side.py", PACK / name, "--model", PACK / f"{name}.toml",
                  "--weights", PACK / f"{name}.safetensors", "--backend", self.args.backend, "--device", "cuda" if cuda else "cpu",
                  "--dtype", dtype if cuda else "float32", "--rounds", 2, "--seconds", seconds, "--json", out, *sizes]
        env = os.environ | {"ONR": str(self.onr), "XDG_CACHE_HOME": self.cache}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), str(PACK / "python")]))
        try:
            done = subprocess.run([str(w) for w in script], capture_output=True, text=True, env=env, timeout=self.left(), cwd=ROOT)
        except subprocess.TimeoutExpired:
            return self.row(f"beside PyTorch, {name}", "did not run", "no time was left")
        if done.returncode:
            return self.row(f"beside PyTorch, {name}", "did not run", last_words(None, done))
        self.row(f"beside PyTorch, {name}", "below", f"PyTorch {json.loads(out.read_text())['torch']}")
        self.pages.append(f"## {name}\n\n" + done.stdout.replace("# Beside PyTorch", "### Beside PyTorch", 1))

    def make(self, name, target):
        """Plans of random weights at a published shape, here: they are too large to be carried."""
        sizes, batches, candidates = self.shapes[name]
        model, weights, most, length = PACK / f"{name}.toml", PACK / f"{name}.safetensors", max(map(int, batches)), sizes["length"]
        model.write_text(MODEL.format(**sizes))
        profile = f"batch=1:{most}:{most},seq=1:{length}:{length},kv=1:{length}:{length},candidates=1:{candidates}:{candidates}"
        base = ["--model", model, "--weights", weights, "--precision", "fp16", "--graphs", "encode,generate,rank", "--profile", profile]
        self.run("init", "--model", model, "--seed", 0, "--out", weights)
        # TensorRT for RTX may not know this GPU; then plans for those that it does know, which this one may run or not.
        for more in [["--target", target]] * bool(target) + [[]]:
            _, code, words, seconds = self.run("build-engine", *base, *more, "--out", PACK / name)
            self.row(f"{name}, plans for {more[-1] if more else 'the usual GPUs'}", "built" if code == 0 else f"code {code}", words if code else f"{seconds:.1f} s")
            if code == 0:
                return True
        return False

    def refit(self, target):
        base = ["--model", PACK / "model.toml", "--target", target, "--refit", "--precision", "fp16"]
        out = PACK / "refittable"
        found, code, words, seconds = self.run(
            "build-engine", *base, "--weights", PACK / "weights.safetensors", "--requests", PACK / "requests.jsonl", "--out", out)
        if code != 0:
            return self.row("refit", "no refittable plans", words)
        self.run("init", "--model", PACK / "model.toml", "--seed", 7, "--out", PACK / "other.safetensors")
        found, code, words, _ = self.run("refit", out, "--weights", PACK / "other.safetensors")
        if found is None or code not in (0, 4):
            return self.row("refit", "did not run", words)
        for plan in found["plans"]:
            ratio = plan["seconds"] / max(1e-9, plan["build_seconds"])
            self.row(f"refit, {plan['graph']}", "proved" if found["passed"] else "FAILS",
                     f"{plan['seconds']:.3f} s, {ratio:.2f} of the build's {plan['build_seconds']:.3f} s")

    def all(self):
        found, *_ = self.run("doctor")
        gpu = (found or {}).get("gpu", {})
        self.machine = gpu.get("version") or "no GPU: " + gpu.get("what", "?")
        if gpu.get("state") != "ready" and self.args.backend.startswith("tensorrt"):
            print(f"there is no GPU here: {gpu.get('what')}")
            print("`scripts/gpu_check.py pack` makes what a machine with one needs")
            return False
        unpack()
        target = gpu["version"].split(", ")[1] if self.args.backend.startswith("tensorrt") else None
        for name in sorted(d.name for d in PACK.iterdir() if (d / "onr.json").exists() and d.name.startswith("demo-")):
            self.parity(name)
        self.bench("demo-fp16", ["1", "8"], "200" if not self.args.quick else "20", "256")
        if self.args.backend.startswith("tensorrt"):
            self.bench("demo-fp16", ["1", "8"], "200", "256", backend="ort")
            # Where ONR_ONNXRUNTIME names a library with a CUDA provider.
            self.parity("demo-fp32", "ort-cuda")
            self.bench("demo-fp16", ["1", "8"], "200", "256", backend="ort-cuda")
            self.refit(target)
        for name, (_, batches, candidates) in self.shapes.items():
            if self.make(name, target):
                length = str(self.shapes[name][0]["length"])
                self.bench(name, batches, length, candidates)
                if self.args.backend.startswith("tensorrt"):
                    self.bench(name, batches, length, candidates, backend="ort-cuda")
                if name == "wide":
                    sizes = ["--batch", batches[-1], "--length", length, "--candidates", candidates]
                    self.side_by_side(name, sizes, "float16")
        found, code, words, seconds = self.run(
            "serve-check", PACK / "demo-fp16", "--interactions", PACK / "ml-100k.inter", "--actions",
            "rating>=5:3,rating>=4:2,*:1", "--after", 50, "--limit", 200 if self.args.quick else 2000,
            "--candidate", self.args.backend)
        self.row("serve-check, demo-fp16", "holds" if code == 0 else f"code {code}", words if code else f"{seconds:.1f} s")
        return True

    def write(self):
        lines = ["# Results on a GPU", "",
                 f"`make gpu-check`, backend `{self.args.backend}`, {time.monotonic() - self.began:.0f} s.", "",
                 f"- {self.machine}", f"- {platform.processor() or platform.machine()}, {os.cpu_count()} cores", "",
                 "| step | outcome | |", "| --- | --- | --- |"]
        lines += [f"| {what} | {outcome} | {detail} |" for what, outcome, detail in self.rows]
        for page in self.pages:
            lines += ["", page.rstrip()]
        pathlib.Path(self.args.out).write_text("\n".join(lines) + "\n")
        print(f"wrote {self.args.out}")


def last_words(found, done):
    """Why it failed: the program says so as JSON too."""
    said = (found or {}).get("error") if isinstance(found, dict) else None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return (said or (lines or [f"exit code {done.returncode}"])[-1])[:300].replace("|", "/").replace("\n", " ")


def find_program():
    packed, built = PACK / "bin" / "onr", ROOT / "target" / "release" / "onr"
    return packed if packed.exists() else built


def pack(args):
    """Plans, data, the program and its libraries: nothing else is needed."""
    onr = ROOT / "target" / "release" / "onr"
    PACK.mkdir(parents=True, exist_ok=True)

    def run(*words):
        subprocess.run([str(onr), *map(str, words)], check=True, cwd=ROOT)

    trained = DEMO / "trained"
    for name in ("model.toml", "weights.safetensors"):
        shutil.copy(trained / name, PACK / name)
    shutil.copy(DEMO / "requests.jsonl", PACK / "requests.jsonl")
    shutil.copy(ROOT / ".onr/data/ml-100k/ml-100k.inter", PACK / "ml-100k.inter")
    whole = ["--model", PACK / "model.toml", "--weights", PACK / "weights.safetensors"]
    ask = ["--requests", PACK / "requests.jsonl"]
    run("export", *whole, "--out", PACK / "plain")
    run("calibrate", PACK / "plain", *ask, "--out", PACK / "calibration.json")
    for precision in ("fp32", "fp16", "int8", "fp8"):
        more = ["--calibration", PACK / "calibration.json"] if precision in ("int8", "fp8") else []
        run("build-engine", *whole, *ask, "--precision", precision, *more, "--out", PACK / f"demo-{precision}")
    for target in ("sm80",):
        run("build-engine", *whole, *ask, "--precision", "fp16", "--target", target, "--out", PACK / f"demo-fp16-{target}")
    if args.archive:
        archive()


def archive():
    """Parts of at most 60 MB, for machines that are reached piece by piece; `run` puts them together."""
    parts = PACK / "parts"
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    venv = next((ROOT / ".onr/venv/lib").glob("python*/site-packages"))
    libraries = [next((venv / "tensorrt_rtx_libs").glob("libtensorrt_rtx.so.*")),
                 next((venv / "tensorrt_rtx_libs").glob("libtensorrt_onnxparser_rtx.so.*")),
                 next((venv / "onnxruntime/capi").glob("libonnxruntime.so.1*"))]
    stage = PACK / "bin"
    stage.mkdir(exist_ok=True)
    shutil.copy(ROOT / "target/release/onr", stage / "onr")
    subprocess.run(["strip", str(stage / "onr")], check=True)
    # PyTorch is too large to be carried; what reads its weights is not.
    shutil.copytree(venv / "safetensors", PACK / "python" / "safetensors", dirs_exist_ok=True)
    (PACK / "lib").mkdir(exist_ok=True)
    for library in libraries:
        shutil.copy(library, PACK / "lib" / library.name)
    kept = [p.name for p in PACK.iterdir() if p.name != "parts"]
    shell = f"tar c {' '.join(sorted(kept))} | xz -T2 -6 | split -b {PART} - parts/part-"
    subprocess.run(["bash", "-ec", "set -o pipefail; " + shell], check=True, cwd=PACK)
    for part in sorted(parts.iterdir()):
        print(part.name, part.stat().st_size)


def unpack():
    parts = PACK / "parts"
    if parts.exists() and not (PACK / "demo-fp16").exists():
        subprocess.run(["bash", "-ec", "set -o pipefail; cat parts/part-* | xz -d | tar x"], check=True, cwd=PACK)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pack", "run"])
    parser.add_argument("--backend", default="tensorrt-rtx")
    parser.add_argument("--quick", action="store_true", help="small shapes: a rehearsal")
    parser.add_argument("--archive", action="store_true", help="with pack: program and libraries too, in parts")
    parser.add_argument("--out", default=str(ROOT / "docs" / "gpu-results.md"))
    args = parser.parse_args()
    if args.what == "pack":
        return pack(args)
    unpack()
    check = Check(args)
    if not check.all():
        raise SystemExit(3)
    check.write()


if __name__ == "__main__":
    main()
