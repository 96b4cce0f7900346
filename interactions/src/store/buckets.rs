//! Rows on disk between the two passes, in files by the user's hash.
//!
//! Buckets are ranges of the hash, in its order: however many there are, taking one after the other gives
//! the users in the order of their hashes.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{InteractionsError, read_error, write_error};
use crate::event::part;
use crate::hash::Id;

/// Bytes that wait in memory for each open bucket.
const BUFFER: usize = 32 << 10;
/// Bits of the hash by which a bucket that is too large is split.
const SPLIT_BITS: u32 = 4;

/// A behaviour, before items have dense ids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Record {
    pub(super) user: Id,
    pub(super) time: i64,
    /// Items are numbered as they come.
    pub(super) item: u32,
    pub(super) value: f32,
    pub(super) action: u16,
    pub(super) labels: u16,
    /// Its place in the order of the log, among the rows of its bucket. Not on disk.
    pub(super) row: u32,
}

impl Record {
    const BYTES: usize = 36;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.user[0].to_le_bytes());
        bytes[8..16].copy_from_slice(&self.user[1].to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.item.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.value.to_le_bytes());
        bytes[32..34].copy_from_slice(&self.action.to_le_bytes());
        bytes[34..].copy_from_slice(&self.labels.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::BYTES], row: u32) -> Self {
        Self {
            user: [u64::from_le_bytes(part(bytes, 0)), u64::from_le_bytes(part(bytes, 8))],
            time: i64::from_le_bytes(part(bytes, 16)),
            item: u32::from_le_bytes(part(bytes, 24)),
            value: f32::from_le_bytes(part(bytes, 28)),
            action: u16::from_le_bytes(part(bytes, 32)),
            labels: u16::from_le_bytes(part(bytes, 34)),
            row,
        }
    }
}

/// Bucket files that are being written.
pub(super) struct Buckets {
    /// Leading bits of the hash that all rows here have in common.
    used: u32,
    /// The bits after those that choose the bucket.
    bits: u32,
    open: Vec<(Bucket, BufWriter<File>)>,
}

/// One complete bucket file.
pub(super) struct Bucket {
    path: PathBuf,
    /// Leading bits of the hash that all rows here have in common.
    used: u32,
    records: u64,
    first: Id,
    /// Whether it has more than one user.
    mixed: bool,
}

impl Buckets {
    /// Opens `2^bits` files whose names begin with `prefix`.
    pub(super) fn create(prefix: &Path, used: u32, bits: u32) -> Result<Self, InteractionsError> {
        let open = (0..1_u32 << bits).map(|number| {
            let mut name = prefix.as_os_str().to_owned();
            name.push(format!("-{number:03}"));
            let path = PathBuf::from(name);
            let file = File::create(&path).map_err(write_error(&path))?;
            let file = BufWriter::with_capacity(BUFFER, file);
            Ok((Bucket { path, used: used + bits, records: 0, first: [0; 2], mixed: false }, file))
        });
        Ok(Self { used, bits, open: open.collect::<Result<_, InteractionsError>>()? })
    }

    /// Appends a row to the bucket of its user.
    pub(super) fn push(&mut self, record: &Record) -> Result<(), InteractionsError> {
        let rest = record.user[0].checked_shl(self.used).unwrap_or(0);
        let index = rest.checked_shr(u64::BITS - self.bits).unwrap_or(0);
        let (bucket, file) = &mut self.open[index as usize];
        file.write_all(&record.to_bytes()).map_err(write_error(&bucket.path))?;
        if bucket.records == 0 {
            bucket.first = record.user;
        }
        bucket.mixed |= bucket.first != record.user;
        bucket.records += 1;
        Ok(())
    }

    /// The buckets in the order of the hash. Empty ones are gone.
    pub(super) fn finish(self) -> Result<Vec<Bucket>, InteractionsError> {
        let mut full = Vec::new();
        for (bucket, mut file) in self.open {
            file.flush().map_err(write_error(&bucket.path))?;
            if bucket.records > 0 {
                full.push(bucket);
            } else {
                fs::remove_file(&bucket.path).map_err(write_error(&bucket.path))?;
            }
        }
        Ok(full)
    }
}

