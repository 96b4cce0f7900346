//! Reports for people: figures in, one HTML page out that needs nothing else. [`PrecisionReport`] says what a
//! precision costs and can be had as JSON, too; [`ParityPage`] says whether graphs compute what they should.
//!
//! A page has its style and its drawings inside, runs no script and loads nothing; it follows the reader's
//! choice of light or dark, and prints. The same report gives the same bytes: no dates, no random ids.
//!
//! Never here: measuring, reading or writing files, other crates of ours. Whoever measured fills in the fields.

mod data;
mod element;
mod number;
mod page;
mod svg;

pub use data::{
    Alone, Cell, Consistency, Density, Figures, FileSize, GraphSize, Group, Left, LeftNode, Limit,
    Magnitudes, MissingBackend, OrderFigures, Outcome, OutputFigures, OutputLimit, ParityCheck,
    ParityPage, ParityRun, PrecisionReport, Product, RequestRow, Requests, Scores, Sizes, Way,
    WorstRequest,
};

/// Why a report can't be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The JSON can't be made.
    #[error("the report can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl PrecisionReport {
    /// One HTML page. All text is escaped; what is not known or not a number is shown as "–".
    #[must_use]
    pub fn html(&self) -> String {
        page::precision(self)
    }

    /// The report as JSON, indented. Numbers that are not finite become `null`.
    ///
    /// # Errors
    /// [`ReportError::Json`], which no report is known to cause.
    pub fn json(&self) -> Result<String, ReportError> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

impl ParityPage {
    /// One HTML page. All text is escaped; what is not known or not a number is shown as "–".
    #[must_use]
    pub fn html(&self) -> String {
        page::parity(self)
    }
}
