//! The checkpoint's tensors: names and shapes as the contract lists them.

use super::config::ModelConfig;

/// One tensor that a checkpoint of a model must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WeightSpec {
    /// Name in the safetensors file.
    pub key: String,
    /// Sizes of the axes.
    pub shape: Vec<usize>,
}

/// All tensors of a checkpoint, in the order of the contract's table.
#[must_use]
pub fn checkpoint(cfg: &ModelConfig) -> Vec<WeightSpec> {
    let d = cfg.d_model;
    let mut list = Specs(Vec::new());
    list.add("item_embedding", &[cfg.n_items, d]);
    list.add("action_embedding", &[cfg.n_actions, d]);
    list.add("task_embedding", &[cfg.n_tasks(), d]);
    if cfg.n_fake_items > 0 {
        list.add("fake_items", &[cfg.n_fake_items, d]);
        list.linear("fake_proj", d, d);
    }
    for l in 0..cfg.n_layers {
        list.block(&format!("layers.{l}"), cfg);
    }
    list.norm("final_norm", d);
    list.linear("user_proj", d, d);
    list.linear("candidate_proj", d, d);
    for r in 0..cfg.n_rank_layers {
        list.block(&format!("rank_layers.{r}"), cfg);
    }
    list.norm("rank_norm", d);
    list.linear("rank_proj", d, d);
    list.add("rank_bias", &[cfg.n_tasks()]);
    list.0
}

struct Specs(Vec<WeightSpec>);

impl Specs {
    fn add(&mut self, key: impl Into<String>, shape: &[usize]) {
        self.0.push(WeightSpec { key: key.into(), shape: shape.to_vec() });
    }

    fn linear(&mut self, name: &str, input: usize, output: usize) {
        self.add(format!("{name}.weight"), &[input, output]);
        self.add(format!("{name}.bias"), &[output]);
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width]);
        self.add(format!("{name}.bias"), &[width]);
    }

    fn block(&mut self, name: &str, cfg: &ModelConfig) {
        let d = cfg.d_model;
        self.norm(&format!("{name}.norm"), d);
        self.linear(&format!("{name}.uvqk"), d, 4 * d);
        self.norm(&format!("{name}.attn_norm"), d);
        self.linear(&format!("{name}.out"), d, d);
        self.add(format!("{name}.rel_pos_bias"), &[cfg.n_heads, cfg.rel_pos_buckets]);
        if cfg.has_time() {
            self.add(format!("{name}.time_bias"), &[cfg.n_heads, cfg.time_buckets]);
        }
    }
}
