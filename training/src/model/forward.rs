//! The two stages.

use candle_core::{D, Device, Result, Tensor};
use onr_graphs::ModelConfig;

use super::{
    block::{attend, linear, norm, pool, queries, rows, with_own_keys},
    params::Params,
    tokens::Tokens,
};
use crate::ops::dropout::Dropout;

/// A model with its dropout.
pub(crate) struct Forward<'a> {
    pub(crate) cfg: &'a ModelConfig,
    pub(crate) params: &'a Params,
    /// Share that is dropped; 0 outside training.
    pub(crate) dropout: f64,
    /// Seed of what is dropped: another one for each step.
    pub(crate) seed: u32,
}

/// What the generator leaves for its losses and for the ranker.
pub(crate) struct Generated {
    /// Values and keys of each layer, `[rows, 2D]`.
    pools: Vec<Tensor>,
    /// `[cuts, N, D]`
    pub(crate) task_states: Tensor,
    /// `[cuts, N, D]`, length 1.
    pub(crate) user_embeddings: Tensor,
}

impl Forward<'_> {
    /// Dropout at one place of the model.
    fn drop(&self, place: u32) -> Dropout {
        if self.dropout == 0.0 {
            return Dropout::NONE;
        }
        Dropout::new(self.dropout, self.seed.wrapping_add(place.wrapping_mul(0x9e37_79b9)))
    }

    /// Rows that enter the first layer: behaviours, fake items, tasks.
    fn embed(&self, tokens: &Tokens<'_>) -> Result<Tensor> {
        let lookup = |name: &str, ids: Vec<u32>| rows(self.params.get(name)?, Some(&ids));
        let behaviours = (lookup("item_embedding", tokens.items())?
            + lookup("action_embedding", tokens.actions())?)?;
        let behaviours =
            if self.dropout > 0.0 { behaviours.apply_op1(self.drop(0))? } else { behaviours };
        let mut all = vec![behaviours];
        if self.cfg.n_fake_items > 0 {
            let fakes = self.params.get("fake_items")?;
            all.push(linear(fakes, self.params.scope("fake_proj").root()?)?);
        }
        all.push(self.params.get("task_embedding")?.as_tensor().clone());
        Tensor::cat(&all, 0)
    }

    /// Runs the generator for all cuts.
    pub(crate) fn generate(&self, tokens: &Tokens<'_>) -> Result<Generated> {
        let cfg = self.cfg;
        let mut x = self.embed(tokens)?;
        let mut pools = Vec::new();
        for l in 0..cfg.n_layers {
            let block = self.params.scope(&format!("layers.{l}"));
            let plan = tokens.layer(l);
            let normed = norm(cfg, &x, block.pair("norm")?)?;
            let pool = pool(cfg, &normed, &block)?;
            let queries = queries(cfg, &rows(&normed, plan.queries.as_deref())?, &block)?;
            let residual = rows(&x, plan.residual.as_deref())?;
            let args = (&residual, &queries, &pool);
            x = attend(cfg, args, &block, plan.geometry, self.drop(1 + l as u32))?;
            pools.push(pool);
        }
        let states = norm(cfg, &x, self.params.scope("final_norm").root()?)?;
        let u = linear(&states, self.params.scope("user_proj").root()?)?;
        let length = (u.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
        let u = u.broadcast_div(&length)?;
        let shape = (tokens.n_cuts(), cfg.n_tasks(), cfg.d_model);
        Ok(Generated {
            pools,
            task_states: states.reshape(shape)?,
            user_embeddings: u.reshape(shape)?,
        })
    }

    /// Logits of the whole catalogue for rows of user embeddings: `[rows, V]`.
    pub(crate) fn catalogue_logits(&self, users: &Tensor) -> Result<Tensor> {
        let table = self.params.get("item_embedding")?;
        (users * (1.0 / f64::from(self.cfg.temperature)))?.matmul(&table.t()?)
    }

    /// The generator's logits of given candidates: `[cuts, C, N]`.
    pub(crate) fn candidate_logits(
        &self,
        users: &Tensor,
        candidates: &[u32],
        count: usize,
    ) -> Result<Tensor> {
        let items = rows(self.params.get("item_embedding")?, Some(candidates))?;
        let items = items.reshape((candidates.len() / count, count, self.cfg.d_model))?;
        let logits = items.matmul(&users.transpose(1, 2)?.contiguous()?)?;
        logits * (1.0 / f64::from(self.cfg.temperature))
    }

    /// Scores of `count` candidates for each of the chosen cuts: `[cuts, count, N]`. With `detach` no gradient
    /// reaches the generator.
    pub(crate) fn rank(
        &self,
        (tokens, generated): (&Tokens<'_>, &Generated),
        cuts: &[usize],
        candidates: &[u32],
        detach: bool,
    ) -> Result<Tensor> {
        let cfg = self.cfg;
        let stop = |t: &Tensor| if detach { t.detach() } else { t.clone() };
        let count = candidates.len() / cuts.len().max(1);
        let items = rows(self.params.get("item_embedding")?, Some(candidates))?;
        let mut x = linear(&stop(&items), self.params.scope("candidate_proj").root()?)?;
        for r in 0..cfg.n_rank_layers {
            let l = cfg.source_layer(r);
            let block = self.params.scope(&format!("rank_layers.{r}"));
            let normed = norm(cfg, &x, block.pair("norm")?)?;
            let queries = with_own_keys(&normed, &block)?;
            let pool = stop(&generated.pools[l]);
            let geometry = tokens.candidates(l, cuts, count);
            let place = 101 + r as u32;
            x = attend(cfg, (&x, &queries, &pool), &block, geometry, self.drop(place))?;
        }
        let h = norm(cfg, &x, self.params.scope("rank_norm").root()?)?;
        let h = linear(&h, self.params.scope("rank_proj").root()?)?;
        let h = h.reshape((cuts.len(), count, cfg.d_model))?;
        let index: Vec<u32> = cuts.iter().map(|&c| c as u32).collect();
        let index = Tensor::from_vec(index, cuts.len(), &Device::Cpu)?;
        let states = stop(&generated.task_states.index_select(&index, 0)?);
        let scores = h.matmul(&states.transpose(1, 2)?.contiguous()?)?;
        let scores = (scores * (1.0 / (cfg.d_model as f64).sqrt()))?;
        scores.broadcast_add(self.params.get("rank_bias")?)
    }
}
