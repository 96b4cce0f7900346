//! How close the order of candidates is to the reference's, over requests.

use serde::Serialize;

/// Key figures over all requests.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Figures {
    /// Requests with candidates.
    pub requests: u64,
    /// `k` of the overlaps.
    pub k: u64,
    /// Candidates whose reference scores are closer than this many standard deviations of the request's
    /// scores may swap.
    pub tie: f64,
    /// Mean share of the first `k` that belong there, ties forgiven.
    pub overlap: f64,
    /// Its 5th percentile over requests.
    pub overlap_p05: f64,
    /// Mean share of the first `k` that belong there, no tie forgiven.
    pub overlap_exact: f64,
    /// Mean of Kendall's tau over pairs of candidates that are not tied, -1 to 1.
    pub kendall: f64,
    /// Mean distribution consistency of the reference, nats.
    pub dc_reference: f64,
    /// Mean distribution consistency in this precision, nats.
    pub dc: f64,
    /// Mean over requests of its absolute change, nats.
    pub dc_shift: f64,
    /// Mean over requests of the rms error of the scores, in standard deviations of the request's scores.
    pub score_error: f64,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RequestRow {
    /// Who asked.
    pub user: String,
    /// Behaviours in the history.
    pub history: u64,
    /// Candidates that were scored.
    pub candidates: u64,
    /// Share of the first `k` that belong there, ties forgiven.
    pub overlap: f64,
    /// The same, no tie forgiven.
    pub overlap_exact: f64,
    /// Kendall's tau, -1 to 1.
    pub kendall: f64,
}

/// Some requests, or some places in their lists, and how many of the places stay.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Group {
    /// What they have in common: `tail`, `50–99`.
    pub label: String,
    /// How many of [`Self::unit`] there are.
    pub count: u64,
    /// What is counted: `places`, `requests`.
    pub unit: String,
    /// Mean share of the first `k` that belong there.
    pub overlap: f64,
    /// 95 % interval of it, where there is one.
    pub interval: Option<[f64; 2]>,
}

/// 97.5th percentile of the normal distribution.
const Z: f64 = 1.96;

impl Group {
    /// Of `of` places in the reference's first `k`, `kept` are among the first `k` still. The interval is
    /// Wilson's: places count as independent, so it is rather too narrow.
    #[must_use]
    pub fn of_places(label: impl Into<String>, kept: u64, of: u64) -> Self {
        let n = of as f64;
        let share = kept as f64 / n;
        let shrink = 1.0 + Z * Z / n;
        let centre = (share + Z * Z / (2.0 * n)) / shrink;
        let half = Z / shrink * (share * (1.0 - share) / n + (Z / (2.0 * n)).powi(2)).sqrt();
        let interval = (of > 0).then(|| [centre - half, centre + half].map(|v| v.clamp(0.0, 1.0)));
        Self { label: label.into(), count: of, unit: "places".into(), overlap: share, interval }
    }

    /// Requests with these overlaps. The interval is the mean ± 1.96 standard errors, within 0 and 1; one
    /// request has none.
    #[must_use]
    pub fn of_requests(label: impl Into<String>, overlaps: &[f64]) -> Self {
        let n = overlaps.len() as f64;
        let mean = overlaps.iter().sum::<f64>() / n;
        let squares = overlaps.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let half = Z * (squares / (n - 1.0) / n).sqrt();
        let interval = [mean - half, mean + half].map(|v| v.clamp(0.0, 1.0));
        Self {
            label: label.into(),
            count: overlaps.len() as u64,
            unit: "requests".into(),
            overlap: mean,
            interval: (overlaps.len() > 1).then_some(interval),
        }
    }
}

/// Overlap request by request, summed up.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Requests {
    /// Requests by overlap: entry `i` of `n + 1` counts those nearest to `i / n`.
    pub histogram: Vec<u64>,
    /// Requests whose overlap is no number; nowhere else but in [`Self::worst`].
    pub not_finite: u64,
    /// By length of the history.
    pub by_history: Vec<Group>,
    /// The worst requests, the worst first.
    pub worst: Vec<RequestRow>,
}

/// Shortest histories of the groups.
const LENGTHS: [u64; 11] = [0, 1, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
/// Most bins of overlaps.
const BINS: u64 = 20;

impl Requests {
    /// Sums up requests whose overlap is of the first `k`, and keeps the `worst` ones.
    #[must_use]
    pub fn of(rows: &[RequestRow], k: u64, worst: usize) -> Self {
        let finite = || rows.iter().filter(|r| r.overlap.is_finite());
        let bins = k.clamp(1, BINS);
        let mut histogram = vec![0; bins as usize + 1];
        for row in finite() {
            histogram[(row.overlap.clamp(0.0, 1.0) * bins as f64).round() as usize] += 1;
        }
        let mut by_history = Vec::new();
        for (at, from) in LENGTHS.iter().enumerate() {
            let below = LENGTHS.get(at + 1).copied();
            let inside =
                |r: &&RequestRow| r.history >= *from && below.is_none_or(|below| r.history < below);
            let overlaps: Vec<f64> = finite().filter(inside).map(|r| r.overlap).collect();
            if !overlaps.is_empty() {
                by_history.push(Group::of_requests(length(*from, below), &overlaps));
            }
        }
        let not_finite = (rows.len() - finite().count()) as u64;
        Self { histogram, not_finite, by_history, worst: worst_of(rows, worst) }
    }
}

fn length(from: u64, below: Option<u64>) -> String {
    match below {
        Some(below) if below == from + 1 => from.to_string(),
        Some(below) => format!("{from}–{}", below - 1),
        None => format!("{from} or more"),
    }
}

/// Those without a number first, then by overlap, Kendall's tau and user.
fn worst_of(rows: &[RequestRow], most: usize) -> Vec<RequestRow> {
    let key = |v: f64| if v.is_nan() { f64::NEG_INFINITY } else { v };
    let mut rows: Vec<&RequestRow> = rows.iter().collect();
    rows.sort_by(|a, b| {
        let overlap = key(a.overlap).total_cmp(&key(b.overlap));
        let kendall = key(a.kendall).total_cmp(&key(b.kendall));
        overlap.then(kendall).then_with(|| a.user.cmp(&b.user))
    });
    rows.into_iter().take(most).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_that_of_the_textbook() {
        let group = Group::of_places("tail", 80, 100);
        let [low, high] = group.interval.unwrap();
        assert!((low - 0.7112).abs() < 1e-4 && (high - 0.8666).abs() < 1e-4, "{low} {high}");
        assert_eq!(Group::of_places("none", 0, 0).interval, None);
    }

    #[test]
    fn requests_fall_into_bins_and_lengths() {
        let row = |user: &str, history, overlap| RequestRow {
            user: user.into(),
            history,
            overlap,
            ..RequestRow::default()
        };
        let rows = [
            row("a", 3, 1.0),
            row("b", 4, 0.9),
            row("c", 5000, 0.2),
            row("d", 0, 1.0),
            row("e", 9, f64::NAN),
        ];
        let found = Requests::of(&rows, 10, 2);
        assert_eq!(found.histogram, [0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(found.not_finite, 1);
        let labels: Vec<_> = found.by_history.iter().map(|g| (g.label.as_str(), g.count)).collect();
        assert_eq!(labels, [("0", 1), ("1–4", 2), ("2000 or more", 1)]);
        assert_eq!(found.by_history[0].interval, None);
        assert_eq!(found.worst.iter().map(|r| r.user.as_str()).collect::<Vec<_>>(), ["e", "c"]);
    }
}
