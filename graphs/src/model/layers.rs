//! The layers that everything else is made of. Between products all is F32; operands of products
//! have the precision's type.

use crate::{
    builder::{GraphBuilder, Result, Tensor},
    dim::Dim,
    dtype::DType,
    model::Model,
};

/// `LayerNorm(x; name)` over the last axis, in F32.
pub(super) fn norm(g: &mut GraphBuilder, m: Model<'_>, x: Tensor, name: &str) -> Result {
    g.within(name, |g| {
        let d = Dim::Fixed(m.cfg.d_model);
        let weight = g.weight("weight", DType::F32, std::slice::from_ref(&d))?;
        let bias = g.weight("bias", DType::F32, &[d])?;
        g.layer_norm(x, weight, bias, m.cfg.layer_norm_eps)
    })
}

/// `x[.., D] @ weight + bias -> [.., out]`. The product has the precision's type, the sum is F32.
pub(super) fn linear(
    g: &mut GraphBuilder,
    m: Model<'_>,
    x: Tensor,
    name: &str,
    out: usize,
) -> Result {
    g.within(name, |g| {
        let weight = g.weight("weight", m.narrow(), &[m.cfg.d_model.into(), out.into()])?;
        let bias = g.weight("bias", DType::F32, &[out.into()])?;
        let y = product(g, m, x, weight)?;
        g.add(y, bias)
    })
}

/// `a @ b` with operands of the precision's type; the result F32.
pub(super) fn product(g: &mut GraphBuilder, m: Model<'_>, a: Tensor, b: Tensor) -> Result {
    let a = g.cast(a, m.narrow())?;
    let b = g.cast(b, m.narrow())?;
    let y = g.matmul(a, b)?;
    g.cast(y, DType::F32)
}

/// Rows of a table `[n, D]`, F32. An id outside `[0, n)` reads row 0.
pub(super) fn rows(
    g: &mut GraphBuilder,
    m: Model<'_>,
    table: &str,
    n: usize,
    ids: Tensor,
) -> Result {
    let table = g.weight(table, m.narrow(), &[n.into(), m.cfg.d_model.into()])?;
    let (zero, end) = (g.int(0), g.int(n as i64));
    let not_below = g.greater_or_equal(ids, zero)?;
    let below_end = g.less(ids, end)?;
    let known = g.and(not_below, below_end)?;
    let ids = g.select(known, ids, zero)?;
    let rows = g.gather(table, ids, 0)?;
    g.cast(rows, DType::F32)
}

/// `[B, T, D] -> [B, H, T, Dh]`
pub(super) fn split_heads(g: &mut GraphBuilder, m: Model<'_>, x: Tensor) -> Result {
    let shape = g.shape(x);
    let split = [shape[0].clone(), shape[1].clone(), m.cfg.n_heads.into(), m.cfg.head_dim().into()];
    let x = g.reshape(x, &split)?;
    g.transpose(x, &[0, 2, 1, 3])
}

/// `[B, H, T, Dh] -> [B, T, D]`
pub(super) fn join_heads(g: &mut GraphBuilder, m: Model<'_>, x: Tensor) -> Result {
    let x = g.transpose(x, &[0, 2, 1, 3])?;
    let shape = g.shape(x);
    g.reshape(x, &[shape[0].clone(), shape[1].clone(), m.cfg.d_model.into()])
}
