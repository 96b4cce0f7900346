//! `onr`: OneRanker from checkpoint to TensorRT.
//!
//! A command goes through four places: [`args`] (what was typed), [`settings`] (what will be done),
//! [`commands`] (the work, which returns a report) and [`show`] (the report for people or programs).

mod args;
mod commands;
mod context;
mod exit;
mod settings;
mod show;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Cli, context::Context, show::Detail};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return show::refused(&e, std::env::args_os().any(|a| a == "--json")).into(),
    };
    show::start_log(cli.verbose);
    let context = Context::new(cli.json, !cli.json && cli.verbose == 0);
    let detail = if cli.verbose > 0 { Detail::All } else { Detail::Short };
    let outcome = commands::run(cli.command, detail, &context);
    context.end();
    let exit = match outcome {
        Ok(report) => show::report(&report, cli.json),
        Err(error) => show::error(&error, cli.json),
    };
    exit.into()
}
