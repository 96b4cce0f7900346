//! What is done to a model, as data: one plan for all graphs of a model, made once and applied anywhere.

use std::collections::BTreeMap;

use onr_onnx::Model;
use serde::{Deserialize, Serialize};

use crate::{
    qdq::{Choice, Format, QdqError, Quantized, Site, quantize, sites},
    smooth::smooth,
};

/// Which products run on 8-bit numbers, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The 8-bit format.
    pub format: Format,
    /// By the name of the node: the magnitude of its activation that becomes the largest code, after
    /// smoothing.
    pub products: BTreeMap<String, f32>,
    /// By the name of the weight: what its input channels are multiplied by and its activation is divided
    /// by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub smooth: BTreeMap<String, Vec<f32>>,
}

/// What became of one graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Applied {
    /// The products that run on 8-bit numbers.
    pub quantized: Vec<Quantized>,
    /// Products with weights that do not.
    pub left: Vec<String>,
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
        smooth(model, &chosen, &self.smooth)?;
        // Smoothed weights have other names.
        let choices: Vec<Choice> = sites(model)
            .into_iter()
            .filter_map(|site| Some(Choice { clip: *self.products.get(&site.node)?, site }))
            .collect();
        Ok(Applied { quantized: quantize(model, &choices, self.format)?, left })
    }
}
