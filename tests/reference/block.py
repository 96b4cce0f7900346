"""One attention block of OneRanker over the real tokens of one user.

Follows the sections "Tokens", "Who sees whom" and "One block" of the model contract
(`model-contract.md`). What a query may look at is a boolean matrix made from the
contract's table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model import ModelConfig

Arrays = dict[str, np.ndarray]


# --- tokens and who sees whom -----------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Tokens of one kind, of one user. `index` is the token's number within its kind."""

    kind: str
    index: np.ndarray
    position: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


def behaviours(first: int, last: int, timestamps: np.ndarray) -> Group:
    """Behaviours `first .. last` of a user whose times are `timestamps` (perhaps padded)."""
    index = np.arange(first, last)
    return Group("behaviour", index, index, timestamps[first:last])


def asked_now(kind: str, count: int, seq_len: int, request_time: int) -> Group:
    """Fake items, tasks and candidates stand behind the history, at the request's time."""
    index = np.arange(count)
    return Group(kind, index, np.full(count, seq_len), np.full(count, request_time, np.int64))


def prompt_groups(config: ModelConfig, seq_len: int, request_time: int) -> list[Group]:
    return [
        asked_now("fake", config.n_fake_items, seq_len, request_time),
        asked_now("task", config.n_tasks, seq_len, request_time),
    ]


def everyone(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    return np.ones(np.broadcast_shapes(query.shape, key.shape), dtype=bool)


# (query, key) -> rule on their indices. A pair that is not listed never sees.
SEES: dict[tuple[str, str], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ("behaviour", "behaviour"): lambda query, key: key <= query,
    ("fake", "behaviour"): everyone,
    ("fake", "fake"): lambda query, key: key == query,
    ("task", "behaviour"): everyone,
    ("task", "fake"): everyone,
    ("task", "task"): lambda query, key: key <= query,
    ("candidate", "behaviour"): everyone,
    ("candidate", "fake"): everyone,
    ("candidate", "task"): everyone,
    ("candidate", "candidate"): lambda query, key: key == query,
}


def group_visible(query: Group, key: Group) -> np.ndarray:
    rule = SEES.get((query.kind, key.kind))
    if rule is None:
        return np.zeros((len(query), len(key)), dtype=bool)
    return rule(query.index[:, None], key.index[None, :])


def visible(queries: list[Group], keys: list[Group]) -> np.ndarray:
    """`[queries, keys]`, true where the query sees the key."""
    return np.block([[group_visible(query, key) for key in keys] for query in queries])


# --- position and time biases -----------------------------------------------------------


def time_thresholds(n_buckets: int) -> np.ndarray:
    return np.array([math.ceil(math.exp(0.301 * k)) for k in range(1, n_buckets)], dtype=np.int64)


def time_bucket(difference: np.ndarray, n_buckets: int) -> np.ndarray:
    """How many thresholds are at most `max(|difference|, 1)`; integers throughout."""
    distance = np.maximum(np.abs(np.asarray(difference, dtype=np.int64)), 1)
    return (time_thresholds(n_buckets) <= distance[..., None]).sum(axis=-1)


def position_bucket(difference: np.ndarray, n_buckets: int) -> np.ndarray:
    return np.minimum(np.maximum(difference, 0), n_buckets - 1)


def group_bias(config: ModelConfig, layer: Arrays, query: Group, key: Group) -> np.ndarray:
    """`[H, queries, keys]`; only behaviours as keys have a bias."""
    if key.kind != "behaviour":
        return np.zeros((config.n_heads, len(query), len(key)))
    apart = query.position[:, None] - key.position[None, :]
    bias = layer["rel_pos_bias"][:, position_bucket(apart, config.rel_pos_buckets)]
    if config.time_buckets > 0:
        elapsed = query.time[:, None] - key.time[None, :]
        bias = bias + layer["time_bias"][:, time_bucket(elapsed, config.time_buckets)]
    return bias


# --- one block --------------------------------------------------------------------------


def silu(x: np.ndarray) -> np.ndarray:
    decay = np.exp(-np.abs(x))  # never overflows
    return x * np.where(x >= 0, 1.0, decay) / (1.0 + decay)


def layer_norm(x: np.ndarray, weights: Arrays, name: str, eps: float) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + eps) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: np.ndarray, weights: Arrays, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def split_heads(config: ModelConfig, x: np.ndarray) -> np.ndarray:
    """`[n, D] -> [H, n, Dh]`"""
    return x.reshape(len(x), config.n_heads, config.d_head).transpose(1, 0, 2)


def concat_heads(config: ModelConfig, x: np.ndarray) -> np.ndarray:
    """`[H, n, Dh] -> [n, D]`"""
    return x.transpose(1, 0, 2).reshape(-1, config.d_model)


def attention_weights(config: ModelConfig, scores: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """`[H, queries, keys]`, 0 where the key is not seen."""
    if config.attention == "hstu":
        return np.where(seen, silu(scores) / config.max_seq_len, 0.0)
    scores = np.where(seen, scores, -np.inf)
    # No row is empty; `initial` only lets a user without any query pass.
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Kept:
    """Tokens whose keys and values (`[H, n, Dh]`) a layer has already computed."""

    groups: list[Group]
    key: np.ndarray
    value: np.ndarray

    @classmethod
    def nothing(cls, config: ModelConfig) -> Kept:
        empty = np.zeros((config.n_heads, 0, config.d_head))
        return cls([], empty, empty)

    def then(self, groups: list[Group], key: np.ndarray, value: np.ndarray) -> Kept:
        return Kept(
            self.groups + groups,
            np.concatenate([self.key, key], axis=1),
            np.concatenate([self.value, value], axis=1),
        )


def block(
    config: ModelConfig, layer: Arrays, x: np.ndarray, queries: list[Group], kept: Kept
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One layer over the tokens `x` of one user, which look at `kept` and at themselves.

    Returns the new `x` `[n, D]` and the tokens' own keys and values `[H, n, Dh]`.
    """
    normed = layer_norm(x, layer, "norm", config.layer_norm_eps)
    gate, value, query, key = np.split(silu(linear(normed, layer, "uvqk")), 4, axis=-1)
    value, query, key = (split_heads(config, part) for part in (value, query, key))
    everything = kept.then(queries, key, value)

    scores = query @ everything.key.transpose(0, 2, 1) / math.sqrt(config.d_head)
    scores += np.block([[group_bias(config, layer, q, k) for k in everything.groups] for q in queries])
    weights = attention_weights(config, scores, visible(queries, everything.groups))
    mixed = concat_heads(config, weights @ everything.value)

    gated = layer_norm(mixed, layer, "attn_norm", config.layer_norm_eps) * gate
    return x + linear(gated, layer, "out"), key, value


def layer_weights(weights: Arrays, prefix: str) -> Arrays:
    return {n.removeprefix(f"{prefix}."): w for n, w in weights.items() if n.startswith(f"{prefix}.")}
