//! Everything that can go wrong between a tensor and its answer.

use std::time::Duration;

use crate::{Datatype, Endpoint};

/// Why a request has no answer. Messages are facts; [`KserveError::hint`] has the advice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KserveError {
    /// An endpoint can't be read.
    #[error("`{text}` is no endpoint: {problem}")]
    Endpoint {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A tensor's bytes are not as many as its type and shape need.
    #[error("tensor `{tensor}`, {datatype} {shape:?}, needs {needed} bytes and has {found}")]
    Bytes {
        /// Name of the tensor.
        tensor: String,
        /// Its type.
        datatype: Datatype,
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes that type and shape need; [`u64::MAX`] if they are beyond counting.
        needed: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The bytes of a `BYTES` tensor are not as many strings as its shape needs.
    #[error("tensor `{tensor}`, BYTES {shape:?}: {problem}")]
    Strings {
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What is wrong with the strings.
        problem: String,
    },
    /// A request that no server could answer.
    #[error("a request for `{model}` can't be sent: {problem}")]
    Request {
        /// The model it is for.
        model: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A message is larger than [`crate::ClientOptions::max_message_bytes`].
    #[error("{call}: the {direction} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        call: String,
        /// `request` or `answer`.
        direction: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// Nobody answers there.
    #[error("can't connect to {endpoint}")]
    Connect {
        /// The server.
        endpoint: Endpoint,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// The connection ended before the answer did. The server may have worked on the request.
    #[error("{call}: the connection to {endpoint} ended before the answer did ({detail})")]
    Lost {
        /// What was asked.
        call: String,
        /// The server.
        endpoint: Endpoint,
        /// What the transport says.
        detail: String,
    },
    /// No answer in time.
    #[error("{call}: no answer from {endpoint} within {after:?}")]
    Timeout {
        /// What was asked.
        call: String,
        /// The server.
        endpoint: Endpoint,
        /// How long was waited.
        after: Duration,
    },
    /// The request's [`crate::Cancel`] was thrown.
    #[error("{call}: cancelled")]
    Cancelled {
        /// What was asked.
        call: String,
    },
    /// The server is there and can't answer now.
    #[error("{call}: {endpoint} is not ready: {words}")]
    NotReady {
        /// What was asked.
        call: String,
        /// The server.
        endpoint: Endpoint,
        /// The server's own words.
        words: String,
    },
    /// The server has no such model, or not in this version.
    #[error("{call}: no such model at {endpoint}: {words}")]
    UnknownModel {
        /// What was asked.
        call: String,
        /// The server.
        endpoint: Endpoint,
        /// Models that are ready there, sorted; `None` if the server doesn't tell.
        ready: Option<Vec<String>>,
        /// The server's own words.
        words: String,
    },
    /// The server refuses the request, or the model failed on it.
    #[error("{call}: refused with {status}: {words}")]
    Refused {
        /// What was asked.
        call: String,
        /// `HTTP 400`, `gRPC InvalidArgument`.
        status: String,
        /// The server's own words.
        words: String,
    },
    /// The answer is not what the protocol says.
    #[error("{call}: the answer of {endpoint} is malformed: {problem}")]
    Malformed {
        /// What was asked.
        call: String,
        /// The server.
        endpoint: Endpoint,
        /// What is wrong with it.
        problem: String,
    },
    /// The system gives no means to wait for sockets.
    #[error("can't start the client")]
    Start(#[source] std::io::Error),
    /// A blocking call from asynchronous code, which would stand still.
    #[error("a blocking request was made inside an asynchronous runtime")]
    InsideRuntime,
}

impl KserveError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Endpoint { problem, .. } if problem.starts_with("TLS") => {
                "use http:// or grpc://, if need be to a proxy on this machine that speaks TLS"
            }
            Self::Endpoint { .. } => "write http://HOST:PORT or grpc://HOST:PORT",
            Self::Bytes { .. } => "compare shape and type with the model's metadata",
            Self::Strings { .. } => "each string has its length before it, 4 bytes, little-endian",
            Self::Request { .. } => "compare the request with the model's metadata",
            Self::TooLarge { .. } => "send fewer rows at once or raise `max_message_bytes`",
            Self::Connect { endpoint, .. } => return Some(connect_hint(endpoint)),
            Self::Lost { .. } => {
                "the server's log says whether it stopped; ask again once it is ready"
            }
            Self::Timeout { .. } => "raise the timeout, or look at the server's load and queues",
            Self::Cancelled { .. } | Self::Start(_) => return None,
            Self::NotReady { .. } => {
                "wait until the server is ready; its log names models that don't load"
            }
            Self::UnknownModel { ready, .. } => return Some(model_hint(ready.as_deref())),
            Self::Refused { .. } => {
                "compare names, types and shapes with the model's metadata; the server's log may say more"
            }
            Self::Malformed { .. } => {
                "does a server of the KServe v2 protocol listen there, on the port of this transport?"
            }
            Self::InsideRuntime => "move the call to a thread of its own",
        };
        Some(hint.into())
    }
}

fn connect_hint(endpoint: &Endpoint) -> String {
    format!(
        "is a server running, and does it listen on port {}? Triton's ports are 8000 for HTTP, 8001 for gRPC",
        endpoint.port()
    )
}

fn model_hint(ready: Option<&[String]>) -> String {
    match ready {
        None => "the repository index names the models that are there".into(),
        Some([]) => "no model is ready there".into(),
        Some(names) => format!("ready there: {}", names.join(", ")),
    }
}
