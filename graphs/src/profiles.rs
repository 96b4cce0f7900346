//! Several profiles for one plan: ranges of a symbol that follow each other, in every combination with those of other
//! symbols.

use std::{collections::BTreeMap, fmt};

use crate::profile::{Profile, Range};

/// Ranges of one symbol, disjoint and without gaps from 1 on, and the sizes that requests are padded to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    profiles: Vec<Range>,
    buckets: Vec<usize>,
}

/// What is wrong with an [`Axis`]. Keys are those of the file: `seq.profiles[1]` is the second range of `seq`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AxisError {
    /// Not a symbol that has several ranges.
    #[error("`{symbol}` is none of {}", Profiles::AXES.join(", "))]
    Unknown {
        /// The key.
        symbol: String,
    },
    /// A list without entries.
    #[error("{symbol}.{list} is empty")]
    Empty {
        /// The symbol.
        symbol: String,
        /// `profiles` or `buckets`.
        list: &'static str,
    },
    /// Not `min:opt:max`, or not ordered.
    #[error("{symbol}.profiles[{at}] = {text} is not `min:opt:max` with 1 <= min <= opt <= max")]
    Range {
        /// The symbol.
        symbol: String,
        /// Place in the list, from 0.
        at: usize,
        /// What stands there.
        text: String,
    },
    /// Two ranges that share sizes, or stand in the wrong order.
    #[error("{symbol}.profiles[{at}] = {range} overlaps or precedes the one before it, {before}")]
    Overlap {
        /// The symbol.
        symbol: String,
        /// Place of the second one.
        at: usize,
        /// The second one.
        range: Range,
        /// The first one.
        before: Range,
    },
    /// Sizes that no range takes.
    #[error("{symbol}.profiles[{at}] = {range} leaves a gap before it: {}", sizes(*.from, range.min - 1))]
    Gap {
        /// The symbol.
        symbol: String,
        /// Place of the range behind the gap.
        at: usize,
        /// The range behind the gap.
        range: Range,
        /// The first size without a range.
        from: usize,
    },
    /// Buckets that do not ascend from 1 or more.
    #[error("{symbol}.buckets[{at}] = {bucket} is not above {below}")]
    Unsorted {
        /// The symbol.
        symbol: String,
        /// Place in the list, from 0.
        at: usize,
        /// What stands there.
        bucket: usize,
        /// The one before, or 0.
        below: usize,
    },
    /// The last bucket is not where the ranges end.
    #[error("{symbol}.buckets ends at {bucket}, {symbol}.profiles at {range}")]
    Ends {
        /// The symbol.
        symbol: String,
        /// The last bucket.
        bucket: usize,
        /// The largest size of the ranges.
        range: usize,
    },
    /// Sizes that the model does not take.
    #[error("{symbol}.profiles ends at {last}, beyond max_seq_len = {most}")]
    Beyond {
        /// The symbol.
        symbol: String,
        /// The largest size of the ranges.
        last: usize,
        /// The model's longest history.
        most: usize,
    },
}

fn sizes(from: usize, to: usize) -> String {
    if from == to {
        format!("size {from} has no profile")
    } else {
        format!("sizes {from} to {to} have no profile")
    }
}

impl Axis {
    /// Checks the ranges and buckets of `symbol`.
    ///
    /// # Errors
    /// [`AxisError`], the first one in the order of the lists.
    pub fn new(
        symbol: &str,
        profiles: Vec<Range>,
        buckets: Vec<usize>,
        max_seq_len: usize,
    ) -> Result<Self, AxisError> {
        let named = || symbol.to_owned();
        if !Profiles::AXES.contains(&symbol) {
            return Err(AxisError::Unknown { symbol: named() });
        }
        check_ranges(symbol, &profiles)?;
        check_buckets(symbol, &buckets)?;
        let axis = Self { profiles, buckets };
        let (range, bucket) = (axis.hull().max, axis.buckets[axis.buckets.len() - 1]);
        if range != bucket {
            return Err(AxisError::Ends { symbol: named(), bucket, range });
        }
        if symbol != "candidates" && range > max_seq_len {
            return Err(AxisError::Beyond { symbol: named(), last: range, most: max_seq_len });
        }
        Ok(axis)
    }

