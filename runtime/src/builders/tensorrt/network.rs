//! Reads a parsed network back.

use onr_graphs::{Dim, dim::show_shape};
use trtx::{DataType, LayerType, NetworkDefinition, Tensor};

use crate::builder::{IoTensor, NetworkSummary};

/// What TensorRT's parser made of the ONNX file.
pub(super) fn summarize(network: &NetworkDefinition<'_>) -> trtx::Result<NetworkSummary> {
    let mut summary = NetworkSummary {
        inputs: network.inputs().map(|t| io(network, &t)).collect::<Result<_, _>>()?,
        outputs: network.outputs().map(|t| io(network, &t)).collect::<Result<_, _>>()?,
        ..NetworkSummary::default()
    };
    for layer in network.layers() {
        let kind = layer_name(layer.layer_type_dynamic());
        *summary.layers.entry(kind).or_default() += 1;
        // An optional output that is not there is no error.
        let mut outputs =
            (0..layer.num_outputs(network)).filter_map(|i| layer.output(network, i).ok());
        if outputs.any(|t| t.data_type(network) == DataType::kFLOAT) {
            summary.f32_layers.push(layer.name(network));
        }
    }
    Ok(summary)
}

fn io(network: &NetworkDefinition<'_>, tensor: &Tensor<'_>) -> trtx::Result<IoTensor> {
    Ok(IoTensor {
        name: tensor.name(network)?,
        dtype: dtype_name(tensor.data_type(network)).to_owned(),
        shape: tensor.dimensions(network)?,
    })
}

/// Refuses a file whose inputs are not those that the profile was resolved for.
pub(super) fn check_inputs(
    parsed: &[IoTensor],
    expected: &[(String, Vec<Dim>)],
) -> Result<(), String> {
    if let Some(extra) = parsed.iter().find(|t| expected.iter().all(|(name, _)| *name != t.name)) {
        return Err(format!("the ONNX file has an input `{}` that nobody expects", extra.name));
    }
    for (name, shape) in expected {
        let Some(found) = parsed.iter().find(|t| t.name == *name) else {
            return Err(format!("the ONNX file has no input `{name}`"));
        };
        if !same_shape(&found.shape, shape) {
            return Err(format!(
                "input `{name}` is {:?} in the ONNX file, not {}",
                found.shape,
                show_shape(shape)
            ));
        }
    }
    Ok(())
}

fn same_shape(found: &[i64], expected: &[Dim]) -> bool {
    let same = |(size, dim): (&i64, &Dim)| match dim.fixed() {
        Some(n) => usize::try_from(*size) == Ok(n),
        None => *size == -1,
    };
    found.len() == expected.len() && found.iter().zip(expected).all(same)
}

/// `MatrixMultiply` for `kMATRIX_MULTIPLY`.
fn layer_name(kind: LayerType) -> String {
    let debug = format!("{kind:?}");
    let words = debug.trim_start_matches('k').split('_');
    words.map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let (head, tail) = word.split_at(word.len().min(1));
    head.to_owned() + &tail.to_ascii_lowercase()
}

fn dtype_name(dtype: DataType) -> &'static str {
    match dtype {
        DataType::kFLOAT => "f32",
        DataType::kHALF => "f16",
        DataType::kBF16 => "bf16",
        DataType::kINT64 => "i64",
        DataType::kINT32 => "i32",
        DataType::kINT8 => "i8",
        DataType::kUINT8 => "u8",
        DataType::kBOOL => "bool",
        DataType::kFP8 => "f8e4m3",
        DataType::kINT4 => "i4",
        DataType::kFP4 => "f4e2m1",
        DataType::kE8M0 => "e8m0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_types_read_like_words() {
        assert_eq!(layer_name(LayerType::kMATRIX_MULTIPLY), "MatrixMultiply");
        assert_eq!(layer_name(LayerType::kTOPK), "Topk");
        assert_eq!(layer_name(LayerType::kPLUGIN_V3), "PluginV3");
    }

    #[test]
    fn inputs_must_agree() {
        let parsed = |name: &str, shape: &[i64]| IoTensor {
            name: name.to_owned(),
            dtype: "f32".to_owned(),
            shape: shape.to_vec(),
        };
        let expected = [("x".to_owned(), vec![Dim::named("batch"), Dim::Fixed(4)])];
        let check = |parsed: &[IoTensor]| check_inputs(parsed, &expected);
        assert_eq!(check(&[parsed("x", &[-1, 4])]), Ok(()));
        let told = check(&[parsed("x", &[-1, 5])]).unwrap_err();
        assert_eq!(told, "input `x` is [-1, 5] in the ONNX file, not [batch,4]");
        assert!(check(&[parsed("x", &[8, 4])]).is_err(), "fixed where a symbol is expected");
        assert_eq!(check(&[]).unwrap_err(), "the ONNX file has no input `x`");
        let told = check(&[parsed("x", &[-1, 4]), parsed("y", &[1])]).unwrap_err();
        assert_eq!(told, "the ONNX file has an input `y` that nobody expects");
    }
}
