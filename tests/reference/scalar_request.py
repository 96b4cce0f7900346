"""One request of the model contract (`model-contract.md`), number by number, without NumPy operations.

The reference's own check: its identities alone would not notice, say, gate and value swapped.
"""

from __future__ import annotations

import math

from model import ModelConfig


class ScalarRequest:
    """One user's generator and ranker, number by number, over one list of (kind, index) tokens."""

    def __init__(self, config: ModelConfig, weights: dict, ids, actions, times, request_time, candidate: int):
        self.config, self.weights = config, weights
        self.n = n = len(ids)
        w = weights
        self.tokens = [("behaviour", i) for i in range(n)]
        self.tokens += [("fake", k) for k in range(config.n_fake_items)]
        self.tokens += [("task", k) for k in range(config.n_tasks)] + [("candidate", 0)]
        self.position = [i if kind == "behaviour" else n for kind, i in self.tokens]
        self.time = [int(times[i]) if kind == "behaviour" else int(request_time) for kind, i in self.tokens]
        rows = [[a + b for a, b in zip(w["item_embedding"][i], w["action_embedding"][a])] for i, a in zip(ids, actions)]
        rows += [self.affine(w["fake_items"][k], w, "fake_proj") for k in range(config.n_fake_items)]
        rows += [list(w["task_embedding"][k]) for k in range(config.n_tasks)]
        carried = []
        for l in range(config.n_layers):
            layer = self.layer(f"layers.{l}")
            parts = [self.parts(layer, row) for row in rows]
            carried.append(parts)
            rows = [self.attend(layer, i, row, parts) for i, row in enumerate(rows)]
        h = self.affine(w["item_embedding"][candidate], w, "candidate_proj")
        for r in range(config.n_rank_layers):
            layer = self.layer(f"rank_layers.{r}")
            parts = carried[config.n_layers - config.n_rank_layers + r] + [self.parts(layer, h)]
            h = self.attend(layer, len(self.tokens) - 1, h, parts)
        answer = self.affine(self.norm(h, w, "rank_norm"), w, "rank_proj")
        self.states = [self.norm(row, w, "final_norm") for row in rows[-config.n_tasks :]]
        dots = [sum(a * b for a, b in zip(answer, state)) for state in self.states]
        self.scores = [d / config.d_model**0.5 + bias for d, bias in zip(dots, w["rank_bias"])]
        users = [self.affine(state, w, "user_proj") for state in self.states]
        self.users = [[a / (sum(b * b for b in u) + 1e-12) ** 0.5 for a in u] for u in users]
        item = w["item_embedding"][candidate]
        self.logits = [sum(a * b for a, b in zip(u, item)) / config.temperature for u in self.users]

    def layer(self, prefix):
        return {name[len(prefix) + 1 :]: w for name, w in self.weights.items() if name.startswith(prefix + ".")}

    def affine(self, row, weights, name):
        w, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return [sum(row[i] * w[i][j] for i in range(len(row))) + bias[j] for j in range(len(bias))]

    def norm(self, row, weights, name):
        mean = sum(row) / len(row)
        spread = math.sqrt(sum((a - mean) ** 2 for a in row) / len(row) + self.config.layer_norm_eps)
        return [(a - mean) / spread * g + b for a, g, b in zip(row, weights[f"{name}.weight"], weights[f"{name}.bias"])]

    def parts(self, layer, row):
        """U, V, Q and K of one token, each of length D."""
        flat = [a / (1 + math.exp(-a)) for a in self.affine(self.norm(row, layer, "norm"), layer, "uvqk")]
        d = self.config.d_model
        return flat[:d], flat[d : 2 * d], flat[2 * d : 3 * d], flat[3 * d :]

    def sees(self, query, key):
        (kind, i), (other, j) = self.tokens[query], self.tokens[key]
        if kind == "behaviour":
            return other == "behaviour" and j <= i
        if kind == "fake":
            return other == "behaviour" or (other == "fake" and i == j)
        if kind == "task":
            return other in ("behaviour", "fake") or (other == "task" and j <= i)
        return True  # the only candidate

    def score(self, layer, head, query, key, q, k):
        width = self.config.d_head
        s = sum(q[head * width + a] * k[head * width + a] for a in range(width)) / math.sqrt(width)
        if self.tokens[key][0] != "behaviour":
            return s
        apart = max(self.position[query] - self.position[key], 0)
        s += layer["rel_pos_bias"][head][min(apart, self.config.rel_pos_buckets - 1)]
        if self.config.time_buckets:
            elapsed = max(abs(self.time[query] - self.time[key]), 1)
            bucket = sum(math.ceil(math.exp(0.301 * k)) <= elapsed for k in range(1, self.config.time_buckets))
            s += layer["time_bias"][head][bucket]
        return s

    def attend(self, layer, query, row, parts):
        width, mixed = self.config.d_head, []
        gate, _, q, _ = parts[query]
        for head in range(self.config.n_heads):
            seen = [key for key in range(len(parts)) if self.sees(query, key)]
            scores = [self.score(layer, head, query, key, q, parts[key][3]) for key in seen]
            if self.config.attention == "hstu":
                a = [s / (1 + math.exp(-s)) / self.config.max_seq_len for s in scores]
            else:
                a = [math.exp(s) / sum(math.exp(t) for t in scores) for s in scores]
            mixed += [sum(x * parts[k][1][head * width + c] for x, k in zip(a, seen)) for c in range(width)]
        y = [a * b for a, b in zip(self.norm(mixed, layer, "attn_norm"), gate)]
        return [a + b for a, b in zip(row, self.affine(y, layer, "out"))]
