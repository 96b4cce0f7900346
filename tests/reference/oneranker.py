"""OneRanker in NumPy float64: the oracle that exported graphs are judged against.

Follows the model contract (`model-contract.md`) and nothing else. It goes user by
user and layer by layer over the real, unpadded tokens, and masks with boolean
matrices made from the contract's table "Who sees whom". Clarity before speed.

The five graphs are functions from a dict of arrays to a dict of arrays, with the
names and padded shapes of the contract's table. `oneranker` deliberately runs
behaviours and prompt as one sequence, without kept keys and values, so that comparing
it with `encode`, `generate` and `rank` says something.
"""

from __future__ import annotations

import math

import numpy as np

from block import (
    Arrays,
    Group,
    Kept,
    asked_now,
    behaviours,
    block,
    layer_norm,
    layer_weights,
    linear,
    prompt_groups,
    time_bucket,
    time_thresholds,
)
from model import MAX_TOP_K, ModelConfig, checked_inputs, graph_outputs, load_weights

__all__ = [
    "ModelConfig", "load_weights", "encode", "append", "generate", "rank", "oneranker",
    "dc", "final_order", "time_bucket", "time_thresholds",
]  # fmt: skip

FILL_LOGIT = -1e30


# --- what goes into the tokens, what comes out of them ----------------------------------


