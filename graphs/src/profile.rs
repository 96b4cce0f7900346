//! The ranges that an engine is built for.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::dim::{Bindings, Dim};

/// Smallest, best and largest value of one symbol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Smallest value the engine accepts.
    pub min: usize,
    /// The value that kernels are chosen for.
    pub opt: usize,
    /// Largest value the engine accepts.
    pub max: usize,
}

impl Range {
    /// Is it `1 <= min <= opt <= max`?
    #[must_use]
    pub const fn is_ordered(self) -> bool {
        1 <= self.min && self.min <= self.opt && self.opt <= self.max
    }

    /// Is the size one of it?
    #[must_use]
    pub const fn contains(self, size: usize) -> bool {
        self.min <= size && size <= self.max
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.min, self.opt, self.max)
    }
}

/// Which end of a [`Range`] is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The smallest value.
    Min,
    /// The value that kernels are chosen for.
    Opt,
    /// The largest value.
    Max,
}

/// What is wrong with the text of a profile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// A part is not `name=min:opt:max`.
    #[error("profile part `{part}` is not `name=min:opt:max`")]
    Syntax {
        /// The part as typed.
        part: String,
    },
    /// Not a symbol of the graphs.
    #[error("profile names `{name}`, which no graph has")]
    Unknown {
        /// The name as typed.
        name: String,
    },
    /// One symbol twice.
    #[error("profile names `{name}` twice")]
    Twice {
        /// The symbol.
        name: String,
    },
    /// Not `1 <= min <= opt <= max`.
    #[error("profile range {name}={range} is not ordered `1 <= min <= opt <= max`")]
    Order {
        /// The symbol.
        name: String,
        /// The range as typed.
        range: Range,
    },
}

impl ProfileError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> String {
        let names = Profile::SYMBOLS.join(", ");
        format!("for example `batch=1:8:32,seq=1:128:256,candidates=1:256:1024`; names: {names}")
    }
}

/// Ranges of all symbols of the five graphs.
///
/// `batch` is `B`, `seq` is `T`, `new` is `t`, `kv` is `S`, `candidates` is `C` of the contract.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    ranges: BTreeMap<String, Range>,
}

