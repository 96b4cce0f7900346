//! The work. Each verb takes its arguments and returns a report; none prints.

mod build_engine;
mod doctor;
mod export;
mod import;
mod init;
mod inspect;
mod parity;
mod requests;
mod verify;

use crate::{args::Command, context::Context, show::Shown};

/// Runs a verb.
pub(crate) fn run(command: Command, context: &Context) -> anyhow::Result<Shown> {
    Ok(match command {
        Command::Init(args) => Shown::of(&init::run(&args, context)?),
        Command::Import(args) => Shown::of(&import::run(&args, context)?),
        Command::Requests(args) => Shown::of(&requests::run(args)?),
        Command::Export(args) => Shown::of(&export::run(&args, context)?),
        Command::Parity(args) => Shown::of(&parity::run(&args, context)?),
        Command::BuildEngine(args) => Shown::of(&build_engine::run(&args, context)?),
        Command::Inspect(args) => Shown::of(&inspect::run(&args)?),
        Command::Verify(args) => Shown::of(&verify::run(&args)?),
        Command::Doctor => Shown::of(&doctor::run(context)),
    })
}
