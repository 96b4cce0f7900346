//! Reports and errors on the terminal, or as JSON. The only place that prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where printing belongs")]

mod progress;
mod table;

use serde::Serialize;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, judge};

pub(crate) use progress::Bars;
pub(crate) use table::{Table, bytes, figure, seconds};

/// What a command returns.
pub(crate) trait Report: Serialize {
    /// For people: whole lines, without a line break at the end.
    fn human(&self) -> String;

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
    pub(crate) fn of(report: &impl Report) -> Self {
        Self {
            human: report.human(),
            warnings: report.warnings(),
            json: serde_json::to_value(report).unwrap_or_default(),
            exit: report.exit(),
        }
    }
}

/// Shows a report and says how the program ends.
pub(crate) fn report(report: &Shown, json: bool) -> Exit {
    if json {
        println!("{:#}", report.json);
    } else {
        for warning in &report.warnings {
            eprintln!("warning: {warning}");
        }
        println!("{}", report.human);
    }
    report.exit
}

/// Shows an error with its causes and its advice.
pub(crate) fn error(error: &anyhow::Error, json: bool) -> Exit {
    let (exit, hint) = judge(error);
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    if json {
        let value = json!({"error": causes.join(": "), "hint": hint, "exit": exit as u8});
        println!("{value:#}");
        return exit;
    }
    eprintln!("error: {}", causes.join(": "));
    if let Some(hint) = hint {
        eprintln!(" hint: {hint}");
    }
    exit
}

/// Sends log records to the error stream: warnings by default, more with `-v`, `ONR_LOG` overrides.
pub(crate) fn start_log(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let default =
        format!("off,onr={level},onr_exporter={level},onr_runtime={level},tensorrt={level}");
    let filter = EnvFilter::try_from_env("ONR_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
}
