//! A model repository of small Python models, and servers for it.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::allow_attributes, reason = "what is unused differs between the files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use onr_kserve::{Client, ClientOptions, Transport};
use onr_triton::{LocalServer, ServerOptions};
use tempfile::TempDir;

pub(crate) const BOTH: [Transport; 2] = [Transport::Http, Transport::Grpc];

/// Names of the outputs and inputs of `identity`: `x_FP32` is given back as `y_FP32`.
pub(crate) const TYPES: [&str; 13] = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16",
    "FP32", "FP64", "STRING",
];

const ONE: &str = "import time
import numpy
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
";

/// A Python model whose body makes an answer of `request`.
fn python(folder: &Path, name: &str, body: &str, config: &str) {
    let version = folder.join(name).join("1");
    fs::create_dir_all(&version).unwrap();
    let body = body.lines().map(|line| format!("        {line}\n")).collect::<String>();
    fs::write(version.join("model.py"), format!("{ONE}{body}")).unwrap();
    let config = format!(
        "name: \"{name}\"\nbackend: \"python\"\nmax_batch_size: 32\n{config}\ninstance_group [ {{ kind: KIND_CPU }} ]\n"
    );
    fs::write(folder.join(name).join("config.pbtxt"), config).unwrap();
}

/// Input `x` and output `y`.
fn xy(datatype: &str) -> String {
    let io = |name| format!("[ {{ name: \"{name}\" data_type: {datatype} dims: [ -1 ] }} ]");
    format!("input {}\noutput {}", io("x"), io("y"))
}

pub(crate) fn identity(folder: &Path) {
    let io = |name: &str, option: &str| {
        let row = |t: &&str| {
            format!("  {{ name: \"{name}_{t}\" data_type: TYPE_{t} dims: [ -1 ]{option} }}")
        };
        TYPES.iter().map(row).collect::<Vec<_>>().join(",\n")
    };
    let config =
        format!("input [\n{}\n]\noutput [\n{}\n]", io("x", " optional: true"), io("y", ""));
    let body = "
outputs = [pb.Tensor('y' + x.name()[1:], x.as_numpy()) for x in request.inputs()]
return pb.InferenceResponse(outputs)";
    python(folder, "identity", body, &config);
}

/// `twice` is 2 x, `plus` is x + 1, and the ensemble `chain` is 2 x + 1.
pub(crate) fn chain(folder: &Path) {
    let answer = |what: &str| {
        format!(
            "x = pb.get_input_tensor_by_name(request, 'x').as_numpy()\n\
             return pb.InferenceResponse([pb.Tensor('y', x * numpy.float32({what}))])"
        )
    };
    python(folder, "twice", &answer("2"), &xy("TYPE_FP32"));
    let plus = answer("1").replace("x * numpy.float32(1)", "x + numpy.float32(1)");
    let parameters = "parameters { key: \"kind\" value: { string_value: \"sum\" } }\nversion_policy: { specific: { versions: [ 1 ] } }\ndynamic_batching { preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 50 }\n";
    python(folder, "plus", &plus, &format!("{}\n{parameters}", xy("TYPE_FP32")));
    let config = format!(
        "name: \"chain\"\nplatform: \"ensemble\"\nmax_batch_size: 32\n{}
ensemble_scheduling {{ step [
  {{ model_name: \"twice\" model_version: -1
    input_map {{ key: \"x\" value: \"x\" }} output_map {{ key: \"y\" value: \"doubled\" }} }},
  {{ model_name: \"plus\" model_version: -1
    input_map {{ key: \"x\" value: \"doubled\" }} output_map {{ key: \"y\" value: \"y\" }} }}
] }}\n",
        xy("TYPE_FP32")
    );
    fs::create_dir_all(folder.join("chain/1")).unwrap();
    fs::write(folder.join("chain/config.pbtxt"), config).unwrap();
}

/// Sleeps for as many seconds as its first number says.
pub(crate) fn sleeper(folder: &Path) {
    let body = "
x = pb.get_input_tensor_by_name(request, 'x')
time.sleep(float(x.as_numpy().flat[0]))
return pb.InferenceResponse([pb.Tensor('y', x.as_numpy())])";
    python(folder, "sleeper", body, &xy("TYPE_FP32"));
}

pub(crate) fn failing(folder: &Path) {
    let body = "raise ValueError('no \"good\" at\\nall: \u{e9}')";
    python(folder, "failing", body, &xy("TYPE_FP32"));
}

/// One number per row, as the graphs' `[B]` inputs are packaged.
pub(crate) fn scalar(folder: &Path) {
    let body = "
x = pb.get_input_tensor_by_name(request, 'x').as_numpy()
assert x.ndim == 1, x.shape
return pb.InferenceResponse([pb.Tensor('y', x + 1)])";
    let io = |name| {
        format!(
            "[ {{ name: \"{name}\" data_type: TYPE_INT64 dims: [ 1 ] reshape: {{ shape: [ ] }} }} ]"
        )
    };
    python(folder, "scalar", body, &format!("input {}\noutput {}", io("x"), io("y")));
}

/// Says which packages a Python model has.
pub(crate) fn packages(folder: &Path) {
    let body = "
import onnxruntime
words = ['numpy ' + numpy.__version__, 'onnxruntime ' + onnxruntime.__version__]
words = numpy.array([words], dtype=object)
return pb.InferenceResponse([pb.Tensor('y', words)])";
    python(folder, "packages", body, &xy("TYPE_STRING"));
}

/// A repository, a server for it and its log. Dropped in this order: server, files.
pub(crate) struct Place {
    pub(crate) server: LocalServer,
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new(models: &[fn(&Path)]) -> Self {
        Self::with(models, |options| options)
    }

    pub(crate) fn with(models: &[fn(&Path)], set: impl Fn(ServerOptions) -> ServerOptions) -> Self {
        let folder = TempDir::new().unwrap();
        let repository = folder.path().join("models");
        fs::create_dir(&repository).unwrap();
        models.iter().for_each(|write| write(&repository));
        let options = set(ServerOptions::new(repository, folder.path().join("log")));
        match LocalServer::start(&options) {
            Ok(server) => Self { server, folder },
            Err(error) => panic!("{error}\n{}", error.hint().unwrap_or_default()),
        }
    }

    pub(crate) fn client(&self, transport: Transport) -> Client {
        self.client_with(transport, ClientOptions::default())
    }

    pub(crate) fn client_with(&self, transport: Transport, options: ClientOptions) -> Client {
        Client::new(&self.server.endpoint(transport), options).unwrap()
    }
}

/// Waits for what happens soon, and says whether it did.
pub(crate) fn soon(happened: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !happened() {
        if start.elapsed() > Duration::from_secs(10) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// A file of the checkout.
pub(crate) fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