impl Bucket {
    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Hands the rows to `visit`, at most `limit` at a time but all of a user's together, in the order of
    /// the users' hashes. The file is deleted on the way.
    pub(super) fn consume(
        self,
        limit: u64,
        visit: &mut dyn FnMut(Vec<Record>) -> Result<(), InteractionsError>,
    ) -> Result<(), InteractionsError> {
        let Some(smaller) = self.split(limit)? else {
            let mut records = Vec::with_capacity(usize::try_from(self.records).unwrap_or(0));
            self.each(|record| {
                records.push(record);
                Ok(())
            })?;
            self.remove()?;
            return visit(records);
        };
        self.remove()?;
        smaller.into_iter().try_for_each(|bucket| bucket.consume(limit, visit))
    }

    /// Smaller buckets of the same rows, `None` where this one is small enough or has one user.
    fn split(&self, limit: u64) -> Result<Option<Vec<Self>>, InteractionsError> {
        if self.records <= limit || !self.mixed || self.used + SPLIT_BITS > u64::BITS {
            return Ok(None);
        }
        let mut buckets = Buckets::create(&self.path, self.used, SPLIT_BITS)?;
        self.each(|record| buckets.push(&record))?;
        buckets.finish().map(Some)
    }

    fn each(
        &self,
        mut visit: impl FnMut(Record) -> Result<(), InteractionsError>,
    ) -> Result<(), InteractionsError> {
        let file = File::open(&self.path).map_err(read_error(&self.path))?;
        let mut file = BufReader::with_capacity(BUFFER, file);
        let mut bytes = [0; Record::BYTES];
        for row in 0..self.records {
            file.read_exact(&mut bytes).map_err(read_error(&self.path))?;
            visit(Record::from_bytes(&bytes, u32::try_from(row).unwrap_or(u32::MAX)))?;
        }
        Ok(())
    }

    fn remove(&self) -> Result<(), InteractionsError> {
        fs::remove_file(&self.path).map_err(write_error(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(user: Id, time: i64) -> Record {
        Record { user, time, item: 3, value: 1.5, action: 2, labels: 5, row: 0 }
    }

    /// Users by groups, times of all rows in the order in which they come.
    fn consumed(users: &[Id], bits: u32, limit: u64) -> (Vec<Vec<Id>>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let mut buckets = Buckets::create(&dir.path().join("b"), 0, bits).unwrap();
        for (time, user) in (0..).zip(users) {
            buckets.push(&record(*user, time)).unwrap();
        }
        let mut groups = Vec::new();
        for bucket in buckets.finish().unwrap() {
            let mut visit = |records: Vec<Record>| {
                assert!(records.windows(2).all(|w| w[0].row < w[1].row && w[0].time < w[1].time));
                assert!(records.iter().all(|r| Record { row: 0, ..*r } == record(r.user, r.time)));
                groups.push(records.into_iter().map(|r| r.user).collect());
                Ok(())
            };
            bucket.consume(limit, &mut visit).unwrap();
        }
        (groups, fs::read_dir(dir.path()).unwrap().count())
    }

    #[test]
    fn buckets_are_ranges_of_the_hash() {
        let users = [[u64::MAX, 1], [0, 2], [1 << 63, 3], [5, 4]];
        let low = vec![[0, 2], [5, 4]];
        let high = vec![[u64::MAX, 1], [1 << 63, 3]];
        assert_eq!(consumed(&users, 0, 9), (vec![users.to_vec()], 0));
        assert_eq!(consumed(&users, 1, 9), (vec![low.clone(), high], 0));
        assert_eq!(consumed(&users, 8, 9).0, [low, vec![[1 << 63, 3]], vec![[u64::MAX, 1]]]);
    }

    #[test]
    fn a_bucket_that_is_too_large_is_split_down_to_single_users() {
        let users = [[7 << 56, 1], [3, 2], [7 << 56, 1], [9 << 56, 0], [4, 0]];
        let (groups, files) = consumed(&users, 0, 1);
        assert_eq!(groups, [vec![[3, 2]], vec![[4, 0]], vec![[7 << 56, 1]; 2], vec![[9 << 56, 0]]]);
        assert_eq!(files, 0);
        let same = [[6, 1], [6, 2], [6, 1]];
        assert_eq!(consumed(&same, 2, 1).0, [same.to_vec()], "64 bits decide, however alike");
    }
}
