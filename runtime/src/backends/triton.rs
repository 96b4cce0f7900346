//! Deployed models: a Triton, or any server of the KServe v2 protocol.
//!
//! `open("encode.onnx")` is the deployed model `NAME_encode`; the file itself is not read. What the server says of its
//! models decides shapes, so a difference between the directory and what is live shows as such.

use std::{path::Path, sync::Arc};

use onr_graphs::{DType, GraphKind};
use onr_kserve::{
    Client, ClientOptions, Datatype, Endpoint, InferRequest, InferResponse, IoConfig, KserveError,
    ModelConfig, Tensor,
};

use crate::{
    backend::{Availability, Backend, Placement, RunError, Session},
    deployment::model_name,
    tensor::{Feeds, HostTensor},
};

const NAME: &str = "triton";

/// The models of one package on one server, as a [`Backend`].
#[derive(Debug, Clone)]
pub struct TritonBackend {
    client: Arc<Client>,
    package: String,
}

impl TritonBackend {
    /// The models that `onr package triton --name PACKAGE` made, on this server. Nothing is asked yet.
    ///
    /// # Errors
    /// [`RunError::Missing`] when no client can be made of the address.
    pub fn new(endpoint: &Endpoint, package: &str) -> Result<Self, RunError> {
        Self::with_options(endpoint, package, ClientOptions::default())
    }

    /// The same with other limits of the client.
    ///
    /// # Errors
    /// As [`TritonBackend::new`].
    pub fn with_options(
        endpoint: &Endpoint,
        package: &str,
        options: ClientOptions,
    ) -> Result<Self, RunError> {
        let client = Client::new(endpoint, options).map_err(missing)?;
        Ok(Self { client: Arc::new(client), package: package.to_owned() })
    }

    /// What talks to the server.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A deployed model by its own name.
    ///
    /// # Errors
    /// [`RunError::Load`] when the server has no such model or says nothing of it.
    pub fn open_model(&self, model: &str) -> Result<Box<dyn Session>, RunError> {
        Ok(Box::new(self.deployed(model)?))
    }

    /// The same for many threads at once.
    ///
    /// # Errors
    /// As [`TritonBackend::open_model`].
    pub fn deployed(&self, model: &str) -> Result<Deployed, RunError> {
        let config =
            self.client.model_config(model, None).map_err(|error| refused(model, &error))?;
        Ok(Deployed { client: Arc::clone(&self.client), config })
    }
}

