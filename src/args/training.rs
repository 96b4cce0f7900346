//! Arguments of the verbs that train and judge.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onr_evaluation::Metric;
use onr_interactions::{Fold, simulate::LogFormat};
use onr_training::Without;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr simulate --out ads
  onr simulate --users 2000 --items 500 --no-conflict --format csv --out ads")]
pub(crate) struct SimulateArgs {
    /// New folder for the log, truth.json, model.toml and train.toml
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// How many users
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) users: usize,
    /// How many items
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) items: usize,
    /// How many series (interests) they form [default: one for each 50 items]
    #[arg(long, value_name = "N")]
    pub(crate) series: Option<usize>,
    /// Seed of everything that is random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Let interest alone say what is worth showing; else appealing items are cheap, and clicks and value ask for different orders
    #[arg(long)]
    pub(crate) no_conflict: bool,
    /// How much the logarithm of the price falls with the appeal
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) price_slope: f64,
    /// Format of the shards
    #[arg(long, value_enum, default_value = "parquet")]
    pub(crate) format: FormatArg,
    /// Rows of a shard
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) rows_per_file: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatArg {
    /// part-00000.parquet and so on
    Parquet,
    /// part-00000.csv and so on
    Csv,
}

impl From<FormatArg> for LogFormat {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Parquet => Self::Parquet,
            FormatArg::Csv => Self::Csv,
        }
    }
}

/// Histories: a log and how it is read.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Training configuration: tasks, actions, columns
    #[arg(long, value_name = "TOML")]
    pub(crate) train: PathBuf,
    /// Interaction logs: RecBole `.inter`, CSV or Parquet, or folders of them
    #[arg(long, value_name = "LOG", num_args = 1.., required = true)]
    pub(crate) interactions: Vec<PathBuf>,
    /// Threads [default: as many as the machine has]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr train --model ads/model.toml --train ads/train.toml --interactions ads --out run
  onr train --model ads/model.toml --train ads/train.toml --interactions ads --without dc --seed 1 --out run-dc

