//! The generator's prompt: fake items, then tasks, over the behaviours' keys and values
//! (OneRanker, sections 3.2 and 3.3).

use crate::{
    builder::{GraphBuilder, Order, Result, Tensor},
    dtype::DType,
    model::{
        Model,
        attention::{KeyValue, Part},
        block::{close, project},
        io,
        layers::{linear, norm},
        relation::{Relation, position_buckets, time_buckets},
    },
};

/// What the generator hands to the ranker and to retrieval.
#[derive(Debug)]
pub(super) struct Generated {
    /// `[B, N, D]`, F32.
    pub(super) task_states: Tensor,
    /// `[B, N, D]`, F32, of length 1.
    pub(super) user_embeddings: Tensor,
    /// Keys and values of the prompt in the last `R` layers, `[B or 1, H, P, Dh]`.
    pub(super) prompt: Vec<KeyValue>,
}

/// `generate`: `task_states`, `user_embeddings`, and `prompt.{l}.key/.value` of the last `R` layers.
pub(super) fn generate(g: &mut GraphBuilder, m: Model<'_>) -> Result<()> {
    let past = io::past(g, m, 0);
    let seq_lens = io::lengths(g, m, "seq_lens")?;
    let timestamps = io::timestamps(g, m, "kv")?;
    let request_time = io::request_time(g, m)?;
    let relation = request_relation(g, m, past[0].key, seq_lens, timestamps, request_time)?;
    let generated = prompt(g, m, &past, relation)?;
    let task_states = g.cast(generated.task_states, m.io())?;
    g.output("task_states", task_states)?;
    g.output("user_embeddings", generated.user_embeddings)?;
    for (r, kv) in generated.prompt.into_iter().enumerate() {
        let kv = KeyValue {
            key: g.expand_batch(kv.key, seq_lens)?,
            value: g.expand_batch(kv.value, seq_lens)?,
        };
        io::put(g, m, &format!("prompt.{}", m.cfg.source_layer(r)), kv)?;
    }
    Ok(())
}

/// The relation of all tokens of a request to the behaviours: fake items, tasks and candidates stand
/// at position `seq_lens` and time `request_time`, so one row serves them all.
pub(super) fn request_relation(
    g: &mut GraphBuilder,
    m: Model<'_>,
    keys: Tensor,
    seq_lens: Tensor,
    timestamps: Option<Tensor>,
    request_time: Option<Tensor>,
) -> Result<Relation> {
    g.stage("request", |g| {
        let slots = g.iota(keys, 2)?;
        let slots = g.unsqueeze(slots, 0)?;
        let position = g.unsqueeze(seq_lens, 1)?;
        let visible = g.less(slots, position)?;
        let visible = g.unsqueeze(visible, 1)?;
        let buckets = position_buckets(g, m, position, slots)?;
        let time = match timestamps.zip(request_time) {
            None => None,
            Some((history, request)) => {
                let request = g.unsqueeze(request, 1)?;
                let buckets = time_buckets(g, m, request, history)?;
                Some(g.unsqueeze(buckets, 1)?)
            }
        };
        let (position, visible) = (g.unsqueeze(buckets, 1)?, g.unsqueeze(visible, 1)?);
        Relation::new(g, m, position, time, visible)
    })
}

/// All generator layers over the prompt.
///
/// The prompt starts out the same for everybody: its first projections have batch 1 and are
/// constants to an engine's optimiser.
pub(super) fn prompt(
    g: &mut GraphBuilder,
    m: Model<'_>,
    history: &[KeyValue],
    relation: Relation,
) -> Result<Generated> {
    g.stage("generate", |g| {
        let mut x = prompt_tokens(g, m)?;
        let mut kept = Vec::new();
        for (l, &past) in history.iter().enumerate() {
            x = g.within(format!("layers.{l}"), |g| {
                let mut projected = project(g, m, x)?;
                let own = projected.key_value(g, m)?;
                if l >= m.cfg.source_layer(0) {
                    kept.push(own);
                }
                let (mut x, mut queries) = (x, m.cfg.prompt_len());
                if l + 1 == m.cfg.n_layers {
                    // Nobody reads the fake items after the last layer.
                    queries = m.cfg.n_tasks();
                    x = last_rows(g, x, queries)?;
                    projected.query = last_rows(g, projected.query, queries)?;
                    projected.gate = last_rows(g, projected.gate, queries)?;
                }
                let bias = Some(relation.bias(g, m)?);
                let visible = Some(relation.visible);
                let own_visible = Some(prompt_mask(g, m, queries));
                let parts = [
                    Part::Shared { kv: past, bias, visible },
                    Part::Shared { kv: own, bias: None, visible: own_visible },
                ];
                close(g, m, x, projected, &parts)
            })?;
        }
        let task_states = norm(g, m, x, "final_norm")?;
        let user = linear(g, m, task_states, "user_proj", m.cfg.d_model)?;
        let user_embeddings = unit_length(g, user)?;
        Ok(Generated { task_states, user_embeddings, prompt: kept })
    })
}

/// Fake items, projected, then tasks: `[1, P, D]`, F32.
fn prompt_tokens(g: &mut GraphBuilder, m: Model<'_>) -> Result {
    let [d, n, f] = [m.cfg.d_model, m.cfg.n_tasks(), m.cfg.n_fake_items];
    let tasks = g.weight("task_embedding", m.narrow(), &[n.into(), d.into()])?;
    let tasks = g.cast(tasks, DType::F32)?;
    let tokens = if f == 0 {
        tasks
    } else {
        let fakes = g.weight("fake_items", m.narrow(), &[f.into(), d.into()])?;
        let fakes = linear(g, m, fakes, "fake_proj", d)?;
        g.concat(&[fakes, tasks], 0)?
    };
    g.unsqueeze(tokens, 0)
}

/// Fake items see themselves; task `n` sees all fake items and tasks `m <= n`. The last `queries`
/// rows of that `[P, P]` mask, as `[1, 1, queries, P]`.
fn prompt_mask(g: &mut GraphBuilder, m: Model<'_>, queries: usize) -> Tensor {
    let (p, f) = (m.cfg.prompt_len(), m.cfg.n_fake_items);
    let sees = |q: usize, k: usize| if q < f { q == k } else { k <= q };
    let bits = (p - queries..p).flat_map(|q| (0..p).map(move |k| sees(q, k))).collect();
    g.mask(&[1, 1, queries, p], bits)
}

/// The last `n` rows of `[.., P, D]`.
fn last_rows(g: &mut GraphBuilder, x: Tensor, n: usize) -> Result {
    if g.shape(x)[1].fixed() == Some(n) {
        return Ok(x);
    }
    g.slice(x, 1, Order::FromBack, 0, Some(n))
}

/// `u / sqrt(sum(u^2) + 1e-12)` over the last axis of `[B, N, D]`.
fn unit_length(g: &mut GraphBuilder, u: Tensor) -> Result {
    let squares = g.mul(u, u)?;
    let sum = g.sum_over(squares, 2)?;
    let tiny = g.float(DType::F32, 1e-12);
    let sum = g.add(sum, tiny)?;
    let length = g.sqrt(sum)?;
    g.div(u, length)
}
