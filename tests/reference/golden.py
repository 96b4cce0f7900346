#!/usr/bin/env python3
"""Records a golden file with the float64 reference: what `onr parity --golden` compares with.

    golden.py --model model.toml --weights w.safetensors --inputs in.safetensors --out golden.safetensors

The inputs are those of the first graph and of the request: `item_ids`, `action_ids`, `timestamps`,
`seq_lens`, `request_time`, `candidate_ids` (or the vectors that stand in for ids). Recorded are
`inputs.<name>` and `outputs.<name>` of encode, generate and rank.

Exit status: 0 done, 1 a model or its data is wrong, 2 usage, 3 NumPy is missing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from run import ModelConfig, load_weights, read_tensors, run_graph, write_tensors


def record(config: ModelConfig, weights: dict, inputs: dict, item_input: str) -> dict:
    """Inputs and outputs of the three graphs, one after the other."""
    state, outputs = dict(inputs), {}
    for graph in ("encode", "generate", "rank"):
        wanted = graph_feeds(config, graph, item_input, state)
        result = run_graph(config, weights, graph, wanted, item_input)
        outputs |= result
        state |= {name.replace("present.", "past_key_values."): value for name, value in result.items()}
    named = {f"inputs.{name}": value for name, value in inputs.items()}
    return named | {f"outputs.{name}": value for name, value in outputs.items()}


def graph_feeds(config: ModelConfig, graph: str, item_input: str, state: dict) -> dict:
    from model import graph_inputs

    return {name: state[name] for name in graph_inputs(config, graph, item_input) if name in state}


def main() -> int:
    parser = argparse.ArgumentParser(description="Records a golden file with the float64 reference.")
    for name in ("model", "weights", "inputs", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--item-input", choices=["ids", "embeddings"], default="ids")
    args = parser.parse_args()
    try:
        config = ModelConfig.load(args.model)
        weights = load_weights(args.weights, config, args.item_input)
        write_tensors(args.out, record(config, weights, read_tensors(args.inputs), args.item_input))
    except (OSError, ValueError) as cause:
        print(f"error: {cause}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
