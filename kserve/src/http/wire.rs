//! Connections: made when needed, kept for the next request.
//!
//! HTTP/1.1 as far as a client of this protocol needs it: lengths, chunks, bodies that end with the connection. Heads
//! are parsed by `httparse`. A body is read into the buffer that its tensors will be slices of.

use std::io::{self, IoSlice};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::answer::Answer;
use super::head::{Body, Head};
use crate::call::Call;
use crate::{ClientOptions, Endpoint, KserveError};

/// Room for heads and what comes with them. A connection keeps it, so that a small answer costs no large buffer.
const ROOM: usize = 16 << 10;
/// A head that is larger is none.
const HEAD: usize = 64 << 10;
/// Room that is taken for a body before its bytes arrive; a length that a server only claims costs no more.
const TRUSTED: usize = 64 << 20;
/// Buffers that are handed to the system at once.
const SLICES: usize = 64;

/// Connections to one server that wait for their next request.
#[derive(Debug)]
pub(super) struct Pool {
    endpoint: Endpoint,
    connect_timeout: Duration,
    kept: usize,
    limit: u64,
    idle: Mutex<Vec<Wire>>,
}

/// One connection, and bytes that were read from it and not used.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    read: BytesMut,
}

/// Why there is no answer.
#[derive(Debug)]
enum End {
    /// Nothing of the request was sent.
    Unsent(io::Error),
    Lost(String),
    Malformed(String),
    TooLarge,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
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

    /// Sends `request`, head and body, over a connection that is kept or new, and reads the whole answer.
    ///
    /// A request goes to another connection only if none of its bytes have left: no server sees one twice.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        request: &[Bytes],
    ) -> Result<Answer, KserveError> {
        while let Some(mut wire) = self.take() {
            if !wire.is_alive().await {
                continue;
            }
            match wire.ask(request, self.limit).await {
                Err(End::Unsent(_)) => {}
                answer => return self.finish(call, wire, answer),
            }
        }
        let mut wire = self.connect().await?;
        let answer = wire.ask(request, self.limit).await;
        self.finish(call, wire, answer)
    }

    fn finish(
        &self,
        call: Call<'_>,
        wire: Wire,
        answer: Result<(Answer, bool), End>,
    ) -> Result<Answer, KserveError> {
        let (call, endpoint) = (|| call.to_string(), || self.endpoint.clone());
        match answer {
            Ok((answer, reusable)) => {
                if reusable && wire.read.is_empty() {
                    self.keep(wire);
                }
                Ok(answer)
            }
            Err(End::Unsent(cause)) => Err(KserveError::Lost {
                call: call(),
                endpoint: endpoint(),
                detail: cause.to_string(),
            }),
            Err(End::Lost(detail)) => {
                Err(KserveError::Lost { call: call(), endpoint: endpoint(), detail })
            }
            Err(End::Malformed(problem)) => {
                Err(KserveError::Malformed { call: call(), endpoint: endpoint(), problem })
            }
            Err(End::TooLarge) => {
                Err(KserveError::TooLarge { call: call(), direction: "answer", limit: self.limit })
            }
        }
    }

    fn take(&self) -> Option<Wire> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, wire: Wire) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.kept {
            idle.push(wire);
        }
    }

    async fn connect(&self) -> Result<Wire, KserveError> {
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
        Ok(Wire { stream, read: BytesMut::new() })
    }
}

