//! `make mutation`: how many faults parity finds, and which it does not.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use onr_mutation::{curve, study, text};

/// Makes wrong graphs and asks parity
#[derive(Debug, Parser)]
struct Args {
    /// Seed of models and faults
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of faults
    #[arg(long, default_value_t = 300)]
    mutants: u64,
    /// Write the page
    #[arg(long)]
    out: PathBuf,
    /// Write all outcomes as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Fails where a fault that shows was not found.
fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let all = study::run(args.seed, args.mutants, &|_| {})?;
    if let Some(file) = args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&all)?)?;
    }
    let curve = curve::run(args.seed)?;
    std::fs::write(&args.out, text::page(args.seed, &all, &curve))?;
    let missed = all.iter().any(study::Outcome::is_missed);
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
