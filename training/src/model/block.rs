//! One block: queries of some rows over the keys and values of a pool of rows.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};
use onr_graphs::ModelConfig;

use super::params::Scope;
use crate::ops::{
    attention::{GatedAttention, Geometry, Sizes},
    bias_silu::BiasSilu,
    dropout::Dropout,
    layer_norm::LayerNorm,
    residual::Residual,
};

/// LayerNorm with the weights `norm`.
pub(super) fn norm(cfg: &ModelConfig, x: &Tensor, (w, b): (&Var, &Var)) -> Result<Tensor> {
    x.apply_op3(w.as_tensor(), b.as_tensor(), LayerNorm { eps: cfg.layer_norm_eps.into() })
}

/// `x @ weight + bias`
pub(super) fn linear(x: &Tensor, (w, b): (&Var, &Var)) -> Result<Tensor> {
    x.matmul(w)?.broadcast_add(b)
}

/// Rows of a matrix; `None`: all of them.
pub(super) fn rows(x: &Tensor, rows: Option<&[u32]>) -> Result<Tensor> {
    match rows {
        None => Ok(x.clone()),
        Some(rows) => x.index_select(&Tensor::from_slice(rows, rows.len(), &Device::Cpu)?, 0),
    }
}

pub(super) const fn sizes(cfg: &ModelConfig) -> Sizes {
    Sizes {
        kind: cfg.attention,
        heads: cfg.n_heads,
        head_dim: cfg.head_dim(),
        max_seq_len: cfg.max_seq_len,
        rel_pos_buckets: cfg.rel_pos_buckets,
        time_buckets: cfg.time_buckets,
        eps: cfg.layer_norm_eps as f64,
    }
}

/// The parts of `uvqk`, each D columns.
#[derive(Clone, Copy)]
enum Part {
    U = 0,
    V = 1,
    Q = 2,
    K = 3,
}

/// `SiLU(n @ uvqk + bias)`, the columns of two parts only.
fn project(cfg: &ModelConfig, n: &Tensor, block: &Scope<'_>, parts: [Part; 2]) -> Result<Tensor> {
    let (w, b) = block.pair("uvqk")?;
    let d = cfg.d_model;
    let columns = |t: &Tensor, axis: usize| {
        let [first, second] = parts.map(|p| t.narrow(axis, p as usize * d, d));
        Tensor::cat(&[first?, second?], axis)?.contiguous()
    };
    n.matmul(&columns(w, 1)?)?.apply_op2(&columns(b, 0)?, BiasSilu)
}

/// Values and keys of rows, `[rows, 2D]`.
pub(super) fn pool(cfg: &ModelConfig, normed: &Tensor, block: &Scope<'_>) -> Result<Tensor> {
    project(cfg, normed, block, [Part::V, Part::K])
}

/// Gates and queries of rows, `[rows, 2D]`.
pub(super) fn queries(cfg: &ModelConfig, normed: &Tensor, block: &Scope<'_>) -> Result<Tensor> {
    project(cfg, normed, block, [Part::U, Part::Q])
}

/// All four parts of rows, `[rows, 4D]`.
pub(super) fn with_own_keys(normed: &Tensor, block: &Scope<'_>) -> Result<Tensor> {
    let (w, b) = block.pair("uvqk")?;
    normed.matmul(w)?.apply_op2(b, BiasSilu)
}

/// `x + dropout(gated attention @ out + bias)`
pub(super) fn attend(
    cfg: &ModelConfig,
    (x, queries, pool): (&Tensor, &Tensor, &Tensor),
    block: &Scope<'_>,
    geometry: Arc<Geometry>,
    dropout: Dropout,
) -> Result<Tensor> {
    let mut params = vec![block.get("rel_pos_bias")?.flatten_all()?];
    if cfg.has_time() {
        params.push(block.get("time_bias")?.flatten_all()?);
    }
    let (w, b) = block.pair("attn_norm")?;
    params.extend([w.as_tensor().clone(), b.as_tensor().clone()]);
    let params = Tensor::cat(&params, 0)?;
    let gated = queries.apply_op3(pool, &params, GatedAttention::new(sizes(cfg), geometry))?;
    let (w, b) = block.pair("out")?;
    x.apply_op3(&gated.matmul(w)?, b, Residual { dropout })
}
