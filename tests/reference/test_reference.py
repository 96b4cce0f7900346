"""Checks the reference against the identities of the model contract (`model-contract.md`).

Random small models, random weights; `python3 test_reference.py`. One test computes whole
requests a second time, number by number, with `scalar_request.py`.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import tempfile
import unittest
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

import run
from model import (
    ModelConfig,
    graph_inputs,
    graph_outputs,
    key_values,
    load_weights,
    weight_shapes,
)
from oneranker import (
    append,
    dc,
    encode,
    final_order,
    generate,
    oneranker,
    rank,
    time_bucket,
    time_thresholds,
)
from scalar_request import ScalarRequest
from tensor_file import read_tensors, write_tensors

BASE = ModelConfig(
    n_items=30, n_actions=4, d_model=8, n_heads=2, n_layers=3, n_rank_layers=2, max_seq_len=7, attention="hstu",
    tasks=("impression", "click", "value"), n_fake_items=3, rel_pos_buckets=4, time_buckets=20,
    layer_norm_eps=1e-5, temperature=0.5,
)  # fmt: skip
CONFIGS = [
    replace(BASE, attention=attention, **changes)
    for attention in ("hstu", "softmax")
    for changes in (
        {},
        {"n_fake_items": 0, "time_buckets": 0},
        {"n_rank_layers": 3, "rel_pos_buckets": 1, "time_buckets": 1},
        {"n_layers": 1, "n_rank_layers": 1, "tasks": ("click",)},
        {"n_rank_layers": 1, "n_heads": 1, "n_fake_items": 1, "time_buckets": 145},
    )
]
LENGTHS = np.array([6, 0, 1, 9])
T = 9


def random_weights(config: ModelConfig, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0.0, 0.6, shape) for name, shape in weight_shapes(config).items()}


def requests(config: ModelConfig, seed: int = 2, vectors: bool = False) -> dict[str, np.ndarray]:
    """Everything a `oneranker` or `encode` call could need; padding holds junk."""
    rng = np.random.default_rng(seed)
    batch = len(LENGTHS)
    times = 1_700_000_000 + np.cumsum(rng.integers(0, 4000, (batch, T)) ** 2, axis=1)
    padding = np.arange(T) >= LENGTHS[:, None]
    times[padding] = rng.integers(-(2**60), 2**60, padding.sum())
    request_time = 1_700_000_000 + rng.integers(0, 10**9, batch)
    everything = {
        "item_ids": np.where(padding, rng.integers(-99, 99, (batch, T)), rng.integers(0, config.n_items, (batch, T))),
        "action_ids": rng.integers(0, config.n_actions, (batch, T)),
        "item_embeddings": rng.normal(size=(batch, T, config.d_model)),
        "timestamps": times,
        "seq_lens": LENGTHS,
        "request_time": request_time,
    }
    return {name: everything[name] for name in everything if vectors or name != "item_embeddings"}


def pick(config: ModelConfig, graph: str, *sources: dict, item_input: str = "ids") -> dict[str, np.ndarray]:
    """Exactly the inputs of a graph, from the first source that has them."""
    names = graph_inputs(config, graph, item_input)
    return {name: next(source[name] for source in sources if name in source) for name in names}


def as_past(config: ModelConfig, present: dict, slots: int, seed: int = 3) -> dict[str, np.ndarray]:
    """`present.*` as `past_key_values.*` of capacity `slots`, junk in every unused slot."""
    rng = np.random.default_rng(seed)
    past = {}
    for name in key_values(config, "present", config.generator_layers, "T"):
        kept = present[name]
        junk = rng.normal(0, 1e3, (*kept.shape[:2], slots, kept.shape[3]))
        for user, count in enumerate(LENGTHS):
            junk[user, :, :count] = kept[user, :, :count]
        past[name.replace("present", "past_key_values")] = junk
    return past


def widened(values: np.ndarray, slots: int, junk: int = -(10**6)) -> np.ndarray:
    extra = np.full((values.shape[0], slots - values.shape[1], *values.shape[2:]), junk, values.dtype)
    return np.concatenate([values, extra], axis=1)


def staged(config: ModelConfig, weights: dict, candidate_ids: np.ndarray, slots: int = T + 2) -> dict:
    """encode -> generate -> rank; all outputs in one dict."""
    inputs = requests(config)
    present = encode(config, weights, pick(config, "encode", inputs))
    inputs |= {"timestamps": widened(inputs["timestamps"], slots), "candidate_ids": candidate_ids}
    inputs |= as_past(config, present, slots)
    prompt = generate(config, weights, pick(config, "generate", inputs))
    return prompt | rank(config, weights, pick(config, "rank", inputs, prompt))


class Case(unittest.TestCase):
    def assertClose(self, left: np.ndarray, right: np.ndarray) -> None:
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-11)


def each_config(test):
    """Runs a test method once for every configuration, with its weights."""

    @functools.wraps(test)
    def wrapped(self):
        for config in CONFIGS:
            with self.subTest(config=config):
                test(self, config, random_weights(config))

    return wrapped


class Identities(Case):
    @each_config
    def test_prefix_and_append_equal_the_whole(self, config, weights):
        for item_input in ("ids", "embeddings"):
            inputs = requests(config, vectors=True)
            whole = encode(config, weights, pick(config, "encode", inputs, item_input=item_input), item_input)
            self.check_growth(config, weights, inputs, whole, item_input)

    def check_growth(self, config, weights, inputs, whole, item_input):
        """Two appends of uneven size, from a prefix, in a capacity unlike T."""
        slots, fed = T + 4, [np.minimum(LENGTHS, 2), np.minimum(LENGTHS, 5), LENGTHS]
        prefix = inputs | {"seq_lens": fed[0]}
        present = encode(config, weights, pick(config, "encode", prefix, item_input=item_input), item_input)
        held = as_past(config, present, slots)
        for before, after in zip(fed, fed[1:]):
            new = {"past_lens": before, "new_lens": after - before, "timestamps": widened(inputs["timestamps"], slots)}
            for name in ("item_ids", "action_ids", "item_embeddings"):
                new[name] = np.stack([np.roll(row, -n, axis=0) for row, n in zip(inputs[name], before)])[:, :5]
            present = append(config, weights, pick(config, "append", new, held, item_input=item_input), item_input)
            for name, now in present.items():
                was = held[name.replace("present", "past_key_values")]
                for user, (first, last) in enumerate(zip(before, after)):
                    np.testing.assert_array_equal(now[user, :, :first], was[user, :, :first])
                    np.testing.assert_array_equal(now[user, :, last:], was[user, :, last:])
            held = {name.replace("present", "past_key_values"): now for name, now in present.items()}
        for name, expected in whole.items():
            for user, count in enumerate(LENGTHS):
                self.assertClose(present[name][user, :, :count], expected[user, :, :count])
                self.assertFalse(expected[user, :, count:].any(), "encode leaves 0 behind the history")

    @each_config
    def test_stages_equal_oneranker(self, config, weights):
        together = oneranker(config, weights, pick(config, "oneranker", requests(config)), top_k=4)
        apart = staged(config, weights, together["candidate_ids"])
        for name in ("scores", "generator_logits"):
            self.assertClose(together[name], apart[name])
        self.check_retrieval(config, weights, together, apart["user_embeddings"])

    def check_retrieval(self, config, weights, outputs, users):
        every = np.einsum("bnd,vd->bnv", users, weights["item_embedding"]) / config.temperature
        ids = outputs["candidate_ids"].reshape(len(LENGTHS), config.n_tasks, 4)
        for user, task in np.ndindex(ids.shape[:2]):
            best = 1 + np.argsort(-every[user, task, 1:], kind="stable")[:4]
            np.testing.assert_array_equal(ids[user, task], best)

    @each_config
    def test_candidates_do_not_see_each_other(self, config, weights):
        rng = np.random.default_rng(5)
        ids = rng.integers(1, config.n_items, (len(LENGTHS), 6))
        few, order = staged(config, weights, ids), rng.permutation(6)
        mixed = staged(config, weights, ids[:, order])
        more = staged(config, weights, np.concatenate([ids, rng.integers(0, 30, (len(LENGTHS), 5))], axis=1))
        for name in ("scores", "generator_logits"):
            self.assertClose(mixed[name], few[name][:, order])
            self.assertClose(more[name][:, :6], few[name])

    @each_config
    def test_padding_more_changes_nothing(self, config, weights):
        inputs = requests(config)
        names = ("item_ids", "action_ids", "timestamps")
        padded = inputs | {name: widened(inputs[name], T + 5) for name in names}
        short = encode(config, weights, pick(config, "encode", inputs))
        long = encode(config, weights, pick(config, "encode", padded))
        for name, values in short.items():
            self.assertClose(long[name][:, :, :T], values)
            self.assertFalse(long[name][:, :, T:].any())
        narrow, wide = (oneranker(config, weights, pick(config, "oneranker", i), 3) for i in (inputs, padded))
        ids = narrow["candidate_ids"]
        np.testing.assert_array_equal(wide["candidate_ids"], ids)
        near, far = (staged(config, weights, ids, slots) for slots in (T, T + 20))
        for name, values in near.items():
            self.assertClose(far[name], values)

    @each_config
    def test_empty_history_is_valid_and_finite(self, config, weights):
        inputs = pick(config, "oneranker", requests(config) | {"seq_lens": np.zeros(4, np.int64)})
        outputs = oneranker(config, weights, inputs, top_k=2)
        self.assertTrue(all(np.isfinite(values).all() for values in outputs.values()))
        self.assertClose(outputs["scores"], np.broadcast_to(outputs["scores"][:1], outputs["scores"].shape))

    @each_config
    def test_outputs_have_the_contracts_names_and_shapes(self, config, weights):
        outputs = oneranker(config, weights, pick(config, "oneranker", requests(config)), top_k=2)
        self.check_shapes(outputs, graph_outputs(config, "oneranker", 2), {})
        both = staged(config, weights, np.ones((len(LENGTHS), 5), np.int64))
        self.check_shapes(both, graph_outputs(config, "generate") | graph_outputs(config, "rank"), {"C": 5})

    def check_shapes(self, outputs, shapes, axes):
        axes = axes | {"B": len(LENGTHS)}
        wanted = {name: tuple(axes.get(axis, axis) for axis in shape) for name, shape in shapes.items()}
        self.assertEqual({name: values.shape for name, values in outputs.items()}, wanted)

    def test_times_that_cannot_matter_may_be_left_out(self):
        for config in (replace(BASE, time_buckets=1), replace(BASE, n_layers=1, n_rank_layers=1)):
            weights, inputs = random_weights(config), pick(config, "encode", requests(config))
            present = encode(config, weights, inputs)
            del inputs["timestamps"]
            for name, values in encode(config, weights, inputs).items():
                np.testing.assert_array_equal(values, present[name])

    def test_unused_inputs_are_left_out(self):
        for graph in run.GRAPHS:
            names = graph_inputs(replace(BASE, time_buckets=0), graph)
            self.assertFalse({"timestamps", "request_time"} & names.keys())
        config = replace(BASE, time_buckets=0)
        with self.assertRaisesRegex(ValueError, "`timestamps` is not an input"):
            encode(config, random_weights(config), pick(BASE, "encode", requests(BASE)))


class Numbers(Case):
    @each_config
    def test_equals_scalar_loops(self, config, weights):
        inputs = requests(config)
        got = staged(config, weights, np.full((len(LENGTHS), 1), 7))
        for user, n in enumerate(LENGTHS[:3]):
            history = (inputs[name][user, :n] for name in ("item_ids", "action_ids", "timestamps"))
            want = ScalarRequest(config, weights, *history, inputs["request_time"][user], 7)
            self.assertClose(got["task_states"][user], want.states)
            self.assertClose(got["user_embeddings"][user], want.users)
            self.assertClose(got["scores"][user, 0], want.scores)
            self.assertClose(got["generator_logits"][user, 0], want.logits)

    def test_time_buckets(self):
        self.assertEqual(time_thresholds(8).tolist(), [2, 2, 3, 4, 5, 7, 9])
        self.assertEqual(time_bucket(np.array([0, 1, -1, 2, 3, -4, 8, 9]), 8).tolist(), [0, 0, 0, 2, 3, 4, 6, 7])
        for n_buckets in (1, 2, 64, 145):
            edges = [math.ceil(math.exp(0.301 * k)) for k in range(1, n_buckets)]
            values = [0, 2**62, *range(300), *(e + d for e in edges for d in (-1, 0, 1))]
            brute = [sum(edge <= max(abs(value), 1) for edge in edges) for value in values]
            self.assertEqual(time_bucket(np.array(values), n_buckets).tolist(), brute)
            self.assertEqual(time_bucket(-np.array(values), n_buckets).tolist(), brute)

    def test_a_tiny_user_vector_is_not_blown_up(self):
        weights = random_weights(BASE)
        weights["user_proj.weight"][:], weights["user_proj.bias"][:] = 0.0, 1e-6
        users = staged(BASE, weights, np.ones((len(LENGTHS), 1), np.int64))["user_embeddings"]
        self.assertClose(users, np.full(users.shape, 1 / 3))  # 1e-6 / sqrt(8e-12 + 1e-12)

    def test_unknown_ids_read_row_0(self):
        weights = random_weights(BASE)
        known, unknown = (pick(BASE, "encode", requests(BASE)) for _ in range(2))
        known["item_ids"][0, :3], known["action_ids"][0, :2] = 0, 0
        unknown["item_ids"][0, :3], unknown["action_ids"][0, :2] = [-1, 30, 2**62], [-5, 4]
        left, right = encode(BASE, weights, known), encode(BASE, weights, unknown)
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])
        ids = np.tile([0, -1, 30, 2**62], (len(LENGTHS), 1))
        for name in ("scores", "generator_logits"):
            values = staged(BASE, weights, ids)[name]
            self.assertClose(values, np.broadcast_to(values[:, :1], values.shape))

    @each_config
    def test_vectors_stand_in_for_ids(self, config, weights):
        inputs, ids = requests(config), np.tile([3, 0, 9], (len(LENGTHS), 1))
        inputs["item_ids"] %= config.n_items
        table, actions = weights["item_embedding"], weights["action_embedding"]
        inputs["item_embeddings"] = table[inputs["item_ids"]] + actions[inputs["action_ids"]]
        inputs |= {"candidate_ids": ids, "candidate_embeddings": table[ids]}
        bare = {name: w for name, w in weights.items() if name not in ("item_embedding", "action_embedding")}
        left = encode(config, weights, pick(config, "encode", inputs))
        right = encode(config, bare, pick(config, "encode", inputs, item_input="embeddings"), "embeddings")
        self.assertEqual(left.keys(), right.keys())
        for name in left:
            self.assertClose(left[name], right[name])
        inputs |= as_past(config, left, T)
        prompt = generate(config, bare, pick(config, "generate", inputs))
        by_id = rank(config, weights, pick(config, "rank", inputs, prompt))
        source = pick(config, "rank", inputs, prompt, item_input="embeddings")
        by_vector = rank(config, bare, source, "embeddings")
        for name in by_id:
            self.assertClose(by_id[name], by_vector[name])

    def test_equal_logits_list_the_smaller_id_first(self):
        weights = random_weights(BASE)
        weights["item_embedding"][1:] = weights["item_embedding"][1]
        outputs = oneranker(BASE, weights, pick(BASE, "oneranker", requests(BASE)), top_k=4)
        self.assertEqual(outputs["candidate_ids"].reshape(-1, 4).tolist(), [[1, 2, 3, 4]] * 12)

    def test_final_order_and_dc(self):
        ids = np.array([5, 3, 0, 9, 5, 2])
        scores = np.array([[0, 1.0], [9, 2.0], [0, 99.0], [1, 1.0], [0, 1.0], [0, -3.0]])
        self.assertEqual(final_order(ids, scores).tolist(), [3, 5, 9, 2])
        self.assertEqual(final_order(np.zeros(2, np.int64), scores[:2]).tolist(), [])
        self.assertAlmostEqual(dc(ids, scores, scores + 7.0), 0.0)
        logits = np.array([[0.0, math.log(3)], [0.0, 0.0]])
        even = np.zeros((2, 2))
        self.assertAlmostEqual(dc(np.array([1, 2]), even, logits), 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(2))
        halved = dc(np.array([1, 2]), even, logits / 2)
        self.assertAlmostEqual(dc(np.array([1, 2]), even, logits, temperature=2.0), halved)


class Filter(Case):
    def setUp(self):
        self.weights = random_weights(BASE)
        self.inputs = pick(BASE, "oneranker", requests(BASE))

    def test_allowing_everything_changes_nothing(self):
        plain = oneranker(BASE, self.weights, self.inputs, 5)
        for allowed in (np.ones(30, bool), np.ones((4, 30), bool)):
            filtered = oneranker(BASE, self.weights, self.inputs | {"allowed_items": allowed}, 5)
            for name, values in plain.items():
                np.testing.assert_array_equal(filtered[name], values)

    def test_what_is_not_allowed_is_never_retrieved(self):
        plain = oneranker(BASE, self.weights, self.inputs, 29)["candidate_ids"].reshape(4, 3, 29)
        allowed = np.random.default_rng(6).random((4, 30)) < 0.5
        filtered = oneranker(BASE, self.weights, self.inputs | {"allowed_items": allowed}, 5)
        for user, task in np.ndindex(4, 3):
            best = [i for i in plain[user, task] if allowed[user, i]][:5]
            self.assertEqual(filtered["candidate_ids"].reshape(4, 3, 5)[user, task].tolist(), best)

    def test_id_0_fills_the_rest(self):
        allowed = np.zeros(30, bool)
        allowed[[0, 4, 8]] = True
        outputs = oneranker(BASE, self.weights, self.inputs | {"allowed_items": allowed}, 3)
        ids = outputs["candidate_ids"].reshape(4, 3, 3)
        self.assertEqual(np.sort(ids[..., :2]).reshape(-1, 2).tolist(), [[4, 8]] * 12)
        self.assertFalse(ids[..., 2].any())
        fill = outputs["candidate_ids"] == 0
        self.assertTrue((outputs["generator_logits"][fill] == -1e30).all())
        self.assertTrue((outputs["generator_logits"][~fill] > -1e3).all())
        self.assertClose(outputs["scores"], staged(BASE, self.weights, outputs["candidate_ids"])["scores"])


def toml(config: ModelConfig) -> str:
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
    return "[model]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


class Files(Case):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def command(self, *arguments: object) -> tuple[int, str]:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            return run.main([str(argument) for argument in arguments]), text.getvalue()

    def write_case(self, name: str, config: ModelConfig, inputs: dict, options: dict | None = None) -> Path:
        case = self.root / name
        case.mkdir()
        (case / "model.toml").write_text(toml(config))
        weights = {name: w.astype(np.float32) for name, w in random_weights(config).items()}
        write_tensors(case / "weights.safetensors", weights)
        for graph, tensors in inputs.items():
            write_tensors(case / f"inputs.{graph}.safetensors", tensors)
        if options is not None:
            (case / "options.json").write_text(json.dumps(options))
        return case

    def test_types_survive_the_format(self):
        tensors = {
            "b": np.array([[True, False]]), "i": np.array(-5), "e": np.zeros((0, 3)),
            "h": np.array([1.5], np.float16), "f": np.array([0.1], np.float32), "d": np.array([0.1]),
        }  # fmt: skip
        write_tensors(self.root / "t", tensors)
        for name, values in read_tensors(self.root / "t").items():
            self.assertEqual(values.dtype, tensors[name].dtype)
            np.testing.assert_array_equal(values, tensors[name])

    def test_bf16_is_widened(self):
        header = json.dumps({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
        data = np.array([0x3FC0, 0xC000], "<u2").tobytes()
        (self.root / "t").write_bytes(len(header).to_bytes(8, "little") + header + data)
        self.assertEqual(read_tensors(self.root / "t")["x"].tolist(), [1.5, -2.0])

    def test_config_names_every_problem(self):
        self.assertEqual(ModelConfig.from_document({"model": {**asdict(BASE), "tasks": list(BASE.tasks)}}), BASE)
        broken = toml(replace(BASE, n_rank_layers=4, time_buckets=146, temperature=0.0, tasks=("a", "a")))
        (self.root / "m.toml").write_text(broken.replace("n_items", "items").replace('"hstu"', '"relu"'))
        with self.assertRaises(ValueError) as caught:
            ModelConfig.load(self.root / "m.toml")
        for key in ("n_items", "items", "n_rank_layers", "time_buckets", "temperature", "tasks", "attention"):
            self.assertIn(f"`model.{key}`", str(caught.exception))

    def test_weights_name_every_problem(self):
        weights = random_weights(BASE)
        del weights["rank_bias"]
        weights["layers.1.out.bias"][3] = np.nan
        weights["layers.2.uvqk.weight"] = np.zeros((8, 8))
        write_tensors(self.root / "w", weights)
        with self.assertRaises(ValueError) as caught:
            load_weights(self.root / "w", BASE)
        for part in ("`rank_bias`", "`layers.1.out.bias` is not finite at [3]", "`layers.2.uvqk.weight` has shape"):
            self.assertIn(part, str(caught.exception))

    def test_cases_and_single_graph_agree(self):
        inputs = pick(BASE, "oneranker", requests(BASE)) | {"allowed_items": np.arange(30) % 2 == 0}
        graphs = {"oneranker": inputs, "encode": pick(BASE, "encode", requests(BASE))}
        case = self.write_case("one", BASE, graphs, {"top_k": 3})
        status, text = self.command(self.root)
        self.assertEqual((status, text), (0, "one: 2 graphs\n"))
        files = [("--" + n, case / f) for n, f in (("model", "model.toml"), ("weights", "weights.safetensors"))]
        files += [("--inputs", case / "inputs.oneranker.safetensors"), ("--out", self.root / "out")]
        flags = [part for pair in files for part in pair]
        self.assertEqual(self.command(*flags, "--graph", "oneranker", "--top-k", 3), (0, ""))
        expected = case / "expected.oneranker.safetensors"
        self.assertEqual(expected.read_bytes(), (self.root / "out").read_bytes())
        kinds = {name: values.dtype.str for name, values in read_tensors(expected).items()}
        self.assertEqual(kinds, {"candidate_ids": "<i8", "generator_logits": "<f8", "scores": "<f8"})

    def test_errors_are_told_and_do_not_stop_other_cases(self):
        inputs = pick(BASE, "encode", requests(BASE))
        narrow = inputs | {"timestamps": inputs["timestamps"][:, :2], "extra": np.zeros(1)}
        del narrow["seq_lens"]
        self.write_case("a", BASE, {"encode": narrow})
        self.write_case("b", BASE, {"oneranker": pick(BASE, "oneranker", requests(BASE))})
        self.write_case("c", BASE, {"encode": inputs})
        self.write_case("d", BASE, {"encode": inputs | {"seq_lens": LENGTHS + 1}})
        status, text = self.command(self.root)
        self.assertEqual(status, 1)
        parts = ("`seq_lens` is missing", "`extra` is not an input", "`timestamps` has shape [4, 2]")
        for part in (*parts, "top_k is missing", "c: 1 graphs", "`seq_lens[3]` is 10, outside [0, 9]"):
            self.assertIn(part, text)


if __name__ == "__main__":
    unittest.main()
