"""Asks the ensemble `chain` through Triton's own client.

official.py HTTP_PORT GRPC_PORT ROWS WIDTH FOLDER reads FP32 numbers from FOLDER/x and writes the answers to
FOLDER/http and FOLDER/grpc.
"""

import pathlib
import sys

import numpy
import tritonclient.grpc
import tritonclient.http

http_port, grpc_port, rows, width = (int(text) for text in sys.argv[1:5])
folder = pathlib.Path(sys.argv[5])
x = numpy.fromfile(folder / "x", dtype="<f4").reshape(rows, width)

for name, library, port in (
    ("http", tritonclient.http, http_port),
    ("grpc", tritonclient.grpc, grpc_port),
):
    client = library.InferenceServerClient(f"127.0.0.1:{port}")
    tensor = library.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    y = client.infer("chain", [tensor]).as_numpy("y")
    assert y.shape == x.shape and y.dtype == numpy.float32, (y.shape, y.dtype)
    y.tofile(folder / name)
