"""What a OneRanker model is: model.toml, its weights, and its graphs' tensors.

Follows the sections "model.toml", "Weights" and "Graphs and their tensors" of the
model contract (`model-contract.md`). Nothing here computes.
"""

from __future__ import annotations

import math
import tomllib
import warnings
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from tensor_file import read_tensors

GRAPHS = ("encode", "append", "generate", "rank", "oneranker")
ITEM_INPUTS = ("ids", "embeddings")
ATTENTIONS = ("hstu", "softmax")
MAX_TOP_K = 3840

Shape = tuple["int | str", ...]
"""A letter is an axis that the inputs bind, a number is one that the model fixes."""


# --- model.toml -------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelConfig:
    """The `[model]` table, checked. Field names are the keys of model.toml."""

    n_items: int
    n_actions: int
    d_model: int
    n_heads: int
    n_layers: int
    n_rank_layers: int
    max_seq_len: int
    attention: str
    tasks: tuple[str, ...]
    n_fake_items: int
    rel_pos_buckets: int
    time_buckets: int
    layer_norm_eps: float
    temperature: float

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def n_tasks(self) -> int:
        return len(self.tasks)

    @property
    def n_prompt(self) -> int:
        return self.n_fake_items + self.n_tasks

    @property
    def generator_layers(self) -> range:
        return range(self.n_layers)

    @property
    def passed_layers(self) -> range:
        """Generator layers whose keys and values the ranker reads; its layer `r` reads the `r`-th."""
        return range(self.n_layers - self.n_rank_layers, self.n_layers)

    @classmethod
    def load(cls, path: Path | str) -> ModelConfig:
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            return cls.from_document(document)
        except ValueError as cause:
            raise ValueError(f"{path}: {cause}") from cause

    @classmethod
    def from_document(cls, document: dict) -> ModelConfig:
        """Refuses unknown keys, missing keys and impossible values, all in one message."""
        table = document.get("model")
        if not isinstance(table, dict):
            raise ValueError("the table [model] is missing")
        names = [field.name for field in fields(cls)]
        problems = [f"`{key}` is not a known key" for key in document if key != "model"]
        problems += [f"`model.{key}` is not a known key" for key in table if key not in names]
        problems += [f"`model.{key}` is missing" for key in names if key not in table]
        problems += [f"`model.{key}` must be {rule}, not {table[key]!r}" for key, rule in _broken_rules(table)]
        if problems:
            raise ValueError("; ".join(problems))
        values = {key: float(table[key]) if key in _REALS else table[key] for key in names}
        return cls(**{**values, "tasks": tuple(table["tasks"])})


_REALS = ("layer_norm_eps", "temperature")
_LOWEST = {
    "n_items": 2,
    "n_actions": 1,
    "d_model": 1,
    "n_heads": 1,
    "n_layers": 1,
    "n_rank_layers": 1,
    "max_seq_len": 1,
    "n_fake_items": 0,
    "rel_pos_buckets": 1,
    "time_buckets": 0,
}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _broken_rules(table: dict) -> list[tuple[str, str]]:
    """Key and rule of every impossible value; missing keys are reported elsewhere."""
    good = {key: _is_int(table.get(key)) and table[key] >= low for key, low in _LOWEST.items()}
    broken = [(key, f"an integer of at least {low}") for key, low in _LOWEST.items() if not good[key]]
    for key in _REALS:
        value = table.get(key)
        if not (_is_int(value) or isinstance(value, float)) or not (math.isfinite(value) and value > 0):
            broken.append((key, "finite and above 0"))
    if table.get("attention") not in ATTENTIONS:
        broken.append(("attention", f"one of {ATTENTIONS}"))
    if not _tasks_are_good(table.get("tasks")):
        broken.append(("tasks", "a list of at least one unique, non-empty name"))
    if good["d_model"] and good["n_heads"] and table["d_model"] % table["n_heads"]:
        broken.append(("d_model", f"a multiple of n_heads = {table['n_heads']}"))
    if good["n_rank_layers"] and good["n_layers"] and table["n_rank_layers"] > table["n_layers"]:
        broken.append(("n_rank_layers", f"at most n_layers = {table['n_layers']}"))
    if good["time_buckets"] and table["time_buckets"] > 145:
        broken.append(("time_buckets", "at most 145"))
    return [(key, rule) for key, rule in broken if key in table]


def _tasks_are_good(tasks: object) -> bool:
    if not isinstance(tasks, list) or not tasks:
        return False
    return all(isinstance(task, str) and task for task in tasks) and len(set(tasks)) == len(tasks)


# --- weights ----------------------------------------------------------------------------


