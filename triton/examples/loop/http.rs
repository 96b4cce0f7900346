//! Requests by hand on a bare `TcpStream`.

use std::io::{IoSlice, Read, Write};
use std::net::TcpStream;

use onr_kserve::Tensor;

/// A connection and room for its answers.
pub(crate) struct Bare {
    stream: TcpStream,
    room: Vec<u8>,
}

impl Bare {
    pub(crate) fn new(port: u16, bytes: usize) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, room: vec![0; bytes + (1 << 16)] }
    }

    /// Sends `same` and forgets the answer.
    pub(crate) fn floor(&mut self, same: &[u8]) {
        self.stream.write_all(same).unwrap();
        let (head, have) = self.head();
        let end = head + number(&self.room[..head], "Content-Length: ");
        self.stream.read_exact(&mut self.room[have..end]).unwrap();
    }

    /// An answer, and where the bytes of its output begin.
    pub(crate) fn infer(&mut self, port: u16, x: &Tensor) -> (Vec<u8>, usize) {
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
pub(crate) fn message(port: u16, x: &Tensor) -> (String, String) {
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