impl Profile {
    /// The symbols that graphs use.
    pub const SYMBOLS: [&'static str; 5] = ["batch", "seq", "new", "kv", "candidates"];

    /// The profile of a model with histories of at most `max_seq_len` behaviours.
    #[must_use]
    pub fn for_model(max_seq_len: usize) -> Self {
        let history = Range { min: 1, opt: max_seq_len.div_ceil(2), max: max_seq_len };
        let new = Range { min: 1, opt: max_seq_len.min(8), max: max_seq_len };
        let ranges = [
            ("batch", Range { min: 1, opt: 8, max: 32 }),
            ("seq", history),
            ("new", new),
            ("kv", history),
            ("candidates", Range { min: 1, opt: 256, max: 1024 }),
        ];
        Self { ranges: ranges.into_iter().map(|(n, r)| (n.to_owned(), r)).collect() }
    }

    /// These ranges with those of `text` (`batch=1:8:32,seq=...`) in their place. `kv` and `new`
    /// follow `seq` unless they are named themselves.
    ///
    /// # Errors
    /// [`ProfileError`] for text that is not a profile, or a range that is not ordered.
    pub fn with(mut self, text: &str) -> Result<Self, ProfileError> {
        let typed = parse(text, &|name| Self::SYMBOLS.contains(&name))?;
        if let Some(seq) = typed.get("seq") {
            self.ranges.insert("kv".into(), *seq);
            let new = Range { min: 1, opt: seq.opt.min(8), max: seq.max };
            self.ranges.insert("new".into(), new);
        }
        self.ranges.extend(typed);
        Ok(self)
    }

    /// Only the ranges of `text`, of any symbols: for models that are not ours.
    ///
    /// # Errors
    /// As [`with`](Self::with), but for names.
    pub fn of_any(text: &str) -> Result<Self, ProfileError> {
        Ok(Self { ranges: parse(text, &|_| true)? })
    }

    /// These ranges for exactly `batch` rows.
    #[must_use]
    pub fn at_batch(self, batch: usize) -> Self {
        self.at("batch", Range { min: batch, opt: batch, max: batch })
    }

    /// These ranges with another one for `symbol`.
    #[must_use]
    pub fn at(mut self, symbol: &str, range: Range) -> Self {
        self.ranges.insert(symbol.to_owned(), range);
        self
    }

    /// Only the ranges of the symbols that a graph `has`.
    #[must_use]
    pub fn only(&self, has: impl Fn(&str) -> bool) -> Self {
        let ranges = self.ranges.iter().filter(|(symbol, _)| has(symbol));
        Self { ranges: ranges.map(|(symbol, range)| (symbol.clone(), *range)).collect() }
    }

    /// The ranges, by symbol.
    #[must_use]
    pub fn ranges(&self) -> &BTreeMap<String, Range> {
        &self.ranges
    }

    /// The range of one symbol.
    #[must_use]
    pub fn get(&self, symbol: &str) -> Option<Range> {
        self.ranges.get(symbol).copied()
    }

    /// All symbols at one end of their ranges.
    #[must_use]
    pub fn bindings(&self, end: End) -> Bindings {
        let pick = |r: &Range| match end {
            End::Min => r.min,
            End::Opt => r.opt,
            End::Max => r.max,
        };
        self.ranges.iter().map(|(n, r)| (n.clone(), pick(r))).collect()
    }

    /// `shape` at one end of the ranges; `None` when it has a symbol that no graph has.
    #[must_use]
    pub fn resolve(&self, shape: &[Dim], end: End) -> Option<Vec<usize>> {
        let bindings = self.bindings(end);
        shape.iter().map(|d| d.resolve(&bindings)).collect()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.ranges.iter().map(|(n, r)| format!("{n}={r}")).collect();
        f.write_str(&parts.join(","))
    }
}

fn parse(
    text: &str,
    is_known: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Range>, ProfileError> {
    let mut ranges = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let syntax = || ProfileError::Syntax { part: part.to_owned() };
        let (name, range) = part.split_once('=').ok_or_else(syntax)?;
        let name = name.trim();
        if !is_known(name) {
            return Err(ProfileError::Unknown { name: name.to_owned() });
        }
        let range: Range = range.parse().map_err(|()| syntax())?;
        if !range.is_ordered() {
            return Err(ProfileError::Order { name: name.to_owned(), range });
        }
        if ranges.insert(name.to_owned(), range).is_some() {
            return Err(ProfileError::Twice { name: name.to_owned() });
        }
    }
    Ok(ranges)
}

impl FromStr for Range {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Result<Vec<usize>, _> = text.split(':').map(|p| p.trim().parse()).collect();
        match parts.map_err(drop)?.as_slice() {
            [n] => Ok(Self { min: *n, opt: *n, max: *n }),
            [min, opt, max] => Ok(Self { min: *min, opt: *opt, max: *max }),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_replaces_defaults_and_kv_follows_seq() {
        let p = Profile::for_model(256).with("seq=1:64:128, batch=4").unwrap();
        assert_eq!(
            p.to_string(),
            "batch=4:4:4,candidates=1:256:1024,kv=1:64:128,new=1:8:128,seq=1:64:128"
        );
        assert_eq!(
            p.resolve(&["batch".into(), Dim::named("kv").plus(3)], End::Max),
            Some(vec![4, 131])
        );
    }

    #[test]
    fn foreign_symbols_have_ranges_too() {
        let p = Profile::of_any("N=3, height=1:2:4").unwrap();
        assert_eq!(p.to_string(), "N=3:3:3,height=1:2:4");
        assert!(Profile::of_any("N").is_err());
    }

    #[test]
    fn refuses_what_is_not_a_profile() {
        let refused = |text: &str| Profile::for_model(8).with(text).unwrap_err().to_string();
        assert_eq!(refused("batch"), "profile part `batch` is not `name=min:opt:max`");
        assert_eq!(refused("heads=1:2:3"), "profile names `heads`, which no graph has");
        assert_eq!(refused("batch=1,batch=2"), "profile names `batch` twice");
        assert_eq!(
            refused("seq=8:4:16"),
            "profile range seq=8:4:16 is not ordered `1 <= min <= opt <= max`"
        );
        assert_eq!(
            refused("seq=0:4:16"),
            "profile range seq=0:4:16 is not ordered `1 <= min <= opt <= max`"
        );
    }
}
