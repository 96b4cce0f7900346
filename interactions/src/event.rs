//! One thing that a user did.

/// A behaviour with its labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Dense item id, `1..V`.
    pub item: u32,
    /// Action id, `1..A`: what the model is told about it afterwards.
    pub action: u16,
    /// Bit `n` is set where the behaviour is a positive of task `n`.
    pub labels: u16,
    /// What it was worth, in the units of the log; 0 where nothing is known. Not negative.
    pub value: f32,
    /// Unix seconds.
    pub time: i64,
}

impl Event {
    /// Most tasks that labels have room for.
    pub const MAX_TASKS: usize = 16;

    /// Is this behaviour a positive of task `n`?
    #[must_use]
    pub const fn is_positive(&self, n: usize) -> bool {
        self.labels >> n & 1 == 1
    }
}
