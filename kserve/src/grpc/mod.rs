//! The operations over gRPC.

mod codec;
mod infer;
mod proto;
mod read;
mod status;

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use tonic::client::Grpc as Service;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint as Address};

use crate::call::{Call, Model};
use crate::{
    ClientOptions, Endpoint, InferRequest, InferResponse, KserveError, ModelConfig, ModelMetadata,
    ModelStatistics, RepositoryModel, ServerMetadata,
};
use codec::Raw;

/// Bytes that a server may send before it hears that they were read. HTTP/2's default of 64 KiB would make a large
/// tensor wait for dozens of round trips.
const WINDOW: u32 = 16 << 20;
/// Larger frames than HTTP/2's default of 16 KiB: fewer of them.
const FRAME: u32 = 1 << 20;

/// Turns of the runtime after which a connection has noticed its end.
const TURNS: usize = 3;

/// Operations of one server over one connection, which is made when needed.
#[derive(Debug)]
pub(crate) struct Grpc {
    channel: Channel,
    endpoint: Endpoint,
    limit: u64,
}

impl Grpc {
    /// To be called inside the runtime that will run the requests.
    pub(crate) fn new(endpoint: &Endpoint, options: &ClientOptions) -> Result<Self, KserveError> {
        let address = Address::from_shared(format!("http://{}", endpoint.authority()));
        let address = address.map_err(|_| KserveError::Endpoint {
            text: endpoint.to_string(),
            problem: "its host is no name",
        })?;
        let channel = address
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME)
            .connect_lazy();
        Ok(Self { channel, endpoint: endpoint.clone(), limit: options.max_message_bytes })
    }

    pub(crate) async fn live(&self) -> Result<bool, KserveError> {
        let healthy: proto::Healthy =
            self.ask(Call::Live, "ServerLive", || proto::Empty {}).await?;
        Ok(healthy.yes)
    }

    pub(crate) async fn ready(&self) -> Result<bool, KserveError> {
        let healthy: proto::Healthy =
            self.ask(Call::Ready, "ServerReady", || proto::Empty {}).await?;
        Ok(healthy.yes)
    }

    pub(crate) async fn model_ready(&self, model: Model<'_>) -> Result<bool, KserveError> {
        let asked: Result<proto::Healthy, _> =
            self.ask(Call::ModelReady(model), "ModelReady", || question(model)).await;
        match asked {
            Ok(healthy) => Ok(healthy.yes),
            Err(KserveError::UnknownModel { .. } | KserveError::NotReady { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn server(&self) -> Result<ServerMetadata, KserveError> {
        self.ask(Call::Server, "ServerMetadata", || proto::Empty {}).await.map(read::server)
    }

    pub(crate) async fn metadata(&self, model: Model<'_>) -> Result<ModelMetadata, KserveError> {
        let call = Call::Metadata(model);
        let metadata = self.ask(call, "ModelMetadata", || question(model)).await?;
        read::metadata(metadata).map_err(|problem| self.malformed(call, problem))
    }

    pub(crate) async fn config(&self, model: Model<'_>) -> Result<ModelConfig, KserveError> {
        let call = Call::Config(model);
        let answer: proto::ConfigAnswer = self.ask(call, "ModelConfig", || question(model)).await?;
        let config = answer.config.ok_or_else(|| "it has no configuration".to_owned());
        config.and_then(read::config).map_err(|problem| self.malformed(call, problem))
    }

    pub(crate) async fn index(&self) -> Result<Vec<RepositoryModel>, KserveError> {
        let question = proto::IndexQuestion::default;
        self.ask(Call::Index, "RepositoryIndex", question).await.map(read::index)
    }

    pub(crate) async fn load(&self, model: Model<'_>) -> Result<(), KserveError> {
        let question =
            || proto::LoadQuestion { model: model.name.into(), ..proto::LoadQuestion::default() };
        let _: proto::Empty = self.ask(Call::Load(model), "RepositoryModelLoad", question).await?;
        Ok(())
    }

    pub(crate) async fn unload(
        &self,
        model: Model<'_>,
        dependents: bool,
    ) -> Result<(), KserveError> {
        let dependents = proto::LoadParameter { yes: Some(dependents) };
        let question = || proto::LoadQuestion {
            model: model.name.into(),
            parameters: HashMap::from([("unload_dependents".into(), dependents.clone())]),
            ..proto::LoadQuestion::default()
        };
        let _: proto::Empty =
            self.ask(Call::Unload(model), "RepositoryModelUnload", question).await?;
        Ok(())
    }

    pub(crate) async fn statistics(
        &self,
        model: Option<Model<'_>>,
    ) -> Result<Vec<ModelStatistics>, KserveError> {
        let question = || model.map_or_else(proto::ModelQuestion::default, question);
        self.ask(Call::Statistics(model), "ModelStatistics", question).await.map(read::statistics)
    }

    pub(crate) async fn infer(&self, request: &InferRequest) -> Result<InferResponse, KserveError> {
        let call = Call::Infer(request.asked());
        let answer = self.ask(call, "ModelInfer", || infer::encode(request)).await?;
        infer::decode(answer).map_err(|problem| self.malformed(call, problem))
    }

    /// One request and its answer. It is sent again only if none of its bytes have left.
    async fn ask<Q: Message + 'static, A: Message + Default>(
        &self,
        call: Call<'_>,
        method: &'static str,
        question: impl Fn() -> Q,
    ) -> Result<A, KserveError> {
        let answer = match self.send(call, method, question()).await? {
            Err(status) if status::is_unsent(&status) => {
                self.send(call, method, question()).await?
            }
            answer => answer,
        };
        let answer = answer.map_err(|s| status::error(&s, call, &self.endpoint, self.limit))?;
        A::decode(answer).map_err(|e| self.malformed(call, format!("its message: {e}")))
    }

    async fn send<Q: Message + 'static>(
        &self,
        call: Call<'_>,
        method: &str,
        question: Q,
    ) -> Result<Result<Bytes, tonic::Status>, KserveError> {
        if question.encoded_len() as u64 > self.limit {
            let (call, limit) = (call.to_string(), self.limit);
            return Err(KserveError::TooLarge { call, direction: "request", limit });
        }
        // What arrived while nobody waited, an end of the connection above all, is seen before the request is sent:
        // the runtime looks at its sockets, runs the connection, then what is above it.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut service = Service::new(self.channel.clone())
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit);
        if let Err(error) = service.ready().await {
            return Ok(Err(tonic::Status::from_error(error.into())));
        }
        let path = format!("/inference.GRPCInferenceService/{method}");
        let path = PathAndQuery::try_from(path)
            .map_err(|e| self.malformed(call, format!("its path: {e}")))?;
        let answer = service.unary(tonic::Request::new(question), path, Raw::<Q>::default()).await;
        Ok(answer.map(tonic::Response::into_inner))
    }

    fn malformed(&self, call: Call<'_>, problem: String) -> KserveError {
        KserveError::Malformed { call: call.to_string(), endpoint: self.endpoint.clone(), problem }
    }
}

fn question(model: Model<'_>) -> proto::ModelQuestion {
    let version = model.version.unwrap_or_default().into();
    proto::ModelQuestion { name: model.name.into(), version }
}
