//! A blocking client of the KServe v2 inference protocol with Triton's extensions.
//!
//! **In:** an [`Endpoint`], tensors as bytes in the caller's buffers.
//! **Out:** tensors as slices of the answer, what a server says about itself and its models, errors by kind.
//! **Never here:** models of ours, files, retries of requests that a server may have seen, printing.
//!
//! | step | item |
//! | --- | --- |
//! | name a server | [`Endpoint`]: `http://HOST:PORT` or `grpc://HOST:PORT` |
//! | talk to it, from any number of threads | [`Client`], [`ClientOptions`] |
//! | ask a model | [`Tensor`], [`InferRequest`], [`InferResponse`], [`Cancel`] |
//! | know what is there | [`ServerMetadata`], [`ModelMetadata`], [`ModelConfig`], [`RepositoryModel`], [`ModelStatistics`] |
//!
//! Over HTTP, tensors travel with the binary tensor extension: the bytes go from the caller's buffer to the
//! socket as they are, and are copied once on the way back. Over gRPC they are copied once each way.
//! A value that is not a number is a value: NaN is no error.

mod call;
mod cancel;
mod client;
mod datatype;
mod endpoint;
mod error;
mod exchange;
mod grpc;
mod http;
mod info;
mod strings;
mod tensor;

pub use cancel::Cancel;
pub use client::{Client, ClientOptions};
pub use datatype::{Datatype, Element};
pub use endpoint::{Endpoint, Transport};
pub use error::KserveError;
pub use exchange::{InferRequest, InferResponse};
pub use info::{
    BatchStatistics, DynamicBatching, EnsembleStep, InstanceGroup, IoConfig, ModelConfig,
    ModelMetadata, ModelStatistics, RepositoryModel, ServerMetadata, Spent, TensorMetadata,
    VersionPolicy,
};
pub use tensor::Tensor;