Ctrl-C stops after the step; the same command goes on from there. docs/training.md lists the keys of train.toml.")]
pub(crate) struct TrainArgs {
    /// Model configuration
    #[arg(long, value_name = "TOML")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) histories: HistoryArgs,
    /// Directory that receives the weights, configurations, vocab.json and training.json
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seed of everything that is random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Seed of the order of behaviours with equal times [default: that of train.toml]
    #[arg(long)]
    pub(crate) tie_seed: Option<u64>,
    /// Updates [default: those of train.toml]
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// Leave a part out; may be given several times
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    pub(crate) without: Vec<WithoutArg>,
    /// Train the plain generative recommender of the same size
    #[arg(long, conflicts_with = "without")]
    pub(crate) baseline: bool,
    /// Begin anew where an earlier run into --out left its state
    #[arg(long)]
    pub(crate) fresh: bool,
    /// External item ids by id, such as `onr requests` wrote them; rows with other items are left out
    /// [default: made of the log]
    #[arg(long, value_name = "JSON")]
    pub(crate) vocab: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WithoutArg {
    /// The prompt has no fake items
    FakeItems,
    /// No distribution-consistency loss
    Dc,
    /// One state for all tasks
    TaskOrder,
    /// The generator's order is final
    Ranker,
}

impl From<WithoutArg> for Without {
    fn from(arg: WithoutArg) -> Self {
        match arg {
            WithoutArg::FakeItems => Self::FakeItems,
            WithoutArg::Dc => Self::Consistency,
            WithoutArg::TaskOrder => Self::TaskOrder,
            WithoutArg::Ranker => Self::Ranker,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr evaluate --model run/model.toml --weights run/weights.safetensors --train ads/train.toml --interactions ads --peers
  onr evaluate --model run/model.toml --weights run/weights.safetensors --train ads/train.toml --interactions ads --truth ads --out run/evaluation.json

Evaluations that are to be compared need the same log and the same tasks: give the train.toml of the full model.")]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    pub(crate) model: super::build::ModelArgs,
    #[command(flatten)]
    pub(crate) histories: HistoryArgs,
    /// Judge the graphs of this directory, of any precision, instead of the checkpoint
    #[arg(long, value_name = "DIR")]
    pub(crate) graphs: Option<PathBuf>,
    /// Backend that runs the graphs: ort, tract, tensorrt-rtx or trtexec[=PATH] for their plans, or triton=http://HOST:PORT[/NAME]
    #[arg(long, value_name = "BACKEND", default_value = "ort", requires = "graphs")]
    pub(crate) backend: super::CandidateArg,
    /// Which behaviour of each user is held out
    #[arg(long, value_enum, default_value = "test")]
    pub(crate) fold: FoldArg,
    /// Judge popularity, Markov chains and co-occurrence too, fitted on the training part and tuned on validation
    #[arg(long)]
    pub(crate) peers: bool,
    /// Folder of `onr simulate` with truth.json: adds the expected value of what is shown
    #[arg(long, value_name = "DIR")]
    pub(crate) truth: Option<PathBuf>,
    /// File for everything that was found, user by user, for `onr compare`
    #[arg(long, value_name = "JSON")]
    pub(crate) out: Option<PathBuf>,
    /// Items of each task's list that the ranking stage gets
    #[arg(long, value_name = "K", default_value_t = 100)]
    pub(crate) cutoff: usize,
    /// Seed of the order of behaviours with equal times [default: that of train.toml]
    #[arg(long)]
    pub(crate) tie_seed: Option<u64>,
    /// External item ids by id [default: vocab.json beside --weights, if it is there]
    #[arg(long, value_name = "JSON")]
    pub(crate) vocab: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FoldArg {
    /// The last one
    Test,
    /// The one before the last
    Validation,
}

impl From<FoldArg> for Fold {
    fn from(arg: FoldArg) -> Self {
        match arg {
            FoldArg::Test => Self::Test,
            FoldArg::Validation => Self::Validation,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr compare --of run/evaluation.json --against baseline/evaluation.json --metric ndcg10
  onr compare --of a0.json a1.json --against b0.json b1.json --list final --against-list generator:value --metric value-ndcg10
  onr compare --of run/evaluation.json --against run/evaluation.json --against-list markov --metric hr10")]
pub(crate) struct CompareArgs {
    /// Evaluations of the first side; several are pooled (other seeds)
    #[arg(long, value_name = "JSON", num_args = 1.., required = true)]
    pub(crate) of: Vec<PathBuf>,
    /// Evaluations of the second side
    #[arg(long, value_name = "JSON", num_args = 1.., required = true)]
    pub(crate) against: Vec<PathBuf>,
    /// List of the first side: final, generator:TASK, ranker:TASK, or a peer
    #[arg(long, value_name = "NAME", default_value = "final")]
    pub(crate) list: String,
    /// List of the second side [default: that of the first]
    #[arg(long, value_name = "NAME")]
    pub(crate) against_list: Option<String>,
    /// What is compared
    #[arg(long, value_enum)]
    pub(crate) metric: MetricArg,
    /// Only users whose held-out behaviour is a positive of this task
    #[arg(long, value_name = "TASK")]
    pub(crate) among: Option<String>,
    /// How many times users are drawn again
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) resamples: usize,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricArg {
    /// Share of users whose held-out item is the first
    Hr1,
    /// Among the first five
    Hr5,
    /// Among the first ten
    Hr10,
    /// 1 / log2(place + 1) within the first ten
    Ndcg10,
    /// The same, users weighted by the value of what they did
    ValueNdcg10,
    /// 1 / place
    Mrr,
    /// Expected value of the ten items shown (needs --truth in `onr evaluate`)
    Value10,
    /// Distance between ranker and generator, nats
    Dc,
}

impl From<MetricArg> for Metric {
    fn from(arg: MetricArg) -> Self {
        match arg {
            MetricArg::Hr1 => Self::Hr1,
            MetricArg::Hr5 => Self::Hr5,
            MetricArg::Hr10 => Self::Hr10,
            MetricArg::Ndcg10 => Self::Ndcg10,
            MetricArg::ValueNdcg10 => Self::ValueNdcg10,
            MetricArg::Mrr => Self::Mrr,
            MetricArg::Value10 => Self::Value10,
            MetricArg::Dc => Self::Dc,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr cluster --model model.toml --weights weights.safetensors --out clustered.safetensors
  onr cluster --model model.toml --weights weights.safetensors --n-fake-items 64 --out w64.safetensors")]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) model: super::build::ModelArgs,
    /// How many fake items; where the model has another number, NAME.model.toml is written beside --out NAME.safetensors
    /// [default: as many as the model has]
    #[arg(long, value_name = "F")]
    pub(crate) n_fake_items: Option<usize>,
    /// Seed of the clustering
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Checkpoint to write
    #[arg(long, value_name = "SAFETENSORS")]
    pub(crate) out: PathBuf,
}