    /// In ascending order.
    #[must_use]
    pub fn profiles(&self) -> &[Range] {
        &self.profiles
    }

    /// In ascending order.
    #[must_use]
    pub fn buckets(&self) -> &[usize] {
        &self.buckets
    }

    /// All ranges as one; its best size is that of the middle one.
    #[must_use]
    pub fn hull(&self) -> Range {
        let last = self.profiles.len() - 1;
        let opt = self.profiles[last / 2].opt;
        Range { min: self.profiles[0].min, opt, max: self.profiles[last].max }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<_> = self.profiles.iter().map(Range::to_string).collect();
        let buckets: Vec<_> = self.buckets.iter().map(usize::to_string).collect();
        write!(f, "{} (buckets {})", ranges.join(", "), buckets.join(", "))
    }
}

fn check_ranges(symbol: &str, ranges: &[Range]) -> Result<(), AxisError> {
    let symbol = || symbol.to_owned();
    if ranges.is_empty() {
        return Err(AxisError::Empty { symbol: symbol(), list: "profiles" });
    }
    let mut before: Option<Range> = None;
    for (at, &range) in ranges.iter().enumerate() {
        if !range.is_ordered() {
            return Err(AxisError::Range { symbol: symbol(), at, text: range.to_string() });
        }
        if let Some(before) = before.filter(|before| range.min <= before.max) {
            return Err(AxisError::Overlap { symbol: symbol(), at, range, before });
        }
        let from = before.map_or(1, |before| before.max + 1);
        if range.min > from {
            return Err(AxisError::Gap { symbol: symbol(), at, range, from });
        }
        before = Some(range);
    }
    Ok(())
}

fn check_buckets(symbol: &str, buckets: &[usize]) -> Result<(), AxisError> {
    let symbol = || symbol.to_owned();
    if buckets.is_empty() {
        return Err(AxisError::Empty { symbol: symbol(), list: "buckets" });
    }
    let mut below = 0;
    for (at, &bucket) in buckets.iter().enumerate() {
        if bucket <= below {
            return Err(AxisError::Unsorted { symbol: symbol(), at, bucket, below });
        }
        below = bucket;
    }
    Ok(())
}

/// The profiles of all graphs of a model: one, or several for some symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiles {
    hull: Profile,
    axes: BTreeMap<String, Axis>,
}

