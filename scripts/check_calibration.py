#!/usr/bin/env python3
"""Is `onr quantize` right in ONNX Runtime's own eyes? `make check-calibration`.

Ranges by `minmax` must equal those of `MinMaxCalibrater` to the bit, of every float value, on the `encode` graph of
MovieLens-100k's configuration and on a small model of convolutions. What is written must pass
`onnx.checker`, run on ONNX Runtime, and stay close to the FP32 model. Archives that are packed, other numbers of
threads and ranges read back from a file must give the same bytes.
"""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import calibration_models as models

ROOT = Path(__file__).resolve().parent.parent
ONR = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "onr"
WORK = ROOT / "build" / "check-calibration"
failures: list[str] = []


def run(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{[str(c) for c in command]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def expect(holds: bool, what: str) -> None:
    print(f"  {'ok    ' if holds else 'FAILED'} {what}")
    if not holds:
        failures.append(what)


def bits(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value + 0.0))[0]


def compare_ranges(model: Path, data: Path) -> None:
    """Least and largest value of each tensor, bit by bit; zeros have no sign in either."""
    theirs_file = WORK / "theirs.json"
    run(sys.executable, Path(__file__).with_name("calibration_peer.py"), "minmax", model, data, 2, theirs_file)
    theirs = json.loads(theirs_file.read_text())
    ours = json.loads((WORK / "ranges.json").read_text())["calibration"]["graphs"]["model"]["tensors"]
    unsigned = lambda code: 0 if code == 1 << 31 else code
    wrong = []
    for name, (low, high) in theirs.items():
        if name not in ours:
            wrong.append(f"{name} is not there")
            continue
        found = [bits(ours[name][end]) for end in ("min", "max")]
        if found != [unsigned(low), unsigned(high)]:
            wrong.append(f"{name}: {found} instead of {[low, high]}")
    more = f"; {wrong[0]}" if wrong else ""
    expect(not wrong, f"minmax: {len(theirs)} tensors compared, {len(wrong)} mismatches{more}")


def outputs(model: Path, data: Path, batch: int) -> list[np.ndarray]:
    arrays = np.load(data)
    options = onnxruntime.SessionOptions()
    # As the file says it: ONNX Runtime 1.31 rewrites products of FP8 into integer ones, which it then
    # refuses, and drops a Relu in front of a QuantizeLinear to FP8, which changes the numbers.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: arrays[name][batch] for name in arrays.files})


def closeness(model: Path, changed: Path, data: Path) -> float:
    """The least cosine of an output with that of the model in FP32, over all batches."""
    least = 1.0
    for batch in range(len(next(iter(np.load(data).values())))):
        for want, got in zip(outputs(model, data, batch), outputs(changed, data, batch), strict=True):
            a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
            if norm := np.linalg.norm(a) * np.linalg.norm(b):
                least = min(least, float(a @ b / norm))
    return least


def check(model: Path, data: Path) -> None:
    print(model.name)
    for stale in WORK.glob("**/*.data"):
        if stale.name.startswith("changed"):
            stale.unlink()
    quantize = [ONR, "quantize", "--onnx", model]
    out, ranges = WORK / "changed.onnx", WORK / "ranges.json"
    for precision, method, bound in [
        ("int8", "minmax", 0.99),
        ("int8", "percentile=99.999", 0.99),
        ("int8", "entropy", 0.95),
        ("int8", "mse", 0.99),
        ("fp8", "minmax", 0.99),
        ("fp8", "mse", 0.99),
    ]:
        words = ["--data", data, "--calibration-out", ranges]
        run(*quantize, *words, "--precision", precision, "--method", method, "--out", out)
        onnx.checker.check_model(out, full_check=True)
        least = closeness(model, out, data)
        expect(least >= bound, f"{precision} {method}: checked, runs, cosine {least:.4f} (at least {bound})")
    compare_ranges(model, data)
    again = WORK / "again" / out.name
    run(*quantize, "--calibration", ranges, "--precision", "fp8", "--method", "mse", "--out", again)
    same = lambda: all(file.read_bytes() == (again.parent / file.name).read_bytes() for file in written())
    written = lambda: [f for f in (out, Path(f"{out}.data")) if f.exists()]
    expect(same(), "ranges from a file: the same bytes")
    arrays, packed = np.load(data), WORK / "packed.npz"
    for save, name in (np.savez_compressed, "packed"), (np.savez, "plain"):
        save(packed, **{n: arrays[n] for n in arrays.files})
        words = ["--data", packed, "--threads", 1, "--precision", "fp8", "--method", "mse"]
        run(*quantize, *words, "--out", again)
        expect(same(), f"a {name} archive and one thread: the same bytes")
    for precision in "fp16", "bf16":
        run(ONR, "cast", "--onnx", model, "--data", data, "--precision", precision, "--out", out)
        onnx.checker.check_model(out, full_check=True)
        if precision == "fp16":
            least = closeness(model, out, data)
            expect(least >= 0.9999, f"cast to fp16: checked, runs, cosine {least:.6f} (at least 0.9999)")
        else:
            expect(True, "cast to bf16: checked")


def main() -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    encode = models.hstu(ONR, WORK / "ml-100k", (ROOT / "models" / "ml-100k.toml").read_text())
    check(encode, models.histories(encode, WORK / "ml-100k.npz", 6, 3, 40))
    check(*models.small(WORK))
    if failures:
        sys.exit(f"{len(failures)} failures")


if __name__ == "__main__":
    main()
