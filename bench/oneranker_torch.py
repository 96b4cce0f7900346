#!/usr/bin/env python3
"""OneRanker in PyTorch: the peer of the benchmarks, and a model whose recording `onr parity` judges.

    oneranker_torch.py --model model.toml --weights weights.safetensors --golden golden.safetensors
    onr parity graphs --golden golden.safetensors

Written from the model contract (docs/model.md) as one would for PyTorch: batched products, masks and biases made once a
request. Letters as there: B batch, T behaviours, S slots, C candidates, F fake items, N tasks, P = F + N, H heads, Dh width of a head.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]


class Norm(nn.Module):
    def __init__(self, weights: dict[str, Tensor], name: str, eps: float):
        super().__init__()
        self.weight = nn.Parameter(weights[f"{name}.weight"], requires_grad=False)
        self.bias = nn.Parameter(weights[f"{name}.bias"], requires_grad=False)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.eps)


class Linear(nn.Module):
    """`x @ W + b`, with `W` as checkpoints have it: `[in, out]`."""

    def __init__(self, weights: dict[str, Tensor], name: str):
        super().__init__()
        self.weight = nn.Parameter(weights[f"{name}.weight"].t().contiguous(), requires_grad=False)
        self.bias = nn.Parameter(weights[f"{name}.bias"], requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass
class Relations:
    """What the queries of a request have in common with slots of behaviours, for all layers.

    `position` and `time` are buckets, `[B or 1, queries or 1, S]`; `seen` is true where the query sees the slot.
    """

    position: Tensor
    time: Tensor | None
    seen: Tensor


class Layer(nn.Module):
    def __init__(self, config: SimpleNamespace, weights: dict[str, Tensor], name: str):
        super().__init__()
        self.heads, self.head = config.n_heads, config.d_model // config.n_heads
        self.softmax, self.longest = config.attention == "softmax", config.max_seq_len
        self.norm = Norm(weights, f"{name}.norm", config.layer_norm_eps)
        self.attn_norm = Norm(weights, f"{name}.attn_norm", config.layer_norm_eps)
        self.uvqk, self.out = Linear(weights, f"{name}.uvqk"), Linear(weights, f"{name}.out")
        self.rel_pos_bias = nn.Parameter(weights[f"{name}.rel_pos_bias"], requires_grad=False)
        time = weights.get(f"{name}.time_bias")
        self.time_bias = None if time is None else nn.Parameter(time, requires_grad=False)

    def split(self, x: Tensor) -> Tensor:
        """`[B, n, D] -> [B, H, n, Dh]`"""
        return x.unflatten(-1, (self.heads, self.head)).transpose(1, 2)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gate `[B, n, D]`, and value, query and key `[B, H, n, Dh]`."""
        gate, value, query, key = F.silu(self.uvqk(self.norm(x))).chunk(4, -1)
        return gate, self.split(value), self.split(query), self.split(key)

    def key_value(self, x: Tensor) -> KeyValue:
        """What others read of these tokens, without gate and query."""
        width = x.shape[-1]
        parts = [slice(width, 2 * width), slice(3 * width, 4 * width)]
        normed = self.norm(x)
        value, key = (F.silu(F.linear(normed, self.uvqk.weight[p], self.uvqk.bias[p])) for p in parts)
        return self.split(key), self.split(value)

    def bias(self, at: Relations) -> Tensor:
        """`[B or 1, H, queries or 1, S]`"""
        bias = self.rel_pos_bias[:, at.position].transpose(0, 1)
        if at.time is not None:
            bias = bias + self.time_bias[:, at.time].transpose(0, 1)
        return bias

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        return query @ key.transpose(-1, -2) / math.sqrt(self.head)

    def mixed(self, parts: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """Attention over several sets of keys: scores and who sees whom `[B, H, n, keys]`, values `[B, H, keys, Dh]`."""
        if not self.softmax:
            weights = ((F.silu(s).div(self.longest).masked_fill(~seen, 0), v) for s, seen, v in parts)
            return sum(w @ v for w, v in weights)
        scores = torch.cat([s.masked_fill(~seen, -math.inf) for s, seen, _ in parts], -1)
        return torch.softmax(scores, -1) @ torch.cat([v for *_, v in parts], -2)

    def close(self, x: Tensor, gate: Tensor, mixed: Tensor) -> Tensor:
        return x + self.out(self.attn_norm(mixed.transpose(1, 2).flatten(2)) * gate)


class OneRanker(nn.Module):
    def __init__(self, config: SimpleNamespace, weights: dict[str, Tensor]):
        super().__init__()
        self.config = config
        hold = lambda name: nn.Parameter(weights[name], requires_grad=False)
        self.item_embedding, self.action_embedding = hold("item_embedding"), hold("action_embedding")
        self.task_embedding, self.rank_bias = hold("task_embedding"), hold("rank_bias")
        if config.n_fake_items:
            self.fake_items, self.fake_proj = hold("fake_items"), Linear(weights, "fake_proj")
        self.layers = nn.ModuleList(Layer(config, weights, f"layers.{l}") for l in range(config.n_layers))
        self.rank_layers = nn.ModuleList(Layer(config, weights, f"rank_layers.{r}") for r in range(config.n_rank_layers))
        eps = config.layer_norm_eps
        self.final_norm, self.rank_norm = Norm(weights, "final_norm", eps), Norm(weights, "rank_norm", eps)
        self.user_proj, self.rank_proj = Linear(weights, "user_proj"), Linear(weights, "rank_proj")
        self.candidate_proj = Linear(weights, "candidate_proj")
        edges = [math.ceil(math.exp(0.301 * k)) for k in range(1, config.time_buckets)]
        self.register_buffer("edges", torch.tensor(edges, dtype=torch.int64))
        # Fake items see themselves, tasks see all fake items and the tasks up to themselves.
        fakes, prompt = config.n_fake_items, config.n_fake_items + len(config.tasks)
        seen = torch.eye(prompt, dtype=torch.bool)
        seen[fakes:, :] = torch.ones(prompt - fakes, prompt).tril(fakes).bool()
        self.register_buffer("prompt_seen", seen)

    @classmethod
    def load(cls, model: Path, weights: Path) -> OneRanker:
        config = SimpleNamespace(**tomllib.loads(Path(model).read_text())["model"])
        return cls(config, {name: tensor.float() for name, tensor in load_file(weights).items()}).eval()

    def time_buckets(self, apart: Tensor) -> Tensor | None:
        if not self.config.time_buckets:
            return None
        return torch.bucketize(apart.abs().clamp(min=1), self.edges, right=True)

    def positions(self, apart: Tensor) -> Tensor:
        return apart.clamp(0, self.config.rel_pos_buckets - 1)

    def items(self, ids: Tensor) -> Tensor:
        return self.item_embedding[torch.where((ids >= 0) & (ids < self.config.n_items), ids, 0)]

    def asked_now(self, slots: int, seq_lens: Tensor, timestamps: Tensor, request_time: Tensor) -> Relations:
        """Prompt and candidates stand behind the history, at the request's time: all the same `[B, 1, S]`."""
        slot = torch.arange(slots, device=seq_lens.device)
        behind = (seq_lens[:, None] - slot)[:, None]
        time = self.time_buckets((request_time[:, None] - timestamps)[:, None])
        return Relations(self.positions(behind), time, (behind > 0)[:, None])

    def encode(self, item_ids: Tensor, action_ids: Tensor, timestamps: Tensor, seq_lens: Tensor) -> list[KeyValue]:
        """Keys and values `[B, H, T, Dh]` of all layers, 0 behind a history."""
        x = self.items(item_ids) + self.action_embedding[action_ids]
        place = torch.arange(x.shape[1], device=x.device)
        apart = (place[:, None] - place)[None]
        time = self.time_buckets(timestamps[:, :, None] - timestamps[:, None]) if self.config.time_buckets else None
        at = Relations(self.positions(apart), time, apart >= 0)
        real = (place < seq_lens[:, None])[:, None, :, None]
        kept = []
        for layer in self.layers[:-1]:
            gate, value, query, key = layer.project(x)
            scores = layer.scores(query, key) + layer.bias(at)
            x = layer.close(x, gate, layer.mixed([(scores, at.seen, value)]))
            kept.append((key, value))
        kept.append(self.layers[-1].key_value(x))
        return [(key.masked_fill(~real, 0), value.masked_fill(~real, 0)) for key, value in kept]

    def generate(
        self, past: list[KeyValue], seq_lens: Tensor, timestamps: Tensor, request_time: Tensor
    ) -> tuple[Tensor, Tensor, list[KeyValue]]:
        """States and embeddings of the tasks `[B, N, D]`, and the prompt's keys and values of the last R layers."""
        config = self.config
        at = self.asked_now(past[0][0].shape[2], seq_lens, timestamps, request_time)
        x = self.task_embedding
        if config.n_fake_items:
            x = torch.cat([self.fake_proj(self.fake_items), x])
        x = x.expand(len(seq_lens), -1, -1)
        prompt = []
        for layer, (key, value) in zip(self.layers, past):
            gate, own_value, query, own_key = layer.project(x)
            history = (layer.scores(query, key) + layer.bias(at), at.seen, value)
            own = (layer.scores(query, own_key), self.prompt_seen, own_value)
            x = layer.close(x, gate, layer.mixed([history, own]))
            prompt.append((own_key, own_value))
        states = self.final_norm(x[:, config.n_fake_items :])
        u = self.user_proj(states).float()
        users = u / (u.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        return states, users, prompt[-config.n_rank_layers :]

    def rank(
        self,
        candidate_ids: Tensor,
        past: list[KeyValue],
        prompt: list[KeyValue],
        task_states: Tensor,
        user_embeddings: Tensor,
        seq_lens: Tensor,
        timestamps: Tensor,
        request_time: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Scores and the generator's logits `[B, C, N]`. `past` and `prompt` are those of the last R layers."""
        at = self.asked_now(past[0][0].shape[2], seq_lens, timestamps, request_time)
        embeddings = self.items(candidate_ids)
        x = self.candidate_proj(embeddings)
        everyone = torch.ones((), dtype=torch.bool, device=x.device)
        for layer, (key, value), (prompt_key, prompt_value) in zip(self.rank_layers, past, prompt):
            gate, own_value, query, own_key = layer.project(x)
            history = (layer.scores(query, key) + layer.bias(at), at.seen, value)
            asked = (layer.scores(query, prompt_key), everyone, prompt_value)
            itself = (query * own_key).sum(-1, keepdim=True) / math.sqrt(layer.head)
            x = layer.close(x, gate, self.with_itself(layer, [history, asked], itself, own_value))
        h = self.rank_proj(self.rank_norm(x))
        scores = (h @ task_states.transpose(1, 2)).float() / math.sqrt(self.config.d_model) + self.rank_bias.float()
        logits = embeddings.float() @ user_embeddings.transpose(1, 2) / self.config.temperature
        return scores, logits

    @staticmethod
    def with_itself(layer: Layer, parts: list, itself: Tensor, own_value: Tensor) -> Tensor:
        """As `mixed`; each query has one more key, its own, with the score `itself` `[B, H, C, 1]`."""
        if not layer.softmax:
            return layer.mixed(parts) + F.silu(itself) / layer.longest * own_value
        scores = torch.cat([s.masked_fill(~seen, -math.inf) for s, seen, _ in parts] + [itself], -1)
        weights = torch.softmax(scores, -1)
        values = torch.cat([v for *_, v in parts], -2)
        return weights[..., :-1] @ values + weights[..., -1:] * own_value


def random_requests(config: SimpleNamespace, batch: int, length: int, candidates: int, seed: int = 0) -> dict[str, Tensor]:
    """Inputs by name; histories of 0, 1 and `length` behaviours among them where the batch has room."""
    g = torch.Generator().manual_seed(seed)
    lens = torch.randint(0, length + 1, (batch,), generator=g)
    lens[: min(3, batch)] = torch.tensor([length, 0, 1])[: min(3, batch)]
    ids = lambda most, *shape: torch.randint(1, max(2, most), shape, generator=g)
    times = 1_700_000_000 + torch.randint(0, 100_000, (batch, length), generator=g).cumsum(1)
    return {
        "item_ids": ids(config.n_items, batch, length),
        "action_ids": ids(config.n_actions, batch, length).clamp(max=config.n_actions - 1),
        "timestamps": times,
        "seq_lens": lens,
        "request_time": times[:, -1] + 3600,
        "candidate_ids": ids(config.n_items, batch, candidates),
    }


def full(model: OneRanker, asked: dict[str, Tensor]) -> dict[str, Tensor]:
    """All outputs of `encode`, `generate` and `rank`, by the names that graphs give them."""
    now = {name: asked[name] for name in ("seq_lens", "timestamps", "request_time")}
    past = model.encode(asked["item_ids"], asked["action_ids"], asked["timestamps"], asked["seq_lens"])
    states, users, prompt = model.generate(past, **now)
    last = len(past) - len(prompt)
    scores, logits = model.rank(asked["candidate_ids"], past[last:], prompt, states, users, **now)
    found = {"task_states": states, "user_embeddings": users, "scores": scores, "generator_logits": logits}
    for name, first, kept in (("present", 0, past), ("prompt", last, prompt)):
        for layer, (key, value) in enumerate(kept, first):
            found |= {f"{name}.{layer}.key": key, f"{name}.{layer}.value": value}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--golden", type=Path, required=True, help="file to write: inputs, and what PyTorch makes of them")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--candidates", type=int, default=64)
    args = parser.parse_args()
    model = OneRanker.load(args.model, args.weights)
    asked = random_requests(model.config, args.batch, model.config.max_seq_len, args.candidates)
    with torch.inference_mode():
        outputs = full(model, asked)
    tensors = {f"inputs.{name}": tensor for name, tensor in asked.items()}
    tensors |= {f"outputs.{name}": tensor for name, tensor in outputs.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, args.golden)


if __name__ == "__main__":
    main()
