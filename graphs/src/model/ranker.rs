//! The ranking decoder: candidates over the keys and values that the generator already computed
//! (OneRanker, section 3.4).

use crate::{
    builder::{GraphBuilder, Result, Tensor},
    dtype::DType,
    model::{
        Model,
        attention::{KeyValue, Part},
        block::{close, project},
        config::ItemInput,
        generator::request_relation,
        io,
        layers::{linear, norm, rows},
        relation::Relation,
    },
};

/// What the ranker reads of the stages before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassThrough<'a> {
    /// Behaviours' keys and values of the last `R` generator layers, `[B, H, S, Dh]`.
    pub(super) history: &'a [KeyValue],
    /// The prompt's, `[B or 1, H, P, Dh]`.
    pub(super) prompt: &'a [KeyValue],
    /// Candidates against behaviours.
    pub(super) relation: Relation,
    /// `[B, N, D]`.
    pub(super) task_states: Tensor,
}

/// `rank`: `scores` and `generator_logits`, `[B, C, N]`, F32.
pub(super) fn rank(g: &mut GraphBuilder, m: Model<'_>) -> Result<()> {
    let d = m.cfg.d_model;
    let candidates = match m.opts.item_input {
        ItemInput::Ids => {
            io::integers(g, m, "candidate_ids", &["batch".into(), "candidates".into()])?
        }
        ItemInput::Embeddings => {
            let shape = ["batch".into(), "candidates".into(), d.into()];
            g.input("candidate_embeddings", m.io(), &shape)
        }
    };
    let history = io::past(g, m, m.cfg.source_layer(0));
    let prompt: Vec<_> = (0..m.cfg.n_rank_layers)
        .map(|r| {
            let name = format!("prompt.{}", m.cfg.source_layer(r));
            io::take(g, m, &name, m.cfg.prompt_len().into())
        })
        .collect();
    let per_task = ["batch".into(), m.cfg.n_tasks().into(), d.into()];
    let task_states = g.input("task_states", m.io(), &per_task);
    let user_embeddings = g.input("user_embeddings", DType::F32, &per_task);
    let seq_lens = io::lengths(g, m, "seq_lens")?;
    let timestamps = io::timestamps(g, m, "kv")?;
    let request_time = io::request_time(g, m)?;
    let relation = request_relation(g, m, history[0].key, seq_lens, timestamps, request_time)?;

    let items = match m.opts.item_input {
        ItemInput::Ids => rows(g, m, "item_embedding", m.cfg.n_items, candidates)?,
        ItemInput::Embeddings => g.cast(candidates, DType::F32)?,
    };
    let passed = PassThrough { history: &history, prompt: &prompt, relation, task_states };
    let scores = scores(g, m, items, passed)?;
    let logits = generator_logits(g, m, items, user_embeddings)?;
    g.output("scores", scores)?;
    g.output("generator_logits", logits)
}

/// `((LayerNorm(h; rank_norm) @ rank_proj + bias) . task_states) / sqrt(D) + rank_bias`, F32,
/// `[B, C, N]`, of candidates with embeddings `items [B, C, D]`.
pub(super) fn scores(
    g: &mut GraphBuilder,
    m: Model<'_>,
    items: Tensor,
    passed: PassThrough<'_>,
) -> Result {
    g.stage("rank", |g| {
        let mut h = linear(g, m, items, "candidate_proj", m.cfg.d_model)?;
        for r in 0..m.cfg.n_rank_layers {
            h = g.within(format!("rank_layers.{r}"), |g| {
                let projected = project(g, m, h)?;
                let own = projected.key_value(g, m)?;
                let bias = Some(passed.relation.bias(g, m)?);
                let visible = Some(passed.relation.visible);
                let parts = [
                    Part::Shared { kv: passed.history[r], bias, visible },
                    Part::Shared { kv: passed.prompt[r], bias: None, visible: None },
                    Part::Own(own),
                ];
                close(g, m, h, projected, &parts)
            })?;
        }
        let h = norm(g, m, h, "rank_norm")?;
        let h = linear(g, m, h, "rank_proj", m.cfg.d_model)?;
        let states = g.cast(passed.task_states, DType::F32)?;
        let scores = g.matmul_transposed(h, states)?;
        let scores = g.scale(scores, 1.0 / (m.cfg.d_model as f32).sqrt())?;
        let bias = g.weight("rank_bias", DType::F32, &[m.cfg.n_tasks().into()])?;
        g.add(scores, bias)
    })
}

/// `user_embeddings[n] . items[c] / temperature`, F32, `[B, C, N]`.
pub(super) fn generator_logits(
    g: &mut GraphBuilder,
    m: Model<'_>,
    items: Tensor,
    user_embeddings: Tensor,
) -> Result {
    g.stage("rank", |g| {
        let users = g.scale(user_embeddings, 1.0 / m.cfg.temperature)?;
        g.matmul_transposed(items, users)
    })
}
