//! Requests by hand over gRPC: a channel of `tonic`, messages of `prost`.

use std::marker::PhantomData;

use bytes::Bytes;
use onr_kserve::Tensor;
use prost::Message;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

/// `ModelInferRequest`.
#[derive(Clone, PartialEq, Message)]
struct Ask {
    #[prost(string, tag = "1")]
    model: String,
    #[prost(message, repeated, tag = "5")]
    inputs: Vec<Input>,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    contents: Vec<Bytes>,
}

/// `InferInputTensor`.
#[derive(Clone, PartialEq, Message)]
struct Input {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    datatype: String,
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
}

/// `ModelInferResponse`.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(bytes = "bytes", repeated, tag = "6")]
    contents: Vec<Bytes>,
}

/// What generated code uses.
struct Plain<E, D>(PhantomData<(E, D)>);

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Plain<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<E: Message, D> Encoder for Plain<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, frame: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(frame).map_err(|e| Status::internal(e.to_string()))
    }
}

impl<E, D: Message + Default> Decoder for Plain<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, frame: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(frame).map(Some).map_err(|e| Status::internal(e.to_string()))
    }
}

/// A channel, and the runtime that drives it.
pub(crate) struct Tonic {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Tonic {
    /// With the windows of our client: HTTP/2's own would make large tensors wait.
    pub(crate) fn new(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
        let address = address
            .tcp_nodelay(true)
            .initial_stream_window_size(16 << 20)
            .initial_connection_window_size(16 << 20)
            .max_frame_size(1 << 20);
        let channel = runtime.block_on(address.connect()).unwrap();
        Self { runtime, channel }
    }

    /// The output's bytes.
    pub(crate) fn infer(&self, x: &Tensor) -> Bytes {
        let input = Input {
            name: "x".into(),
            datatype: "FP32".into(),
            shape: vec![1, x.bytes().len() as i64 / 4],
        };
        let contents = vec![Bytes::copy_from_slice(x.bytes())];
        let ask = Ask { model: "same".into(), inputs: vec![input], contents };
        self.runtime.block_on(async {
            let limit = 64 << 20;
            let mut service = Grpc::new(self.channel.clone())
                .max_decoding_message_size(limit)
                .max_encoding_message_size(limit);
            service.ready().await.unwrap();
            let path = PathAndQuery::from_static("/inference.GRPCInferenceService/ModelInfer");
            let codec = Plain::<Ask, Answer>(PhantomData);
            let answer = service.unary(Request::new(ask), path, codec).await.unwrap();
            answer.into_inner().contents.remove(0)
        })
    }
}
