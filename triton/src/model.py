"""A graph of onr in Triton's Python backend: the model.onnx beside this file, on the CPU.

For a canary, or a server without GPUs. It needs numpy and onnxruntime in the Python of the backend. Names and types of
inputs and outputs come from config.pbtxt, so every graph has the same file.
"""

import json
import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = {k: v["string_value"] for k, v in config.get("parameters", {}).items()}
        folder = os.path.join(args["model_repository"], args["model_version"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters.get("onr.threads", "1"))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests):
        """One response a request. Requests of equal shapes run as one batch; where that fails, each runs alone."""
        answers = [None] * len(requests)
        groups = {}
        for at, request in enumerate(requests):
            try:
                feeds = self.feeds(request)
                shapes = tuple(feeds[name].shape[1:] for name in self.inputs)
                groups.setdefault(shapes, []).append((at, feeds))
            except Exception as error:
                answers[at] = error
        for group in groups.values():
            for at, answer in self.run(group):
                answers[at] = answer
        return [self.response(r, a) for r, a in zip(requests, answers)]

    def feeds(self, request):
        feeds = {}
        for name in self.inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is None:
                raise ValueError(f"input `{name}` is missing")
            feeds[name] = tensor.as_numpy()
        if len({len(rows) for rows in feeds.values()}) != 1:
            raise ValueError("inputs have different batches")
        return feeds

    def run(self, group):
        """Pairs of a request's place and its outputs, or the error."""
        try:
            parts = [feeds for _, feeds in group]
            joined = {name: np.concatenate([feeds[name] for feeds in parts]) for name in self.inputs}
            results = self.session.run(self.outputs, joined)
        except Exception as error:
            if len(group) == 1:
                return [(group[0][0], error)]
            return [pair for one in group for pair in self.run([one])]
        rows = [len(feeds[self.inputs[0]]) for feeds in parts]
        cuts = np.cumsum(rows)[:-1]
        split = [np.split(result, cuts) for result in results]
        return [(at, [pieces[i] for pieces in split]) for i, (at, _) in enumerate(group)]

    def response(self, request, answer):
        if isinstance(answer, Exception):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer)))
        wanted = set(request.requested_output_names())
        tensors = [
            pb_utils.Tensor(name, np.ascontiguousarray(value))
            for name, value in zip(self.outputs, answer)
            if name in wanted
        ]
        return pb_utils.InferenceResponse(output_tensors=tensors)

    def finalize(self):
        self.session = None
