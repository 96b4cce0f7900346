//! What the client costs: its time over that of loops written by hand for the same requests to the same server. Rounds
//! alternate; the figures are medians of their ratios.
//!
//! Over HTTP the loop *by hand* does on a bare `TcpStream` what a caller needs: it writes the JSON of each request, sends
//! it and the tensor, and gives back the output's bytes in a buffer of their own, where the answer's JSON says they are.
//! The *floor* sends bytes that were made beforehand into the void: it reads into one buffer and looks at lengths only.
//! Over gRPC the loop by hand is a `tonic` channel with messages of `prost`, as generated code would use them.
//!
//!     cargo build --release --workspace --example loop
//!     target/release/examples/loop
#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::unwrap_used, reason = "a measurement that can't be made has no figures")]

mod grpc;
mod http;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use onr_kserve::{Client, ClientOptions, InferRequest, Tensor, Transport};
use onr_triton::{LocalServer, ServerOptions};

use self::{
    grpc::Tonic,
    http::{Bare, message},
};

const MODEL: &str = "import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(request, 'x') for request in requests]
        return [pb.InferenceResponse([pb.Tensor('y', x.as_numpy())]) for x in inputs]
";
const CONFIG: &str = r#"name: "same"
backend: "python"
max_batch_size: 32
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU } ]
"#;
const ROUNDS: usize = 61;

fn main() {
    let folder = std::env::temp_dir().join(format!("onr-loop-{}", std::process::id()));
    let models = folder.join("models");
    write_model(&models);
    let options = ServerOptions::new(&models, folder.join("log")).shared_memory(16 << 20);
    let server = LocalServer::start(&options).unwrap();
    let [http, grpc] = [Transport::Http, Transport::Grpc].map(|transport| {
        Client::new(&server.endpoint(transport), ClientOptions::default()).unwrap()
    });
    let port = server.endpoint(Transport::Http).port();
    let tonic = Tonic::new(server.endpoint(Transport::Grpc).port());

    println!(
        "| floats | HTTP by hand | HTTP / by hand | HTTP / floor | gRPC by hand | gRPC / by hand |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, bytes, requests) in
        [("1 KiB", 1 << 10, 50), ("64 KiB", 1 << 16, 30), ("4 MiB", 4 << 20, 4)]
    {
        let x = Tensor::of("x", [1, bytes / 4], &vec![1.5_f32; bytes / 4]).unwrap();
        let request = InferRequest::new("same", [x.clone()]);
        let infer = |client: &Client| {
            let answer = client.infer(&request).unwrap();
            assert_eq!(answer.outputs[0].bytes().len(), bytes);
        };
        let mut bare = Bare::new(port, bytes);
        let mut kept = Bare::new(port, bytes);
        let (head, json) = message(port, &x);
        let same = [head.as_bytes(), json.as_bytes(), x.bytes()].concat();
        let mut hand = || {
            let (body, output) = bare.infer(port, &x);
            assert_eq!(body[output..].len(), bytes);
        };
        let (by_hand, ratio) = pairs(requests, &mut hand, &mut || infer(&http));
        let (_, over_floor) = pairs(requests, &mut || kept.floor(&same), &mut || infer(&http));
        let mut call = || assert_eq!(tonic.infer(&x).len(), bytes);
        let (called, over_call) = pairs(requests, &mut call, &mut || infer(&grpc));
        println!(
            "| {name} | {by_hand:.1?} | {ratio:.3} | {over_floor:.3} | {called:.1?} | {over_call:.3} |"
        );
    }
    drop(server);
    fs::remove_dir_all(folder).unwrap();
}

fn write_model(models: &Path) {
    fs::create_dir_all(models.join("same/1")).unwrap();
    fs::write(models.join("same/1/model.py"), MODEL).unwrap();
    fs::write(models.join("same/config.pbtxt"), CONFIG).unwrap();
}

/// The median time of one request of `a`, and the median of `b / a` over rounds that take turns at being first.
fn pairs(requests: u32, a: &mut impl FnMut(), b: &mut impl FnMut()) -> (Duration, f64) {
    let (mut of_a, mut ratios) = (Vec::new(), Vec::new());
    timed(requests, a);
    timed(requests, b);
    for round in 0..ROUNDS {
        let first_b = (round % 2 == 1).then(|| timed(requests, b));
        let time_a = timed(requests, a);
        let time_b = first_b.unwrap_or_else(|| timed(requests, b));
        of_a.push(time_a);
        ratios.push(time_b.as_secs_f64() / time_a.as_secs_f64());
    }
    of_a.sort();
    ratios.sort_by(f64::total_cmp);
    (of_a[ROUNDS / 2] / requests, ratios[ROUNDS / 2])
}

fn timed(requests: u32, work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..requests).for_each(|_| work());
    start.elapsed()
}
