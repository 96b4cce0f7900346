//! From labelled histories to a OneRanker checkpoint.
//!
//! **In:** histories ([`onr_interactions::Store`]), a `model.toml`, a `train.toml`. **Out:** a checkpoint under the
//! names of the contract, and the state that a resumed run needs.
//! **Never here:** reading logs, judging orders, printing.

mod candidates;
mod config;
mod error;
mod init;
pub mod kmeans;
mod loss;
mod model;
mod ops;
mod optimizer;
mod recluster;
mod recommender;
mod sample;
mod state;
mod trainer;
mod variant;

pub use config::{
    ConsistencyConfig, DataConfig, FakeItemsConfig, GeneratorConfig, OptimizerConfig, RankerConfig,
    RankerLoss, ScheduleConfig, TaskConfig, TrainConfig,
};
pub use error::TrainingError;
pub use model::Params;
pub use recluster::{Reclustered, recluster};
pub use recommender::OneRanker;
pub use state::{STATE_FILE, WEIGHTS_FILE, read_weights, write_weights};
pub use trainer::{StepReport, TrainJob, Trained, cluster_items};
pub use variant::{Without, baseline};

#[cfg(test)]
mod gradients;
