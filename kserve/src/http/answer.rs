//! An HTTP answer, and which error it is.

use bytes::Bytes;
use serde::Deserialize;

use crate::call::{Call, is_unknown};
use crate::{Endpoint, KserveError};

/// Words of a server that are kept from an answer that is not JSON.
const WORDS: usize = 400;

/// Status, whole body, and the length of the JSON in it as the server says it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) header_length: Option<String>,
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Answer {
    /// The error that an answer other than 200 is.
    pub(crate) fn refusal(&self, call: Call<'_>, endpoint: &Endpoint) -> KserveError {
        let words = self.words();
        let endpoint = endpoint.clone();
        let unknown = is_unknown(&words) || self.status == 404;
        let status = format!("HTTP {}", self.status);
        let (model, call) = (call.model(), call.to_string());
        match self.status {
            _ if unknown && model.is_some() => {
                KserveError::UnknownModel { call, endpoint, ready: None, words }
            }
            503 => KserveError::NotReady { call, endpoint, words },
            _ => KserveError::Refused { call, status, words },
        }
    }

    /// What the server says: `{"error": ".."}`, or the beginning of whatever it sent.
    fn words(&self) -> String {
        if let Ok(refusal) = serde_json::from_slice::<Refusal>(&self.body) {
            return refusal.error;
        }
        let words: String =
            String::from_utf8_lossy(&self.body).trim().chars().take(WORDS).collect();
        if words.is_empty() { "(no words)".into() } else { words }
    }
}
