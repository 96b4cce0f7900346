"""The safetensors file format, read and written with json and NumPy alone.

A file is an 8-byte little-endian header length, a JSON header
`{name: {"dtype", "shape", "data_offsets"}}` and the raw little-endian data.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "BF16": np.dtype("<u2"),  # the upper half of an F32, widened on reading
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}


def read_tensors(path: Path | str) -> dict[str, np.ndarray]:
    """All tensors of a file; BF16 comes back as float32, exactly."""
    raw = Path(path).read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", raw)
        header = json.loads(raw[8 : 8 + length])
        data = raw[8 + length :]
        return {n: _tensor(n, e, data) for n, e in header.items() if n != "__metadata__"}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise ValueError(f"{path}: not a readable safetensors file: {cause}") from cause


def _tensor(name: str, entry: dict, data: bytes) -> np.ndarray:
    kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in DTYPES:
        raise ValueError(f"`{name}` has the unsupported type {kind}")
    size = int(np.prod(shape, dtype=np.int64)) * DTYPES[kind].itemsize
    if not 0 <= begin <= end <= len(data) or end - begin != size:
        raise ValueError(f"`{name}` needs {size} bytes, its offsets are {begin}..{end} of {len(data)}")
    values = np.frombuffer(data[begin:end], DTYPES[kind]).reshape(shape)
    if kind == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.copy()


def write_tensors(path: Path | str, tensors: dict[str, np.ndarray]) -> None:
    """Writes bool, int32, int64 and float16/32/64 arrays; any other type is an error."""
    header, chunks, offset = {}, [], 0
    for name, values in tensors.items():
        if values.dtype not in NAMES:
            raise ValueError(f"`{name}`: cannot write the type {values.dtype}")
        chunk = values.tobytes()
        header[name] = {
            "dtype": NAMES[values.dtype],
            "shape": list(values.shape),
            "data_offsets": [offset, offset + len(chunk)],
        }
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))
