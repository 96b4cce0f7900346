//! The operations over HTTP/1.1.

mod answer;
mod infer;
mod json;
mod wire;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Uri};
use serde::de::DeserializeOwned;

use crate::call::{Call, Model};
use crate::{
    ClientOptions, Endpoint, InferRequest, InferResponse, KserveError, ModelConfig, ModelMetadata,
    ModelStatistics, RepositoryModel, ServerMetadata,
};
use answer::Answer;
use wire::{Frames, Pool};

/// Length of the JSON before the tensors, in requests and answers.
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// Beyond ASCII letters and digits, what a path segment may hold as it is.
const UNRESERVED: &[u8] = b"-._~";

/// Operations of one server over a pool of connections.
#[derive(Debug)]
pub(crate) struct Http {
    pool: Pool,
    endpoint: Endpoint,
    host: HeaderValue,
    limit: u64,
}

impl Http {
    pub(crate) fn new(endpoint: &Endpoint, options: &ClientOptions) -> Result<Self, KserveError> {
        let host = HeaderValue::from_str(&endpoint.authority()).map_err(|_| {
            KserveError::Endpoint { text: endpoint.to_string(), problem: "its host is no name" }
        })?;
        let (endpoint, limit) = (endpoint.clone(), options.max_message_bytes);
        Ok(Self { pool: Pool::new(&endpoint, options), endpoint, host, limit })
    }

    /// The answer to a question without a body whose only content is its status.
    pub(crate) async fn healthy(&self, call: Call<'_>, path: &str) -> Result<bool, KserveError> {
        let answer = self.ask(call, Method::GET, path, Frames::default(), None).await?;
        match answer.status {
            200 => Ok(true),
            // Triton says 400 for "not ready", others 503 or 404.
            400 | 404 | 503 => Ok(false),
            _ => Err(answer.refusal(call, &self.endpoint)),
        }
    }

    pub(crate) async fn live(&self) -> Result<bool, KserveError> {
        self.healthy(Call::Live, "/v2/health/live").await
    }

    pub(crate) async fn ready(&self) -> Result<bool, KserveError> {
        self.healthy(Call::Ready, "/v2/health/ready").await
    }

    pub(crate) async fn model_ready(&self, model: Model<'_>) -> Result<bool, KserveError> {
        self.healthy(Call::ModelReady(model), &path(model, "/ready")).await
    }

    pub(crate) async fn server(&self) -> Result<ServerMetadata, KserveError> {
        self.get(Call::Server, "/v2").await
    }

    pub(crate) async fn metadata(&self, model: Model<'_>) -> Result<ModelMetadata, KserveError> {
        let call = Call::Metadata(model);
        let json: json::Metadata = self.get(call, &path(model, "")).await?;
        json.read().map_err(|problem| self.malformed(call, problem))
    }

    pub(crate) async fn config(&self, model: Model<'_>) -> Result<ModelConfig, KserveError> {
        let call = Call::Config(model);
        let json: json::Config = self.get(call, &path(model, "/config")).await?;
        json.read().map_err(|problem| self.malformed(call, problem))
    }

    pub(crate) async fn index(&self) -> Result<Vec<RepositoryModel>, KserveError> {
        let answer = self.post(Call::Index, "/v2/repository/index", "{}").await?;
        self.json(Call::Index, &answer.body)
    }

    pub(crate) async fn load(&self, model: Model<'_>) -> Result<(), KserveError> {
        let path = format!("/v2/repository/models/{}/load", segment(model.name));
        self.post(Call::Load(model), &path, "{}").await.map(drop)
    }

