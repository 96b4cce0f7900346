//! Inputs and outputs that several graphs share, under the names of the contract.

use crate::{
    builder::{GraphBuilder, Result, Tensor},
    dim::Dim,
    dtype::DType,
    model::{Model, attention::KeyValue},
};

/// `timestamps [B, len]`, unless the model has no time bias.
pub(super) fn timestamps(g: &mut GraphBuilder, m: Model<'_>, len: &str) -> Option<Tensor> {
    let shape = ["batch".into(), len.into()];
    m.cfg.has_time().then(|| g.input("timestamps", DType::I64, &shape))
}

/// `request_time [B]`, unless the model has no time bias.
pub(super) fn request_time(g: &mut GraphBuilder, m: Model<'_>) -> Option<Tensor> {
    m.cfg.has_time().then(|| g.input("request_time", DType::I64, &["batch".into()]))
}

/// `past_key_values.{l}.key/.value [B, H, S, Dh]` of the layers from `first` on.
pub(super) fn past(g: &mut GraphBuilder, m: Model<'_>, first: usize) -> Vec<KeyValue> {
    let layers = first..m.cfg.n_layers;
    layers.map(|l| take(g, m, &format!("past_key_values.{l}"), "kv".into())).collect()
}

/// `{name}.key/.value [B, H, len, Dh]`.
pub(super) fn take(g: &mut GraphBuilder, m: Model<'_>, name: &str, len: Dim) -> KeyValue {
    let shape = ["batch".into(), m.cfg.n_heads.into(), len, m.cfg.head_dim().into()];
    KeyValue {
        key: g.input(&format!("{name}.key"), m.io(), &shape),
        value: g.input(&format!("{name}.value"), m.io(), &shape),
    }
}

/// Outputs `{name}.key` and `{name}.value`.
pub(super) fn put(g: &mut GraphBuilder, m: Model<'_>, name: &str, kv: KeyValue) -> Result<()> {
    let key = g.cast(kv.key, m.io())?;
    let value = g.cast(kv.value, m.io())?;
    g.output(&format!("{name}.key"), key)?;
    g.output(&format!("{name}.value"), value)
}
