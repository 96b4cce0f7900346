//! Whether graphs compute what they should: all runs in a table, and a section for each.

mod errors;
mod findings;
mod glossary;
mod head;
mod lines;
mod marks;
mod missing;
mod outputs;
mod relations;
mod run;
mod runs;
mod worst;

use super::{Page, parts};
use crate::data::{ParityPage, ParityRun};

/// So many runs have room in the list of sections; the table of runs has them all.
const LISTED: usize = 4;

/// The whole page.
pub(crate) fn html(page: &ParityPage) -> String {
    let mut sections = vec![runs::section(page)];
    sections.extend(missing::section(&page.missing));
    let listed = page.runs.len() <= LISTED;
    sections.extend(page.runs.iter().enumerate().map(|(at, run)| run::section(at, run, listed)));
    sections.push(parts::glossary(&glossary::TERMS));
    let page = Page {
        title: head::title(page),
        style: include_str!("style.css"),
        header: head::header(page),
        sections,
    };
    page.html()
}

/// Id of the section of a run.
fn id(at: usize) -> String {
    format!("run-{}", at + 1)
}

/// A kind of reference, as people say it.
fn against(run: &ParityRun) -> &str {
    match run.against.as_str() {
        "from-checkpoint" => "checkpoint",
        "same-file" => "same file",
        other => parts::or_none(other),
    }
}
