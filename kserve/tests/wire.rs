//! The client against a server that says what a test tells it to: answers that are cut, late, or none.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use onr_kserve::{Cancel, Client, ClientOptions, InferRequest, KserveError, Tensor, Transport};

/// Listens, and runs `talk` on each connection with its number, from 0.
fn server(talk: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, talk) = (connections.clone(), Arc::new(talk));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (number, talk) = (count.fetch_add(1, Ordering::SeqCst), talk.clone());
            thread::spawn(move || talk(stream, number));
        }
    });
    (port, connections)
}

/// One request, head and body. `None` if the client has closed.
fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn client(port: u16) -> Client {
    let options = ClientOptions { timeout: Duration::from_secs(5), ..ClientOptions::default() };
    Client::new(&format!("http://127.0.0.1:{port}").parse().unwrap(), options).unwrap()
}

fn ask(client: &Client) -> Result<Vec<f32>, KserveError> {
    let x = Tensor::of("x", [2], &[1_f32, 2.0]).unwrap();
    let answer = client.infer(&InferRequest::new("m", [x]))?;
    Ok(answer.output("y").unwrap().to_vec().unwrap())
}

const JSON: &str = r#"{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}"#;

fn head(length: usize) -> String {
    let json = JSON.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nInference-Header-Content-Length: {json}\r\n\r\n"
    )
}

/// An answer whose `y` is 2, which is text as well as a number.
fn whole() -> Vec<u8> {
    [head(JSON.len() + 4).as_bytes(), JSON.as_bytes(), &2_f32.to_le_bytes()].concat()
}

/// The client's view of a server that answers every request with these bytes and closes.
fn answered(bytes: impl Into<Vec<u8>>) -> Result<Vec<f32>, KserveError> {
    let bytes = bytes.into();
    let (port, _) = server(move |mut stream, _| {
        if request(&mut stream).is_some() {
            stream.write_all(&bytes).unwrap();
        }
    });
    ask(&client(port))
}

#[test]
fn a_connection_serves_many_requests() {
    let (port, connections) = server(|mut stream, _| {
        while let Some((head, body)) = request(&mut stream) {
            assert!(head.starts_with("POST /v2/models/m/infer HTTP/1.1\r\n"), "{head}");
            assert!(body.ends_with(b"\x00\x00\x80\x3f\x00\x00\x00\x40"));
            stream.write_all(&whole()).unwrap();
        }
    });
    let client = client(port);
    for _ in 0..20 {
        assert_eq!(ask(&client).unwrap(), [2.0]);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// A server that closes what it has kept, or says that it will, gets the next request over a new connection.
#[test]
fn a_connection_that_was_closed_is_made_anew() {
    let says = String::from_utf8(whole())
        .unwrap()
        .replace("200 OK\r\n", "200 OK\r\nConnection: close\r\n");
    for answer in [whole(), says.into_bytes()] {
        let (port, connections) = server(move |mut stream, _| {
            request(&mut stream).unwrap();
            stream.write_all(&answer).unwrap();
        });
        let client = client(port);
        for _ in 0..3 {
            assert_eq!(ask(&client).unwrap(), [2.0]);
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(connections.load(Ordering::SeqCst), 3);
    }
}

/// A request that a server may have seen is not sent again.
#[test]
fn no_request_is_sent_twice() {
    let (port, connections) = server(|mut stream, number| {
        request(&mut stream).unwrap();
        stream.write_all(&whole()).unwrap();
        if number == 0 {
            request(&mut stream).unwrap();
        }
    });
    let client = client(port);
    assert!(ask(&client).is_ok());
    let error = ask(&client).unwrap_err();
    assert!(matches!(&error, KserveError::Lost { .. }), "{error}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert!(ask(&client).is_ok());
}

#[test]
fn answers_that_arrive_in_pieces_or_chunks() {
    let chunked = {
        let body = [JSON.as_bytes(), &2_f32.to_le_bytes()].concat();
        let (first, last) = body.split_at(7);
        let head = head(0).replace("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n");
        let parts = [
            format!("HTTP/1.1 100 Continue\r\n\r\n{head}7;x=y\r\n").into_bytes(),
            first.to_vec(),
            format!("\r\n{:X}\r\n", last.len()).into_bytes(),
            last.to_vec(),
            b"\r\n0\r\nTrailer: t\r\n\r\n".to_vec(),
        ];
        parts.concat()
    };
    let until_close = String::from_utf8(whole()).unwrap();
    let until_close = until_close.replace(&format!("Content-Length: {}\r\nI", JSON.len() + 4), "I");
    for answer in [whole(), chunked, until_close.into_bytes()] {
        for step in [1, 3, 1000] {
            let answer = answer.clone();
            let (port, _) = server(move |mut stream, _| {
                stream.set_nodelay(true).unwrap();
                request(&mut stream).unwrap();
                answer.chunks(step).for_each(|part| stream.write_all(part).unwrap());
            });
            assert_eq!(ask(&client(port)).unwrap(), [2.0]);
        }
    }
}

#[test]
fn answers_that_are_cut_are_lost() {
    let whole = whole();
    for length in [0, 10, whole.len() - JSON.len(), whole.len() - 1] {
        let error = answered(&whole[..length]).unwrap_err();
        assert!(matches!(&error, KserveError::Lost { .. }), "{length}: {error}");
    }
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    assert!(matches!(answered(chunks), Err(KserveError::Lost { .. })));
}

#[test]
fn answers_that_are_none_are_malformed() {
    let number = |text: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nInference-Header-Content-Length: {text}\r\n\r\n{{}}"
        )
    };
    let chunk = |text: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}");
    let cases = [
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), "no HTTP"),
        (number("3"), "should have 3 bytes"),
        (number("x"), "`x`"),
        (number("2"), "missing field"),
        (chunk("zz\r\n"), "no size"),
        (chunk("1\r\nabc"), "longer than it says"),
        (format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(1 << 17)), "does not end"),
    ];
    for (answer, reason) in cases {
        let error = answered(answer).unwrap_err();
        assert!(matches!(&error, KserveError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.hint().is_some());
    }
}

