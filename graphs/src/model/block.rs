//! One block of the transformer, the same for generator and ranker (HSTU, section 3; OneRanker,
//! section 3). A block is opened ([`project`]), attends, and is closed ([`close`]).

use crate::{
    builder::{GraphBuilder, Result, Tensor},
    model::{
        Model,
        attention::{KeyValue, Part, attend},
        layers::{join_heads, linear, norm, split_heads},
    },
};

/// `U, V, Q, K` of some tokens, `[B or 1, T, D]`: `gate` is F32, the others have the precision's type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Projected {
    pub(super) gate: Tensor,
    pub(super) value: Tensor,
    /// Divided by `sqrt(Dh)`, while it is still F32.
    pub(super) query: Tensor,
    pub(super) key: Tensor,
}

/// `U, V, Q, K = split(SiLU(LayerNorm(x) @ uvqk + bias), 4)`
pub(super) fn project(g: &mut GraphBuilder, m: Model<'_>, x: Tensor) -> Result<Projected> {
    let n = norm(g, m, x, "norm")?;
    let uvqk = linear(g, m, n, "uvqk", 4 * m.cfg.d_model)?;
    let uvqk = g.silu(uvqk)?;
    let [gate, value, query, key] = g.split(uvqk, 2)?;
    let query = g.scale(query, 1.0 / (m.cfg.head_dim() as f32).sqrt())?;
    Ok(Projected {
        gate,
        value: g.cast(value, m.narrow())?,
        query: g.cast(query, m.narrow())?,
        key: g.cast(key, m.narrow())?,
    })
}

impl Projected {
    /// Keys and values by head.
    pub(super) fn key_value(self, g: &mut GraphBuilder, m: Model<'_>) -> Result<KeyValue> {
        Ok(KeyValue { key: split_heads(g, m, self.key)?, value: split_heads(g, m, self.value)? })
    }
}

/// `x' = x + (LayerNorm(attention) * U) @ out + bias`
pub(super) fn close(
    g: &mut GraphBuilder,
    m: Model<'_>,
    x: Tensor,
    projected: Projected,
    parts: &[Part],
) -> Result {
    let query = split_heads(g, m, projected.query)?;
    let attended = attend(g, m, query, parts)?;
    let attended = join_heads(g, m, attended)?;
    let y = norm(g, m, attended, "attn_norm")?;
    let y = g.mul(y, projected.gate)?;
    let y = linear(g, m, y, "out", m.cfg.d_model)?;
    g.add(x, y)
}
