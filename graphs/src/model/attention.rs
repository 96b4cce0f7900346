//! Attention over keys that lie in several places: nothing large is ever concatenated.

use crate::{
    builder::{GraphBuilder, Order, Result, Tensor},
    dtype::DType,
    model::{Model, config::Attention, layers::product},
};

/// Keys and values of one layer, `[B or 1, H, k, Dh]`, in the precision's type.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyValue {
    pub(super) key: Tensor,
    pub(super) value: Tensor,
}

/// One place where keys lie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// Keys that all queries share.
    Shared {
        kv: KeyValue,
        /// Added to the scores, F32, `[B or 1, H, q, k]`.
        bias: Option<Tensor>,
        /// Which pairs count; all when absent. `[B or 1, 1, q or 1, k]`.
        visible: Option<Tensor>,
    },
    /// One key per query, its own: the diagonal, as element-wise products.
    Own(KeyValue),
}

/// `sum_j a_ij V_j` over all parts.
///
/// | tensor  | shape                 | dtype     |
/// |---------|-----------------------|-----------|
/// | `query` | `[B or 1, H, q, Dh]`  | precision, already divided by `sqrt(Dh)` |
/// | result  | `[B or 1, H, q, Dh]`  | F32       |
pub(super) fn attend(g: &mut GraphBuilder, m: Model<'_>, query: Tensor, parts: &[Part]) -> Result {
    match m.cfg.attention {
        Attention::Hstu => hstu(g, m, query, parts),
        Attention::Softmax => softmax(g, m, query, parts),
    }
}

/// `a = SiLU(s) / M` where visible, 0 elsewhere: parts are computed apart and added.
fn hstu(g: &mut GraphBuilder, m: Model<'_>, query: Tensor, parts: &[Part]) -> Result {
    let (before, after) = normaliser(m);
    let zero = g.float(DType::F32, 0.0);
    let mut sum = None;
    for &part in parts {
        let s = scores(g, m, query, part)?;
        let mut a = g.silu(s)?;
        if before != 1.0 {
            // A scope of its own: all other nodes have the same names in every precision.
            a = g.within("before", |g| g.scale(a, before))?;
        }
        if let Part::Shared { visible: Some(visible), .. } = part {
            a = g.select(visible, a, zero)?;
        }
        let y = weighted(g, m, a, part)?;
        sum = Some(match sum {
            None => y,
            Some(sum) => g.add(sum, y)?,
        });
    }
    let sum = sum.unwrap_or(query);
    g.scale(sum, after)
}

/// Where `1/M` goes: part of it before the product with the values, the rest after.
///
/// In F32 all of it comes after, where the tensor is smaller. In 16 bits a power of two near
/// `1/sqrt(M)` comes before: weights stay clear of subnormals and sums clear of overflow.
fn normaliser(m: Model<'_>) -> (f32, f32) {
    let total = 1.0 / m.cfg.max_seq_len as f64;
    let before = match m.narrow() {
        DType::F32 => 1.0,
        _ => (total.log2() / 2.0).round().exp2(),
    };
    (before as f32, (total / before) as f32)
}

/// Softmax over the joined scores; the weights are cut apart again for the products.
fn softmax(g: &mut GraphBuilder, m: Model<'_>, query: Tensor, parts: &[Part]) -> Result {
    // Far below any score and far from overflow; e^(this - max) is exactly 0 in F32.
    let hidden = g.float(DType::F32, -1e30);
    let mut all: Vec<Tensor> = Vec::new();
    for &part in parts {
        let mut s = scores(g, m, query, part)?;
        if let Part::Shared { visible: Some(visible), .. } = part {
            s = g.select(visible, s, hidden)?;
        }
        // The prompt's own scores have batch 1 in the first layer.
        let first = all.first().copied().unwrap_or(s);
        all.push(g.expand_batch(s, first)?);
    }
    let joined = if let [only] = all[..] { only } else { g.concat(&all, 3)? };
    let weights = g.softmax(joined)?;

    // From the back: only the first part can have a size that is not known.
    let mut behind = 0;
    let mut sum = None;
    for (at, &part) in parts.iter().enumerate().rev() {
        let len = g.shape(all[at])[3].fixed().filter(|_| at > 0);
        let a = match parts {
            [_] => weights,
            _ => g.slice(weights, 3, Order::FromBack, behind, len)?,
        };
        behind += len.unwrap_or(0);
        let y = weighted(g, m, a, part)?;
        sum = Some(match sum {
            None => y,
            Some(sum) => g.add(sum, y)?,
        });
    }
    Ok(sum.unwrap_or(query))
}

/// `Q . K + bias`, F32, `[B, H, q, k]` (`k = 1` for a query's own key).
fn scores(g: &mut GraphBuilder, m: Model<'_>, query: Tensor, part: Part) -> Result {
    match part {
        Part::Shared { kv, bias, .. } => {
            let keys = g.swap_last(kv.key)?;
            let s = product(g, m, query, keys)?;
            bias.map_or(Ok(s), |bias| g.add(s, bias))
        }
        Part::Own(kv) => {
            let query = g.cast(query, DType::F32)?;
            let key = g.cast(kv.key, DType::F32)?;
            let both = g.mul(query, key)?;
            g.sum_over(both, 3)
        }
    }
}

/// `a @ V`, F32.
fn weighted(g: &mut GraphBuilder, m: Model<'_>, a: Tensor, part: Part) -> Result {
    match part {
        Part::Shared { kv, .. } => product(g, m, a, kv.value),
        Part::Own(kv) => {
            let value = g.cast(kv.value, DType::F32)?;
            g.mul(a, value)
        }
    }
}