impl Profiles {
    /// The symbols that may have several ranges. The batch has one: all requests that are joined must fit it.
    pub const AXES: [&'static str; 4] = ["seq", "new", "kv", "candidates"];

    /// `profile` with the ranges of `axes` in the place of its own.
    #[must_use]
    pub fn new(profile: Profile, axes: BTreeMap<String, Axis>) -> Self {
        let hull = axes.iter().fold(profile, |all, (symbol, axis)| all.at(symbol, axis.hull()));
        Self { hull, axes }
    }

    /// The smallest profile that takes whatever one of these takes.
    #[must_use]
    pub const fn hull(&self) -> &Profile {
        &self.hull
    }

    /// The symbols with several ranges, or with buckets.
    #[must_use]
    pub const fn axes(&self) -> &BTreeMap<String, Axis> {
        &self.axes
    }

    /// The profiles of a graph that `has` these symbols and no others: every combination of their ranges, those of the last
    /// symbol changing fastest. They are disjoint, and together they take what the hull takes.
    #[must_use]
    pub fn of(&self, has: impl Fn(&str) -> bool) -> Vec<Profile> {
        let mut all = vec![self.hull.only(&has)];
        for (symbol, axis) in self.axes.iter().filter(|(symbol, _)| has(symbol)) {
            let split = |profile: Profile| {
                axis.profiles.iter().map(move |range| profile.clone().at(symbol, *range))
            };
            all = all.into_iter().flat_map(split).collect();
        }
        all
    }
}

impl From<Profile> for Profiles {
    /// One profile for every graph.
    fn from(profile: Profile) -> Self {
        Self { hull: profile, axes: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(symbol: &str, profiles: &[&str], buckets: &[usize]) -> Result<Axis, AxisError> {
        let ranges = profiles.iter().map(|text| text.parse().unwrap()).collect();
        Axis::new(symbol, ranges, buckets.to_vec(), 64)
    }

    #[test]
    fn graphs_have_the_combinations_of_their_symbols() {
        let kv = axis("kv", &["1:8:16", "17:64:64"], &[8, 16, 64]).unwrap();
        let candidates = axis("candidates", &["1:4:4", "5:9:9"], &[4, 9]).unwrap();
        let axes = [("kv".to_owned(), kv), ("candidates".to_owned(), candidates)].into();
        let profiles = Profiles::new(Profile::for_model(64), axes);
        assert_eq!(
            profiles.hull().to_string(),
            "batch=1:8:32,candidates=1:4:9,kv=1:8:64,new=1:8:64,seq=1:32:64"
        );
        let of = |symbols: &[&str]| {
            let all = profiles.of(|s| symbols.contains(&s));
            all.iter().map(Profile::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(&["batch", "seq"]), ["batch=1:8:32,seq=1:32:64"]);
        assert_eq!(of(&["kv"]), ["kv=1:8:16", "kv=17:64:64"]);
        assert_eq!(
            of(&["kv", "candidates"]),
            [
                "candidates=1:4:4,kv=1:8:16",
                "candidates=1:4:4,kv=17:64:64",
                "candidates=5:9:9,kv=1:8:16",
                "candidates=5:9:9,kv=17:64:64"
            ]
        );
        assert_eq!(of(&[]), [""], "a graph of fixed shapes has one, and nothing in it");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |profiles: &[&str], buckets: &[usize]| {
            axis("seq", profiles, buckets).unwrap_err().to_string()
        };
        assert_eq!(refused(&[], &[4]), "seq.profiles is empty");
        assert_eq!(refused(&["1:4:4"], &[]), "seq.buckets is empty");
        assert_eq!(
            refused(&["1:9:4"], &[4]),
            "seq.profiles[0] = 1:9:4 is not `min:opt:max` with 1 <= min <= opt <= max"
        );
        for second in ["4:9:9", "1:2:3"] {
            let found = refused(&["2:4:4", second], &[9]);
            assert_eq!(
                found,
                "seq.profiles[0] = 2:4:4 leaves a gap before it: size 1 has no profile"
            );
            let found = refused(&["1:4:4", second], &[9]);
            let why = "overlaps or precedes the one before it, 1:4:4";
            assert_eq!(found, format!("seq.profiles[1] = {second} {why}"));
        }
        assert_eq!(
            refused(&["1:4:4", "8:9:9"], &[9]),
            "seq.profiles[1] = 8:9:9 leaves a gap before it: sizes 5 to 7 have no profile"
        );
        assert_eq!(refused(&["1:9:9"], &[0, 9]), "seq.buckets[0] = 0 is not above 0");
        assert_eq!(refused(&["1:9:9"], &[4, 4, 9]), "seq.buckets[1] = 4 is not above 4");
        assert_eq!(refused(&["1:9:9"], &[8]), "seq.buckets ends at 8, seq.profiles at 9");
        assert_eq!(refused(&["1:9:65"], &[65]), "seq.profiles ends at 65, beyond max_seq_len = 64");
        assert!(axis("candidates", &["1:9:65"], &[65]).is_ok(), "no history");
        let unknown = axis("batch", &["1:9:65"], &[65]).unwrap_err();
        assert_eq!(unknown.to_string(), "`batch` is none of seq, new, kv, candidates");
    }
}