def weight_shapes(config: ModelConfig, item_input: str = "ids") -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight; with items as vectors no table is needed."""
    d = config.d_model
    shapes: dict[str, tuple[int, ...]] = {}
    if item_input == "ids":
        shapes["item_embedding"] = (config.n_items, d)
        shapes["action_embedding"] = (config.n_actions, d)
    shapes["task_embedding"] = (config.n_tasks, d)
    if config.n_fake_items > 0:
        shapes["fake_items"] = (config.n_fake_items, d)
        shapes |= _affine("fake_proj", (d, d))
    for layer in config.generator_layers:
        shapes |= _layer_shapes(config, f"layers.{layer}")
    for layer in range(config.n_rank_layers):
        shapes |= _layer_shapes(config, f"rank_layers.{layer}")
    for norm in ("final_norm", "rank_norm"):
        shapes |= _affine(norm, (d,))
    for projection in ("user_proj", "candidate_proj", "rank_proj"):
        shapes |= _affine(projection, (d, d))
    shapes["rank_bias"] = (config.n_tasks,)
    return shapes


def _affine(name: str, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": weight, f"{name}.bias": weight[-1:]}


def _layer_shapes(config: ModelConfig, prefix: str) -> dict[str, tuple[int, ...]]:
    d, h = config.d_model, config.n_heads
    shapes = _affine(f"{prefix}.norm", (d,)) | _affine(f"{prefix}.uvqk", (d, 4 * d))
    shapes |= _affine(f"{prefix}.attn_norm", (d,)) | _affine(f"{prefix}.out", (d, d))
    shapes[f"{prefix}.rel_pos_bias"] = (h, config.rel_pos_buckets)
    if config.time_buckets > 0:
        shapes[f"{prefix}.time_bias"] = (h, config.time_buckets)
    return shapes


def load_weights(path: Path | str, config: ModelConfig, item_input: str = "ids") -> dict[str, np.ndarray]:
    """The model's weights in float64; missing, misshapen and non-finite ones are refused together."""
    found = read_tensors(path)
    needed = weight_shapes(config, item_input)
    for name in found.keys() - weight_shapes(config).keys():
        warnings.warn(f"{path}: `{name}` is not a weight of this model", stacklevel=2)
    problems = [_weight_problem(name, shape, found.get(name)) for name, shape in needed.items()]
    if any(problems):
        raise ValueError(f"{path}: " + "; ".join(filter(None, problems)))
    return {name: found[name].astype(np.float64) for name in needed}


def _weight_problem(name: str, shape: tuple[int, ...], found: np.ndarray | None) -> str | None:
    if found is None:
        return f"no tensor named `{name}`"
    if found.shape != shape:
        return f"`{name}` has shape {found.shape}, the model needs {shape}"
    if found.dtype.kind != "f":
        return f"`{name}` has the type {found.dtype}, not a float"
    wrong = np.argwhere(~np.isfinite(found))
    return f"`{name}` is not finite at {wrong[0].tolist()}" if len(wrong) else None


# --- graphs and their tensors -----------------------------------------------------------


def graph_inputs(config: ModelConfig, graph: str, item_input: str = "ids") -> dict[str, Shape]:
    """Names and shapes of a graph's inputs, without the optional `allowed_items`."""
    passed, every = config.passed_layers, config.generator_layers
    times: dict[str, Shape] = {"timestamps": ("B", "T" if graph in ("encode", "oneranker") else "S")}
    if graph not in ("encode", "append"):
        times["request_time"] = ("B",)
    table: dict[str, dict[str, Shape]] = {
        "encode": _behaviours(config, "T", item_input) | {"seq_lens": ("B",)},
        "append": _behaviours(config, "t", item_input)
        | {"new_lens": ("B",), "past_lens": ("B",)}
        | key_values(config, "past_key_values", every, "S"),
        "generate": {"seq_lens": ("B",)} | key_values(config, "past_key_values", every, "S"),
        "rank": _candidates(config, item_input)
        | {"seq_lens": ("B",)}
        | {name: ("B", config.n_tasks, config.d_model) for name in ("task_states", "user_embeddings")}
        | key_values(config, "past_key_values", passed, "S")
        | key_values(config, "prompt", passed, config.n_prompt),
        "oneranker": _behaviours(config, "T", "ids") | {"seq_lens": ("B",)},
    }
    return table[graph] | (times if config.time_buckets > 0 else {})


