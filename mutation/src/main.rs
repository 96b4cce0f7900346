//! `cargo run --release -p onr-mutation`: how many faults parity finds, and which it does not.
#![expect(clippy::print_stdout, reason = "a program")]

use std::path::PathBuf;

use clap::Parser;
use onr_mutation::{mutant::Fate, study};

/// Makes wrong graphs and asks parity
#[derive(Debug, Parser)]
struct Args {
    /// Seed of models and faults
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of faults
    #[arg(long, default_value_t = 300)]
    mutants: u64,
    /// Write all outcomes as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let all = study::run(args.seed, args.mutants, &|outcome| {
        let mutant = &outcome.mutant;
        if outcome.fate == Fate::Survived || outcome.is_named() == Some(false) {
            println!(
                "{:?} {} model {} {}: {} ({}) {}: {} | blamed {:?} right {:?}",
                outcome.fate,
                outcome.precision,
                outcome.model,
                mutant.graph,
                mutant.node,
                mutant.op,
                mutant.operator,
                mutant.change.what,
                outcome.blamed,
                mutant.change.right
            );
        }
    })?;
    if let Some(file) = args.json {
        std::fs::write(file, serde_json::to_vec_pretty(&all)?)?;
    }
    let survived = all.iter().filter(|o| o.fate == Fate::Survived).count();
    let named = all.iter().filter_map(study::Outcome::is_named);
    let (right, asked) = named.fold((0, 0), |(r, n), is| (r + usize::from(is), n + 1));
    println!("{} mutants, {survived} survived; bisect {right} of {asked}", all.len());
    Ok(())
}
