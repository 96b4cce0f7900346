//! Messages to and from the frames of gRPC.

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Sends a message, and gives the answer's bytes as they came: whether they are a message is asked later, so that a
/// malformed answer and a server's refusal don't look alike.
#[derive(Debug)]
pub(super) struct Raw<M>(PhantomData<M>);

impl<M> Default for Raw<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M: Message + 'static> Codec for Raw<M> {
    type Encode = M;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Raw<()>;

    fn encoder(&mut self) -> Self::Encoder {
        Self::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Raw::default()
    }
}

impl<M: Message> Encoder for Raw<M> {
    type Item = M;
    type Error = Status;

    fn encode(&mut self, message: M, frame: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // Room for all of it at once: tensors are not moved while the buffer grows.
        frame.reserve(message.encoded_len());
        message.encode(frame).map_err(|e| Status::internal(e.to_string()))
    }
}

impl Decoder for Raw<()> {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, frame: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(frame.copy_to_bytes(frame.remaining())))
    }
}
