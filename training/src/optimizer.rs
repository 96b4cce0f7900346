//! AdamW (Loshchilov and Hutter, arXiv 1711.05101), with its state in reach: candle's own keeps it private,
//! and a run that resumes needs it.

use std::collections::BTreeMap;

use candle_core::{Result, backprop::GradStore};

use crate::{config::OptimizerConfig, model::Params, ops::with_f32};

/// Means of gradients and of their squares, of one tensor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f32>,
    pub(crate) square: Vec<f32>,
}

/// The optimiser.
pub(crate) struct AdamW {
    config: OptimizerConfig,
    steps: u64,
    pub(crate) moments: BTreeMap<String, Moments>,
}

impl AdamW {
    pub(crate) const fn new(config: OptimizerConfig, steps: u64) -> Self {
        Self { config, steps, moments: BTreeMap::new() }
    }

    /// Learning rate of step `step`, from 0.
    pub(crate) fn learning_rate(&self, step: u64) -> f64 {
        let c = &self.config;
        let done = (step + 1) as f64;
        let warm = (done / c.warmup_steps.max(1) as f64).min(1.0);
        let left = (step.saturating_sub(c.warmup_steps)) as f64
            / self.steps.saturating_sub(c.warmup_steps).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * left.min(1.0)).cos());
        c.learning_rate * warm * if step < c.warmup_steps { 1.0 } else { cosine }
    }

    /// Norm of the gradients of all tensors but those that `frozen` names.
    pub(crate) fn norm(params: &Params, grads: &GradStore, frozen: &[&str]) -> Result<f64> {
        let mut sum = 0.0;
        for (name, var) in params.iter() {
            let Some(grad) = grads.get(var).filter(|_| !frozen.contains(&name)) else { continue };
            sum += with_f32(grad, |g| g.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>())?;
        }
        Ok(sum.sqrt())
    }

    /// One update of step `step` (from 0), gradients scaled so that their norm is at most the limit.
    pub(crate) fn update(
        &mut self,
        params: &Params,
        grads: &GradStore,
        (step, norm): (u64, f64),
        frozen: &[&str],
    ) -> Result<()> {
        let c = self.config.clone();
        let clip = (c.clip_norm / norm.max(1e-12)).min(1.0) as f32;
        let rate = self.learning_rate(step);
        let done = i32::try_from(step + 1).unwrap_or(i32::MAX);
        let (b1, b2) = (c.beta1 as f32, c.beta2 as f32);
        let scale = (rate / (1.0 - c.beta1.powi(done))) as f32;
        let square_scale = (1.0 / (1.0 - c.beta2.powi(done))) as f32;
        for (name, var) in params.iter() {
            let Some(grad) = grads.get(var).filter(|_| !frozen.contains(&name)) else { continue };
            let decay = if var.rank() >= 2 { (rate * c.weight_decay) as f32 } else { 0.0 };
            let mut values = with_f32(var, <[f32]>::to_vec)?;
            let moments = self.moments.entry(name.to_owned()).or_default();
            moments.mean.resize(values.len(), 0.0);
            moments.square.resize(values.len(), 0.0);
            with_f32(grad, |grad| {
                for (i, value) in values.iter_mut().enumerate() {
                    let g = grad[i] * clip;
                    let m = b1 * moments.mean[i] + (1.0 - b1) * g;
                    let v = b2 * moments.square[i] + (1.0 - b2) * g * g;
                    (moments.mean[i], moments.square[i]) = (m, v);
                    *value -= decay * *value + scale * m / ((v * square_scale).sqrt() + 1e-8);
                }
            })?;
            params.set(name, &values)?;
        }
        Ok(())
    }
}
