#!/usr/bin/env python3
"""What each precision costs on MovieLens-100k: trains the model (or takes the study's), calibrates it, exports it in every
precision, compares the order of candidates with FP32 on tract and the places of held-out items, tunes FP8 to a
budget, and writes docs/precision-ml100k.md.

    make precision
    scripts/precision.py --weights run/weights.safetensors
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOG = ROOT / ".onr/data/ml-100k/ml-100k.inter"
MODEL, TRAIN = ROOT / "models/ml-100k.toml", ROOT / "models/ml-100k.train.toml"
OUT = ROOT / "build/precision"
ALL = "uvqk,out,candidate,rank,user"
BUDGET = "top10-overlap>=0.99,kendall>=0.99,dc-shift<=0.02"

VARIANTS = {
    "fp16": ["--precision", "fp16"],
    "bf16": ["--precision", "bf16"],
    "int8": ["--precision", "int8"],
    "int8, out smoothed": ["--precision", "int8", "--quantize", "uvqk,candidate,out", "--smooth", "out=0.5"],
    "int8, out as it is": ["--precision", "int8", "--quantize", "uvqk,candidate,out"],
    "int8, all": ["--precision", "int8", "--quantize", ALL, "--smooth", "out=0.5"],
    "int8, minmax": ["--precision", "int8", "--method", "minmax"],
    "int8, entropy": ["--precision", "int8", "--method", "entropy"],
    "int8, mse": ["--precision", "int8", "--method", "mse"],
    "fp8": ["--precision", "fp8"],
    "fp8, out smoothed": ["--precision", "fp8", "--smooth", "out=0.5"],
    "fp8, products of int8": ["--precision", "fp8", "--quantize", "uvqk,candidate"],
    "fp8, both": ["--precision", "fp8", "--quantize", "uvqk,candidate,out"],
}


# Compared with FP32 on tract, and judged by the places of held-out items.
MAIN = ("fp16", "bf16", "int8", "int8, out smoothed", "fp8", "fp8, out smoothed",
        "fp8, products of int8", "fp8, both")


def onr(*words, fails=()):
    """Runs onr, returns its JSON."""
    program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/onr"
    done = subprocess.run([program, "--json", *map(str, words)], stdout=subprocess.PIPE, cwd=ROOT)
    if done.returncode not in (0, *fails):
        sys.exit(f"onr {' '.join(map(str, words))}: exit code {done.returncode}")
    return json.loads(done.stdout)


def trained(weights):
    """The checkpoint to judge."""
    known = ROOT / "build/study/movielens/oneranker/tie0-seed0/weights.safetensors"
    if weights or known.is_file():
        return pathlib.Path(weights or known)
    run = OUT / "trained"
    onr("train", "--model", MODEL, "--train", TRAIN, "--interactions", LOG, "--tie-seed", 0, "--out", run)
    return run / "weights.safetensors"


def places(weights, graphs):
    """The place of each user's held-out item in the final order."""
    out = OUT / "evaluation.json"
    onr("evaluate", "--model", MODEL, "--weights", weights, "--train", TRAIN, "--interactions", LOG,
        "--tie-seed", 0, "--graphs", graphs, "--out", out)
    own = json.loads(out.read_text())["recommenders"][0]
    lists = [entry["name"] for entry in own["lists"]]
    return own["places"][lists.index("final")]


def hits(places):
    return [place is not None and 1 <= place <= 10 for place in places]


