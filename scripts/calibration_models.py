"""Models and inputs for bench_calibration.py and check_calibration.py."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HSTU = """[model]
n_items = 2000
n_actions = 4
d_model = 256
n_heads = 4
n_layers = 8
n_rank_layers = 2
max_seq_len = 128
attention = "hstu"
tasks = ["click", "buy"]
n_fake_items = 8
rel_pos_buckets = 64
time_buckets = 64
layer_norm_eps = 1e-5
temperature = 0.05
"""


def hstu(onr: Path, folder: Path, text: str = HSTU) -> Path:
    """The `encode` graph of a model with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.toml").write_text(text)
    begin = [onr, "init", "--model", folder / "model.toml", "--out", folder / "weights.safetensors"]
    export = [onr, "export", "--model", folder / "model.toml", "--graphs", "encode"]
    export += ["--weights", folder / "weights.safetensors", "--out", folder / "graphs"]
    for command in begin, export:
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return folder / "graphs" / "encode.onnx"


def histories(model: Path, out: Path, batches: int, rows: int, length: int, packed=False) -> Path:
    """Inputs of `encode`: histories of different lengths, padded to `length`."""
    rng = np.random.default_rng(batches)
    shape = (batches, rows, length)
    graph = onnx.load(model, load_external_data=False).graph
    table = {t.name: t.dims for t in graph.initializer}
    n_items = max(dims[0] for dims in table.values() if len(dims) == 2)
    lens = rng.integers(length // 2, length + 1, shape[:2])
    behind = np.arange(length) >= lens[..., None]
    made = {
        "item_ids": np.where(behind, 0, rng.integers(1, n_items, shape)),
        "action_ids": np.where(behind, 0, rng.integers(1, 4, shape)),
        "timestamps": np.cumsum(rng.integers(0, 100_000, shape), -1) + 1_600_000_000,
        "seq_lens": lens,
        "request_time": np.full(shape[:2], 1_700_000_000),
    }
    save = np.savez_compressed if packed else np.savez
    save(out, **{i.name: made[i.name].astype(np.int64) for i in graph.input})
    return out


def weights(rng, name: str, *shape: int) -> onnx.TensorProto:
    scale = np.sqrt(np.prod(shape[1:] if len(shape) > 2 else shape[:1]))
    return numpy_helper.from_array((rng.standard_normal(shape) / scale).astype(np.float32), name)


def small(folder: Path) -> tuple[Path, Path]:
    """Convolutions, a Gemm, a MatMul, and inputs of three types."""
    rng = np.random.default_rng(0)
    nodes = [
        ("Conv", ["image", "k1", "b1"], "c1", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("Relu", ["c1"], "r1", {}),
        ("Conv", ["r1", "k2"], "c2", {"group": 2}),
        ("Relu", ["c2"], "r2", {}),
        ("GlobalAveragePool", ["r2"], "pooled", {}),
        ("Flatten", ["pooled"], "flat", {}),
        ("Gather", ["table", "id"], "row", {}),
        ("Cast", ["flag"], "wide", {"to": TensorProto.FLOAT}),
        ("Mul", ["row", "wide"], "masked", {}),
        ("Concat", ["flat", "masked"], "joined", {"axis": 1}),
        ("Gemm", ["joined", "w1", "b2"], "h", {"transB": 1}),
        ("Relu", ["h"], "hr", {}),
        ("MatMul", ["hr", "w2"], "scores", {}),
    ]
    made = [helper.make_node(op, i, [o], name=f"{o}/{op}", **a) for op, i, o, a in nodes]
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 16, 16]),
        helper.make_tensor_value_info("id", TensorProto.INT32, ["batch"]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, ["batch", 1]),
    ]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])]
    shapes = {"k1": (16, 3, 3, 3), "b1": (16,), "k2": (16, 8, 3, 3), "table": (50, 8)}
    shapes |= {"w1": (32, 24), "b2": (32,), "w2": (32, 10)}
    constants = [weights(rng, name, *shape) for name, shape in shapes.items()]
    graph = helper.make_graph(made, "small", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "small.onnx")
    image = rng.standard_normal((7, 4, 3, 16, 16)).astype(np.float32)
    ids, flags = rng.integers(0, 50, (7, 4)), rng.integers(0, 2, (7, 4, 1))
    data = folder / "small.npz"
    np.savez_compressed(data, image=image, id=ids.astype(np.int32), flag=flags.astype(bool))
    return folder / "small.onnx", data


def large(folder: Path) -> tuple[Path, Path]:
    """1 GB: a table of 400,000 rows and six pairs of products, in external data."""
    rng = np.random.default_rng(0)
    width, inner, rows, pairs = 2048, 6144, 400_000, 6
    folder.mkdir(parents=True, exist_ok=True)
    constants, nodes, offset = [], [], 0
    with open(folder / "large.data", "wb") as file:

        def put(name: str, shape: tuple[int, int], scale: float) -> None:
            nonlocal offset
            for at in range(0, shape[0], 4096):
                part = rng.standard_normal((min(4096, shape[0] - at), shape[1]), np.float32)
                file.write((part * np.float32(scale)).tobytes())
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            length = 4 * shape[0] * shape[1]
            for key, value in ("location", "large.data"), ("offset", offset), ("length", length):
                tensor.external_data.add(key=key, value=str(value))
            constants.append(tensor)
            offset += length

        put("table", (rows, 256), 1.0)
        put("up", (256, width), 1 / 16)
        for pair in range(pairs):
            put(f"{pair}.in", (width, inner), width**-0.5)
            put(f"{pair}.out", (inner, width), inner**-0.5)
    constants += [numpy_helper.from_array(np.ones(width, np.float32), "norm")]
    nodes += [("Gather", ["table", "ids"], "rows"), ("MatMul", ["rows", "up"], "x.0")]
    for pair in range(pairs):
        x, y = f"x.{pair}", f"x.{pair + 1}"
        nodes += [
            ("LayerNormalization", [x, "norm"], f"{pair}.normed"),
            ("MatMul", [f"{pair}.normed", f"{pair}.in"], f"{pair}.h"),
            ("Relu", [f"{pair}.h"], f"{pair}.r"),
            ("MatMul", [f"{pair}.r", f"{pair}.out"], f"{pair}.y"),
            ("Add", [x, f"{pair}.y"], y),
        ]
    made = [helper.make_node(op, i, [o], name=f"{o}/{op}") for op, i, o in nodes]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "seq"])
    out = helper.make_tensor_value_info(f"x.{pairs}", TensorProto.FLOAT, ["batch", "seq", width])
    graph = helper.make_graph(made, "large", [ids], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "large.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "large.npz", ids=rng.integers(0, rows, (8, 8, 16)))
    return folder / "large.onnx", folder / "large.npz"


def found(text: str) -> dict:
    """The last line of a report, as JSON."""
    return json.loads(text.strip().splitlines()[-1])