def optional_inputs(config: ModelConfig, graph: str) -> set[str]:
    """Inputs that no output depends on although there is a time bias, or that a caller may add.

    The contract leaves out what a configuration does not need, and names only "no time
    bias". Times don't matter either with a single time bucket, nor for the keys and
    values of a single layer, which precede any attention. There both forms are taken.
    """
    optional = {"allowed_items"} if graph == "oneranker" else set()
    only_keys = config.n_layers == 1 and graph in ("encode", "append")
    if config.time_buckets == 1 or only_keys:
        optional |= {"timestamps", "request_time"}
    return optional


def graph_outputs(config: ModelConfig, graph: str, top_k: int | None = None) -> dict[str, Shape]:
    """Names and shapes of a graph's outputs; `oneranker` needs `top_k`."""
    n, d = config.n_tasks, config.d_model
    if graph in ("encode", "append"):
        return key_values(config, "present", config.generator_layers, "T" if graph == "encode" else "S")
    if graph == "generate":
        states: dict[str, Shape] = {"task_states": ("B", n, d), "user_embeddings": ("B", n, d)}
        return states | key_values(config, "prompt", config.passed_layers, config.n_prompt)
    if graph == "rank":
        return {"scores": ("B", "C", n), "generator_logits": ("B", "C", n)}
    slots = n * top_k
    return {"candidate_ids": ("B", slots), "generator_logits": ("B", slots, n), "scores": ("B", slots, n)}


def key_values(config: ModelConfig, name: str, layers: range, slots: int | str) -> dict[str, Shape]:
    shape: Shape = ("B", config.n_heads, slots, config.d_head)
    return {f"{name}.{layer}.{part}": shape for layer in layers for part in ("key", "value")}


def _behaviours(config: ModelConfig, slots: str, item_input: str) -> dict[str, Shape]:
    if item_input == "embeddings":
        return {"item_embeddings": ("B", slots, config.d_model)}
    return {"item_ids": ("B", slots), "action_ids": ("B", slots)}


def _candidates(config: ModelConfig, item_input: str) -> dict[str, Shape]:
    if item_input == "embeddings":
        return {"candidate_embeddings": ("B", "C", config.d_model)}
    return {"candidate_ids": ("B", "C")}


_WHOLE_NUMBERS = {"item_ids", "action_ids", "candidate_ids", "timestamps", "request_time"}
_WHOLE_NUMBERS |= {"seq_lens", "past_lens", "new_lens"}


def checked_inputs(
    config: ModelConfig, graph: str, inputs: dict[str, np.ndarray], item_input: str = "ids"
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """The inputs as int64, float64 and bool arrays, and the axes they bind."""
    if item_input not in ITEM_INPUTS:
        raise ValueError(f"item input must be one of {ITEM_INPUTS}, not {item_input!r}")
    if graph == "oneranker" and item_input == "embeddings":
        raise ValueError("oneranker: there is no such graph with items as vectors")
    needed, optional = graph_inputs(config, graph, item_input), optional_inputs(config, graph)
    problems = [f"input `{n}` is missing" for n in needed if n not in inputs and n not in optional]
    problems += [f"`{n}` is not an input here" for n in inputs if n not in needed and n not in optional]
    axes: dict[str, int] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, shape in needed.items():
        if name in inputs:
            arrays[name] = _typed(name, inputs[name], problems)
            _bind(name, shape, arrays[name].shape, axes, problems)
    if "allowed_items" in inputs and "allowed_items" in optional:
        allowed = arrays["allowed_items"] = _typed("allowed_items", inputs["allowed_items"], problems)
        _bind("allowed_items", ("B", config.n_items)[-max(allowed.ndim, 1) :], allowed.shape, axes, problems)
    if problems:
        raise ValueError(f"{graph}: " + "; ".join(problems))
    return arrays, axes


def _typed(name: str, values: np.ndarray, problems: list[str]) -> np.ndarray:
    kind = "i" if name in _WHOLE_NUMBERS else "b" if name == "allowed_items" else "f"
    if values.dtype.kind != kind:
        problems.append(f"`{name}` has the type {values.dtype}")
    return values.astype({"i": np.int64, "b": np.bool_, "f": np.float64}[kind])


def _bind(name: str, shape: Shape, found: tuple[int, ...], axes: dict[str, int], problems: list[str]) -> None:
    """Remembers the size of each letter; every axis is at least 1."""
    sizes = [axes.setdefault(axis, size) if isinstance(axis, str) else axis for axis, size in zip(shape, found)]
    if len(shape) != len(found) or sizes != list(found) or 0 in found:
        wanted = [f"{a} = {axes[a]}" if a in axes else a for a in shape]
        problems.append(f"`{name}` has shape {list(found)}, needed is [{', '.join(map(str, wanted))}]")
