#!/usr/bin/env python3
"""One job on ONNX Runtime's own tools, for bench_calibration.py and check_calibration.py.

    calibration_peer.py static METHOD MODEL DATA BATCHES THREADS OUT
    calibration_peer.py plain MODEL DATA BATCHES THREADS
    calibration_peer.py minmax MODEL DATA THREADS OUT

static  `onnxruntime.quantization.quantize_static` of products with INT8 operands
plain   the model alone, with all its float values as outputs, nothing done with them
minmax  the ranges of `MinMaxCalibrater`, as JSON of little-endian F32 bits

Prints JSON: the seconds of the work, without those of Python's start.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


class Reader:
    """Batches of an archive, as ONNX Runtime's calibrators want them."""

    def __init__(self, data: str, batches: int | None = None):
        arrays = np.load(data)
        self.arrays = {name: arrays[name] for name in arrays.files}
        count = len(next(iter(self.arrays.values())))
        self.at, self.end = 0, min(count, batches or count)

    def get_next(self) -> dict | None:
        if self.at == self.end:
            return None
        self.at += 1
        return {name: array[self.at - 1] for name, array in self.arrays.items()}


def options(threads: int) -> onnxruntime.SessionOptions:
    chosen = onnxruntime.SessionOptions()
    chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    chosen.intra_op_num_threads = threads
    return chosen


def inferred(model: str) -> onnx.ModelProto:
    """The model in one piece, with the types of all its values, as ONNX Runtime tells them."""
    proto = onnx.load(model)
    asked = onnx.load(model)
    known = {value.name for value in asked.graph.output}
    made = {name for node in asked.graph.node for name in node.output if name} - known
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(made))
    session = onnxruntime.InferenceSession(asked.SerializeToString(), options(1))
    types = {"tensor(float)": onnx.TensorProto.FLOAT, "tensor(float16)": onnx.TensorProto.FLOAT16}
    del proto.graph.value_info[:]
    for value in session.get_outputs():
        if value.name in made and value.type in types:
            info = onnx.helper.make_tensor_value_info(value.name, types[value.type], None)
            proto.graph.value_info.append(info)
    return proto


def with_threads(threads: int) -> None:
    """Makes ONNX Runtime's calibrators use so many threads."""
    made = onnxruntime.InferenceSession

    def session(path, sess_options=None, **rest):
        if sess_options is not None:
            sess_options.intra_op_num_threads = threads
        return made(path, sess_options=sess_options, **rest)

    onnxruntime.InferenceSession = session


def static(method: str, model: str, data: str, batches: str, threads: str, out: str) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with_threads(int(threads))
    quantize_static(
        model,
        out,
        Reader(data, int(batches)),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gemm", "Conv"],
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=getattr(CalibrationMethod, method),
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )


def plain(model: str, data: str, batches: str, threads: str) -> None:
    proto = inferred(model)
    known = {value.name for value in proto.graph.output}
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    for value in proto.graph.value_info:
        if value.type.tensor_type.elem_type in floats and value.name not in known:
            proto.graph.output.append(value)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options(int(threads)))
    reader = Reader(data, int(batches))
    while feeds := reader.get_next():
        session.run(None, feeds)


def minmax(model: str, data: str, threads: str, out: str) -> None:
    from onnxruntime.quantization.calibrate import MinMaxCalibrater

    with_threads(int(threads))
    bits = lambda value: int(np.asarray(value, np.float32).reshape(()).view(np.uint32))
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        onnx.save(inferred(model), whole)
        calibrater = MinMaxCalibrater(whole, augmented_model_path=f"{folder}/augmented.onnx")
        calibrater.augment_graph()
        calibrater.create_inference_session()
        calibrater.collect_data(Reader(data))
        ranges = calibrater.compute_data().data
    found = {name: [bits(end) for end in value.range_value] for name, value in ranges.items()}
    Path(out).write_text(json.dumps(found))


def main() -> None:
    jobs = {"static": static, "plain": plain, "minmax": minmax}
    began = time.perf_counter()
    jobs[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