impl Wire {
    /// Has the other side neither closed a kept connection nor said something unasked?
    async fn is_alive(&mut self) -> bool {
        // The runtime looks at its sockets once, so that a close that has arrived is seen.
        tokio::task::yield_now().await;
        let read = self.stream.try_read(&mut [0]);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The answer, and whether the connection can be used again.
    async fn ask(&mut self, request: &[Bytes], limit: u64) -> Result<(Answer, bool), End> {
        // An answer may come before all of the request is sent: a refusal.
        let sent = self.write(request).await;
        if let Err(End::Unsent(_)) = sent {
            return Err(sent.err().unwrap_or(End::TooLarge));
        }
        let head = match self.head().await {
            // Why it could not be sent says more than that there is no answer.
            Err(End::Lost(end)) => return Err(sent.err().unwrap_or(End::Lost(end))),
            head => head?,
        };
        let body = match head.body {
            Body::Length(length) => self.body(length, limit).await?,
            Body::Chunks => self.chunks(limit).await?,
            Body::UntilClose => self.rest(limit).await?,
        };
        let whole = matches!(sent, Ok(true)) && head.keep_alive;
        let Head { status, header_length, .. } = head;
        Ok((Answer { status, header_length, body }, whole))
    }

    /// Sends all buffers as they are. `false` if the server answers before.
    async fn write(&mut self, request: &[Bytes]) -> Result<bool, End> {
        let mut at = 0;
        let mut offset = 0;
        while let Some(first) = request.get(at) {
            let first = std::iter::once(IoSlice::new(&first[offset..]));
            let more = request[at + 1..].iter().map(|bytes| IoSlice::new(bytes));
            let slices: Vec<_> = first.chain(more).take(SLICES).collect();
            match self.stream.try_write_vectored(&slices) {
                Ok(count) => {
                    offset += count;
                    while at < request.len() && offset >= request[at].len() {
                        offset -= request[at].len();
                        at += 1;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = self.stream.ready(Interest::READABLE | Interest::WRITABLE).await?;
                    if ready.is_readable() && self.has_answer()? {
                        return Ok(false);
                    }
                }
                Err(error) if at == 0 && offset == 0 => return Err(End::Unsent(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Reads what is there without waiting. Is there anything, or an end?
    fn has_answer(&mut self) -> Result<bool, End> {
        self.read.reserve(ROOM);
        match self.stream.try_read_buf(&mut self.read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads once into the connection's buffer; the end of the connection is an error.
    async fn more(&mut self) -> Result<(), End> {
        self.read.reserve(ROOM);
        match read(&self.stream, &mut self.read).await? {
            0 => Err(closed()),
            _ => Ok(()),
        }
    }

    /// The head of the answer, heads that only say "go on" skipped.
    async fn head(&mut self) -> Result<Head, End> {
        loop {
            if let Some((head, length)) = Head::parse(&self.read).map_err(End::Malformed)? {
                self.read.advance(length);
                if head.status >= 200 {
                    return Ok(head);
                }
            } else if self.read.len() >= HEAD {
                return Err(End::Malformed("its head does not end".into()));
            } else {
                self.more().await?;
            }
        }
    }

    /// A body of so many bytes, in a buffer of its own.
    async fn body(&mut self, length: u64, limit: u64) -> Result<Bytes, End> {
        let size = usize::try_from(length).ok().filter(|_| length <= limit);
        let size = size.ok_or(End::TooLarge)?;
        let mut whole = BytesMut::with_capacity(size.min(TRUSTED));
        let here = size.min(self.read.len());
        whole.extend_from_slice(&self.read[..here]);
        self.read.advance(here);
        while whole.len() < size {
            let left = size - whole.len();
            if whole.capacity() == whole.len() {
                whole.reserve(left.min(whole.len()));
            }
            if read(&self.stream, &mut (&mut whole).limit(left)).await? == 0 {
                return Err(closed());
            }
        }
        Ok(whole.freeze())
    }

    /// A body in chunks, joined.
    async fn chunks(&mut self, limit: u64) -> Result<Bytes, End> {
        let mut whole = BytesMut::new();
        loop {
            let size = self.chunk_size().await?;
            if size > limit.saturating_sub(whole.len() as u64) {
                return Err(End::TooLarge);
            }
            if size == 0 {
                return self.trailers().await.map(|()| whole.freeze());
            }
            whole.extend_from_slice(&self.body(size, limit).await?);
            if self.body(2, limit).await? != b"\r\n"[..] {
                return Err(End::Malformed("a chunk is longer than it says".into()));
            }
        }
    }

    async fn chunk_size(&mut self) -> Result<u64, End> {
        loop {
            match httparse::parse_chunk_size(&self.read) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.read.advance(length);
                    return Ok(size);
                }
                Ok(httparse::Status::Partial) if self.read.len() < HEAD => {}
                _ => return Err(End::Malformed("a chunk has no size".into())),
            }
            self.more().await?;
        }
    }

    /// What follows the last chunk: lines, the last one empty.
    async fn trailers(&mut self) -> Result<(), End> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                self.read.advance(end + 2);
                if end == 0 {
                    return Ok(());
                }
            } else if self.read.len() >= HEAD {
                return Err(End::Malformed("its trailers do not end".into()));
            } else {
                self.more().await?;
            }
        }
    }

    /// A body that ends with the connection.
    async fn rest(&mut self, limit: u64) -> Result<Bytes, End> {
        let mut whole = std::mem::take(&mut self.read);
        while whole.len() as u64 <= limit {
            whole.reserve(ROOM);
            if read(&self.stream, &mut whole).await? == 0 {
                return Ok(whole.freeze());
            }
        }
        Err(End::TooLarge)
    }
}

fn closed() -> End {
    End::Lost("it was closed".into())
}

/// Reads once into a buffer that has room. 0 at the end of the connection.
async fn read(stream: &TcpStream, buffer: &mut impl BufMut) -> io::Result<usize> {
    loop {
        // Tried first, because readiness is often known already.
        match stream.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            count => return count,
        }
        stream.readable().await?;
    }
}
