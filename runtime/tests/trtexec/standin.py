"""Plays the part of trtexec in tests, and in tests only.

    standin.py TABLE [FAULT] -- ARGUMENTS

It has the grammar of one table of options, reads ONNX files as TensorRT's parser would (names, types,
shapes), writes a 'plan' that names its ONNX file, and runs a plan on ONNX Runtime. It knows nothing of
TensorRT's kernels, of its types at work, or of a GPU.
"""

import json
import os
import sys
import time

STAMP = "[11/22/2026-12:00:00]"


class Invalid(Exception):
    """std::invalid_argument."""


def log(level, text):
    stream = sys.stderr if level in "EW" else sys.stdout
    print(f"{STAMP} [{level}] {text}", file=stream, flush=True)


class Table:
    def __init__(self, path):
        self.kinds = {}
        for line in open(path):
            word, _, rest = line.strip().partition(" ")
            if word.startswith("-"):
                self.kinds[word] = rest
            elif word == "banner":
                number, _, build = rest.partition(" ")
                self.number = int(number)
                self.banner = f"[TensorRT v{number}]" + (f" [{build}]" if build else "")
            elif word == "size":
                self.size = rest
            elif word == "labels":
                self.labels = rest.split()
        n = self.number
        parts = (n // 10000, n // 100 % 100) if n >= 10000 else (n // 1000, n // 100 % 10)
        self.major = parts[0]
        self.version = f"{parts[0]}.{parts[1]}.{n % 100}"


NUMBERS = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def leading_number(text):
    """std::stod: what follows the number is not looked at."""
    for end in range(len(text), 0, -1):
        try:
            return float(text[:end]), text[end:]
        except ValueError:
            continue
    raise Invalid(f"stod: {text}")


def with_unit(text, default):
    value, rest = leading_number(text)
    unit = (rest or default).upper()
    if unit not in NUMBERS:
        raise Invalid(f'Error parsing "{text}": invalid unit specifier')
    return value * NUMBERS[unit]


def pool_in_mib(table, text):
    if "ignored" in table.size:
        return leading_number(text)[0]
    if table.size.startswith("MiB"):
        return with_unit(text, "B")
    return with_unit(text, "M") / NUMBERS["M"]


def pairs(text):
    """name:value[,..], split at the last colon."""
    for item in filter(None, text.split(",")):
        name, colon, value = item.rpartition(":")
        if not colon or not name:
            raise Invalid(f"Found invalid pair {item}")
        yield name.replace("'", ""), value


def dims(text):
    if not text.replace("x", "").isdigit():
        raise Invalid(f"stoi: {text}")
    return [int(size) for size in text.split("x")]


TYPES = {"8": "fp32 fp16 int8 fp8 int32", "9": "fp32 fp16 bf16 int8 fp8 int32 bool"}
LAYOUTS = "chw chw2 chw4 hwc8 chw16 chw32 dhwc8 cdhw32 hwc dhwc dla_linear dla_hwc4".split()


def check_type(table, name):
    known = TYPES.get(str(table.major), "fp32 fp16 bf16 int8 fp8 int32 int64 bool uint8").split()
    if name not in known:
        raise Invalid(f"Invalid DataType {name}")


def value_of(table, option, text):
    kind = table.kinds[option]
    if kind == "flag":
        return True
    if kind == "number":
        return leading_number(text)[0]
    if kind.startswith("choice:"):
        if text not in kind.removeprefix("choice:").split("|"):
            raise Invalid(f"Unknown {option.removeprefix('--')}: {text}")
    if kind == "shapes":
        return {name: dims(shape) for name, shape in pairs(text)}
    if kind == "files":
        return dict(pairs(text))
    if kind == "types":
        found = dict(pairs(text))
        for types in found.values():
            for name in types.split("+"):
                check_type(table, name)
        return found
    if kind == "formats":
        found = []
        for item in filter(None, text.split(",")):
            name, colon, layouts = item.partition(":")
            if not colon or any(layout not in LAYOUTS for layout in layouts.split("+")):
                raise Invalid(f"Invalid IOFormat {item}")
            check_type(table, name)
            found.append(name)
        return found
    if kind == "pools":
        known = "workspace dlaSRAM dlaLocalDRAM dlaGlobalDRAM tacticSharedMem".split()
        found = {name: pool_in_mib(table, size) for name, size in pairs(text)}
        for name in found:
            if name not in known:
                raise Invalid(f"Unknown memory pool: {name}")
        return found
    return text


ENDS = ["--minShapes", "--optShapes", "--maxShapes"]


def parse(table, arguments):
    """A multimap as the real one has: a repeated option that is taken once stays behind as unknown.

    Shapes belong to the profile whose number was named last, else to profile 0."""
    options, unknown, profiles, number = {}, [], {}, 0
    for argument in arguments:
        name, _, text = argument.partition("=")
        if name == "--profile" and name in table.kinds:
            number = int(value_of(table, name, text))
            options[name] = True
        elif name in ENDS and name not in profiles.get(number, {}):
            profiles.setdefault(number, {})[name] = value_of(table, name, text)
            options[name] = True
        elif name not in table.kinds or name in options:
            unknown.append((name, text))
        else:
            options[name] = value_of(table, name, text)
    if sorted(profiles) != list(range(len(profiles))):
        raise Invalid(f"profiles {sorted(profiles)} are not numbered from 0")
    options["profiles"] = [[profiles[n].get(end, {}) for end in ENDS] for n in sorted(profiles)]
    return options, unknown


def help_text(table):
    print("=== Model Options ===")
    for option, kind in table.kinds.items():
        print(f"  {option}{'' if kind == 'flag' else '=<' + kind.split(':')[0] + '>'}   Help of it")


def interface(path):
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}

    def shape(info):
        sizes = info.type.tensor_type.shape.dim
        return [s.dim_value if s.HasField("dim_value") else -1 for s in sizes]

    inputs = {i.name: (i.type.tensor_type.elem_type, shape(i)) for i in graph.input if i.name not in weights}
    outputs = {o.name: (o.type.tensor_type.elem_type, shape(o)) for o in graph.output}
    return inputs, outputs, {node.name for node in graph.node}