/// A length that is only claimed takes no memory, and one beyond the limit is not waited for.
#[test]
fn lengths_that_are_only_claimed() {
    let claim = |length: u64| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    assert!(matches!(answered(claim(1 << 30)), Err(KserveError::Lost { .. })));
    assert!(matches!(answered(claim(u64::MAX)), Err(KserveError::TooLarge { .. })));
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n";
    assert!(matches!(answered(chunk), Err(KserveError::TooLarge { .. })));
}

#[test]
fn refusals_have_the_servers_words() {
    let body = r#"{"error":"no \"way\""}"#;
    let refused =
        format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert!(answered(refused).unwrap_err().to_string().ends_with(r#"HTTP 400: no "way""#));
    let proxy = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 7\r\n\r\n<html/>";
    assert!(answered(proxy).unwrap_err().to_string().ends_with("HTTP 502: <html/>"));
    let busy = "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(answered(busy), Err(KserveError::NotReady { .. })));
    let unknown = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    assert!(matches!(answered(unknown), Err(KserveError::UnknownModel { ready: None, .. })));
}

/// A server that refuses a request without reading all of it is heard.
#[test]
fn an_answer_before_the_request_is_sent() {
    let (port, _) = server(|mut stream, _| {
        let mut some = [0; 100];
        stream.read_exact(&mut some).unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").unwrap();
        thread::sleep(Duration::from_secs(3));
    });
    let x = Tensor::of("x", [32 << 20], &vec![0_u8; 32 << 20]).unwrap();
    let error = client(port).infer(&InferRequest::new("m", [x])).unwrap_err();
    assert!(error.to_string().ends_with("HTTP 413: no"), "{error}");
}

#[test]
fn silence_is_a_timeout_and_can_be_cancelled() {
    let (port, _) = server(|mut stream, _| {
        request(&mut stream);
        thread::sleep(Duration::from_secs(10));
    });
    for transport in [Transport::Http, Transport::Grpc] {
        let endpoint = onr_kserve::Endpoint::new(transport, "127.0.0.1", port);
        let client = Client::new(&endpoint, ClientOptions::default()).unwrap();
        let request = InferRequest::new("m", []).timeout(Duration::from_millis(200));
        let error = client.infer(&request).unwrap_err();
        assert!(matches!(&error, KserveError::Timeout { .. }), "{error}");
        let cancel = Cancel::new();
        cancel.cancel();
        let error = client.infer(&request.cancelled_by(&cancel)).unwrap_err();
        assert!(matches!(&error, KserveError::Cancelled { .. }), "{error}");
    }
}

#[test]
fn nobody_there_and_not_the_protocol() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["http", "grpc"] {
        let endpoint = format!("{scheme}://127.0.0.1:{free}").parse().unwrap();
        let error = Client::new(&endpoint, ClientOptions::default()).unwrap().server_live();
        assert!(matches!(&error, Err(KserveError::Connect { .. })), "{error:?}");
    }
    let (port, _) = server(|mut stream, _| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let endpoint = format!("grpc://127.0.0.1:{port}").parse().unwrap();
    let error = Client::new(&endpoint, ClientOptions::default()).unwrap().server_live();
    let error = error.unwrap_err();
    assert!(
        matches!(&error, KserveError::Lost { .. } | KserveError::Malformed { .. }),
        "{error:?}"
    );
}

#[test]
fn threads_have_connections_of_their_own() {
    let (port, connections) = server(|mut stream, _| {
        while request(&mut stream).is_some() {
            thread::sleep(Duration::from_millis(5));
            stream.write_all(&whole()).unwrap();
        }
    });
    let client = client(port);
    thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| (0..20).for_each(|_| assert_eq!(ask(&client).unwrap(), [2.0])));
        }
    });
    assert!((2..=8).contains(&connections.load(Ordering::SeqCst)));
}

#[test]
fn a_blocking_call_inside_a_runtime_is_an_error() {
    let client = client(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { client.server_live() });
    assert!(matches!(error, Err(KserveError::InsideRuntime)));
    runtime.block_on(async { drop(client) });
}

/// What `Client: Send + Sync` promises.
#[test]
fn clients_are_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<Client>();
    shared::<KserveError>();
}
