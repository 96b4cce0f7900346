//! The behaviours of users: `encode` turns histories into keys and values, `append` adds to them.
//! Behaviours see earlier behaviours and never the prompt, so what is computed here can be kept.

use crate::{
    builder::{GraphBuilder, Result, Tensor},
    dtype::DType,
    model::{
        Model,
        attention::{KeyValue, Part},
        block::{Projected, close, project},
        config::ItemInput,
        io,
        layers::rows,
        relation::{Relation, position_buckets, time_buckets},
    },
};

/// Inputs of new behaviours, in the contract's order: `item_ids, action_ids [B, T]` or
/// `item_embeddings [B, T, D]`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Items {
    Ids { items: Tensor, actions: Tensor },
    Vectors(Tensor),
}

impl Items {
    pub(super) fn inputs(g: &mut GraphBuilder, m: Model<'_>, len: &str) -> Result<Self> {
        let [batch, len] = ["batch".into(), len.into()];
        Ok(match m.opts.item_input {
            ItemInput::Ids => {
                let shape = [batch, len];
                Self::Ids {
                    items: io::integers(g, m, "item_ids", &shape)?,
                    actions: io::integers(g, m, "action_ids", &shape)?,
                }
            }
            ItemInput::Embeddings => {
                let shape = [batch, len, m.cfg.d_model.into()];
                Self::Vectors(g.input("item_embeddings", m.io(), &shape))
            }
        })
    }

    /// A tensor whose axis 1 is the number of behaviours.
    const fn any(self) -> Tensor {
        match self {
            Self::Ids { items, .. } => items,
            Self::Vectors(x) => x,
        }
    }

    /// `x_i = item_embedding[item_i] + action_embedding[action_i]`, F32, `[B, T, D]`.
    fn embed(self, g: &mut GraphBuilder, m: Model<'_>) -> Result {
        match self {
            Self::Ids { items, actions } => {
                let items = rows(g, m, "item_embedding", m.cfg.n_items, items)?;
                let actions = rows(g, m, "action_embedding", m.cfg.n_actions, actions)?;
                g.add(items, actions)
            }
            Self::Vectors(x) => g.cast(x, DType::F32),
        }
    }
}

/// `encode`: `present.{l}.key/.value [B, H, T, Dh]`, 0 in slots at or after `seq_lens`.
pub(super) fn encode(g: &mut GraphBuilder, m: Model<'_>) -> Result<()> {
    let items = Items::inputs(g, m, "seq")?;
    let timestamps = io::timestamps(g, m, "seq")?;
    let seq_lens = io::lengths(g, m, "seq_lens")?;
    let layers = histories(g, m, items, timestamps)?;
    let real = real_slots(g, items.any(), seq_lens)?;
    for (l, kv) in layers.into_iter().enumerate() {
        let zero = g.float(m.narrow(), 0.0);
        let key = g.select(real, kv.key, zero)?;
        let value = g.select(real, kv.value, zero)?;
        io::put(g, m, &format!("present.{l}"), KeyValue { key, value })?;
    }
    Ok(())
}

/// Keys and values of all generator layers over whole histories, `[B, H, T, Dh]`. What stands in
/// padding slots is finite and otherwise arbitrary.
pub(super) fn histories(
    g: &mut GraphBuilder,
    m: Model<'_>,
    items: Items,
    timestamps: Option<Tensor>,
) -> Result<Vec<KeyValue>> {
    g.stage("encode", |g| {
        let x = items.embed(g, m)?;
        let slots = g.iota(items.any(), 1)?;
        let keys = g.unsqueeze(slots, 0)?;
        let queries = g.unsqueeze(slots, 1)?;
        let earlier = g.less_or_equal(keys, queries)?;
        let position = position_buckets(g, m, queries, keys)?;
        let position = g.unsqueeze(position, 0)?;
        let time = match timestamps {
            None => None,
            Some(t) => {
                let (queries, keys) = (g.unsqueeze(t, 2)?, g.unsqueeze(t, 1)?);
                Some(time_buckets(g, m, queries, keys)?)
            }
        };
        let visible = g.unsqueeze(earlier, 0)?;
        let visible = g.unsqueeze(visible, 0)?;
        let relation = Relation::new(g, m, position, time, visible)?;
        let own = |g: &mut GraphBuilder, p: Projected, _| p.key_value(g, m);
        through_layers(g, m, x, relation, own)
    })
}

