//! What is done to a model, as data: one plan for all graphs of a model, made once and applied anywhere.

use std::collections::BTreeMap;

use onr_onnx::Model;
use serde::{Deserialize, Serialize};

use crate::{
    interface::{Interface, Passed, quantize_interface},
    qdq::{Choice, Format, QdqError, Quantized, Site, quantize, sites},
    smooth::smooth,
    tables::{QuantizedTable, TableFormat, quantize_tables},
};

/// Which products run on 8-bit numbers, and how; which tables are stored in codes, and which inputs and outputs
/// are codes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The 8-bit format of products; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// By the name of the node: the magnitude of its activation that becomes the largest code, after
    /// smoothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub products: BTreeMap<String, f32>,
    /// By the name of the weight: what its input channels are multiplied by and its activation is divided
    /// by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub smooth: BTreeMap<String, Vec<f32>>,
    /// By the name of the weight: tables whose rows are stored in codes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, TableFormat>,
    /// Inputs and outputs that are codes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
}

/// What became of one graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Applied {
    /// The products that run on 8-bit numbers.
    pub quantized: Vec<Quantized>,
    /// Products with weights that do not.
    pub left: Vec<String>,
    /// The tables that are stored in codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<QuantizedTable>,
    /// The inputs and outputs that are codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<Passed>,
}

impl Applied {
    /// How many products run on 8-bit numbers, and how many do not.
    #[must_use]
    pub const fn counts(&self) -> (usize, usize) {
        (self.quantized.len(), self.left.len())
    }
}

impl Plan {
    /// Does the plan touch this product?
    #[must_use]
    pub fn has(&self, site: &Site) -> bool {
        self.products.contains_key(&site.node)
    }

    /// Rewrites a graph. Nodes that the graph does not have are for other graphs.
    ///
    /// # Errors
    /// [`QdqError`]; the model is then in an unusable state.
    pub fn apply(&self, model: &mut Model) -> Result<Applied, QdqError> {
        let chosen: Vec<Site> = sites(model).into_iter().filter(|s| self.has(s)).collect();
        let left = sites(model).into_iter().filter(|s| !self.has(s)).map(|s| s.node).collect();
        let quantized = match self.format {
            Some(format) => self.narrow(model, &chosen, format)?,
            None if self.products.is_empty() && self.smooth.is_empty() => Vec::new(),
            None => return Err(QdqError::Model("a plan with products needs a format".into())),
        };
        let tables = quantize_tables(model, &self.tables)?;
        let passed = match &self.interface {
            Some(interface) => quantize_interface(model, interface)?,
            None => Vec::new(),
        };
        Ok(Applied { quantized, left, tables, passed })
    }

    fn narrow(
        &self,
        model: &mut Model,
        chosen: &[Site],
        format: Format,
    ) -> Result<Vec<Quantized>, QdqError> {
        smooth(model, chosen, &self.smooth)?;
        // Smoothed weights have other names.
        let choices: Vec<Choice> = sites(model)
            .into_iter()
            .filter_map(|site| Some(Choice { clip: *self.products.get(&site.node)?, site }))
            .collect();
        quantize(model, &choices, format)
    }
}
