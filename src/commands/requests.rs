//! `onr requests`: from an interaction log.

use std::path::PathBuf;

use onr_exporter::{ExportError, read_model};
use onr_graphs::ModelConfig;
use onr_requests::{Actions, Columns, LogOptions, LogReport, RequestWriter, Vocab, from_log};
use serde::Serialize;

use crate::{
    args::{LogArgs, RequestsArgs},
    context::Context,
    settings::make_parent,
    show::{Detail, Report},
};

#[derive(Serialize)]
pub(crate) struct RequestsMade {
    out: PathBuf,
    vocab: PathBuf,
    #[serde(flatten)]
    log: LogReport,
}

pub(crate) fn run(args: RequestsArgs, context: &Context) -> anyhow::Result<RequestsMade> {
    let config = read_model(&args.model)?;
    let _made = make_parent(&args.out)?;
    // A place that cannot be written to is found before the log is read.
    drop(RequestWriter::create(&args.out)?);
    let vocab_file = args.vocab.unwrap_or_else(|| args.out.with_file_name("vocab.json"));
    let known = match vocab_file.exists() {
        true => Some(Vocab::read(&vocab_file)?),
        false => None,
    };
    let options = LogOptions {
        hold_out_last: args.hold_out_last,
        limit: args.limit,
        ..log_options(&args.log, &config)?
    };
    let is_new = known.is_none();
    let made = from_log(&args.interactions, known, &options)?;
    let log = made.report().clone();
    let vocab = made.vocab().clone();
    let mut writer = RequestWriter::create(&args.out)?;
    let progress = context.progress();
    progress.stage("requests", log.requests);
    for made in made {
        writer.write(&made.request)?;
        if progress.advance(1).is_break() {
            return Err(ExportError::Interrupted.into());
        }
    }
    // Requests without their vocabulary would be of no use, so both come or none does.
    if is_new {
        vocab.write(&vocab_file)?;
    }
    if let Err(e) = writer.finish() {
        if is_new {
            let _ = std::fs::remove_file(&vocab_file);
        }
        return Err(e.into());
    }
    Ok(RequestsMade { out: args.out, vocab: vocab_file, log })
}

/// How requests of a model are made of a log.
pub(super) fn log_options(args: &LogArgs, config: &ModelConfig) -> anyhow::Result<LogOptions> {
    let actions = match &args.action_column {
        Some(column) => Actions::Column(column.clone()),
        None => Actions::Rule(args.actions.parse()?),
    };
    Ok(LogOptions {
        columns: Columns {
            user: args.user.clone(),
            item: args.item.clone(),
            timestamp: args.timestamp.clone(),
            rating: args.rating.clone(),
            candidates: args.candidates_column.clone(),
        },
        actions,
        keep: args.keep,
        n_items: Some(config.n_items),
        n_actions: Some(config.n_actions),
        n_candidates: args.candidates,
        seed: args.seed,
        ..LogOptions::new(config.max_seq_len)
    })
}

/// What people should know about a log.
pub(super) fn noticed(log: &LogReport) -> Vec<String> {
    let counts = [
        (log.rows_without_action, "rows left out: no clause of --actions matches"),
        (log.unknown_behaviours, "rows with an item that the vocabulary does not know"),
    ];
    counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what}: {n}")).collect()
}

impl Report for RequestsMade {
    fn human(&self, _: Detail) -> String {
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
        noticed(&self.log)
    }
}
