//! Arguments of `onr bench`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, ValueEnum};
use onr_graphs::GraphKind;
use onr_load::{Shape, Spacing};

use super::{CandidateArg, DeployedArg, RequestArgs};

/// A day is the longest run, seconds.
const LONGEST: f64 = 86_400.0;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).args(["triton", "backend"]), after_help = "\
Examples:
  onr bench engine --triton http://localhost:8000
  onr bench engine --triton http://localhost:8000/canary --graph rank --batch 1,8 --requests requests.jsonl
  onr bench engine --triton grpc://localhost:8001 --graph ensemble --rate 200 --seconds 60
  onr bench engine --backend ort --batch 1,8 --length 64,256 --candidates 256
  onr bench engine --backend tensorrt-rtx --seconds 3

With --triton, latencies are those of a client: copies over the network are in them. With --rate they begin when a request was due,
not when it was sent. Every answer is compared with the first one to the same request. With --backend each graph runs alone in this process,
one run after the other: ids go in and scores come out, keys and values stay where they were computed.")]
pub(crate) struct BenchArgs {
    /// Directory whose models were deployed
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Server and name of the package: http://HOST:PORT[/NAME] or grpc://HOST:PORT[/NAME]
    #[arg(long, value_name = "URL")]
    pub(crate) triton: Option<DeployedArg>,
    /// Run the graphs or plans in this process instead: ort, ort-cuda[=GPU], tract, tensorrt-rtx[=GPU] or tensorrt[=GPU]
    #[arg(long, value_name = "BACKEND", conflicts_with_all = ["requests", "sort", "limit", "graph", "clients", "rate", "spacing", "in_flight"])]
    pub(crate) backend: Option<CandidateArg>,
    /// With --backend: behaviours of each history, separated by commas [default: the model's most]
    #[arg(long, value_name = "SIZES", value_delimiter = ',', requires = "backend", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) length: Vec<u32>,
    /// With --backend: candidates of each request, separated by commas [default: 256]
    #[arg(long, value_name = "SIZES", value_delimiter = ',', requires = "backend", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) candidates: Vec<u32>,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    /// Most requests that are sent in turn
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Which of the deployed models
    #[arg(long, value_enum, value_name = "GRAPH", default_value = "fused")]
    pub(crate) graph: BenchGraphArg,
    /// Rows of a request, separated by commas: one run for each
    #[arg(long, value_name = "SIZES", value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) batch: Vec<u32>,
    /// Clients that each ask again as soon as they have their answer
    #[arg(long, value_name = "N", default_value_t = 8, conflicts_with = "rate", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) clients: u16,
    /// Requests a second, whatever became of those before
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// With --rate: how requests are spread
    #[arg(long, value_enum, value_name = "HOW", default_value = "poisson", requires = "rate")]
    pub(crate) spacing: SpacingArg,
    /// With --rate: requests that may be under way at once; others wait, and their wait counts
    #[arg(long, value_name = "N", default_value_t = 64, requires = "rate", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) in_flight: u16,
    /// How long to measure
    #[arg(long, value_name = "S", default_value = "10", value_parser = length)]
    pub(crate) seconds: Duration,
    /// How long to send requests beforehand
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub(crate) warmup: Duration,
}

impl BenchArgs {
    /// When requests are sent.
    pub(crate) fn shape(&self) -> Shape {
        match self.rate {
            None => Shape::Closed { workers: self.clients.into() },
            Some(rate) => Shape::Open {
                rate,
                spacing: match self.spacing {
                    SpacingArg::Even => Spacing::Even,
                    SpacingArg::Poisson => Spacing::Poisson { seed: 0 },
                },
                in_flight: self.in_flight.into(),
            },
        }
    }
}

/// A deployed model of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchGraphArg {
    /// NAME_fused: a history in, ranked items out
    Fused,
    /// NAME: a history and candidates in, scores out
    Ensemble,
    /// NAME_encode
    Encode,
    /// NAME_append
    Append,
    /// NAME_generate
    Generate,
    /// NAME_rank
    Rank,
}

impl BenchGraphArg {
    /// The graph; none for the ensemble.
    pub(crate) const fn kind(self) -> Option<GraphKind> {
        match self {
            Self::Fused => Some(GraphKind::OneRanker),
            Self::Ensemble => None,
            Self::Encode => Some(GraphKind::Encode),
            Self::Append => Some(GraphKind::Append),
            Self::Generate => Some(GraphKind::Generate),
            Self::Rank => Some(GraphKind::Rank),
        }
    }
}

/// How requests of a rate are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpacingArg {
    /// Equal gaps
    Even,
    /// Gaps as of independent users
    Poisson,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if rate > 0.0 && rate <= 1e6 { Ok(rate) } else { Err("is outside 0..=1000000".into()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    let fits = (0.0..=LONGEST).contains(&seconds);
    if fits { Ok(Duration::from_secs_f64(seconds)) } else { Err("is outside 0..=86400".into()) }
}

fn length(text: &str) -> Result<Duration, String> {
    let length = seconds(text)?;
    if length.is_zero() { Err("measures nothing".into()) } else { Ok(length) }
}
