//! What a precision may cost.

use std::{fmt, str::FromStr};

use serde::Serialize;

use crate::parity::RequestAccuracy;

/// Limits that all have to hold: `top10-overlap>=0.98@p05,kendall>=0.99,dc-shift<=0.02`.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    limits: Vec<Limit>,
}

/// One figure and its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    figure: Figure,
    /// Over requests: this percentile from the bad end; the mean without one.
    percentile: Option<f64>,
    bound: f64,
}

/// What is measured of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Share of the first `k` that belong there, ties forgiven: at least.
    Overlap {
        /// `k`.
        k: usize,
    },
    /// Kendall's tau: at least.
    Kendall,
    /// Absolute change of the distribution consistency, nats: at most.
    DcShift,
    /// Error of the scores, in standard deviations of the request's scores: at most.
    ScoreError,
}

impl Figure {
    const fn wants_much(self) -> bool {
        matches!(self, Self::Overlap { .. } | Self::Kendall)
    }

    fn of(self, request: &RequestAccuracy) -> f64 {
        match self {
            Self::Overlap { .. } => request.overlap,
            Self::Kendall => request.kendall,
            Self::DcShift => (request.dc - request.dc_reference).abs(),
            Self::ScoreError => request.score_error,
        }
    }
}

/// A limit and what was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    /// The limit, as it was typed.
    pub limit: String,
    /// What was measured.
    pub found: f64,
    /// Does it hold?
    pub holds: bool,
}

impl Budget {
    /// `k` of its overlaps, 10 without any; all have the same.
    #[must_use]
    pub fn k(&self) -> usize {
        let k = |limit: &Limit| match limit.figure {
            Figure::Overlap { k } => Some(k),
            _ => None,
        };
        self.limits.iter().find_map(k).unwrap_or(10)
    }

    /// Every limit against some requests.
    #[must_use]
    pub fn check(&self, requests: &[RequestAccuracy]) -> Vec<Held> {
        self.limits.iter().map(|limit| limit.check(requests)).collect()
    }
}

impl Limit {
    fn check(&self, requests: &[RequestAccuracy]) -> Held {
        let mut values: Vec<f64> = requests.iter().map(|r| self.figure.of(r)).collect();
        let found = match self.percentile {
            None => values.iter().sum::<f64>() / values.len().max(1) as f64,
            Some(percent) => {
                // The bad end first.
                values.sort_by(f64::total_cmp);
                if !self.figure.wants_much() {
                    values.reverse();
                }
                let at = (values.len() as f64 * percent / 100.0) as usize;
                values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
            }
        };
        let holds =
            if self.figure.wants_much() { found >= self.bound } else { found <= self.bound };
        Held { limit: self.to_string(), found, holds }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.figure {
            Figure::Overlap { k } => write!(f, "top{k}-overlap>={}", self.bound)?,
            Figure::Kendall => write!(f, "kendall>={}", self.bound)?,
            Figure::DcShift => write!(f, "dc-shift<={}", self.bound)?,
            Figure::ScoreError => write!(f, "score-error<={}", self.bound)?,
        }
        match self.percentile {
            Some(percent) => write!(f, "@p{percent:02}"),
            None => Ok(()),
        }
    }
}

/// A budget that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("budget `{text}`: {reason}")]
pub struct BudgetError {
    /// The part that is wrong.
    pub text: String,
    /// Why.
    pub reason: String,
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let limits: Vec<Limit> = text
            .split(',')
            .map(|part| {
                let refuse = |reason: String| BudgetError { text: part.to_owned(), reason };
                limit(part.trim()).map_err(refuse)
            })
            .collect::<Result<_, _>>()?;
        let mut ks = limits.iter().filter_map(|limit| match limit.figure {
            Figure::Overlap { k } => Some(k),
            _ => None,
        });
        let first = ks.next();
        if ks.any(|k| Some(k) != first) {
            let reason = "overlaps of several k".to_owned();
            return Err(BudgetError { text: text.to_owned(), reason });
        }
        Ok(Self { limits })
    }
}

fn limit(part: &str) -> Result<Limit, String> {
    let (name, rest, much) = match (part.split_once(">="), part.split_once("<=")) {
        (Some((name, rest)), _) => (name, rest, true),
        (_, Some((name, rest))) => (name, rest, false),
        _ => return Err("needs `figure>=number` or `figure<=number`".into()),
    };
    let figure = figure(name)?;
    if figure.wants_much() != much {
        let sign = if figure.wants_much() { ">=" } else { "<=" };
        return Err(format!("`{name}` is limited with {sign}"));
    }
    let (bound, percentile) = match rest.split_once("@p") {
        Some((bound, percent)) => (bound, Some(number(percent)?)),
        None => (rest, None),
    };
    if percentile.is_some_and(|p| !(0.0..=50.0).contains(&p)) {
        return Err("percentiles count from the bad end, @p00 to @p50".into());
    }
    Ok(Limit { figure, percentile, bound: number(bound)? })
}

fn figure(name: &str) -> Result<Figure, String> {
    let k = name.strip_prefix("top").and_then(|rest| rest.strip_suffix("-overlap"));
    match (name, k.map(str::parse)) {
        (_, Some(Ok(k))) if k > 0 => Ok(Figure::Overlap { k }),
        ("kendall", _) => Ok(Figure::Kendall),
        ("dc-shift", _) => Ok(Figure::DcShift),
        ("score-error", _) => Ok(Figure::ScoreError),
        _ => Err(format!(
            "`{name}` is no figure; known: top10-overlap (any k), kendall, dc-shift, score-error"
        )),
    }
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite()).ok_or(format!("`{text}` is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(overlap: f64, dc: f64) -> RequestAccuracy {
        RequestAccuracy {
            overlap,
            overlap_exact: overlap,
            kendall: overlap,
            dc_reference: 0.0,
            dc,
            score_error: 0.0,
        }
    }

    #[test]
    fn a_budget_reads_as_it_is_written() {
        let text = "top10-overlap>=0.98@p05,kendall>=0.99,dc-shift<=0.02";
        let budget: Budget = text.parse().unwrap();
        let held = budget.check(&[request(1.0, 0.0)]);
        let texts: Vec<_> = held.iter().map(|h| h.limit.as_str()).collect();
        assert_eq!(texts.join(","), text);
        assert!(held.iter().all(|h| h.holds));
        assert_eq!(budget.k(), 10);
    }

    #[test]
    fn percentiles_count_from_the_bad_end() {
        let requests: Vec<_> =
            (0..100).map(|i| request(f64::from(i) / 100.0, f64::from(i))).collect();
        let found = |text: &str| text.parse::<Budget>().unwrap().check(&requests)[0].found;
        assert_eq!(found("top10-overlap>=0@p05"), 0.05);
        assert_eq!(found("dc-shift<=0@p05"), 94.0);
        assert_eq!(found("dc-shift<=0"), 49.5);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, reason) in [
            ("", "needs `figure>=number`"),
            ("overlap>=1", "`overlap` is no figure"),
            ("kendall<=1", "limited with >="),
            ("dc-shift>=1", "limited with <="),
            ("kendall>=x", "`x` is no number"),
            ("kendall>=NaN", "`NaN` is no number"),
            ("kendall>=0.9@p99", "@p00 to @p50"),
            ("top0-overlap>=0.9", "no figure"),
            ("top5-overlap>=0.9,top10-overlap>=0.9", "several k"),
        ] {
            let error = text.parse::<Budget>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
