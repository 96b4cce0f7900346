//! Inputs and outputs that several graphs share, under the names of the contract.

use crate::{
    builder::{GraphBuilder, Result, Tensor},
    dim::Dim,
    dtype::DType,
    model::{Model, attention::KeyValue},
};

/// An input of ids, lengths or times, I64 whatever its type outside.
pub(super) fn integers(g: &mut GraphBuilder, m: Model<'_>, name: &str, shape: &[Dim]) -> Result {
    let given = g.input(name, m.opts.ids.dtype(), shape);
    // A stage of their own: other nodes keep their names, which calibrations know.
    g.stage("ids", |g| g.cast(given, DType::I64))
}

/// An output of ids.
pub(super) fn put_ids(g: &mut GraphBuilder, m: Model<'_>, name: &str, ids: Tensor) -> Result<()> {
    let ids = g.stage("ids", |g| g.cast(ids, m.opts.ids.dtype()))?;
    g.output(name, ids)
}

/// `seq_lens [B]` and its like.
pub(super) fn lengths(g: &mut GraphBuilder, m: Model<'_>, name: &str) -> Result {
    integers(g, m, name, &["batch".into()])
}

/// `timestamps [B, len]`, unless the model has no time bias.
pub(super) fn timestamps(g: &mut GraphBuilder, m: Model<'_>, len: &str) -> Result<Option<Tensor>> {
    let shape = ["batch".into(), len.into()];
    m.cfg.has_time().then(|| integers(g, m, "timestamps", &shape)).transpose()
}

/// `request_time [B]`, unless the model has no time bias.
pub(super) fn request_time(g: &mut GraphBuilder, m: Model<'_>) -> Result<Option<Tensor>> {
    m.cfg.has_time().then(|| lengths(g, m, "request_time")).transpose()
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