def profile_is_wrong(inputs, dynamic, ends):
    named = set().union(*ends)
    if named and not dynamic:
        return ("Static model does not take explicit shapes since the shape of inference tensors will be "
                "determined by the model itself")
    if any(set(end) != dynamic for end in ends):
        return f"Shapes are for {sorted(named)}, dynamic inputs are {sorted(dynamic)}"
    for name in dynamic:
        low, best, high = (end[name] for end in ends)
        fits = all(s in (-1, b) for s, b in zip(inputs[name][1], best))
        if not len(low) == len(best) == len(high) == len(inputs[name][1]) or not fits:
            return f"[TRT] input {name}: shapes do not fit {inputs[name][1]}"
        if not all(a <= b <= c for a, b, c in zip(low, best, high)):
            return f"[TRT] input {name}: kMIN <= kOPT <= kMAX does not hold"
    return None


def build(table, options):
    onnx = options["--onnx"]
    if not os.path.isfile(onnx):
        log("E", f"Could not open file {onnx}")
        log("E", "Failed to parse onnx file")
        return 1
    inputs, outputs, nodes = interface(onnx)
    dynamic = {name for name, (_, shape) in inputs.items() if -1 in shape}
    for ends in options["profiles"] or [[{}, {}, {}]]:
        if wrong := profile_is_wrong(inputs, dynamic, ends):
            log("E", wrong)
            return 1
    for flag, tensors in (("--inputIOFormats", inputs), ("--outputIOFormats", outputs)):
        if flag in options and len(options[flag]) not in (1, len(tensors)):
            log("E", f"The number of {flag[2:]} must match network's or be one for broadcasting.")
            return 1
    for flag in ("--layerPrecisions", "--layerOutputTypes"):
        for layer in options.get(flag, {}):
            if layer not in nodes:
                log("E", f"no layer is called {layer}")
                return 1
    plan = {
        "standin": table.version,
        "onnx": os.path.abspath(onnx),
        "workspace_mib": options.get("--memPoolSize", {}).get("workspace"),
        "options": sorted(option for option in options if option.startswith("--")),
        "profiles": options["profiles"],
    }
    with open(options["--saveEngine"], "w") as file:
        json.dump(plan, file)
    if "--skipInference" not in options:
        log("E", "a test must not run inference after a build")
        return 1
    log("I", "Skipped inference phase since --skipInference is added.")
    return 0


def array_types():
    import ml_dtypes
    import numpy

    names = ["float32", "float16", ml_dtypes.bfloat16, "int8", "int32", "int64", "bool", "uint8",
             ml_dtypes.float8_e4m3fn]
    codes = [1, 10, 16, 3, 6, 7, 9, 2, 17]
    return {code: (numpy.dtype(name), at) for at, (code, name) in enumerate(zip(codes, names))}


