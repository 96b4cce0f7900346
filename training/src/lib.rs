//! From labelled histories to a OneRanker checkpoint.
//!
//! **In:** histories ([`onr_interactions::Store`]), a `model.toml`, a `train.toml`. **Out:** a checkpoint under the
//! names of the contract, and the state that a resumed run needs.
//! **Never here:** reading logs, judging orders, printing.

mod candidates;
mod config;
mod error;
mod init;
mod loss;
mod model;
mod ops;
mod optimizer;
mod sample;

pub use config::{
    ConsistencyConfig, DataConfig, FakeItemsConfig, GeneratorConfig, OptimizerConfig, RankerConfig,
    RankerLoss, ScheduleConfig, TaskConfig, TrainConfig, ValueConfig,
};
pub use error::TrainingError;
pub use model::Params;

#[cfg(test)]
mod gradients;
