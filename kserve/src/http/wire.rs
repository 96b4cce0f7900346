//! Connections: made when needed, kept for the next request, driven by the thread that waits for the answer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::Answer;
use crate::call::Call;
use crate::{ClientOptions, Endpoint, KserveError};

/// Room that is taken for an answer before its bytes arrive; a length that a server only claims costs no more.
const TRUSTED: u64 = 64 << 20;

/// A body of buffers that are sent as they are.
#[derive(Debug, Default)]
pub(super) struct Frames {
    left: VecDeque<Bytes>,
    bytes: u64,
}

impl Frames {
    /// Bytes that are not sent yet.
    pub(super) fn left(&self) -> u64 {
        self.bytes
    }
}

impl FromIterator<Bytes> for Frames {
    /// Empty buffers are left out: an empty frame would be a chunk that ends a body.
    fn from_iter<T: IntoIterator<Item = Bytes>>(buffers: T) -> Self {
        let left: VecDeque<_> = buffers.into_iter().filter(|bytes| !bytes.is_empty()).collect();
        let bytes = left.iter().map(|bytes| bytes.len() as u64).sum();
        Self { left, bytes }
    }
}

impl<const N: usize> From<[Bytes; N]> for Frames {
    fn from(buffers: [Bytes; N]) -> Self {
        buffers.into_iter().collect()
    }
}

#[cfg(test)]
impl IntoIterator for Frames {
    type Item = Bytes;
    type IntoIter = std::collections::vec_deque::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.left.into_iter()
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.left.pop_front();
        self.bytes -= next.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}

/// Connections to one server that wait for their next request.
#[derive(Debug)]
pub(super) struct Pool {
    endpoint: Endpoint,
    connect_timeout: Duration,
    kept: usize,
    limit: u64,
    idle: Mutex<Vec<Wire>>,
}

/// One connection. Whoever holds it drives it.
#[derive(Debug)]
struct Wire {
    requests: SendRequest<Frames>,
    /// `None` once it has ended.
    connection: Option<Pin<Box<Connection<TokioIo<TcpStream>, Frames>>>>,
}

impl Pool {
    pub(super) fn new(endpoint: &Endpoint, options: &ClientOptions) -> Self {
        Self {
            endpoint: endpoint.clone(),
            connect_timeout: options.connect_timeout,
            kept: options.idle_connections,
            limit: options.max_message_bytes,
            idle: Mutex::default(),
        }
    }

    /// Sends a request over a connection that is kept or new, and reads the whole answer.
    ///
    /// A request goes to another connection only if none of its bytes have left: no server sees one twice.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        mut request: Request<Frames>,
    ) -> Result<Answer, KserveError> {
        loop {
            let (mut wire, kept) = match self.take() {
                Some(wire) => (wire, true),
                None => (self.connect(call).await?, false),
            };
            if kept && !wire.is_alive().await {
                continue;
            }
            let response = match wire.begin(request).await {
                Ok(response) => response,
                Err((_, Some(unsent))) if kept => {
                    request = unsent;
                    continue;
                }
                Err((error, _)) => return Err(self.lost(call, &error)),
            };
            let answer = wire.read(response, self.limit).await;
            let answer = answer.map_err(|end| match end {
                End::Broken(error) => self.lost(call, &error),
                End::TooLarge => {
                    let (call, limit) = (call.to_string(), self.limit);
                    KserveError::TooLarge { call, direction: "answer", limit }
                }
            })?;
            self.keep(wire);
            return Ok(answer);
        }
    }

    fn take(&self) -> Option<Wire> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, wire: Wire) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if wire.connection.is_some() && idle.len() < self.kept {
            idle.push(wire);
        }
    }

    async fn connect(&self, call: Call<'_>) -> Result<Wire, KserveError> {
        let address = (self.endpoint.host(), self.endpoint.port());
        let connected = tokio::time::timeout(self.connect_timeout, TcpStream::connect(address));
        let stream = connected.await.unwrap_or_else(|_| {
            let text = format!("no connection within {:?}", self.connect_timeout);
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        });
        let refused = |cause| KserveError::Connect { endpoint: self.endpoint.clone(), cause };
        let stream = stream.map_err(refused)?;
        // A small request must not wait for an acknowledgement of the one before.
        stream.set_nodelay(true).map_err(refused)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.lost(call, &error))?;
        Ok(Wire { requests, connection: Some(Box::pin(connection)) })
    }

    /// Is it the answer that is wrong, or the connection that ended?
    fn lost(&self, call: Call<'_>, error: &hyper::Error) -> KserveError {
        let (call, endpoint) = (call.to_string(), self.endpoint.clone());
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        let kind = cause.map(io::Error::kind);
        let detail = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        let data = matches!(kind, Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput));
        if error.is_parse() || data {
            KserveError::Malformed { call, endpoint, problem: detail }
        } else {
            KserveError::Lost { call, endpoint, detail }
        }
    }
}

/// Why an answer has no end.
enum End {
    Broken(hyper::Error),
    TooLarge,
}

/// An error, and the request if nothing of it was sent.
type Unsent = (hyper::Error, Option<Request<Frames>>);

impl Wire {
    /// Has a kept connection not been closed by the other side?
    async fn is_alive(&mut self) -> bool {
        // The runtime looks at its sockets once, so that a close that has arrived is seen.
        tokio::task::yield_now().await;
        let Self { requests, connection } = self;
        let ready = drive(connection, requests.ready()).await.is_ok();
        ready && self.connection.is_some()
    }

    async fn begin(&mut self, request: Request<Frames>) -> Result<Response<Incoming>, Unsent> {
        let response = self.requests.try_send_request(request);
        drive(&mut self.connection, response).await.map_err(|mut error| {
            let unsent = error.take_message();
            (error.into_error(), unsent)
        })
    }

    /// The whole answer, in one buffer.
    async fn read(&mut self, response: Response<Incoming>, limit: u64) -> Result<Answer, End> {
        let (parts, mut body) = response.into_parts();
        let size = body.size_hint();
        if size.lower() > limit {
            return Err(End::TooLarge);
        }
        // An answer that arrived in one piece is left where it is.
        let mut whole = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(frame) = self.frame(&mut body).await {
            let Ok(data) = frame.map_err(End::Broken)?.into_data() else { continue };
            if (whole.len() + joined.len() + data.len()) as u64 > limit {
                return Err(End::TooLarge);
            }
            if whole.is_empty() && joined.is_empty() {
                whole = data;
                continue;
            }
            if joined.is_empty() {
                joined.reserve(usize::try_from(size.lower().min(TRUSTED)).unwrap_or(0));
                joined.extend_from_slice(&std::mem::take(&mut whole));
            }
            joined.extend_from_slice(&data);
        }
        let body = if joined.is_empty() { whole } else { joined.freeze() };
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    async fn frame(&mut self, body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        drive(&mut self.connection, poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))).await
    }
}

/// Runs a connection until `work` is done, on the thread that waits for it.
async fn drive<T>(
    connection: &mut Option<Pin<Box<Connection<TokioIo<TcpStream>, Frames>>>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // Its error, if it has one, reaches `work` as well.
        if connection.as_mut().is_some_and(|open| open.as_mut().poll(cx).is_ready()) {
            *connection = None;
        }
        work.as_mut().poll(cx)
    })
    .await
}
