//! The terms that training minimises.

use candle_core::{D, DType, Device, Result, Tensor};
use onr_graphs::ModelConfig;
use rand::Rng;

use crate::{
    candidates::{self, Lists},
    config::{RankerLoss, TrainConfig},
    model::{Forward, Generated, Params, Tokens},
    ops::{cross_entropy::CrossEntropy, with_f32},
    sample::{Batch, NEGATIVES, Target, rng},
};

/// Added to the score of what must not compete.
const EXCLUDED: f64 = -1e9;

/// The terms of one step, each a scalar that has its factor in it.
pub(crate) struct Terms(pub(crate) Vec<(&'static str, Tensor)>);

impl Terms {
    /// The sum; `None` of nothing.
    pub(crate) fn total(&self) -> Result<Option<Tensor>> {
        let mut sum: Option<Tensor> = None;
        for (_, term) in &self.0 {
            sum = Some(match sum {
                None => term.clone(),
                Some(sum) => (sum + term)?,
            });
        }
        Ok(sum)
    }

    /// Names and values.
    pub(crate) fn values(&self) -> Result<Vec<(&'static str, f64)>> {
        let value = |t: &Tensor| t.to_dtype(DType::F64)?.to_scalar::<f64>();
        self.0.iter().map(|(name, term)| Ok((*name, value(term)?))).collect()
    }
}

/// What decides the losses.
pub(crate) struct Losses<'a> {
    pub(crate) model: &'a ModelConfig,
    pub(crate) config: &'a TrainConfig,
    /// How often each item is a behaviour, `[V]`; for sampled negatives.
    pub(crate) popularity: &'a [f64],
    pub(crate) seed: u64,
}

impl Losses<'_> {
    /// All terms of a step.
    pub(crate) fn terms(
        &self,
        params: &Params,
        batch: &Batch,
        step: u64,
        dropout: f64,
    ) -> Result<Terms> {
        let seed = rng(self.seed, step, 4).random();
        let forward = Forward { cfg: self.model, params, dropout, seed };
        let tokens = Tokens::new(self.model, &batch.sequences, &batch.cuts);
        let generated = forward.generate(&tokens)?;
        let users = self.for_all_tasks(&generated.user_embeddings)?.flatten_to(1)?;
        let mut terms = Vec::new();
        let mut logits = None;
        if self.config.generator.sampled_negatives > 0 {
            terms.push(("generator", self.sampled(&forward, &users, batch, step)?));
        } else {
            let all = forward.catalogue_logits(&users)?;
            terms.push(("generator", self.catalogue(&all, batch)?));
            logits = Some(all);
        }
        let progress = step as f64 / self.config.schedule.steps as f64;
        if self.config.ranker.weight > 0.0 && progress >= self.config.ranker.start {
            let logits = match logits {
                Some(logits) => logits,
                None => forward.catalogue_logits(&users)?,
            };
            let lists = with_f32(&logits.to_dtype(DType::F32)?, |logits| {
                let mut rng = rng(self.seed, step, NEGATIVES);
                candidates::draw(batch, (logits, self.model.n_items), &self.config.ranker, &mut rng)
            })?;
            drop(logits);
            self.ranking(&forward, (&tokens, &generated), batch, &lists, progress, &mut terms)?;
        }
        Ok(Terms(terms))
    }

    /// `[.., 1 or N, ..]` on axis 1 to `[.., N, ..]`: a model with one state answers for all tasks.
    fn for_all_tasks(&self, x: &Tensor) -> Result<Tensor> {
        let (have, need) = (x.dim(1)?, self.config.task.len());
        if have == need { Ok(x.clone()) } else { Tensor::cat(&vec![x; need], 1) }
    }

    /// Factors of targets so that each task's mean has the task's weight.
    fn weights<'t>(&self, targets: impl Iterator<Item = Option<&'t Target>> + Clone) -> Vec<f32> {
        let n_tasks = self.config.task.len();
        let mut sums = vec![0.0_f64; n_tasks];
        for (i, target) in targets.clone().enumerate() {
            sums[i % n_tasks] += target.map_or(0.0, |t| t.weight.into());
        }
        let total: f64 = self.config.task.iter().map(|t| t.weight).sum();
        let weight = |(i, target): (usize, Option<&Target>)| {
            let n = i % n_tasks;
            let factor = self.config.task[n].weight / total.max(f64::MIN_POSITIVE);
            target.map_or(0.0, |t| {
                if sums[n] > 0.0 { (f64::from(t.weight) / sums[n] * factor) as f32 } else { 0.0 }
            })
        };
        targets.enumerate().map(weight).collect()
    }

    /// Softmax over the whole catalogue.
    fn catalogue(&self, logits: &Tensor, batch: &Batch) -> Result<Tensor> {
        let op = CrossEntropy {
            targets: batch.targets.iter().map(|t| t.map_or(1, |t| t.item)).collect(),
            weights: self.weights(batch.targets.iter().map(Option::as_ref)),
            skip: 1,
        };
        logits.apply_op1(op)? * self.config.generator.weight
    }

    /// Softmax over the target and shared negatives that are drawn by popularity, each logit less the log
    /// of how likely its item was to be there (Yi et al., RecSys 2019).
    fn sampled(
        &self,
        forward: &Forward<'_>,
        users: &Tensor,
        batch: &Batch,
        step: u64,
    ) -> Result<Tensor> {
        let total: f64 = self.popularity.iter().skip(1).map(|c| c + 1.0).sum();
        let cumulative: Vec<f64> = self
            .popularity
            .iter()
            .skip(1)
            .scan(0.0, |sum, c| {
                *sum += (c + 1.0) / total;
                Some(*sum)
            })
            .collect();
        let mut rng = rng(self.seed, step, NEGATIVES + 10);
        let mut draw = || {
            let x: f64 = rng.random();
            (1 + cumulative.partition_point(|&c| c < x)).min(self.model.n_items - 1) as u32
        };
        let count = self.config.generator.sampled_negatives;
        let negatives: Vec<u32> = (0..count).map(|_| draw()).collect();
        let log_q = |item: u32| ((self.popularity[item as usize] + 1.0) / total).ln();
        let targets: Vec<u32> = batch.targets.iter().map(|t| t.map_or(1, |t| t.item)).collect();
        let table = forward.params.get("item_embedding")?;
        let select =
            |ids: &[u32]| table.index_select(&Tensor::from_slice(ids, ids.len(), &Device::Cpu)?, 0);
        let scaled = (users * (1.0 / f64::from(self.model.temperature)))?;
        let own = (&scaled * select(&targets)?)?.sum_keepdim(1)?;
        let others = scaled.matmul(&select(&negatives)?.t()?)?;
        let mut shift = Vec::with_capacity(targets.len() * (count + 1));
        for &target in &targets {
            shift.push(-log_q(target));
            let hit = |n: &u32| if *n == target { EXCLUDED } else { -log_q(*n) };
            shift.extend(negatives.iter().map(hit));
        }
        let shift = Tensor::from_vec(shift, (targets.len(), count + 1), &Device::Cpu)?;
        let logits = (Tensor::cat(&[own, others], 1)? + shift.to_dtype(users.dtype())?)?;
        let op = CrossEntropy {
            targets: vec![0; targets.len()],
            weights: self.weights(batch.targets.iter().map(Option::as_ref)),
            skip: 0,
        };
        logits.apply_op1(op)? * self.config.generator.weight
    }

    /// The ranker's terms: its own, the soft target, the distribution consistency.
    fn ranking(
        &self,
        forward: &Forward<'_>,
        stage: (&Tokens<'_>, &Generated),
        batch: &Batch,
        lists: &Lists,
        progress: f64,
        terms: &mut Vec<(&'static str, Tensor)>,
    ) -> Result<()> {
        let (ranker, consistency) = (&self.config.ranker, &self.config.consistency);
        let scores = forward.rank(stage, &batch.ranked, &lists.items, ranker.detach)?;
        // [lists, N, C]
        let scores = self.for_all_tasks(&scores.transpose(1, 2)?.contiguous()?)?;
        let own = match ranker.loss {
            RankerLoss::Listwise => self.listwise(&scores, batch, lists)?,
            RankerLoss::Bce => self.binary(&scores, batch, lists)?,
        };
        terms.push(("ranker", (own * ranker.weight)?));
        let wants_consistency = consistency.weight > 0.0 && progress >= consistency.start;
        if ranker.distillation == 0.0 && !wants_consistency {
            return Ok(());
        }
        let index: Vec<u32> = batch.ranked.iter().map(|&c| c as u32).collect();
        let index = Tensor::from_vec(index, batch.ranked.len(), &Device::Cpu)?;
        let users = stage.1.user_embeddings.index_select(&index, 0)?;
        let logits = forward.candidate_logits(&users, &lists.items, lists.count)?;
        let logits = self.for_all_tasks(&logits.transpose(1, 2)?.contiguous()?)?;
        if ranker.distillation > 0.0 {
            let term = divergence(&logits.detach(), &scores)?.mean_all()?;
            terms.push(("distillation", (term * ranker.distillation)?));
        }
        if wants_consistency {
            let last = self.config.task.len() - 1;
            let part = |x: &Tensor| x.narrow(1, last, 1)? / consistency.temperature;
            let term = divergence(&part(&scores)?.detach(), &part(&logits)?)?.mean_all()?;
            terms.push(("consistency", (term * consistency.weight)?));
        }
        Ok(())
    }

    /// `[ranked, N]`: the targets of the ranked cuts.
    fn ranked_targets<'b>(
        &self,
        batch: &'b Batch,
    ) -> impl Iterator<Item = Option<&'b Target>> + Clone {
        let n = self.config.task.len();
        batch
            .ranked
            .iter()
            .flat_map(move |&c| &batch.targets[c * n..(c + 1) * n])
            .map(Option::as_ref)
    }

    /// Softmax over each list, each score less the log of how often the drawing takes such an item: what is
    /// learnt is the order of the whole catalogue. Without it a target that the generator puts low among
    /// negatives that it puts high teaches the ranker to contradict the generator. Targets of later tasks do
    /// not compete: they are positives of this one, too, only later.
    fn listwise(&self, scores: &Tensor, batch: &Batch, lists: &Lists) -> Result<Tensor> {
        let (n, count) = (self.config.task.len(), lists.count);
        let own = lists
            .log_q
            .chunks_exact(count)
            .flat_map(|q| q.iter().map(|q| -q).cycle().take(n * count));
        let mut shift: Vec<f64> = own.collect();
        for (list, targets) in lists.targets.chunks_exact(n).enumerate() {
            for task in 0..n {
                let row = &mut shift[(list * n + task) * count..][..count];
                let others = targets[task + 1..].iter().flatten();
                others.filter(|&&p| Some(p) != targets[task]).for_each(|&p| row[p] = EXCLUDED);
            }
        }
        let rows = lists.targets.len();
        let shift = Tensor::from_vec(shift, (rows, count), &Device::Cpu)?;
        let op = CrossEntropy {
            targets: lists.targets.iter().map(|t| t.unwrap_or(0) as u32).collect(),
            weights: self.weights(self.ranked_targets(batch)),
            skip: 0,
        };
        (scores.reshape((rows, count))? + shift.to_dtype(scores.dtype())?)?.apply_op1(op)
    }

    /// Each candidate for itself: is it the task's target? All positives together weigh as much as all
    /// negatives; a task with value weighs its positives by it.
    fn binary(&self, scores: &Tensor, batch: &Batch, lists: &Lists) -> Result<Tensor> {
        let (n, count) = (self.config.task.len(), lists.count);
        let weights = self.weights(self.ranked_targets(batch));
        let shape = (lists.targets.len(), count);
        let mut labels = vec![0.0_f64; shape.0 * count];
        let mut factors = vec![0.0_f64; shape.0 * count];
        for (row, target) in lists.targets.iter().enumerate() {
            let Some(place) = *target else { continue };
            let weight = f64::from(weights[row]);
            let row_factors = &mut factors[row * count..(row + 1) * count];
            row_factors.fill(weight / (count - 1) as f64);
            let later = &lists.targets[row + 1..row - row % n + n];
            later.iter().flatten().for_each(|&other| row_factors[other] = 0.0);
            row_factors[place] = weight;
            labels[row * count + place] = 1.0;
        }
        let tensor = |v| Tensor::from_vec(v, shape, &Device::Cpu)?.to_dtype(scores.dtype());
        let (labels, factors) = (tensor(labels)?, tensor(factors)?);
        let s = scores.reshape(shape)?;
        let softplus = (s.relu()? + ((s.abs()?.neg()?.exp()? + 1.0)?.log()?))?;
        ((softplus - (s * labels)?)? * factors)?.sum_all()
    }
}

