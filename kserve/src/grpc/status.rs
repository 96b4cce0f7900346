//! Which error a gRPC status is.

use std::error::Error;
use std::io;

use tonic::{Code, Status};

use crate::call::{Call, is_unknown};
use crate::{Endpoint, KserveError};

/// Errors behind a status, outermost first. A status that a server sent has none.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = status.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// Has nothing of the request been sent?
pub(super) fn is_unsent(status: &Status) -> bool {
    let mut causes = causes(status).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    causes.any(hyper::Error::is_canceled)
}

/// The error that a failed request has.
pub(super) fn error(
    status: &Status,
    call: Call<'_>,
    endpoint: &Endpoint,
    limit: u64,
) -> KserveError {
    let model = call.model();
    let (call, endpoint) = (call.to_string(), endpoint.clone());
    if status.source().is_some() {
        return local(status, call, endpoint);
    }
    let words = status.message().to_owned();
    let unknown = is_unknown(&words) || status.code() == Code::NotFound;
    match status.code() {
        _ if unknown && model.is_some() => {
            KserveError::UnknownModel { call, endpoint, ready: None, words }
        }
        Code::Unavailable => KserveError::NotReady { call, endpoint, words },
        // The words of tonic, which gives no other sign.
        Code::OutOfRange if words.starts_with("Error, decoded message length too large") => {
            KserveError::TooLarge { call, direction: "answer", limit }
        }
        code => KserveError::Refused { call, status: format!("gRPC {code:?}"), words },
    }
}

/// The error of a request that has no answer from a server.
fn local(status: &Status, call: String, endpoint: Endpoint) -> KserveError {
    let words: Vec<_> = causes(status).map(ToString::to_string).collect();
    let connecting = words.iter().any(|word| word == "tcp connect error");
    let cause = causes(status).find_map(|cause| cause.downcast_ref::<io::Error>());
    match cause {
        _ if words.iter().any(|word| word.contains("frame with invalid size")) => {
            KserveError::Malformed { call, endpoint, problem: words.join(": ") }
        }
        Some(cause) if connecting => {
            let cause = io::Error::new(cause.kind(), cause.to_string());
            KserveError::Connect { endpoint, cause }
        }
        _ => KserveError::Lost { call, endpoint, detail: words.join(": ") },
    }
}
