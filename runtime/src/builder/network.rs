//! What a parser understood of an exported graph.

use std::{collections::BTreeMap, fmt};

use onr_exporter::TensorInfo;
use serde::{Deserialize, Serialize};

use super::EngineError;

/// The network as TensorRT's parser understood it; empty for builders that cannot be asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkSummary {
    /// Inputs in the order of the network.
    pub inputs: Vec<IoTensor>,
    /// Outputs in the order of the network.
    pub outputs: Vec<IoTensor>,
    /// Number of layers by type, `MatrixMultiply` and the like.
    pub layers: BTreeMap<String, usize>,
    /// Names of layers with a 32-bit float output, in the order of the network.
    pub f32_layers: Vec<String>,
}

impl NetworkSummary {
    /// Compares what was parsed with what was exported: names, types, and sizes where they are fixed.
    /// An empty summary (a tool that cannot be asked) has nothing to compare.
    ///
    /// # Errors
    /// [`EngineError::Interface`] with every difference.
    pub fn check_interface(
        &self,
        graph: &str,
        inputs: &[TensorInfo],
        outputs: &[TensorInfo],
    ) -> Result<(), EngineError> {
        if self.inputs.is_empty() && self.outputs.is_empty() {
            return Ok(());
        }
        let mut problems = differences("input", inputs, &self.inputs);
        problems.extend(differences("output", outputs, &self.outputs));
        if problems.is_empty() {
            Ok(())
        } else {
            Err(EngineError::Interface { graph: graph.to_owned(), problems })
        }
    }
}

fn differences(what: &str, exported: &[TensorInfo], parsed: &[IoTensor]) -> Vec<String> {
    let as_parsed = |t: &TensorInfo| IoTensor {
        name: t.name.clone(),
        dtype: t.dtype.clone(),
        shape: t.shape.iter().map(|d| d.parse().unwrap_or(-1)).collect(),
    };
    let wanted: Vec<IoTensor> = exported.iter().map(as_parsed).collect();
    let missing = wanted.iter().filter(|w| !parsed.contains(w)).map(|w| {
        match parsed.iter().find(|p| p.name == w.name) {
            Some(p) => format!("{what} `{}` is {p}, not {w}", w.name),
            None => format!("{what} `{}` is not there", w.name),
        }
    });
    let known = |p: &&IoTensor| !wanted.iter().any(|w| w.name == p.name);
    let extra = parsed.iter().filter(known);
    missing.chain(extra.map(|p| format!("{what} `{}` was not exported", p.name))).collect()
}

/// One input or output of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoTensor {
    /// Its name.
    pub name: String,
    /// Element type, as [`onr_graphs::DType::name`] writes it.
    pub dtype: String,
    /// Sizes; `-1` where dynamic.
    pub shape: Vec<i64>,
}

impl fmt::Display for IoTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<_> = self.shape.iter().map(i64::to_string).collect();
        write!(f, "{} [{}]", self.dtype, sizes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(name: &str, dtype: &str, shape: &[i64]) -> IoTensor {
        IoTensor { name: name.into(), dtype: dtype.into(), shape: shape.to_vec() }
    }

    #[test]
    fn differences_are_named_one_by_one() {
        let info = |name: &str, dtype: &str, shape: &[&str]| TensorInfo {
            name: name.into(),
            dtype: dtype.into(),
            shape: shape.iter().map(|&d| d.to_owned()).collect(),
        };
        let exported = [info("a", "i64", &["batch"]), info("b", "f16", &["batch", "4"])];
        let good = [io("b", "f16", &[-1, 4]), io("a", "i64", &[-1])];
        assert!(differences("input", &exported, &good).is_empty());
        let bad = [io("b", "f32", &[-1, 4]), io("c", "i64", &[-1])];
        assert_eq!(
            differences("input", &exported, &bad),
            [
                "input `a` is not there",
                "input `b` is f32 [-1, 4], not f16 [-1, 4]",
                "input `c` was not exported"
            ]
        );
    }
}
