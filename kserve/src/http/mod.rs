//! The operations over HTTP/1.1.

mod answer;
mod head;
mod infer;
mod json;
mod wire;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::call::{Call, Model};
use crate::{
    ClientOptions, Endpoint, InferRequest, InferResponse, KserveError, ModelConfig, ModelMetadata,
    ModelStatistics, RepositoryModel, ServerMetadata, Tensor,
};
use answer::Answer;
use wire::Pool;

/// Length of the JSON before the tensors, in requests and answers.
const HEADER_LENGTH: &str = "Inference-Header-Content-Length";
/// Beyond ASCII letters and digits, what a path segment may hold as it is.
const UNRESERVED: &[u8] = b"-._~";

/// What a request carries.
struct Content<'a> {
    json: &'a [u8],
    /// With the binary tensor extension, the bytes after the JSON.
    tensors: Option<Vec<&'a Bytes>>,
}

impl Content<'_> {
    fn size(&self) -> u64 {
        let tensors = self.tensors.iter().flatten().map(|bytes| bytes.len() as u64);
        self.json.len() as u64 + tensors.sum::<u64>()
    }
}

/// Operations of one server over a pool of connections.
#[derive(Debug)]
pub(crate) struct Http {
    pool: Pool,
    endpoint: Endpoint,
    limit: u64,
}

impl Http {
    pub(crate) fn new(endpoint: &Endpoint, options: &ClientOptions) -> Result<Self, KserveError> {
        // It stands in every head, where another line would be another header.
        if !endpoint.host().bytes().all(|byte| byte.is_ascii_graphic()) {
            let text = endpoint.to_string();
            return Err(KserveError::Endpoint { text, problem: "its host is no name" });
        }
        let (endpoint, limit) = (endpoint.clone(), options.max_message_bytes);
        Ok(Self { pool: Pool::new(&endpoint, options), endpoint, limit })
    }

    /// The answer to a question without a body whose only content is its status.
    pub(crate) async fn healthy(&self, call: Call<'_>, path: &str) -> Result<bool, KserveError> {
        let answer = self.ask(call, path, None).await?;
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
        let path = path(request.asked(), "/infer");
        let json = infer::encode(request);
        let tensors = request.inputs.iter().map(Tensor::bytes);
        let content = Content { json: &json, tensors: Some(tensors.collect()) };
        let answer = self.ask(call, &path, Some(content)).await?;
        let answer = self.accepted(call, answer)?;
        infer::decode(&answer).map_err(|problem| self.malformed(call, problem))
    }

    async fn get<T: DeserializeOwned>(&self, call: Call<'_>, path: &str) -> Result<T, KserveError> {
        let answer = self.ask(call, path, None).await?;
        self.json(call, &self.accepted(call, answer)?.body)
    }

    async fn post(&self, call: Call<'_>, path: &str, body: &str) -> Result<Answer, KserveError> {
        let content = Content { json: body.as_bytes(), tensors: None };
        let answer = self.ask(call, path, Some(content)).await?;
        self.accepted(call, answer)
    }

    /// One request and whatever is answered; without content it is a `GET`.
    async fn ask(
        &self,
        call: Call<'_>,
        path: &str,
        content: Option<Content<'_>>,
    ) -> Result<Answer, KserveError> {
        let size = content.as_ref().map_or(0, Content::size);
        if size > self.limit {
            let (call, limit) = (call.to_string(), self.limit);
            return Err(KserveError::TooLarge { call, direction: "request", limit });
        }
        self.pool.send(call, &self.request(path, content, size)).await
    }

    /// What is sent: head and JSON in one buffer, then each tensor's own.
    fn request(&self, path: &str, content: Option<Content<'_>>, size: u64) -> Vec<Bytes> {
        let host = self.endpoint.authority();
        let Some(Content { json, tensors }) = content else {
            return vec![format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into()];
        };
        let kind = if tensors.is_some() { "octet-stream" } else { "json" };
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/{kind}\r\nContent-Length: {size}\r\n"
        );
        if tensors.is_some() {
            head.push_str(&format!("{HEADER_LENGTH}: {}\r\n", json.len()));
        }
        head.push_str("\r\n");
        let head = Bytes::from([head.as_bytes(), json].concat());
        let tensors = tensors.into_iter().flatten().filter(|bytes| !bytes.is_empty()).cloned();
        std::iter::once(head).chain(tensors).collect()
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

    #[test]
    fn a_request_by_hand() {
        let endpoint = "http://[::1]:8000".parse().unwrap();
        let http = Http::new(&endpoint, &ClientOptions::default()).unwrap();
        let (bytes, none) = (Bytes::from_static(b"abc"), Bytes::new());
        let content = Content { json: b"{}", tensors: Some(vec![&bytes, &none]) };
        let size = content.size();
        let sent = http.request("/v2/models/m/infer", Some(content), size);
        let head = "POST /v2/models/m/infer HTTP/1.1\r\nHost: [::1]:8000\r\nContent-Type: application/octet-stream\r\nContent-Length: 5\r\nInference-Header-Content-Length: 2\r\n\r\n{}";
        assert_eq!(sent, [head, "abc"]);
        assert_eq!(sent[1].as_ptr(), bytes.as_ptr());
        assert_eq!(http.request("/v2", None, 0), ["GET /v2 HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n"]);
    }

    #[test]
    fn no_host_writes_headers() {
        let endpoint = Endpoint::new(crate::Transport::Http, "a\r\nX: y", 1);
        assert!(Http::new(&endpoint, &ClientOptions::default()).is_err());
    }
}
