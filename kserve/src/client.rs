//! The blocking client: one small runtime, driven by the threads that wait.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::call::{Call, Model};
use crate::grpc::Grpc;
use crate::http::Http;
use crate::{
    Cancel, Endpoint, InferRequest, InferResponse, KserveError, ModelConfig, ModelMetadata,
    ModelStatistics, RepositoryModel, ServerMetadata, Transport,
};

/// How long to wait, and how much to keep.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientOptions {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For an answer, connecting included, unless the request says otherwise.
    pub timeout: Duration,
    /// For loading and unloading a model.
    pub load_timeout: Duration,
    /// HTTP connections that are kept for the next request. gRPC has one for all.
    pub idle_connections: usize,
    /// The largest request and the largest answer, in bytes.
    pub max_message_bytes: u64,
}

impl Default for ClientOptions {
    /// 10 s to connect, a minute for an answer, five for loading, 32 connections, 2 GiB.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            load_timeout: Duration::from_secs(300),
            idle_connections: 32,
            // What protobuf can say.
            max_message_bytes: (1 << 31) - 1,
        }
    }
}

/// A server of the KServe v2 protocol. Any number of threads may use one client at once.
///
/// Every operation blocks its thread, and none may be called inside an asynchronous runtime
/// ([`KserveError::InsideRuntime`]). All of them may fail with [`KserveError::Connect`], [`KserveError::Timeout`],
/// [`KserveError::Lost`], [`KserveError::Malformed`] and [`KserveError::Refused`].
#[derive(Debug)]
pub struct Client {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    protocol: Protocol,
    endpoint: Endpoint,
    options: ClientOptions,
}

#[derive(Debug)]
enum Protocol {
    Http(Http),
    Grpc(Grpc),
}

/// The same operation on whichever transport it is.
macro_rules! on {
    ($self:ident, $protocol:ident => $operation:expr) => {
        async {
            match &$self.protocol {
                Protocol::Http($protocol) => $operation.await,
                Protocol::Grpc($protocol) => $operation.await,
            }
        }
    };
}