impl Backend for TritonBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn availability(&self) -> Availability {
        let endpoint = self.client.endpoint();
        match self.client.server_metadata() {
            Ok(server) => Availability::Ready {
                version: format!("{} {} at {endpoint}", server.name, server.version),
                library: None,
            },
            Err(error) => Availability::Missing {
                what: with_causes(&error),
                hint: error.hint().unwrap_or_default(),
            },
        }
    }

    fn open(&self, model: &Path) -> Result<Box<dyn Session>, RunError> {
        let stem = model.file_stem().unwrap_or_default().to_string_lossy();
        if GraphKind::from_name(&stem).is_none() {
            let reason = "a server runs the models that are deployed there, not files".to_owned();
            return Err(RunError::Load { backend: NAME, model: model.to_owned(), reason });
        }
        self.open_model(&model_name(&self.package, &stem))
    }

    fn runs_files(&self) -> bool {
        false
    }

    fn joined(&self) -> Result<Option<Box<dyn Session>>, RunError> {
        match self.open_model(&self.package) {
            Ok(session) => Ok(Some(session)),
            Err(_) if !self.has_model(&self.package) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl TritonBackend {
    fn has_model(&self, name: &str) -> bool {
        self.client.model_ready(name, None).unwrap_or(false)
    }
}

/// A deployed model: what it takes and gives, as the server says.
#[derive(Debug, Clone)]
pub struct Deployed {
    client: Arc<Client>,
    config: ModelConfig,
}

impl Session for Deployed {
    fn run(&mut self, feeds: &Feeds) -> Result<Feeds, RunError> {
        let request = self.request(feeds)?;
        let answer = self
            .client
            .infer(&request)
            .map_err(|error| RunError::Run { backend: NAME, reason: with_causes(&error) })?;
        self.answer(&answer)
    }

    fn placement(&self) -> Placement {
        let kinds = self.config.instances.iter().map(|group| group.kind.as_str());
        let on_gpu = kinds.clone().any(|kind| kind == "KIND_GPU");
        let device = if on_gpu { "cuda" } else { "cpu" };
        Placement { device: device.to_owned(), fallback_nodes: 0 }
    }
}

impl Deployed {
    /// The model's configuration on the server.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// A request with these inputs, shapes as clients send them.
    ///
    /// # Errors
    /// [`RunError::Feed`] when an input is missing, unknown or of another type than the model's.
    pub fn request(&self, feeds: &Feeds) -> Result<InferRequest, RunError> {
        let inputs: Result<Vec<Tensor>, RunError> =
            feeds.iter().map(|(name, tensor)| self.sent(name, tensor)).collect();
        let lacking =
            self.config.inputs.iter().find(|io| !io.optional && !feeds.contains_key(&io.name));
        if let Some(lacking) = lacking {
            let reason = format!("is missing: `{}` takes it", self.config.name);
            return Err(feed(&lacking.name, reason));
        }
        Ok(InferRequest::new(&self.config.name, inputs?))
    }

    /// What an answer holds, shapes as the graph gives them.
    ///
    /// # Errors
    /// [`RunError::Run`] when an output is of a type that no graph has.
    pub fn answer(&self, answer: &InferResponse) -> Result<Feeds, RunError> {
        answer.outputs.iter().map(|tensor| self.received(tensor)).collect()
    }

    fn sent(&self, name: &str, tensor: &HostTensor) -> Result<Tensor, RunError> {
        let Some(io) = self.config.inputs.iter().find(|io| io.name == name) else {
            return Err(feed(name, format!("is no input of `{}`", self.config.name)));
        };
        let datatype = datatype(tensor.dtype()).filter(|dtype| *dtype == io.datatype);
        let datatype = datatype.ok_or_else(|| {
            feed(name, format!("is {}, the deployed model takes {}", tensor.dtype(), io.datatype))
        })?;
        // An ensemble has no reshape of its own: its members have.
        let one_a_row = tensor.shape().len() == 1 && io.dims == [1];
        let seen = io.reshape.as_deref().or(one_a_row.then_some(&[]));
        let shape = with_axes(tensor.shape(), seen, &io.dims);
        Tensor::new(name, datatype, shape, tensor.le_bytes())
            .map_err(|error| feed(name, with_causes(&error)))
    }

    fn received(&self, tensor: &Tensor) -> Result<(String, HostTensor), RunError> {
        let io = self.config.outputs.iter().find(|io| io.name == tensor.name());
        let shape = match io {
            Some(IoConfig { dims, reshape: Some(reshape), .. }) => {
                with_axes(tensor.shape(), Some(dims), reshape)
            }
            _ => tensor.shape().to_vec(),
        };
        let host = dtype(tensor.datatype())
            .and_then(|dtype| HostTensor::from_le_bytes(dtype, &shape, tensor.bytes()));
        let host = host.ok_or_else(|| RunError::Run {
            backend: NAME,
            reason: format!(
                "output `{}` is {} of shape {:?}",
                tensor.name(),
                tensor.datatype(),
                tensor.shape()
            ),
        })?;
        Ok((tensor.name().to_owned(), host))
    }
}

/// `[batch, from..]` as `[batch, to..]`, where both are known sizes and the first is what stands there.
fn with_axes(shape: &[usize], from: Option<&[i64]>, to: &[i64]) -> Vec<usize> {
    let fits = |axes: &[i64]| {
        axes.len() + 1 == shape.len() && axes.iter().zip(&shape[1..]).all(|(a, b)| *a == *b as i64)
    };
    let sizes: Option<Vec<usize>> = to.iter().map(|size| usize::try_from(*size).ok()).collect();
    match (from, sizes) {
        (Some(from), Some(sizes)) if fits(from) => [&shape[..1], &sizes].concat(),
        _ => shape.to_vec(),
    }
}

fn datatype(dtype: DType) -> Option<Datatype> {
    TYPES.iter().find(|(ours, _)| *ours == dtype).map(|(_, theirs)| *theirs)
}

fn dtype(datatype: Datatype) -> Option<DType> {
    TYPES.iter().find(|(_, theirs)| *theirs == datatype).map(|(ours, _)| *ours)
}

/// Element types of both worlds; Triton has no FP8.
const TYPES: [(DType, Datatype); 9] = [
    (DType::F32, Datatype::Fp32),
    (DType::F16, Datatype::Fp16),
    (DType::BF16, Datatype::Bf16),
    (DType::F64, Datatype::Fp64),
    (DType::I8, Datatype::Int8),
    (DType::U8, Datatype::Uint8),
    (DType::I32, Datatype::Int32),
    (DType::I64, Datatype::Int64),
    (DType::Bool, Datatype::Bool),
];

fn feed(input: &str, reason: String) -> RunError {
    RunError::Feed { backend: NAME, input: input.to_owned(), reason }
}

fn missing(error: KserveError) -> RunError {
    let (what, hint) = (with_causes(&error), error.hint().unwrap_or_default());
    RunError::Missing { backend: NAME, what, hint }
}

fn refused(model: &str, error: &KserveError) -> RunError {
    let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
    let reason = format!("{}{hint}", with_causes(error));
    RunError::Load { backend: NAME, model: model.into(), reason }
}

/// An error and what is behind it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_a_row_travels_as_a_column() {
        assert_eq!(with_axes(&[4], Some(&[]), &[1]), [4, 1]);
        assert_eq!(with_axes(&[4, 1], Some(&[1]), &[]), [4]);
        assert_eq!(with_axes(&[4, 7], None, &[-1]), [4, 7]);
        assert_eq!(
            with_axes(&[4, 7], Some(&[]), &[1]),
            [4, 7],
            "the server will say what is wrong"
        );
    }
}
