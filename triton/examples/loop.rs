//! What the client costs: its time over that of loops written by hand on a bare `TcpStream`, for the same requests to
//! the same server. Rounds alternate; the figures are medians of their ratios.
//!
//! The loop *by hand* does what a caller needs: it writes the JSON of each request, sends it and the tensor, and gives
//! back the output's bytes in a buffer of their own, where the answer's JSON says they are. The *floor* sends bytes that
//! were made beforehand into the void: it reads into one buffer and looks at lengths only.
//!
//!     cargo run --release -p onr-triton --example loop
#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::unwrap_used, reason = "a measurement that can't be made has no figures")]

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use onr_kserve::{Client, ClientOptions, InferRequest, Tensor, Transport};
use onr_triton::{LocalServer, ServerOptions};

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

    println!("| floats | by hand | HTTP | HTTP / by hand | HTTP / floor | gRPC / by hand |");
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
        let (by_hand, client, ratio) = pairs(requests, &mut hand, &mut || infer(&http));
        let (.., over_grpc) = pairs(requests, &mut hand, &mut || infer(&grpc));
        let (.., over_floor) = pairs(requests, &mut || kept.floor(&same), &mut || infer(&http));
        println!(
            "| {name} | {by_hand:.1?} | {client:.1?} | {ratio:.3} | {over_floor:.3} | {over_grpc:.3} |"
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

/// Median times of one request, and the median of `b / a` over rounds that take turns at being first.
fn pairs(requests: u32, a: &mut impl FnMut(), b: &mut impl FnMut()) -> (Duration, Duration, f64) {
    let (mut of_a, mut of_b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    timed(requests, a);
    timed(requests, b);
    for round in 0..ROUNDS {
        let first_b = (round % 2 == 1).then(|| timed(requests, b));
        let time_a = timed(requests, a);
        let time_b = first_b.unwrap_or_else(|| timed(requests, b));
        of_a.push(time_a);
        of_b.push(time_b);
        ratios.push(time_b.as_secs_f64() / time_a.as_secs_f64());
    }
    of_a.sort();
    of_b.sort();
    ratios.sort_by(f64::total_cmp);
    (of_a[ROUNDS / 2] / requests, of_b[ROUNDS / 2] / requests, ratios[ROUNDS / 2])
}

fn timed(requests: u32, work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..requests).for_each(|_| work());
    start.elapsed()
}

/// A connection and room for its answers.
struct Bare {
    stream: TcpStream,
    room: Vec<u8>,
}

impl Bare {
    fn new(port: u16, bytes: usize) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, room: vec![0; bytes + (1 << 16)] }
    }

    /// Sends `same` and forgets the answer.
    fn floor(&mut self, same: &[u8]) {
        self.stream.write_all(same).unwrap();
        let (head, have) = self.head();
        let end = head + number(&self.room[..head], "Content-Length: ");
        self.stream.read_exact(&mut self.room[have..end]).unwrap();
    }

    /// An answer, and where the bytes of its output begin.
    fn infer(&mut self, port: u16, x: &Tensor) -> (Vec<u8>, usize) {
        let (head, json) = message(port, x);
        let message = [head.as_bytes(), json.as_bytes()].concat();
        let slices = [IoSlice::new(&message), IoSlice::new(x.bytes())];
        let mut sent = self.stream.write_vectored(&slices).unwrap();
        if sent < message.len() {
            self.stream.write_all(&message[sent..]).unwrap();
            sent = message.len();
        }
        self.stream.write_all(&x.bytes()[sent - message.len()..]).unwrap();

        let (head, have) = self.head();
        let length = number(&self.room[..head], "Content-Length: ");
        let json = number(&self.room[..head], "Inference-Header-Content-Length: ");
        let mut body = Vec::with_capacity(length);
        body.extend_from_slice(&self.room[head..have]);
        let left = (length - body.len()) as u64;
        Read::by_ref(&mut self.stream).take(left).read_to_end(&mut body).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&body[..json]).unwrap();
        let size = answer["outputs"][0]["parameters"]["binary_data_size"].as_u64().unwrap();
        assert_eq!(json + size as usize, body.len());
        (body, json)
    }

    /// Length of the head, and of all that was read. A first read takes no more than the client's.
    fn head(&mut self) -> (usize, usize) {
        let mut have = 0;
        loop {
            have += self.stream.read(&mut self.room[have..have + (16 << 10)]).unwrap();
            let end = self.room[..have].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                assert!(self.room.starts_with(b"HTTP/1.1 200"));
                return (end + 4, have);
            }
        }
    }
}

fn number(head: &[u8], name: &str) -> usize {
    let text = std::str::from_utf8(head).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Head and JSON of a request.
fn message(port: u16, x: &Tensor) -> (String, String) {
    let bytes = x.bytes().len();
    let json = format!(
        r#"{{"parameters":{{"binary_data_output":true}},"inputs":[{{"name":"x","shape":[1,{}],"datatype":"FP32","parameters":{{"binary_data_size":{bytes}}}}}]}}"#,
        bytes / 4,
    );
    let head = format!(
        "POST /v2/models/same/infer HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/octet-stream\r\nInference-Header-Content-Length: {}\r\nContent-Length: {}\r\n\r\n",
        json.len(),
        json.len() + bytes,
    );
    (head, json)
}
