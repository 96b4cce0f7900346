//! Reports and errors on the terminal, or as JSON. The only place that prints.

mod progress;
mod table;

use std::io::{self, ErrorKind, Write as _};

use serde::Serialize;
use serde_json::{Value, json};
use tracing_subscriber::{
    filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::exit::{Exit, judge};

pub(crate) use progress::Bars;
pub(crate) use table::{Table, bytes, figure, listed, seconds, wrapped};

/// How much people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What fits a screen.
    Short,
    /// `-v`: everything.
    All,
}

/// What a command returns.
pub(crate) trait Report: Serialize {
    /// For people: whole lines, without a line break at the end.
    fn human(&self, detail: Detail) -> String;

    /// What people should know beside the result; it goes to the error stream.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// How the program ends after this report.
    fn exit(&self) -> Exit {
        Exit::Fine
    }
}

/// A report in both its forms.
pub(crate) struct Shown {
    human: String,
    warnings: Vec<String>,
    json: Value,
    exit: Exit,
}

impl Shown {
    pub(crate) fn of(report: &impl Report, detail: Detail) -> Self {
        let warnings = report.warnings();
        let mut json = serde_json::to_value(report).unwrap_or_default();
        if let Value::Object(fields) = &mut json {
            fields.insert("warnings".into(), json!(warnings));
        }
        Self { human: report.human(detail), warnings, json, exit: report.exit() }
    }
}

/// Shows a report and says how the program ends.
pub(crate) fn report(report: &Shown, json: bool) -> Exit {
    let text = if json { format!("{:#}", report.json) } else { report.human.clone() };
    if !json {
        for warning in &report.warnings {
            say(&format!("warning: {warning}"));
        }
    }
    match print(&text) {
        Ok(()) => report.exit,
        Err(cause) => {
            say(&format!("error: cannot write the report: {cause}"));
            Exit::Wrong
        }
    }
}

/// A line on standard output. A reader that has gone, as `head` does, is no error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// A line on the error stream, if that is still there.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Help, the version, or a command line that clap refused.
pub(crate) fn refused(error: &clap::Error, json: bool) -> Exit {
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Fine };
    if !json || exit == Exit::Fine {
        // Clap knows which stream each belongs to.
        let _ = error.print();
        return exit;
    }
    let text = error.render().to_string();
    let (what, more) = text.split_once("\n\n").unwrap_or((&text, ""));
    let what = what.trim().trim_start_matches("error: ");
    let hint = (!more.trim().is_empty()).then(|| more.trim());
    let value = json!({"error": what, "hint": hint, "exit": exit as u8});
    let _ = print(&format!("{value:#}"));
    exit
}

/// Shows an error with its causes and its advice.
pub(crate) fn error(error: &anyhow::Error, json: bool) -> Exit {
    let (exit, hint) = judge(error);
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    if json {
        let value = json!({"error": causes.join(": "), "hint": hint, "exit": exit as u8});
        let _ = print(&format!("{value:#}"));
        return exit;
    }
    say(&format!("error: {}", causes.join(": ")));
    if let Some(hint) = hint {
        say(&format!(" hint: {hint}"));
    }
    exit
}

/// Sends log records to the error stream: warnings by default, more with `-v`, `ONR_LOG` overrides.
/// What vendors' libraries warn of is theirs, and a report has what of it matters: with `-v` only.
pub(crate) fn start_log(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let vendor = if verbose == 0 { "error" } else { level };
    let crates =
        ["", "_evaluation", "_exporter", "_interactions", "_requests", "_runtime", "_training"];
    let ours = crates.map(|c| format!("onr{c}={level}"));
    let theirs = ["onr_runtime::backends::ort", "tensorrt"].map(|c| format!("{c}={vendor}"));
    let default = format!("off,{},{}", ours.join(","), theirs.join(","));
    let typed = std::env::var("ONR_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = typed.or_else(|| default.parse().ok()).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time();
    tracing_subscriber::registry().with(lines).with(filter).init();
}