def flipped(exact, places):
    """Share of users whose hit at 10 is another one."""
    return sum(a != b for a, b in zip(exact, hits(places))) / len(exact)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--weights", help="a checkpoint of models/ml-100k.toml [default: trained here]")
    options.add_argument("--out", default=ROOT / "docs/precision-ml100k.md", type=pathlib.Path)
    args = options.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    weights = trained(args.weights)
    vocab = weights.with_name("vocab.json")
    common = ["--model", MODEL, "--weights", weights]
    requests = ["--interactions", LOG, "--model", MODEL, "--vocab", vocab, "--actions", "rating>=5:3,rating>=4:2,*:1"]
    onr("requests", *requests, "--limit", 256, "--seed", 1, "--out", OUT / "calibration.jsonl")
    onr("requests", *requests, "--out", OUT / "requests.jsonl")
    onr("export", *common, "--out", OUT / "fp32")
    calibration = OUT / "calibration.json"
    onr("calibrate", OUT / "fp32", "--requests", OUT / "calibration.jsonl", "--out", calibration)
    exact = hits(places(weights, OUT / "fp32"))
    rows = []
    for name, choices in VARIANTS.items():
        main_one = name in MAIN
        graphs = OUT / name.replace(", ", "-").replace(" ", "-")
        needs = ["--calibration", calibration] if choices[1] in ("int8", "fp8") else []
        exported = onr("export", *common, *choices, *needs, "--out", graphs)
        # FP32 on tract is the reference; for the methods' sake alone, FP32 on ONNX Runtime (equal to 1e-6) saves minutes.
        against = ["--weights", weights] if main_one else ["--against", OUT / "fp32"]
        found = onr("accuracy", graphs, "--requests", OUT / "requests.jsonl", *against)
        flips = flipped(exact, places(weights, graphs)) if main_one else None
        rows.append((name, exported, found, flips))
        print(f"{name}: overlap {found['overlap']:.4f}, flips {flips}", file=sys.stderr)
    tuned = onr("tune", *common, "--precision", "fp8", "--calibration", calibration, "--requests",
                OUT / "requests.jsonl", "--budget", BUDGET, "--out", OUT / "tuned", fails=(4,))
    whole = onr("accuracy", OUT / "tuned", "--requests", OUT / "requests.jsonl", "--weights", weights)
    rows.append(("fp8, tuned", {"narrow_share": tuned["narrow_share"], "weights": None}, whole,
                 flipped(exact, places(weights, OUT / "tuned"))))
    args.out.write_text(text(rows, tuned))
    print(args.out)


def text(rows, tuned):
    lines = [
        "# What precision costs on MovieLens-100k",
        "",
        "`make precision`: the trained model of docs/movielens.md (tie seed 0), calibrated on 256 requests, compared with FP32 on tract over all 943 users with the",
        "same 256 candidates each; ranges by `percentile` unless another method is named. Two candidates may swap where FP32 has them within a hundredth of the standard",
        "deviation of the request's scores; *exact* forgives nothing. *Flips* are users whose held-out item enters or leaves the first ten of the final order over the whole catalogue.",
        "",
        "| precision | FLOPs in 8 bits | top-10 overlap | 5th percentile | exact | Kendall | DC shift, nats | flips |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, exported, found, flips in rows:
        share = exported.get("narrow_share")
        lines.append(
            f"| {name} | {'-' if share is None else f'{100 * share:.1f} %'} | {found['overlap']:.4f} | "
            f"{found['overlap_p05']:.2f} | {found['overlap_exact']:.4f} | {found['kendall']:.4f} | "
            f"{found['dc_shift']:.4f} | {'-' if flips is None else f'{100 * flips:.2f} %'} |"
        )
    held = ", ".join(f"{h['limit']} ({h['found']:.4f})" for h in tuned["held"])
    lines += [
        "",
        f"`fp8, tuned` is what `onr tune` made of the budget `{BUDGET}`, which `fp8` misses: {tuned['measured']} sets of products measured on "
        f"{tuned['accuracy']['requests']} requests; {held}.",
        "",
        "| product | alone: error of scores, standard deviations | overlap | runs in |",
        "| --- | --- | --- | --- |",
    ]
    ways = dict(zip((p["name"] for p in tuned["products"]), tuned["ways"]))
    names = {"wide": "16 bits", "narrow": "FP8", "smoothed": "FP8, smoothed"}
    for s in tuned["sensitivity"]:
        way = names[ways[s["product"]]]
        lines.append(f"| `{s['product']}` | {s['score_error']:.4f} | {s['overlap']:.4f} | {way} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
