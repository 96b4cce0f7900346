//! The binary tensor extension: JSON, then the bytes of each tensor in the order in which the JSON names them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::HEADER_LENGTH;
use super::answer::Answer;
use crate::{InferRequest, InferResponse, Tensor};

#[derive(Serialize)]
struct Request<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<AllBinary>,
    inputs: Vec<Input<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Wanted<'a>>,
}

/// Asks for every output, each as bytes.
#[derive(Serialize)]
struct AllBinary {
    binary_data_output: bool,
}

#[derive(Serialize)]
struct Input<'a> {
    name: &'a str,
    shape: &'a [usize],
    datatype: &'static str,
    parameters: Size,
}

#[derive(Serialize, Deserialize)]
struct Size {
    binary_data_size: u64,
}

#[derive(Serialize)]
struct Wanted<'a> {
    name: &'a str,
    parameters: Binary,
}

#[derive(Serialize)]
struct Binary {
    binary_data: bool,
}

#[derive(Deserialize)]
struct Response {
    model_name: String,
    #[serde(default)]
    model_version: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[serde(default)]
    parameters: Option<OutputSize>,
}

#[derive(Deserialize)]
struct OutputSize {
    #[serde(default)]
    binary_data_size: Option<usize>,
}

/// The JSON of a request, which its tensors' bytes follow.
pub(super) fn encode(request: &InferRequest) -> Vec<u8> {
    let inputs = request.inputs.iter().map(|input| Input {
        name: input.name(),
        shape: input.shape(),
        datatype: input.datatype().name(),
        parameters: Size { binary_data_size: input.bytes().len() as u64 },
    });
    let outputs = request.outputs.iter();
    let wanted = |name| Wanted { name, parameters: Binary { binary_data: true } };
    let json = Request {
        id: &request.id,
        parameters: request.outputs.is_empty().then_some(AllBinary { binary_data_output: true }),
        inputs: inputs.collect(),
        outputs: outputs.map(|name| wanted(name)).collect(),
    };
    // Strings and numbers in structs: there is nothing that JSON could not say.
    serde_json::to_vec(&json).unwrap_or_default()
}

/// The outputs, as slices of the answer's body. Says what is wrong with it.
pub(super) fn decode(answer: &Answer) -> Result<InferResponse, String> {
    let length = match &answer.header_length {
        None => answer.body.len(),
        Some(text) => text.parse().map_err(|_| format!("its {HEADER_LENGTH} is `{text}`"))?,
    };
    let json = answer.body.get(..length).ok_or_else(|| {
        format!("its JSON should have {length} bytes, the body has {}", answer.body.len())
    })?;
    let response: Response =
        serde_json::from_slice(json).map_err(|e| format!("the JSON before its tensors: {e}"))?;
    let mut rest = answer.body.slice(length..);
    let outputs = response.outputs.into_iter().map(|output| output.read(&mut rest));
    let outputs = outputs.collect::<Result<_, _>>()?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the last tensor", rest.len()));
    }
    let Response { model_name, model_version, id, .. } = response;
    Ok(InferResponse { model: model_name, version: model_version, id, outputs })
}

