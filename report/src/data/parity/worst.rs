//! The request that came out worst.

/// A request, and why it is named.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorstRequest {
    /// Its index, from 0.
    pub index: u64,
    /// Who asked, where that is known.
    pub user: Option<String>,
    /// Share of its first places that are kept, ties forgiven.
    pub overlap: f64,
    /// Root mean square of the differences of its scores.
    pub score_error: f64,
    /// Behaviours in the history.
    pub history: u64,
    /// Candidates that were scored.
    pub candidates: u64,
    /// Items of the history, as many as are to be shown.
    pub items: Vec<String>,
    /// What the reference puts first, where it was kept.
    pub first_reference: Vec<String>,
    /// What the candidate puts first, where it was kept.
    pub first_candidate: Vec<String>,
}
