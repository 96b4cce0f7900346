//! `onr requests`: from an interaction log.

use std::path::PathBuf;

use onr_exporter::read_model;
use onr_requests::{
    Actions, Columns, LogOptions, LogReport, Request, Vocab, from_log, write_requests,
};
use serde::Serialize;

use crate::{args::RequestsArgs, settings::make_parent, show::Report};

#[derive(Serialize)]
pub(crate) struct RequestsMade {
    out: PathBuf,
    vocab: PathBuf,
    #[serde(flatten)]
    log: LogReport,
}

pub(crate) fn run(args: RequestsArgs) -> anyhow::Result<RequestsMade> {
    let config = read_model(&args.model)?;
    make_parent(&args.out)?;
    let vocab_file = args.vocab.unwrap_or_else(|| args.out.with_file_name("vocab.json"));
    let known = match vocab_file.exists() {
        true => Some(Vocab::read(&vocab_file)?),
        false => None,
    };
    let actions = match args.action_column {
        Some(column) => Actions::Column(column),
        None => Actions::Rule(args.actions.parse()?),
    };
    let options = LogOptions {
        columns: Columns {
            user: args.user,
            item: args.item,
            timestamp: args.timestamp,
            rating: args.rating,
            candidates: args.candidates_column,
        },
        actions,
        keep: args.keep,
        n_items: Some(config.n_items),
        n_actions: Some(config.n_actions),
        n_candidates: args.candidates,
        seed: args.seed,
        hold_out_last: args.hold_out_last,
        limit: args.limit,
        ..LogOptions::new(config.max_seq_len)
    };
    let is_new = known.is_none();
    let made = from_log(&args.interactions, known, &options)?;
    let log = made.report().clone();
    if is_new {
        made.vocab().write(&vocab_file)?;
    }
    let requests: Vec<Request> = made.map(|r| r.request).collect();
    write_requests(&args.out, &requests)?;
    Ok(RequestsMade { out: args.out, vocab: vocab_file, log })
}

impl Report for RequestsMade {
    fn human(&self) -> String {
        let log = &self.log;
        format!(
            "{}: {} requests from {} rows of {} users and {} items\n{}: {} external item ids",
            self.out.display(),
            log.requests,
            log.rows,
            log.users,
            log.items,
            self.vocab.display(),
            log.vocab_items
        )
    }

    fn warnings(&self) -> Vec<String> {
        let counts = [
            (self.log.rows_without_action, "rows match no clause of --actions and were left out"),
            (self.log.unknown_behaviours, "rows have items that the vocabulary does not know"),
        ];
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect()
    }
}