impl Output {
    /// Cuts the tensor's bytes off the beginning of `rest`.
    fn read(self, rest: &mut Bytes) -> Result<Tensor, String> {
        let name = &self.name;
        let datatype = self.datatype.parse();
        let datatype = datatype.map_err(|()| format!("`{name}` is of type `{}`", self.datatype))?;
        let size = self.parameters.and_then(|parameters| parameters.binary_data_size);
        let size = size.ok_or_else(|| format!("`{name}` does not come as bytes"))?;
        if size > rest.len() {
            return Err(format!("`{name}` should have {size} bytes, {} are left", rest.len()));
        }
        let bytes = rest.split_to(size);
        Tensor::new(self.name, datatype, self.shape, bytes).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Datatype;

    fn answer(header: Option<&str>, body: impl Into<Bytes>) -> Answer {
        Answer { status: 200, header_length: header.map(Into::into), body: body.into() }
    }

    #[test]
    fn a_request_by_hand() {
        let ids = Tensor::of("ids", [1, 2], &[1_i64, -1]).unwrap();
        let mask = Tensor::of("mask", [1, 1], &[true]).unwrap();
        let request = InferRequest::new("m", [ids, mask]);
        let json = concat!(
            r#"{"parameters":{"binary_data_output":true},"inputs":["#,
            r#"{"name":"ids","shape":[1,2],"datatype":"INT64","parameters":{"binary_data_size":16}},"#,
            r#"{"name":"mask","shape":[1,1],"datatype":"BOOL","parameters":{"binary_data_size":1}}]}"#,
        );
        assert_eq!(String::from_utf8(encode(&request)).unwrap(), json);

        let json = encode(&InferRequest::new("m", []).id("7").outputs(["y"]));
        let want =
            r#"{"id":"7","inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;
        assert_eq!(String::from_utf8(json).unwrap(), want);
    }

    const JSON: &str = r#"{"model_name":"m","model_version":"3","outputs":[{"name":"y","datatype":"FP16","shape":[2],"parameters":{"binary_data_size":4}},{"name":"z","datatype":"UINT8","shape":[1],"parameters":{"binary_data_size":1}}]}"#;

    #[test]
    fn an_answer_by_hand() {
        let body = Bytes::from([JSON.as_bytes(), b"\0\x3c\0\xbc\x09"].concat());
        let response = decode(&answer(Some(&JSON.len().to_string()), body.clone())).unwrap();
        assert_eq!((response.model.as_str(), response.version.as_str()), ("m", "3"));
        let y = response.output("y").unwrap();
        assert_eq!((y.datatype(), &y.bytes()[..]), (Datatype::Fp16, &b"\0\x3c\0\xbc"[..]));
        assert_eq!(y.bytes().as_ptr(), body[JSON.len()..].as_ptr());
        assert_eq!(response.output("z").unwrap().to_vec::<u8>(), Some(vec![9]));
    }

    #[test]
    fn malformed_answers_say_what_is_wrong() {
        let length = JSON.len().to_string();
        let whole = [JSON.as_bytes(), b"\0\x3c\0\xbc\x09"].concat();
        let long = [&whole[..], b"!"].concat();
        let text = JSON.replace("\"parameters\":{\"binary_data_size\":1}", "\"data\":[9]");
        let other = JSON.replace("[2]", "[3]");
        let type_ = JSON.replace("FP16", "FP8");
        let cases: [(Option<&str>, &[u8], &str); 9] = [
            (Some(&length), &whole[..whole.len() - 1], "`z` should have 1 bytes, 0 are left"),
            (Some(&length), &long, "1 bytes follow"),
            (Some("99999"), &whole, "should have 99999 bytes"),
            (Some("-1"), &whole, "`-1`"),
            (Some("10"), &whole, "JSON before its tensors"),
            (None, &whole, "JSON before its tensors"),
            (None, text.as_bytes(), "should have 4 bytes"),
            (Some(&length), &[other.as_bytes(), &whole[JSON.len()..]].concat(), "needs 6 bytes"),
            (None, type_.as_bytes(), "type `FP8`"),
        ];
        for (header, body, reason) in cases {
            let problem = decode(&answer(header, body.to_vec())).unwrap_err();
            assert!(problem.contains(reason), "{problem} / {reason}");
        }
    }

    proptest! {
        /// What a server that repeats its inputs would say of any request.
        #[test]
        fn tensors_return(tensors in prop::collection::vec(prop::collection::vec(any::<f64>(), 0..9), 0..5)) {
            let tensors: Vec<_> = tensors.iter().enumerate()
                .map(|(i, x)| Tensor::of(format!("t\"{i}\u{e9}"), [x.len(), 1], x).unwrap()).collect();
            let json = String::from_utf8(encode(&InferRequest::new("m", tensors.clone()))).unwrap();
            let json = json.replacen("\"inputs\"", "\"model_name\":\"m\",\"outputs\"", 1);
            let mut bytes = json.clone().into_bytes();
            tensors.iter().for_each(|tensor| bytes.extend_from_slice(tensor.bytes()));
            let response = decode(&answer(Some(&json.len().to_string()), bytes)).unwrap();
            prop_assert_eq!(response.outputs, tensors);
        }

        #[test]
        fn no_answer_panics(header in prop::option::of(0_usize..400), cut in 0_usize..300, flip: (usize, u8)) {
            let mut body = [JSON.as_bytes(), b"\0\x3c\0\xbc\x09"].concat();
            let place = flip.0 % body.len();
            body[place] ^= flip.1;
            body.truncate(cut);
            let _ = decode(&answer(header.map(|n| n.to_string()).as_deref(), body));
        }
    }
}
