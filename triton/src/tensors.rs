//! Tensors of a graph as Triton describes them.

use onr_exporter::TensorInfo;

use crate::{
    config::{DataType, TensorConfig},
    error::PackageError,
    options::Backend,
};

/// The symbol of the first axis.
const BATCH: &str = "batch";

/// A tensor without its batch axis: numbers stay, symbols become -1, and `[batch]` alone becomes `[1]` with an empty
/// reshape, because `dims` may not be empty.
///
/// # Errors
/// [`PackageError::NoBatchAxis`], [`PackageError::Type`].
pub(crate) fn tensor(
    graph: &str,
    info: &TensorInfo,
    backend: Backend,
) -> Result<TensorConfig, PackageError> {
    let Some((_, sizes)) = info.shape.split_first().filter(|(first, _)| *first == BATCH) else {
        return Err(PackageError::NoBatchAxis {
            graph: graph.to_owned(),
            tensor: info.name.clone(),
            shape: info.shape.clone(),
        });
    };
    let dims: Vec<i64> = sizes.iter().map(|size| size.parse().unwrap_or(-1)).collect();
    let alone = dims.is_empty();
    Ok(TensorConfig {
        name: info.name.clone(),
        data_type: data_type(graph, info, backend)?,
        dims: if alone { vec![1] } else { dims },
        reshape: alone.then(Vec::new),
        optional: false,
    })
}

fn data_type(graph: &str, info: &TensorInfo, backend: Backend) -> Result<DataType, PackageError> {
    let refuse = |who: String, hint| PackageError::Type {
        graph: graph.to_owned(),
        tensor: info.name.clone(),
        dtype: info.dtype.clone(),
        who,
        hint,
    };
    match DataType::from_manifest(&info.dtype) {
        None => Err(refuse("Triton".into(), "export with `--kv int8`, or without `--kv`")),
        // NumPy and ONNX Runtime's backend have no such type.
        Some(DataType::Bf16) if backend != Backend::TensorRt => Err(refuse(
            backend.who(),
            "export with `--io-precision fp32`, or choose `--backend tensorrt`",
        )),
        Some(data_type) => Ok(data_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(dtype: &str, shape: &[&str]) -> TensorInfo {
        TensorInfo {
            name: "x".into(),
            dtype: dtype.into(),
            shape: shape.iter().map(|&s| s.to_owned()).collect(),
        }
    }

    #[test]
    fn sizes_lose_their_batch() {
        let dims = |shape: &[&str]| {
            let t = tensor("encode", &info("f16", shape), Backend::TensorRt).unwrap();
            (t.dims, t.reshape)
        };
        assert_eq!(dims(&["batch", "2", "kv", "4"]), (vec![2, -1, 4], None));
        assert_eq!(dims(&["batch"]), (vec![1], Some(vec![])));
    }

    #[test]
    fn what_triton_cannot_have_is_refused_with_a_way_out() {
        let refused = |dtype: &str, shape: &[&str], backend| {
            let error = tensor("rank", &info(dtype, shape), backend).unwrap_err();
            format!("{error}; {}", error.hint().unwrap())
        };
        assert_eq!(
            refused("bool", &["30"], Backend::TensorRt),
            "`x` of graph rank is [30] and has no batch axis; export with `--with-filter user`, or leave the \
             graph out (`--graphs`)"
        );
        assert_eq!(
            refused("f8e4m3", &["batch", "kv"], Backend::TensorRt),
            "`x` of graph rank is f8e4m3, which Triton does not have; export with `--kv int8`, or without `--kv`"
        );
        assert!(tensor("rank", &info("bf16", &["batch"]), Backend::TensorRt).is_ok());
        assert_eq!(
            refused("bf16", &["batch"], Backend::Python),
            "`x` of graph rank is bf16, which Triton's python backend does not have; export with \
             `--io-precision fp32`, or choose `--backend tensorrt`"
        );
    }
}