impl Client {
    /// A client of this server. Connections are made by the first request.
    ///
    /// # Errors
    /// [`KserveError::Endpoint`] if the host can be no name, [`KserveError::Start`] if the system gives no means to
    /// wait for sockets.
    pub fn new(endpoint: &Endpoint, options: ClientOptions) -> Result<Self, KserveError> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(KserveError::Start)?;
        let inside = runtime.enter();
        let protocol = match endpoint.transport() {
            Transport::Http => Protocol::Http(Http::new(endpoint, &options)?),
            Transport::Grpc => Protocol::Grpc(Grpc::new(endpoint, &options)?),
        };
        drop(inside);
        Ok(Self { runtime: Some(runtime), protocol, endpoint: endpoint.clone(), options })
    }

    /// The server.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Does the server run?
    ///
    /// # Errors
    /// See [`Client`].
    pub fn server_live(&self) -> Result<bool, KserveError> {
        self.run(Call::Live, on!(self, p => p.live()))
    }

    /// Can the server answer for its models? Under strict readiness: for all that should be loaded.
    ///
    /// # Errors
    /// See [`Client`].
    pub fn server_ready(&self) -> Result<bool, KserveError> {
        self.run(Call::Ready, on!(self, p => p.ready()))
    }

    /// Name, version and extensions of the server.
    ///
    /// # Errors
    /// See [`Client`].
    pub fn server_metadata(&self) -> Result<ServerMetadata, KserveError> {
        self.run(Call::Server, on!(self, p => p.server()))
    }

    /// Can the model be asked, in this version or in any? `false` for one that is not there.
    ///
    /// # Errors
    /// See [`Client`].
    pub fn model_ready(&self, name: &str, version: Option<&str>) -> Result<bool, KserveError> {
        let model = Model { name, version };
        self.run(Call::ModelReady(model), on!(self, p => p.model_ready(model)))
    }

    /// What a model takes and gives.
    ///
    /// # Errors
    /// [`KserveError::UnknownModel`]; see [`Client`].
    pub fn model_metadata(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<ModelMetadata, KserveError> {
        let model = Model { name, version };
        self.run(Call::Metadata(model), on!(self, p => p.metadata(model)))
    }

    /// A model's configuration, defaults filled in by the server. An extension of Triton's.
    ///
    /// # Errors
    /// [`KserveError::UnknownModel`]; see [`Client`].
    pub fn model_config(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<ModelConfig, KserveError> {
        let model = Model { name, version };
        self.run(Call::Config(model), on!(self, p => p.config(model)))
    }

    /// Asks a model.
    ///
    /// # Errors
    /// [`KserveError::Request`] and [`KserveError::TooLarge`] before anything is sent; [`KserveError::UnknownModel`],
    /// [`KserveError::NotReady`], [`KserveError::Refused`] in the server's words, also where the model itself failed;
    /// [`KserveError::Cancelled`]; see [`Client`].
    pub fn infer(&self, request: &InferRequest) -> Result<InferResponse, KserveError> {
        request.check()?;
        let timeout = request.timeout.unwrap_or(self.options.timeout);
        let work = on!(self, p => p.infer(request));
        self.run_within(Call::Infer(request.asked()), timeout, request.cancel.as_ref(), work)
    }

    /// Every version of every model in the repository, loaded or not. An extension of Triton's.
    ///
    /// # Errors
    /// See [`Client`].
    pub fn repository_index(&self) -> Result<Vec<RepositoryModel>, KserveError> {
        self.run(Call::Index, on!(self, p => p.index()))
    }

    /// Loads a model or loads it anew; returns when it is ready. Servers allow it in explicit mode only.
    ///
    /// # Errors
    /// [`KserveError::Refused`] with the reason why it doesn't load; see [`Client`].
    pub fn load_model(&self, name: &str) -> Result<(), KserveError> {
        let model = Model { name, version: None };
        let work = on!(self, p => p.load(model));
        self.run_within(Call::Load(model), self.options.load_timeout, None, work)
    }

    /// Unloads a model, and with `dependents` those that only its ensemble needs. The server goes on with it after
    /// the answer: [`Client::model_ready`] says when it is gone. Servers allow it in explicit mode only.
    ///
    /// # Errors
    /// See [`Client`].
    pub fn unload_model(&self, name: &str, dependents: bool) -> Result<(), KserveError> {
        let model = Model { name, version: None };
        let work = on!(self, p => p.unload(model, dependents));
        self.run_within(Call::Unload(model), self.options.load_timeout, None, work)
    }

    /// What a model has done, in this version or in each; without a name, what all have. An extension of Triton's.
    ///
    /// # Errors
    /// [`KserveError::UnknownModel`]; see [`Client`].
    pub fn statistics(
        &self,
        name: Option<&str>,
        version: Option<&str>,
    ) -> Result<Vec<ModelStatistics>, KserveError> {
        let model = name.map(|name| Model { name, version });
        self.run(Call::Statistics(model), on!(self, p => p.statistics(model)))
    }

    fn run<T>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T, KserveError>>,
    ) -> Result<T, KserveError> {
        self.run_within(call, self.options.timeout, None, work)
    }

    fn run_within<T>(
        &self,
        call: Call<'_>,
        after: Duration,
        cancel: Option<&Cancel>,
        work: impl Future<Output = Result<T, KserveError>>,
    ) -> Result<T, KserveError> {
        let result = self.block_on(async {
            match tokio::time::timeout(after, unless(cancel, work)).await {
                Ok(Some(result)) => result,
                Ok(None) => Err(KserveError::Cancelled { call: call.to_string() }),
                Err(_) => {
                    let (call, endpoint) = (call.to_string(), self.endpoint.clone());
                    Err(KserveError::Timeout { call, endpoint, after })
                }
            }
        })?;
        result.map_err(|error| self.with_ready_models(error))
    }

    fn block_on<T>(&self, work: impl Future<Output = T>) -> Result<T, KserveError> {
        match &self.runtime {
            Some(runtime) if Handle::try_current().is_err() => Ok(runtime.block_on(work)),
            _ => Err(KserveError::InsideRuntime),
        }
    }

    /// Adds the names of the models that could have been asked. If they can't be had, the error stays as it is.
    fn with_ready_models(&self, mut error: KserveError) -> KserveError {
        if let KserveError::UnknownModel { ready, .. } = &mut error
            && let Ok(models) = self.repository_index()
        {
            let models = models.into_iter().filter(RepositoryModel::is_ready);
            let mut names: Vec<_> = models.map(|model| model.name).collect();
            names.sort();
            names.dedup();
            *ready = Some(names);
        }
        error
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Dropping it as it is would panic inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The result of `work`; `None` if the switch is thrown first.
async fn unless<T>(cancel: Option<&Cancel>, work: impl Future<Output = T>) -> Option<T> {
    let Some(cancel) = cancel else { return Some(work.await) };
    let (mut work, mut thrown) = (pin!(work), pin!(cancel.thrown()));
    poll_fn(|cx| {
        if thrown.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}