/// `append`: new behaviours join the slots from `past_lens` on; all other slots keep what they held.
pub(super) fn append(g: &mut GraphBuilder, m: Model<'_>) -> Result<()> {
    let items = Items::inputs(g, m, "new")?;
    let new_lens = io::lengths(g, m, "new_lens")?;
    let past = io::past(g, m, 0);
    let past_lens = io::lengths(g, m, "past_lens")?;
    let timestamps = io::timestamps(g, m, "kv")?;
    let first_key = past[0].key;
    let layers = g.stage("append", |g| {
        let x = items.embed(g, m)?;
        let zero = g.int(0);
        let past_lens = g.unsqueeze(past_lens, 1)?;

        // New behaviour i of user b lies in slot past_lens[b] + i.
        let i = g.iota(items.any(), 1)?;
        let i = g.unsqueeze(i, 0)?;
        let new_len = g.unsqueeze(new_lens, 1)?;
        let real = g.less(i, new_len)?;
        let slot = g.add(past_lens, i)?;
        let slot = g.select(real, slot, zero)?;

        // Slot s of user b takes new behaviour s - past_lens[b], if there is one.
        let slots = g.iota(first_key, 2)?;
        let slots = g.unsqueeze(slots, 0)?;
        let source = g.sub(slots, past_lens)?;
        let not_before = g.greater_or_equal(source, zero)?;
        let not_after = g.less(source, new_len)?;
        let written = g.and(not_before, not_after)?;
        let source = g.select(written, source, zero)?;

        let relation = appended_relation(g, m, slot, slots, timestamps)?;
        let written = g.unsqueeze(written, 1)?;
        let written = g.unsqueeze(written, 3)?;
        let place = |g: &mut GraphBuilder, mut p: Projected, l: usize| {
            p.key = g.gather_rows(p.key, source)?;
            p.value = g.gather_rows(p.value, source)?;
            let new = p.key_value(g, m)?;
            // In the type of the interface: what is handed through must come out as it went in.
            let (key, value) = (g.cast(new.key, m.io())?, g.cast(new.value, m.io())?);
            Ok(KeyValue {
                key: g.select(written, key, past[l].key)?,
                value: g.select(written, value, past[l].value)?,
            })
        };
        through_layers(g, m, x, relation, place)
    })?;
    for (l, kv) in layers.into_iter().enumerate() {
        io::put(g, m, &format!("present.{l}"), kv)?;
    }
    Ok(())
}

/// New behaviours in `slot [B, t]` against all slots `[1, S]`.
fn appended_relation(
    g: &mut GraphBuilder,
    m: Model<'_>,
    slot: Tensor,
    slots: Tensor,
    timestamps: Option<Tensor>,
) -> Result<Relation> {
    let queries = g.unsqueeze(slot, 2)?;
    let keys = g.unsqueeze(slots, 1)?;
    let earlier = g.less_or_equal(keys, queries)?;
    let time = match timestamps {
        None => None,
        Some(t) => {
            let own = g.gather_rows(t, slot)?;
            let (queries, keys) = (g.unsqueeze(own, 2)?, g.unsqueeze(t, 1)?);
            Some(time_buckets(g, m, queries, keys)?)
        }
    };
    let position = position_buckets(g, m, queries, keys)?;
    let visible = g.unsqueeze(earlier, 1)?;
    Relation::new(g, m, position, time, visible)
}

/// All generator layers over behaviours. `keys_of` turns a projection into what queries of that layer
/// attend to. The last layer's attention has no reader and is not built.
fn through_layers(
    g: &mut GraphBuilder,
    m: Model<'_>,
    mut x: Tensor,
    relation: Relation,
    mut keys_of: impl FnMut(&mut GraphBuilder, Projected, usize) -> Result<KeyValue>,
) -> Result<Vec<KeyValue>> {
    let mut layers = Vec::new();
    for l in 0..m.cfg.n_layers {
        x = g.within(format!("layers.{l}"), |g| {
            let projected = project(g, m, x)?;
            let kv = keys_of(g, projected, l)?;
            layers.push(kv);
            if l + 1 == m.cfg.n_layers {
                return Ok(x);
            }
            let bias = Some(relation.bias(g, m)?);
            let visible = Some(relation.visible);
            close(g, m, x, projected, &[Part::Shared { kv, bias, visible }])
        })?;
    }
    Ok(layers)
}

/// Which of the `T` slots hold a behaviour: `[B, 1, T, 1]`.
fn real_slots(g: &mut GraphBuilder, items: Tensor, seq_lens: Tensor) -> Result {
    let slots = g.iota(items, 1)?;
    let slots = g.unsqueeze(slots, 0)?;
    let lens = g.unsqueeze(seq_lens, 1)?;
    let real = g.less(slots, lens)?;
    let real = g.unsqueeze(real, 1)?;
    g.unsqueeze(real, 3)
}
