//! Requests and answers of models as messages.

use super::proto::{InferAnswer, InferQuestion, TensorHead, Wanted};
use crate::{InferRequest, InferResponse, Tensor};

/// The message of a request. The tensors' buffers are shared, not copied.
pub(super) fn encode(request: &InferRequest) -> InferQuestion {
    let inputs = request.inputs.iter();
    let head = |input: &Tensor| TensorHead {
        name: input.name().into(),
        datatype: input.datatype().name().into(),
        // Sizes beyond the protocol's numbers have no bytes that could exist.
        shape: input.shape().iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect(),
    };
    InferQuestion {
        model: request.model.clone(),
        version: request.version.clone().unwrap_or_default(),
        id: request.id.clone(),
        inputs: inputs.clone().map(head).collect(),
        outputs: request.outputs.iter().map(|name| Wanted { name: name.clone() }).collect(),
        raw: inputs.map(|input| input.bytes().clone()).collect(),
    }
}

/// The outputs, as slices of the message. Says what is wrong with it.
pub(super) fn decode(answer: InferAnswer) -> Result<InferResponse, String> {
    let (heads, raw) = (answer.outputs, answer.raw);
    if heads.len() != raw.len() {
        return Err(format!("it has {} outputs and the bytes of {}", heads.len(), raw.len()));
    }
    let outputs = heads.into_iter().zip(raw).map(|(head, bytes)| {
        let TensorHead { name, datatype, shape } = head;
        let known = datatype.parse();
        let datatype = known.map_err(|()| format!("`{name}` is of type `{datatype}`"))?;
        let shape = shape.iter().map(|n| usize::try_from(*n)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| format!("the shape of `{name}` has a negative size"))?;
        Tensor::new(name, datatype, shape, bytes).map_err(|e| e.to_string())
    });
    let outputs = outputs.collect::<Result<_, _>>()?;
    Ok(InferResponse { model: answer.model, version: answer.version, id: answer.id, outputs })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    #[test]
    fn a_request_by_hand() {
        let x = Tensor::of("x", [1, 2], &[1_u8, 2]).unwrap();
        let request = InferRequest::new("m", [x]).version("3").id("i").outputs(["y"]);
        let bytes = encode(&request).encode_to_vec();
        let parts: [&[u8]; 6] = [
            b"\x0a\x01m",
            b"\x12\x013",
            b"\x1a\x01i",
            b"\x2a\x0e\x0a\x01x\x12\x05UINT8\x1a\x02\x01\x02",
            b"\x32\x03\x0a\x01y",
            b"\x3a\x02\x01\x02",
        ];
        assert_eq!(bytes, parts.concat());
    }

    /// An empty tensor keeps its place among the bytes.
    #[test]
    fn no_bytes_are_bytes() {
        let none = Tensor::of::<u8>("n", [0], &[]).unwrap();
        let bytes = encode(&InferRequest::new("m", [none])).encode_to_vec();
        assert!(bytes.ends_with(b"\x3a\x00"));
    }

    #[test]
    fn an_answer_by_hand() {
        let parts: [&[u8]; 5] = [
            b"\x0a\x01m\x12\x011",
            // A parameter of the server's, which nobody reads.
            b"\x22\x07\x0a\x01p\x12\x02\x08\x01",
            b"\x2a\x0d\x0a\x01y\x12\x04FP16\x1a\x02\x01\x01",
            b"\x32\x02\x00\x3c",
            b"",
        ];
        let message = Bytes::from(parts.concat());
        let response = decode(InferAnswer::decode(message.clone()).unwrap()).unwrap();
        let y = response.output("y").unwrap();
        assert_eq!((y.shape(), &y.bytes()[..]), (&[1, 1][..], &b"\x00\x3c"[..]));
        assert_eq!(y.bytes().as_ptr(), message[message.len() - 2..].as_ptr());
    }

    #[test]
    fn malformed_answers_say_what_is_wrong() {
        let head = |datatype: &str, shape: &[i64]| TensorHead {
            name: "y".into(),
            datatype: datatype.into(),
            shape: shape.into(),
        };
        let answer = |head, raw: &[&'static [u8]]| InferAnswer {
            outputs: vec![head],
            raw: raw.iter().map(|bytes| Bytes::from_static(bytes)).collect(),
            ..InferAnswer::default()
        };
        let cases = [
            (answer(head("FP32", &[1]), &[]), "1 outputs and the bytes of 0"),
            (answer(head("FP32", &[1]), &[b"abc"]), "needs 4 bytes and has 3"),
            (answer(head("FP32", &[-1]), &[b"abcd"]), "negative size"),
            (answer(head("FP8", &[1]), &[b"a"]), "type `FP8`"),
        ];
        for (answer, reason) in cases {
            let problem = decode(answer).unwrap_err();
            assert!(problem.contains(reason), "{problem}");
        }
    }

    proptest! {
        /// What a server that repeats its inputs would say of any request.
        #[test]
        fn tensors_return(tensors in prop::collection::vec(prop::collection::vec(any::<i32>(), 0..9), 0..5)) {
            let tensors: Vec<_> = tensors.iter().enumerate()
                .map(|(i, x)| Tensor::of(format!("t{i}"), [1, x.len()], x).unwrap()).collect();
            let sent = encode(&InferRequest::new("m", tensors.clone())).encode_to_vec();
            let sent = InferQuestion::decode(&sent[..]).unwrap();
            let answer = InferAnswer { outputs: sent.inputs, raw: sent.raw, ..InferAnswer::default() };
            let response = decode(InferAnswer::decode(&answer.encode_to_vec()[..]).unwrap()).unwrap();
            prop_assert_eq!(response.outputs, tensors);
        }

        #[test]
        fn no_message_panics(bytes: Vec<u8>) {
            if let Ok(answer) = InferAnswer::decode(&bytes[..]) {
                let _ = decode(answer);
            }
        }
    }
}
