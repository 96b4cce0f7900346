//! Arguments of `onr preflight`.

use std::path::PathBuf;

use clap::Args;
use onr_triton::{PackageName, preflight::Endpoint};

use super::package::BackendArg;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onr preflight engine --triton http://localhost:8000
  onr preflight engine --container-facts facts.json --instances 2 --users 100000
  onr preflight graphs --backend python --name canary --triton grpc://localhost:8001
  onr preflight --facts-template

What is not known makes a check skip. Exit code 4 when a check fails, 3 when the server cannot be asked.")]
pub(crate) struct PreflightArgs {
    /// Directory that `onr export` or `onr build-engine` wrote
    #[arg(value_name = "DIR", required_unless_present = "facts_template")]
    pub(crate) dir: Option<PathBuf>,
    /// Server to ask: `http://HOST:PORT` or `grpc://HOST:PORT`
    #[arg(long, value_name = "URL", required_unless_present_any = ["container_facts", "facts_template"])]
    pub(crate) triton: Option<Endpoint>,
    /// What is known of its container, JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) container_facts: Option<PathBuf>,
    /// What names of models would begin with
    #[arg(long, value_name = "NAME", default_value = "oneranker")]
    pub(crate) name: PackageName,
    /// Which backend of Triton would run the graphs [default: as `onr package` chooses]
    #[arg(long, value_enum, value_name = "BACKEND")]
    pub(crate) backend: Option<BackendArg>,
    /// Largest batch [default: the profile's]
    #[arg(long, value_name = "N")]
    pub(crate) max_batch: Option<usize>,
    /// Instances of each model on a GPU
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) instances: u32,
    /// Users whose keys and values are held on a GPU
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) users: u64,
    /// Memory of a GPU, in place of that of the facts
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) gpu_memory: Option<u64>,
    /// Print the keys of a file of facts, and nothing else
    #[arg(long, conflicts_with_all = ["dir", "triton", "container_facts"])]
    pub(crate) facts_template: bool,
}
