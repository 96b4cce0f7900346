#!/usr/bin/env python3
"""Runs the float64 reference of the model contract over files.

    run.py CASES_DIR
        For every subdirectory with a `model.toml`: reads `weights.safetensors`,
        `options.json` (may be absent) and each `inputs.GRAPH.safetensors`, and writes
        `expected.GRAPH.safetensors`.

    run.py --model model.toml --weights w.safetensors --graph rank \\
           --inputs in.safetensors --out out.safetensors [--top-k K] [--item-input embeddings]

Exit status: 0 done, 1 a model or its data is wrong, 2 usage, 3 NumPy is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

try:
    import oneranker
    from model import GRAPHS, ITEM_INPUTS, ModelConfig, load_weights
    from tensor_file import read_tensors, write_tensors
except ModuleNotFoundError as missing:
    print(f"error: the reference needs Python's package `{missing.name}`", file=sys.stderr)
    sys.exit(3)

OPTIONS = {"item_input", "top_k"}


def run_graph(
    config: ModelConfig,
    weights: oneranker.Arrays,
    graph: str,
    inputs: oneranker.Arrays,
    item_input: str = "ids",
    top_k: int | None = None,
) -> oneranker.Arrays:
    """The outputs of one graph, by its name."""
    if graph == "oneranker":
        if item_input != "ids":
            raise ValueError("oneranker: there is no such graph with items as vectors")
        if top_k is None:
            raise ValueError("oneranker: top_k is missing")
        return oneranker.oneranker(config, weights, inputs, top_k)
    if graph == "generate":
        return oneranker.generate(config, weights, inputs)
    return getattr(oneranker, graph)(config, weights, inputs, item_input)


def run_file(
    config: ModelConfig, weights: oneranker.Arrays, graph: str, source: Path, target: Path, options: dict
) -> None:
    inputs = read_tensors(source)
    try:
        outputs = run_graph(config, weights, graph, inputs, **options)
    except ValueError as cause:
        raise ValueError(f"{source}: {cause}") from cause
    write_tensors(target, outputs)


def read_options(path: Path) -> dict:
    if not path.exists():
        return {}
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as cause:
        raise ValueError(f"{path}: {cause}") from cause
    if not isinstance(options, dict) or options.keys() - OPTIONS:
        raise ValueError(f"{path}: must be an object with at most the keys {sorted(OPTIONS)}")
    if options.get("item_input", "ids") not in ITEM_INPUTS:
        raise ValueError(f"{path}: `item_input` must be one of {ITEM_INPUTS}")
    if type(options.get("top_k", 1)) is not int:
        raise ValueError(f"{path}: `top_k` must be an integer")
    return options


def run_case(case: Path) -> int:
    """All graphs of one case; returns how many there were."""
    options = read_options(case / "options.json")
    config = ModelConfig.load(case / "model.toml")
    weights = load_weights(case / "weights.safetensors", config, options.get("item_input", "ids"))
    sources = sorted(case.glob("inputs.*.safetensors"))
    if not sources:
        raise ValueError(f"{case}: no inputs.GRAPH.safetensors")
    for source in sources:
        graph = source.name.removeprefix("inputs.").removesuffix(".safetensors")
        if graph not in GRAPHS:
            raise ValueError(f"{source}: `{graph}` is not one of {GRAPHS}")
        run_file(config, weights, graph, source, case / f"expected.{graph}.safetensors", options)
    return len(sources)


def run_cases(root: Path) -> bool:
    """Every case below `root`; one that fails does not stop the others."""
    cases = sorted(path.parent for path in root.glob("*/model.toml"))
    if not cases:
        print(f"error: {root}: no subdirectory has a model.toml", file=sys.stderr)
    failed = 0
    for case in cases:
        try:
            print(f"{case.name}: {run_case(case)} graphs")
        except (ValueError, OSError) as cause:
            failed += 1
            print(f"error: {cause}", file=sys.stderr)
    return bool(cases) and not failed


def run_single(args: argparse.Namespace) -> bool:
    try:
        config = ModelConfig.load(args.model)
        weights = load_weights(args.weights, config, args.item_input)
        options = {"item_input": args.item_input, "top_k": args.top_k}
        run_file(config, weights, args.graph, args.inputs, args.out, options)
    except (ValueError, OSError) as cause:
        print(f"error: {cause}", file=sys.stderr)
        return False
    return True


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="?", type=Path, metavar="CASES_DIR")
    single = {"model": Path, "weights": Path, "graph": str, "inputs": Path, "out": Path}
    for name, kind in single.items():
        parser.add_argument(f"--{name}", type=kind, choices=GRAPHS if name == "graph" else None)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--item-input", choices=ITEM_INPUTS, default="ids")
    args = parser.parse_args(arguments)
    absent = [f"--{name}" for name in single if getattr(args, name) is None]
    if args.cases is None and absent:
        parser.error(f"CASES_DIR or {', '.join(absent)} is missing")
    if args.cases is not None and len(absent) < len(single):
        parser.error("CASES_DIR and the options for a single graph exclude each other")
    return args


def main(arguments: list[str]) -> int:
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    args = parse(arguments)
    done = run_single(args) if args.cases is None else run_cases(args.cases)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
