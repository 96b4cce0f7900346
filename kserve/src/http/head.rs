//! The head of an answer.

use httparse::{EMPTY_HEADER, Header, Response, Status};

/// More headers than any server sends.
const HEADERS: usize = 64;

/// What a client has to know of a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) body: Body,
    /// May another request follow on this connection?
    pub(super) keep_alive: bool,
    /// `Inference-Header-Content-Length` as it came.
    pub(super) header_length: Option<String>,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// With an empty chunk.
    Chunks,
    /// With the connection.
    UntilClose,
}

impl Head {
    /// The head that `bytes` begin with, and its length; `None` if more of it is to come. Says what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut response = Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("its head is no HTTP: {error}")),
        };
        let status = response.code.unwrap_or_default();
        let old = response.version == Some(0);
        let headers = response.headers;
        let connection = find(headers, "connection").unwrap_or_default();
        let says = |word: &str| connection.split(',').any(|w| w.trim().eq_ignore_ascii_case(word));
        let body = body(status, headers)?;
        let ends = body == Body::UntilClose || says("close") || old && !says("keep-alive");
        let header_length = find(headers, super::HEADER_LENGTH).map(Into::into);
        Ok(Some((Self { status, body, keep_alive: !ends, header_length }, length)))
    }
}

/// The first header of this name, as text; "" if it is none.
fn find<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(std::str::from_utf8(header.value).unwrap_or_default().trim())
}

fn body(status: u16, headers: &[Header<'_>]) -> Result<Body, String> {
    if matches!(status, 100..200 | 204 | 304) {
        return Ok(Body::Length(0));
    }
    match find(headers, "transfer-encoding") {
        None => {}
        Some(coding) if coding.eq_ignore_ascii_case("chunked") => return Ok(Body::Chunks),
        Some(coding) => return Err(format!("its transfer encoding is `{coding}`")),
    }
    let mut lengths = headers.iter().filter(|h| h.name.eq_ignore_ascii_case("content-length"));
    let Some(first) = lengths.next() else { return Ok(Body::UntilClose) };
    if lengths.any(|other| other.value != first.value) {
        return Err("it has two lengths".into());
    }
    let text = std::str::from_utf8(first.value).unwrap_or_default().trim();
    let number = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    number.map(Body::Length).ok_or_else(|| format!("its length is `{text}`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Option<(Head, usize)>, String> {
        Head::parse(text.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn how_a_body_ends() {
        let cases = [
            ("HTTP/1.1 200 OK\nContent-Length: 12\n\n", Body::Length(12), true),
            ("HTTP/1.1 200 OK\ncontent-length: 1\nContent-Length: 1\n\n", Body::Length(1), true),
            ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", Body::Chunks, true),
            ("HTTP/1.1 200 OK\n\n", Body::UntilClose, false),
            ("HTTP/1.1 204 No Content\n\n", Body::Length(0), true),
            ("HTTP/1.1 100 Continue\n\n", Body::Length(0), true),
            (
                "HTTP/1.1 200 OK\nConnection: x, Close\nContent-Length: 0\n\n",
                Body::Length(0),
                false,
            ),
            ("HTTP/1.0 200 OK\nContent-Length: 0\n\n", Body::Length(0), false),
            (
                "HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 0\n\n",
                Body::Length(0),
                true,
            ),
        ];
        for (text, body, keep_alive) in cases {
            let (head, length) = head(text).unwrap().unwrap();
            assert_eq!((head.body, head.keep_alive), (body, keep_alive), "{text}");
            assert_eq!(length, text.replace('\n', "\r\n").len());
        }
    }

    #[test]
    fn heads_that_are_none() {
        for text in [
            "SMTP ready\n\n",
            "HTTP/1.1 200 OK\nContent-Length: -1\n\n",
            "HTTP/1.1 200 OK\nContent-Length: +1\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\n",
            "HTTP/1.1 200 OK\nContent-Length: 99999999999999999999\n\n",
            "HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\n",
        ] {
            assert!(head(text).is_err(), "{text}");
        }
        assert_eq!(head("HTTP/1.1 200 OK\nContent-"), Ok(None));
    }

    proptest! {
        #[test]
        fn no_head_panics(bytes: Vec<u8>) {
            let _ = Head::parse(&bytes);
            let _ = Head::parse(&[b"HTTP/1.1 200 OK\r\n", &bytes[..], b"\r\n\r\n"].concat());
        }
    }
}
