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

use crate::{args::Cli, context::Context, exit::Exit};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors; clap knows which stream each belongs to.
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage.into() } else { Exit::Fine.into() };
        }
    };
    show::start_log(cli.verbose);
    let context = Context::new(cli.json);
    let exit = match commands::run(cli.command, &context) {
        Ok(report) => show::report(&report, cli.json),
        Err(error) => show::error(&error, cli.json),
    };
    exit.into()
}