    pub(crate) async fn unload(
        &self,
        model: Model<'_>,
        dependents: bool,
    ) -> Result<(), KserveError> {
        let path = format!("/v2/repository/models/{}/unload", segment(model.name));
        let body = format!(r#"{{"parameters":{{"unload_dependents":{dependents}}}}}"#);
        self.post(Call::Unload(model), &path, &body).await.map(drop)
    }

    pub(crate) async fn statistics(
        &self,
        model: Option<Model<'_>>,
    ) -> Result<Vec<ModelStatistics>, KserveError> {
        let path = model.map_or("/v2/models/stats".into(), |model| path(model, "/stats"));
        let json: json::Statistics = self.get(Call::Statistics(model), &path).await?;
        Ok(json.read())
    }

    pub(crate) async fn infer(&self, request: &InferRequest) -> Result<InferResponse, KserveError> {
        let call = Call::Infer(request.asked());
        let (header, frames) = infer::encode(request);
        let path = path(request.asked(), "/infer");
        let answer = self.ask(call, Method::POST, &path, frames, Some(header)).await?;
        let answer = self.accepted(call, answer)?;
        infer::decode(&answer).map_err(|problem| self.malformed(call, problem))
    }

    async fn get<T: DeserializeOwned>(&self, call: Call<'_>, path: &str) -> Result<T, KserveError> {
        let answer = self.ask(call, Method::GET, path, Frames::default(), None).await?;
        self.json(call, &self.accepted(call, answer)?.body)
    }

    async fn post(&self, call: Call<'_>, path: &str, body: &str) -> Result<Answer, KserveError> {
        let frames = Frames::from([Bytes::copy_from_slice(body.as_bytes())]);
        let answer = self.ask(call, Method::POST, path, frames, None).await?;
        self.accepted(call, answer)
    }

    /// One request and whatever is answered. `header` is the length of the JSON before binary tensors.
    async fn ask(
        &self,
        call: Call<'_>,
        method: Method,
        path: &str,
        frames: Frames,
        header: Option<usize>,
    ) -> Result<Answer, KserveError> {
        if frames.left() > self.limit {
            let (call, limit) = (call.to_string(), self.limit);
            return Err(KserveError::TooLarge { call, direction: "request", limit });
        }
        let mut request = Request::new(frames);
        *request.method_mut() = method;
        // Segments are escaped, so a path is always one.
        *request.uri_mut() = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
        self.headers(request.headers_mut(), header);
        self.pool.send(call, request).await
    }

    fn headers(&self, headers: &mut HeaderMap, header: Option<usize>) {
        headers.insert(HOST, self.host.clone());
        let content = match header {
            None => "application/json",
            Some(length) => {
                headers.insert(HEADER_LENGTH, HeaderValue::from(length));
                "application/octet-stream"
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    }

    fn accepted(&self, call: Call<'_>, answer: Answer) -> Result<Answer, KserveError> {
        if answer.status == 200 { Ok(answer) } else { Err(answer.refusal(call, &self.endpoint)) }
    }

    fn json<T: DeserializeOwned>(&self, call: Call<'_>, body: &Bytes) -> Result<T, KserveError> {
        serde_json::from_slice(body).map_err(|e| self.malformed(call, format!("its JSON: {e}")))
    }

    fn malformed(&self, call: Call<'_>, problem: String) -> KserveError {
        KserveError::Malformed { call: call.to_string(), endpoint: self.endpoint.clone(), problem }
    }
}

/// `/v2/models/NAME[/versions/VERSION]` and what follows.
fn path(model: Model<'_>, rest: &str) -> String {
    let name = segment(model.name);
    match model.version {
        None => format!("/v2/models/{name}{rest}"),
        Some(version) => format!("/v2/models/{name}/versions/{}{rest}", segment(version)),
    }
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || UNRESERVED.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_leave_their_place() {
        let model = Model { name: "a/b ?é", version: Some("1") };
        assert_eq!(path(model, "/infer"), "/v2/models/a%2Fb%20%3F%C3%A9/versions/1/infer");
        let plain = Model { name: "oneranker_encode-2.x~", version: None };
        assert_eq!(path(plain, ""), "/v2/models/oneranker_encode-2.x~");
    }
}
