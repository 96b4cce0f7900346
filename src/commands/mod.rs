//! The work. Each verb takes its arguments and returns a report; none prints.

mod accuracy;
#[cfg(feature = "triton")]
mod bench;
#[cfg(feature = "triton")]
mod bench_local;
mod bisect;
mod build_engine;
mod calibrate;
mod candidate;
mod cast;
#[cfg(feature = "training")]
mod cluster;
#[cfg(feature = "training")]
mod compare;
mod describe;
mod doctor;
#[cfg(feature = "training")]
mod evaluate;
#[cfg(feature = "training")]
mod evaluation_file;
mod export;
mod export_items;
#[cfg(feature = "training")]
mod graph_recommender;
#[cfg(feature = "training")]
mod histories;
mod import;
mod init;
mod inspect;
mod measure;
mod package;
mod parity;
mod parity_pair;
mod plan_profiles;
mod precision_report;
mod preflight;
mod quantize;
mod refit;
mod requests;
mod serve_check;
#[cfg(feature = "training")]
mod simulate;
#[cfg(feature = "training")]
mod train;
#[cfg(feature = "training")]
mod truth;
mod tune;
mod typed;
mod verify;

use crate::{
    args::Command,
    context::Context,
    show::{Detail, Shown},
};

/// Runs a verb.
pub(crate) fn run(command: Command, detail: Detail, context: &Context) -> anyhow::Result<Shown> {
    Ok(match command {
        Command::Init(args) => Shown::of(&init::run(&args, context)?, detail),
        Command::Import(args) => Shown::of(&import::run(&args, context)?, detail),
        Command::Requests(args) => Shown::of(&requests::run(args, context)?, detail),
        #[cfg(feature = "training")]
        Command::Simulate(args) => Shown::of(&simulate::run(&args, context)?, detail),
        #[cfg(feature = "training")]
        Command::Train(args) => Shown::of(&train::run(&args, context)?, detail),
        #[cfg(feature = "training")]
        Command::Evaluate(args) => Shown::of(&evaluate::run(&args, context)?, detail),
        #[cfg(feature = "training")]
        Command::Compare(args) => Shown::of(&compare::run(&args)?, detail),
        #[cfg(feature = "training")]
        Command::Cluster(args) => Shown::of(&cluster::run(&args)?, detail),
        Command::Export(args) => Shown::of(&export::run(&args, context)?, detail),
        Command::ExportItems(args) => Shown::of(&export_items::run(&args, context)?, detail),
        Command::Calibrate(args) => Shown::of(&calibrate::run(&args, context)?, detail),
        Command::Tune(args) => Shown::of(&tune::run(&args, context)?, detail),
        Command::Quantize(args) => Shown::of(&quantize::run(&args, context)?, detail),
        Command::Cast(args) => Shown::of(&cast::run(&args, context)?, detail),
        Command::Parity(args) => Shown::of(&parity::run(&args, context)?, detail),
        Command::Bisect(args) => Shown::of(&bisect::run(&args, context)?, detail),
        Command::Accuracy(args) => Shown::of(&accuracy::run(&args, context)?, detail),
        Command::PlanProfiles(args) => Shown::of(&plan_profiles::run(&args)?, detail),
        Command::BuildEngine(args) => Shown::of(&build_engine::run(&args, context)?, detail),
        Command::Refit(args) => Shown::of(&refit::run(&args, context)?, detail),
        Command::Preflight(args) => Shown::of(&preflight::run(&args)?, detail),
        Command::Package(args) => Shown::of(&package::run(&args, context)?, detail),
        #[cfg(feature = "triton")]
        Command::Bench(args) => match (&args.triton, &args.backend) {
            (Some(server), _) => Shown::of(&bench::run(&args, server, context)?, detail),
            (None, Some(backend)) => Shown::of(&bench_local::run(&args, backend, context)?, detail),
            (None, None) => {
                let what = "--triton or --backend is needed";
                return Err(crate::exit::Refusal::usage(what).into());
            }
        },
        Command::ServeCheck(args) => Shown::of(&serve_check::run(&args, context)?, detail),
        Command::Inspect(args) => Shown::of(&inspect::run(&args)?, detail),
        Command::Verify(args) => Shown::of(&verify::run(&args)?, detail),
        Command::Doctor => Shown::of(&doctor::run(context), detail),
    })
}
