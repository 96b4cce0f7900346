//! Which part of the requests a calibration has seen.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::CalibrationError;

/// Shard `index` of `of`: the samples whose index leaves `index - 1` when divided by `of`. Written `i/n`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shard {
    index: u32,
    of: u32,
}

impl Shard {
    /// The one shard that has everything.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// The most shards that there may be.
    pub const MOST: u32 = 65_536;

    /// Shard `index`, from 1, of `of`; `None` unless `1 <= index <= of <=` [`Self::MOST`].
    #[must_use]
    pub fn new(index: u32, of: u32) -> Option<Self> {
        ((1..=of).contains(&index) && of <= Self::MOST).then_some(Self { index, of })
    }

    /// From 1.
    #[must_use]
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many shards there are.
    #[must_use]
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether sample `sample`, from 0, is in this shard.
    #[must_use]
    pub fn takes(self, sample: u64) -> bool {
        sample % u64::from(self.of) == u64::from(self.index - 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = CalibrationError;

    fn from_str(text: &str) -> Result<Self, CalibrationError> {
        let parts =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        parts
            .and_then(|(index, of)| Self::new(index, of))
            .ok_or_else(|| CalibrationError::ShardText { text: text.to_owned() })
    }
}

/// Shards seen so far. All of them are the same as [`Shard::WHOLE`], and are written so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "WireShards")]
pub(crate) struct Shards {
    of: u32,
    seen: BTreeSet<u32>,
}

impl Shards {
    pub(crate) fn one(shard: Shard) -> Self {
        Self { of: shard.of, seen: BTreeSet::from([shard.index]) }
    }

    pub(crate) fn seen(&self) -> Vec<Shard> {
        self.seen.iter().map(|index| Shard { index: *index, of: self.of }).collect()
    }

    pub(crate) fn missing(&self) -> Vec<Shard> {
        let all = (1..=self.of).filter(|index| !self.seen.contains(index));
        all.map(|index| Shard { index, of: self.of }).collect()
    }

    /// Shards of both.
    pub(crate) fn union(&self, other: &Self) -> Result<Self, CalibrationError> {
        if self.of != other.of {
            return Err(CalibrationError::ShardCount { ours: self.of, theirs: other.of });
        }
        if let Some(index) = self.seen.intersection(&other.seen).next() {
            let shard = Shard { index: *index, of: self.of };
            return Err(CalibrationError::ShardTwice { shard });
        }
        let seen: BTreeSet<_> = self.seen.union(&other.seen).copied().collect();
        if seen.len() == self.of as usize {
            return Ok(Self::one(Shard::WHOLE));
        }
        Ok(Self { of: self.of, seen })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireShards {
    of: u32,
    seen: BTreeSet<u32>,
}

impl TryFrom<WireShards> for Shards {
    type Error = &'static str;

    fn try_from(wire: WireShards) -> Result<Self, Self::Error> {
        let WireShards { of, seen } = wire;
        if seen.is_empty() || seen.iter().any(|index| Shard::new(*index, of).is_none()) {
            return Err("the shards are not numbers from 1 to their count");
        }
        Ok(Self { of, seen })
    }
}
