//! All stages in one graph, with retrieval from the whole item table between generator and ranker.

use crate::{
    builder::{GraphBuilder, Order, Result, Tensor, TopK},
    dtype::DType,
    error::BuildError,
    model::{
        Model,
        behaviours::{Items, histories},
        config::{Filter, GraphKind, GraphOptions, ItemInput, Precision},
        generator::{prompt, request_relation},
        io,
        layers::rows,
        ranker::{PassThrough, generator_logits, scores},
    },
};

/// The logit of what may not be retrieved.
const NEVER: f32 = -1e30;

/// `oneranker`: `candidate_ids [B, N*K]`, `generator_logits` and `scores [B, N*K, N]`.
pub(super) fn oneranker(g: &mut GraphBuilder, m: Model<'_>) -> Result<()> {
    refuse_impossible(m)?;
    let items = Items::inputs(g, m, "seq")?;
    let timestamps = io::timestamps(g, m, "seq")?;
    let seq_lens = io::lengths(g, m, "seq_lens")?;
    let request_time = io::request_time(g, m)?;
    let v = m.cfg.n_items.into();
    let allowed = match m.opts.filter {
        Filter::None => None,
        Filter::Global => Some(g.input("allowed_items", DType::Bool, &[v])),
        Filter::User => Some(g.input("allowed_items", DType::Bool, &["batch".into(), v])),
    };

    let layers = histories(g, m, items, timestamps)?;
    let relation = request_relation(g, m, layers[0].key, seq_lens, timestamps, request_time)?;
    let generated = prompt(g, m, &layers, relation)?;
    let ids = retrieve(g, m, generated.user_embeddings, allowed)?;
    let (ids, vectors, logits) = rescore(g, m, ids, generated.user_embeddings)?;
    let passed = PassThrough {
        history: &layers[m.cfg.source_layer(0)..],
        prompt: &generated.prompt,
        relation,
        task_states: generated.task_states,
    };
    let scores = scores(g, m, vectors, passed)?;
    io::put_ids(g, m, "candidate_ids", ids)?;
    g.output("generator_logits", logits)?;
    g.output("scores", scores)
}

fn refuse_impossible(m: Model<'_>) -> Result<()> {
    let refuse = |reason| Err(BuildError::Refused { graph: GraphKind::OneRanker.name(), reason });
    if m.opts.item_input == ItemInput::Embeddings {
        return refuse(
            "it retrieves from the item table, which `--item-input embeddings` leaves out".into(),
        );
    }
    let most = GraphOptions::MAX_TOP_K.min(m.cfg.n_items - 1);
    if !(1..=most).contains(&m.opts.top_k) {
        let k = m.opts.top_k;
        return refuse(format!("top-k {k} is outside 1..={most} (the items, and TensorRT's TopK)"));
    }
    Ok(())
}

/// The `K` best items of the whole table for each task, task after task: `[B, N*K]`.
///
/// The padding item is cut off; where fewer than `K` items are allowed, id 0 fills the rest.
fn retrieve(
    g: &mut GraphBuilder,
    m: Model<'_>,
    user_embeddings: Tensor,
    allowed: Option<Tensor>,
) -> Result {
    g.stage("retrieve", |g| {
        let (n, d, v) = (m.cfg.n_tasks(), m.cfg.d_model, m.cfg.n_items);
        let batch = g.shape(user_embeddings)[0].clone();
        let table = g.weight("item_embedding", m.narrow(), &[v.into(), d.into()])?;
        let users = g.scale(user_embeddings, 1.0 / m.cfg.temperature)?;
        let users = g.reshape(users, &[batch.times(n), d.into()])?;
        let users = g.cast(users, m.narrow())?;
        let logits = g.rows_dot_table(users, table)?;
        let logits = g.cast(logits, DType::F32)?;
        let logits = g.reshape(logits, &[batch.clone(), n.into(), v.into()])?;
        let mut logits = g.slice(logits, 2, Order::FromFront, 1, None)?;
        if let Some(allowed) = allowed {
            let mut allowed = match m.opts.filter {
                Filter::User => g.unsqueeze(allowed, 1)?,
                _ => allowed,
            };
            let axis = g.shape(allowed).len() - 1;
            allowed = g.slice(allowed, axis, Order::FromFront, 1, None)?;
            let never = g.float(DType::F32, NEVER);
            logits = g.select(allowed, logits, never)?;
        }
        let TopK { values, indices } = g.top_k(logits, m.opts.top_k)?;
        let one = g.int(1);
        let mut ids = g.add(indices, one)?;
        if allowed.is_some() {
            let (floor, zero) = (g.float(DType::F32, NEVER / 2.0), g.int(0));
            let missing = g.less(values, floor)?;
            ids = g.select(missing, zero, ids)?;
        }
        g.reshape(ids, &[batch, (n * m.opts.top_k).into()])
    })
}

/// Embeddings and logits of the candidates for all tasks, and each task's candidates in descending
/// order of its logit. In 16 bits retrieval rounds logits; their F32 values decide the order.
///
/// Returns `ids [B, N*K]`, `vectors [B, N*K, D]`, `logits [B, N*K, N]`.
fn rescore(
    g: &mut GraphBuilder,
    m: Model<'_>,
    ids: Tensor,
    user_embeddings: Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let vectors = rows(g, m, "item_embedding", m.cfg.n_items, ids)?;
    let mut logits = generator_logits(g, m, vectors, user_embeddings)?;
    if m.opts.filter != Filter::None {
        let (zero, never) = (g.int(0), g.float(DType::F32, NEVER));
        let missing = g.equal(ids, zero)?;
        let missing = g.unsqueeze(missing, 2)?;
        logits = g.select(missing, never, logits)?;
    }
    if m.opts.precision == Precision::F32 {
        return Ok((ids, vectors, logits));
    }
    g.stage("reorder", |g| {
        let order = order_by_own_task(g, m, logits)?;
        let ids = g.gather_rows(ids, order)?;
        let vectors = g.gather_rows(vectors, order)?;
        let logits = g.gather_rows(logits, order)?;
        Ok((ids, vectors, logits))
    })
}

/// Positions of the candidates such that each task's `K` come in descending order of its own logit:
/// `logits [B, N*K, N] -> [B, N*K]`.
fn order_by_own_task(g: &mut GraphBuilder, m: Model<'_>, logits: Tensor) -> Result {
    let (n, k) = (m.cfg.n_tasks(), m.opts.top_k);
    let batch = g.shape(logits)[0].clone();
    let logits = g.reshape(logits, &[batch.clone(), n.into(), k.into(), n.into()])?;
    let diagonal = (0..n * n).map(|i| i / n == i % n).collect();
    let diagonal = g.mask(&[1, n, 1, n], diagonal);
    let zero = g.float(DType::F32, 0.0);
    let own = g.select(diagonal, logits, zero)?;
    let own = g.sum_over(own, 3)?;
    let own = g.reshape(own, &[batch.clone(), n.into(), k.into()])?;
    let sorted = g.top_k(own, k)?;
    let first: Vec<i64> = (0..n).map(|task| (task * k) as i64).collect();
    let first = g.ints(&first);
    let first = g.unsqueeze(first, 1)?;
    let order = g.add(sorted.indices, first)?;
    g.reshape(order, &[batch, (n * k).into()])
}