def infer(table, options, fault):
    import numpy
    import onnxruntime

    try:
        plan = json.load(open(options["--loadEngine"]))
    except (OSError, ValueError) as error:
        log("E", f"Error opening engine file: {error}")
        return 1
    if plan["standin"] != table.version:
        log("E", "[TRT] The engine plan file is not compatible with this version of TensorRT, expecting library "
                 f"version {table.version} got {plan['standin']}, please rebuild.")
        log("E", "Engine deserialization failed.")
        return 1
    # A directory is renamed once all is well.
    beside = os.path.join(os.path.dirname(options["--loadEngine"]), os.path.basename(plan["onnx"]))
    onnx = beside if os.path.exists(beside) else plan["onnx"]
    inputs, outputs, _ = interface(onnx)
    types = array_types()
    files, shapes = options.get("--loadInputs", {}), options.get("--shapes", {})
    for name in [*files, *shapes]:
        if name not in inputs:
            log("E", f'Cannot find input tensor with name "{name}" in the engine bindings!')
            return 1
    number = int(options.get("--useProfile", 0))
    if number >= max(1, len(plan["profiles"])):
        log("E", f"Requested optimization profile index {number} is out of range")
        return 1
    for name, shape in shapes.items():
        low, _, high = (end[name] for end in plan["profiles"][number])
        if not all(a <= b <= c for a, b, c in zip(low, shape, high)):
            log("E", f"[TRT] input {name}: {shape} does not satisfy optimization profile {number}")
            return 1
    feeds = {}
    for name, (code, declared) in inputs.items():
        shape = [given if size == -1 else size for size, given in zip(declared, shapes.get(name, [1] * len(declared)))]
        dtype, _ = types[code]
        if name not in files:
            feeds[name] = numpy.zeros(shape, dtype)
            continue
        data = open(files[name], "rb").read()
        size = int(numpy.prod(shape)) * dtype.itemsize
        if len(data) != size:
            raise Invalid(f"Unexpected file size for input file: {files[name]}. Note: Input binding size is: {size} "
                          f"bytes but the file size is {len(data)} bytes.")
        feeds[name] = numpy.frombuffer(data, dtype).reshape(shape)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    results = dict(zip(outputs, session.run(list(outputs), feeds)))
    held = table.major >= 11 and not {"--includeDataTransfers", "--dumpOutput", "--exportOutput"} & set(options)
    if "--dumpRawBindingsToFile" in options:
        log("I", "Dumping I/O Bindings to RAW Files:")
        for name, value in [*feeds.items(), *results.items()]:
            side = "input" if name in feeds else "output"
            code = inputs[name][0] if side == "input" else outputs[name][0]
            label = table.labels[types[code][1]]
            sizes = ".".join(map(str, value.shape))
            file = "".join(c if c.isalnum() or c in "._-," else "_" for c in f"{name}.{side}.{sizes}.{label}.raw")
            data = value.astype(types[code][0]).tobytes()
            if held and side == "output":
                data = bytes(len(data))
            if fault == "short" and side == "output":
                data = data[:-1]
            log("I", f"Writing file for {side} binding {name} (with datatype {label} and dimensions {sizes}) to {file}")
            open(file, "wb").write(data)
    return 0


def main():
    table = Table(sys.argv[1])
    split = sys.argv.index("--")
    fault, arguments = "".join(sys.argv[2:split]), sys.argv[split + 1:]
    about = f"TensorRT.trtexec {table.banner} # trtexec {' '.join(arguments)}"
    print(f"&&&& RUNNING {about}", flush=True)
    if not arguments or {"--help", "-h"} & set(arguments):
        help_text(table)
        return 0
    try:
        options, unknown = parse(table, arguments)
        if unknown:
            help_text(table)
            for name, text in unknown:
                log("E", f"Unknown option: {name} {text}")
            return 1
        if "--onnx" not in options and "--loadEngine" not in options:
            raise Invalid("Model missing or format not recognized")
    except Invalid as error:
        help_text(table)
        log("E", error)
        return 1
    log("I", "Compute Capability: 9.0")
    if fault == "dies":
        if "--saveEngine" in options:
            open(options["--saveEngine"], "w").write("half a plan")
        log("E", "[TRT] out of memory")
        os.abort()
    if fault == "hangs":
        time.sleep(1000)
    try:
        code = infer(table, options, fault) if "--loadEngine" in options else build(table, options)
    except Invalid as error:
        log("E", f"Uncaught exception detected: {error}")
        code = 1
    print(f"&&&& {'FAILED' if code else 'PASSED'} {about}")
    return code


sys.exit(main())
