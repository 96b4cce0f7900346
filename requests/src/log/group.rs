//! A log in memory: compact columns, then grouped by user and ordered by time.

use std::collections::HashMap;

/// Texts numbered in the order in which they first came.
#[derive(Default)]
pub(super) struct Interner {
    numbers: HashMap<Box<str>, u32>,
}

impl Interner {
    /// The number of `text`; `None` when there are too many texts.
    fn number(&mut self, text: &str) -> Option<u32> {
        if let Some(&number) = self.numbers.get(text) {
            return Some(number);
        }
        let number = u32::try_from(self.numbers.len()).ok()?;
        self.numbers.insert(text.into(), number);
        Some(number)
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The texts, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.numbers.keys().map(|name| &**name)
    }

    /// The texts with their numbers, in no order.
    pub(super) fn into_pairs(self) -> impl Iterator<Item = (Box<str>, u32)> {
        self.numbers.into_iter()
    }
}

/// The candidates that a user was shown with one behaviour.
pub(super) struct Shown {
    time: i64,
    /// Interned items, each once, in their order.
    pub(super) items: Box<[u32]>,
}

/// A log as it was read.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) rows: u64,
    pub(super) rows_without_action: u64,
    pub(super) users: Interner,
    pub(super) items: Interner,
    /// By user: what was shown with the latest behaviour so far.
    pub(super) shown: Vec<Option<Shown>>,
    user: Vec<u32>,
    item: Vec<u32>,
    time: Vec<i64>,
    action: Vec<i32>,
}

impl Collected {
    /// Adds a behaviour; `None` when there are too many. `shown` lists external item ids, separated by
    /// spaces or `|`.
    pub(super) fn push(
        &mut self,
        user: &str,
        item: &str,
        time: i64,
        action: i32,
        shown: Option<&str>,
    ) -> Option<()> {
        u32::try_from(self.user.len() + 1).ok()?;
        let user = self.users.number(user)?;
        self.user.push(user);
        self.item.push(self.items.number(item)?);
        self.time.push(time);
        self.action.push(action);
        shown.map_or(Some(()), |text| self.show(user as usize, time, text))
    }

    fn show(&mut self, user: usize, time: i64, text: &str) -> Option<()> {
        let mut items: Vec<u32> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for name in text.split(|c: char| c == '|' || c.is_whitespace()).filter(|n| !n.is_empty()) {
            let item = self.items.number(name)?;
            if seen.insert(item) {
                items.push(item);
            }
        }
        if self.shown.len() <= user {
            self.shown.resize_with(user + 1, || None);
        }
        // Of behaviours at the same time the later in the log is the later one.
        let slot = &mut self.shown[user];
        if slot.as_ref().is_none_or(|old| old.time <= time) {
            *slot = Some(Shown { time, items: items.into() });
        }
        Some(())
    }

    /// How often each interned item occurs in a behaviour.
    pub(super) fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.items.len()];
        self.item.iter().for_each(|&item| counts[item as usize] += 1);
        counts
    }

    /// Takes the behaviours out, grouped.
    pub(super) fn group(&mut self) -> Grouped {
        let mut offsets = vec![0_usize; self.users.len() + 1];
        self.user.iter().for_each(|&user| offsets[user as usize + 1] += 1);
        for user in 1..offsets.len() {
            offsets[user] += offsets[user - 1];
        }
        let mut next = offsets.clone();
        let mut order = vec![0_u32; self.user.len()];
        for (row, user) in (0_u32..).zip(std::mem::take(&mut self.user)) {
            let slot = &mut next[user as usize];
            order[*slot] = row;
            *slot += 1;
        }
        for pair in offsets.windows(2) {
            // Stable, and the rows of a user are in log order: so are equal times.
            order[pair[0]..pair[1]].sort_by_key(|&row| self.time[row as usize]);
        }
        let item = permute(&order, std::mem::take(&mut self.item));
        let time = permute(&order, std::mem::take(&mut self.time));
        let action = permute(&order, std::mem::take(&mut self.action));
        Grouped { offsets, item, time, action }
    }
}

fn permute<T: Copy>(order: &[u32], values: Vec<T>) -> Vec<T> {
    order.iter().map(|&row| values[row as usize]).collect()
}

/// Behaviours, user after user, each user's ordered by time; the behaviours of user `u` are
/// `offsets[u]..offsets[u + 1]`.
pub(super) struct Grouped {
    pub(super) offsets: Vec<usize>,
    /// Interned items.
    pub(super) item: Vec<u32>,
    pub(super) time: Vec<i64>,
    pub(super) action: Vec<i32>,
}

impl Grouped {
    /// The behaviours of a user.
    pub(super) fn range(&self, user: u32) -> std::ops::Range<usize> {
        self.offsets[user as usize]..self.offsets[user as usize + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_user_and_orders_by_time_then_log() {
        let mut log = Collected::default();
        for (user, item, time) in
            [("b", "x", 9), ("a", "y", 5), ("b", "z", 3), ("b", "y", 9), ("b", "w", 3)]
        {
            log.push(user, item, time, 1, None).unwrap();
        }
        assert_eq!(log.counts(), [1, 2, 1, 1]);
        let grouped = log.group();
        assert_eq!(grouped.range(0), 0..4);
        assert_eq!(grouped.item, [2, 3, 0, 1, 1]);
        assert_eq!(grouped.time, [3, 3, 9, 9, 5]);
    }

    #[test]
    fn the_latest_candidates_stay() {
        let mut log = Collected::default();
        for (time, shown) in [(5, "a b|a"), (9, "c"), (9, " d | e "), (7, "f")] {
            log.push("u", "x", time, 1, Some(shown)).unwrap();
        }
        let names: HashMap<u32, Box<str>> = log.items.into_pairs().map(|(n, i)| (i, n)).collect();
        let shown: Vec<_> =
            log.shown[0].as_ref().unwrap().items.iter().map(|i| &*names[i]).collect();
        assert_eq!(shown, ["d", "e"]);
    }
}
