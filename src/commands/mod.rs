//! The work. Each verb takes its arguments and returns a report; none prints.

mod build_engine;
mod describe;
mod doctor;
mod export;
mod import;
mod init;
mod inspect;
mod parity;
mod requests;
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
        Command::Export(args) => Shown::of(&export::run(&args, context)?, detail),
        Command::Parity(args) => Shown::of(&parity::run(&args, context)?, detail),
        Command::BuildEngine(args) => Shown::of(&build_engine::run(&args, context)?, detail),
        Command::Inspect(args) => Shown::of(&inspect::run(&args)?, detail),
        Command::Verify(args) => Shown::of(&verify::run(&args)?, detail),
        Command::Doctor => Shown::of(&doctor::run(context), detail),
    })
}