/// `KL(softmax(teacher) || softmax(student))` over the last axis, the axis gone.
pub(crate) fn divergence(teacher: &Tensor, student: &Tensor) -> Result<Tensor> {
    let (t, s) = (log_softmax(teacher)?, log_softmax(student)?);
    (t.exp()? * (t - s)?)?.sum(D::Minus1)
}

fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let max = x.max_keepdim(D::Minus1)?.detach();
    let shifted = x.broadcast_sub(&max)?;
    let sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    shifted.broadcast_sub(&sum)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn divergence_is_that_of_the_definition_and_so_is_its_gradient() {
        let teacher = [0.3_f64, -1.2, 2.0, 0.1];
        let student = [1.0_f64, 0.4, -0.7, 0.2];
        let softmax = |x: &[f64]| -> Vec<f64> {
            let sum: f64 = x.iter().map(|x| x.exp()).sum();
            x.iter().map(|x| x.exp() / sum).collect()
        };
        let (p, q) = (softmax(&teacher), softmax(&student));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
        let tensor = |x: &[f64]| Tensor::from_slice(x, (1, 4), &Device::Cpu).unwrap();
        let student = Var::from_tensor(&tensor(&student)).unwrap();
        let found = divergence(&tensor(&teacher), &student).unwrap().sum_all().unwrap();
        assert!((found.to_scalar::<f64>().unwrap() - expected).abs() < 1e-12);
        let grads = found.backward().unwrap();
        let grad: Vec<f64> = grads.get(&student).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for ((g, q), p) in grad.iter().zip(&q).zip(&p) {
            assert!((g - (q - p)).abs() < 1e-12, "the gradient of the student's logits is q - p");
        }
    }
}
