//! `model.py`, which Triton's Python backend runs, in a Python without Triton.

use std::{path::Path, process::Command};

use onr_graphs::{Filter, GraphOptions, Precision};
use onr_triton::{Backend, PackageOptions};
use serde_json::json;

use crate::support::{World, graph_options, options, plan};

/// The part of Triton's module that the script uses, requests of several shapes, and what must come back.
const HARNESS: &str = "
import json, sys, types
import numpy as np, onnxruntime

class Tensor:
    def __init__(self, name, value):
        self.name, self.value = name, value
    def as_numpy(self):
        return self.value

class Request:
    def __init__(self, feeds, wanted):
        self.feeds, self.wanted = feeds, wanted
    def requested_output_names(self):
        return self.wanted

class Response:
    def __init__(self, output_tensors=(), error=None):
        self.outputs = {t.name: t.value for t in output_tensors}
        self.error = error

module = types.ModuleType('triton_python_backend_utils')
module.Tensor, module.InferenceResponse, module.TritonError = Tensor, Response, str
module.get_input_tensor_by_name = (
    lambda request, name: Tensor(name, request.feeds[name]) if name in request.feeds else None)
sys.modules['triton_python_backend_utils'] = module

folder, config = sys.argv[1], sys.argv[2]
sys.dont_write_bytecode = True
sys.path.insert(0, folder + '/1')
import model
served = model.TritonPythonModel()
served.initialize({'model_config': config, 'model_repository': folder, 'model_version': '1'})

rng = np.random.default_rng(0)
def feeds(rows, length):
    return {
        'item_ids': rng.integers(1, 30, (rows, length)),
        'action_ids': rng.integers(1, 3, (rows, length)),
        'timestamps': np.cumsum(rng.integers(1, 99, (rows, length)), 1),
        'seq_lens': rng.integers(1, length + 1, (rows,)),
        'request_time': np.full((rows,), 9999),
        'allowed_items': rng.random((rows, 30)) < .9,
    }

alone = onnxruntime.InferenceSession(folder + '/1/model.onnx', providers=['CPUExecutionProvider'])
names = [t.name for t in alone.get_outputs()]
good = [feeds(1, 4), feeds(3, 4), feeds(2, 6)]
wrong = feeds(2, 4)
wrong['timestamps'] = wrong['timestamps'][:, :3]
torn = feeds(2, 4)
torn['seq_lens'] = torn['seq_lens'][:1]
missing = feeds(1, 4)
del missing['item_ids']
batch = [good[0], wrong, good[1], missing, good[2], torn]
responses = served.execute([Request(f, names) for f in batch])
for given, response in zip(batch, responses):
    bad = any(given is f for f in (wrong, missing, torn))
    assert bool(response.error) == bad, response.error
    if not bad:
        for name, value in zip(names, alone.run(names, given)):
            got = response.outputs[name]
            assert got.dtype == value.dtype and got.shape == value.shape, name
            np.testing.assert_allclose(got, value, rtol=1e-3, atol=1e-3)
assert 'item_ids' in responses[3].error and 'batches' in responses[5].error

# Inputs that fail together only: each is asked again alone.
real, served.session = served.session, None
class Picky:
    def run(self, outputs, joined):
        if len(joined['item_ids']) > 3:
            raise RuntimeError('too many')
        return real.run(outputs, joined)
served.session = Picky()
responses = served.execute([Request(f, ['scores']) for f in good])
assert all(r.error is None and list(r.outputs) == ['scores'] for r in responses)
served.finalize()
";

#[test]
fn each_request_of_a_batch_gets_its_own_answer() {
    let world = World::new();
    let half = GraphOptions { filter: Filter::User, precision: Precision::F16, ..graph_options() };
    let dir = world.export("half", half, 0);
    let python = PackageOptions { backend: Some(Backend::Python), ..options() };
    world.write(&dir, &python).unwrap();
    let package = plan(&dir, &python).unwrap();
    let model = package.models.iter().find(|m| m.graph.as_deref() == Some("oneranker")).unwrap();
    let tensors = |all: &[onr_triton::config::TensorConfig]| {
        all.iter().map(|t| json!({"name": t.name})).collect::<Vec<_>>()
    };
    let config = json!({
        "input": tensors(&model.config.input),
        "output": tensors(&model.config.output),
        "parameters": {"onr.threads": {"string_value": "2"}},
    });
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.onr/venv/bin/python");
    let folder = world.path("models/oneranker_fused");
    let mut command = Command::new(&python);
    let output = command.args(["-c", HARNESS]).arg(folder).arg(config.to_string()).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}; run `make setup`", python.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