def lookup(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Rows of a table; an id outside it reads row 0."""
    return table[np.where((ids >= 0) & (ids < len(table)), ids, 0)]


def behaviour_tokens(weights: Arrays, inputs: Arrays, user: int, count: int) -> np.ndarray:
    """The first `count` behaviours of an input's row; item vectors stand in for both ids."""
    if "item_embeddings" in inputs:
        return inputs["item_embeddings"][user, :count]
    items = lookup(weights["item_embedding"], inputs["item_ids"][user, :count])
    return items + lookup(weights["action_embedding"], inputs["action_ids"][user, :count])


def prompt_tokens(config: ModelConfig, weights: Arrays) -> np.ndarray:
    if config.n_fake_items == 0:
        return weights["task_embedding"]
    return np.concatenate([linear(weights["fake_items"], weights, "fake_proj"), weights["task_embedding"]])


def generator_heads(config: ModelConfig, weights: Arrays, x_tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`task_states` and `user_embeddings` of one user, both `[N, D]`."""
    states = layer_norm(x_tasks, weights, "final_norm", config.layer_norm_eps)
    users = linear(states, weights, "user_proj")
    return states, users / np.sqrt((users**2).sum(axis=-1, keepdims=True) + 1e-12)


def logits(config: ModelConfig, items: np.ndarray, users: np.ndarray) -> np.ndarray:
    """`[items, N]`"""
    return items @ users.T / config.temperature


def candidate_scores(
    config: ModelConfig, weights: Arrays, items: np.ndarray, group: Group, kept: list[Kept], task_states: np.ndarray
) -> np.ndarray:
    """The ranking decoder for one user: `[C, N]`. `kept[r]` is what ranker layer `r` reads."""
    h = linear(items, weights, "candidate_proj")
    for r in range(config.n_rank_layers):
        h, _, _ = block(config, layer_weights(weights, f"rank_layers.{r}"), h, [group], kept[r])
    answers = linear(layer_norm(h, weights, "rank_norm", config.layer_norm_eps), weights, "rank_proj")
    return answers @ task_states.T / math.sqrt(config.d_model) + weights["rank_bias"]


# --- the graphs -------------------------------------------------------------------------


def open_graph(
    config: ModelConfig, graph: str, inputs: Arrays, item_input: str = "ids", top_k: int | None = None
) -> tuple[Arrays, Arrays, int]:
    """Checked inputs (times that do not matter are 0), outputs full of zeros, batch size."""
    inputs, axes = checked_inputs(config, graph, inputs, item_input)
    batch, slots = axes["B"], axes.get("S", axes.get("T", 0))
    inputs.setdefault("timestamps", np.zeros((batch, slots), np.int64))
    inputs.setdefault("request_time", np.zeros(batch, np.int64))
    outputs = {
        name: np.zeros([axes.get(axis, axis) for axis in shape], np.int64 if name == "candidate_ids" else np.float64)
        for name, shape in graph_outputs(config, graph, top_k).items()
    }
    return inputs, outputs, batch


def length(inputs: Arrays, name: str, user: int, most: int) -> int:
    value = int(inputs[name][user])
    if not 0 <= value <= most:
        raise ValueError(f"`{name}[{user}]` is {value}, outside [0, {most}]")
    return value


def kept_behaviours(inputs: Arrays, layer: int, user: int, seq_len: int) -> Kept:
    past = f"past_key_values.{layer}"
    return Kept(
        [behaviours(0, seq_len, inputs["timestamps"][user])],
        inputs[f"{past}.key"][user, :, :seq_len],
        inputs[f"{past}.value"][user, :, :seq_len],
    )


def encode(config: ModelConfig, weights: Arrays, inputs: Arrays, item_input: str = "ids") -> Arrays:
    """Keys and values of whole histories."""
    inputs, outputs, batch = open_graph(config, "encode", inputs, item_input)
    for user in range(batch):
        timestamps = inputs["timestamps"][user]
        seq_len = length(inputs, "seq_lens", user, len(timestamps))
        x, group = behaviour_tokens(weights, inputs, user, seq_len), behaviours(0, seq_len, timestamps)
        for l in config.generator_layers:
            layer = layer_weights(weights, f"layers.{l}")
            x, key, value = block(config, layer, x, [group], Kept.nothing(config))
            outputs[f"present.{l}.key"][user, :, :seq_len] = key
            outputs[f"present.{l}.value"][user, :, :seq_len] = value
    return outputs


def append(config: ModelConfig, weights: Arrays, inputs: Arrays, item_input: str = "ids") -> Arrays:
    """Keys and values of histories that grow; slots after the last behaviour keep what they held."""
    inputs, outputs, batch = open_graph(config, "append", inputs, item_input)
    new_slots = inputs["item_embeddings" if item_input == "embeddings" else "item_ids"].shape[1]
    for user in range(batch):
        timestamps = inputs["timestamps"][user]
        first = length(inputs, "past_lens", user, len(timestamps))
        last = first + length(inputs, "new_lens", user, new_slots)
        if last > len(timestamps):
            raise ValueError(f"user {user}: past_lens + new_lens is {last}, above S = {len(timestamps)}")
        x, group = behaviour_tokens(weights, inputs, user, last - first), behaviours(first, last, timestamps)
        for l in config.generator_layers:
            kept = kept_behaviours(inputs, l, user, first)
            x, key, value = block(config, layer_weights(weights, f"layers.{l}"), x, [group], kept)
            for part, new in (("key", key), ("value", value)):
                present = outputs[f"present.{l}.{part}"][user]
                present[:] = inputs[f"past_key_values.{l}.{part}"][user]
                present[:, first:last] = new
    return outputs


def generate(config: ModelConfig, weights: Arrays, inputs: Arrays) -> Arrays:
    """The prompt over kept behaviours."""
    inputs, outputs, batch = open_graph(config, "generate", inputs)
    for user in range(batch):
        seq_len = length(inputs, "seq_lens", user, inputs["timestamps"].shape[1])
        groups = prompt_groups(config, seq_len, inputs["request_time"][user])
        x = prompt_tokens(config, weights)
        for l in config.generator_layers:
            kept = kept_behaviours(inputs, l, user, seq_len)
            x, key, value = block(config, layer_weights(weights, f"layers.{l}"), x, groups, kept)
            if l in config.passed_layers:
                outputs[f"prompt.{l}.key"][user] = key
                outputs[f"prompt.{l}.value"][user] = value
        states, users = generator_heads(config, weights, x[config.n_fake_items :])
        outputs["task_states"][user], outputs["user_embeddings"][user] = states, users
    return outputs


def rank(config: ModelConfig, weights: Arrays, inputs: Arrays, item_input: str = "ids") -> Arrays:
    """Candidates over the generator's keys and values."""
    inputs, outputs, batch = open_graph(config, "rank", inputs, item_input)
    for user in range(batch):
        seq_len = length(inputs, "seq_lens", user, inputs["timestamps"].shape[1])
        request_time = inputs["request_time"][user]
        prompt = prompt_groups(config, seq_len, request_time)
        kept = [
            kept_behaviours(inputs, l, user, seq_len).then(
                prompt, inputs[f"prompt.{l}.key"][user], inputs[f"prompt.{l}.value"][user]
            )
            for l in config.passed_layers
        ]
        if item_input == "embeddings":
            items = inputs["candidate_embeddings"][user]
        else:
            items = lookup(weights["item_embedding"], inputs["candidate_ids"][user])
        group = asked_now("candidate", len(items), seq_len, request_time)
        states, users = inputs["task_states"][user], inputs["user_embeddings"][user]
        outputs["scores"][user] = candidate_scores(config, weights, items, group, kept, states)
        outputs["generator_logits"][user] = logits(config, items, users)
    return outputs


def retrieve(task_logits: np.ndarray, allowed: np.ndarray, top_k: int) -> np.ndarray:
    """The `top_k` best allowed ids of one task, equal logits by the smaller id; 0 fills the rest."""
    ids = [i for i in range(1, len(task_logits)) if allowed[i]]
    best = sorted(ids, key=lambda i: (-task_logits[i], i))[:top_k]
    return np.array(best + [0] * (top_k - len(best)), dtype=np.int64)


def oneranker(config: ModelConfig, weights: Arrays, inputs: Arrays, top_k: int) -> Arrays:
    """Retrieval from the whole table and ranking of what was retrieved, task after task."""
    most = min(config.n_items - 1, MAX_TOP_K)
    if not 1 <= top_k <= most:
        raise ValueError(f"oneranker: top_k is {top_k}, outside [1, {most}]")
    inputs, outputs, batch = open_graph(config, "oneranker", inputs, top_k=top_k)
    table = weights["item_embedding"]
    allowed = inputs.get("allowed_items", np.ones(config.n_items, dtype=bool))
    allowed = np.broadcast_to(allowed, (batch, config.n_items))
    for user in range(batch):
        timestamps, request_time = inputs["timestamps"][user], inputs["request_time"][user]
        seq_len = length(inputs, "seq_lens", user, len(timestamps))
        groups = [behaviours(0, seq_len, timestamps), *prompt_groups(config, seq_len, request_time)]
        x = np.concatenate([behaviour_tokens(weights, inputs, user, seq_len), prompt_tokens(config, weights)])
        kept = []
        for l in config.generator_layers:
            layer = layer_weights(weights, f"layers.{l}")
            x, key, value = block(config, layer, x, groups, Kept.nothing(config))
            kept.append(Kept(groups, key, value))
        states, users = generator_heads(config, weights, x[seq_len + config.n_fake_items :])
        every_logit = logits(config, table, users)
        ids = np.concatenate([retrieve(every_logit[:, n], allowed[user], top_k) for n in range(config.n_tasks)])
        group = asked_now("candidate", len(ids), seq_len, request_time)
        passed = [kept[l] for l in config.passed_layers]
        outputs["candidate_ids"][user] = ids
        # Id 0 is never retrieved, so it marks a fill slot.
        outputs["generator_logits"][user] = np.where(ids[:, None] == 0, FILL_LOGIT, every_logit[ids])
        outputs["scores"][user] = candidate_scores(config, weights, table[ids], group, passed, states)
    return outputs


# --- one request's figures --------------------------------------------------------------


def unique_candidates(candidate_ids: np.ndarray) -> np.ndarray:
    """Where each id stands first, padding (id 0) left out. Ids outside the table stay themselves."""
    ids, first = np.unique(np.asarray(candidate_ids), return_index=True)
    return first[ids != 0]


def final_order(candidate_ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Unique ids of one request (`[C]`, scores `[C, N]`), best first, ties by the smaller id."""
    first = unique_candidates(candidate_ids)
    ranked = sorted(first, key=lambda j: (-scores[j, -1], candidate_ids[j]))
    return np.array([candidate_ids[j] for j in ranked], dtype=np.int64)


def dc(candidate_ids: np.ndarray, scores: np.ndarray, generator_logits: np.ndarray, temperature: float = 1.0) -> float:
    """`KL(ranker || generator)` of one request's unique candidates (`[C]`, `[C, N]`, `[C, N]`), last task."""
    first = unique_candidates(candidate_ids)
    if len(first) == 0:
        raise ValueError("dc: the request has no candidates")
    ranker = log_softmax(scores[first, -1] / temperature)
    generator = log_softmax(generator_logits[first, -1] / temperature)
    return float((np.exp(ranker) * (ranker - generator)).sum())


def log_softmax(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    x = x - x.max()
    return x - np.log(np.exp(x).sum())
