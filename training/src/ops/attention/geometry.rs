//! Who sees whom: queries in groups that see the same keys.

use std::ops::Range;

use onr_graphs::Attention;

/// Where a query finds its own key and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SelfKey {
    /// It does not see itself, or itself is among the other keys.
    None,
    /// Query `k` of the group is row `first + k` of the pool (fake items).
    Pool(u32),
    /// In columns V and K of its own row of the query matrix (candidates).
    Own,
}

/// Queries that see the same keys from the same place.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Rows of the output.
    pub(crate) queries: Range<u32>,
    /// Rows of the pool that are behaviours, in order: the two biases apply.
    pub(crate) behaviours: Range<u32>,
    /// Position of the queries; that of the first behaviour is 0.
    pub(crate) position: u32,
    /// Where the time buckets of the behaviours begin in [`Geometry::buckets`].
    pub(crate) buckets: u32,
    /// Rows of the pool that are seen without bias (fake items, tasks).
    pub(crate) prompt: Range<u32>,
    /// The query's own key and value.
    pub(crate) own: SelfKey,
}

/// All groups of one attention, which cover the rows of its output in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Geometry {
    pub(crate) groups: Vec<Group>,
    /// Row of the query matrix for each row of the output; `None`: the same row.
    pub(crate) rows: Option<Vec<u32>>,
    /// Time buckets, see [`Group::buckets`]. Empty without time bias.
    pub(crate) buckets: Vec<u8>,
}

impl Geometry {
    /// Rows of the output.
    pub(crate) fn n_queries(&self) -> usize {
        self.groups.last().map_or(0, |g| g.queries.end as usize)
    }

    #[inline(always)]
    pub(super) fn row(&self, query: usize) -> usize {
        self.rows.as_ref().map_or(query, |rows| rows[query] as usize)
    }
}

/// Sizes that attention needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) kind: Attention,
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
    /// `M`: the normaliser of HSTU.
    pub(crate) max_seq_len: usize,
    /// `Rb`
    pub(crate) rel_pos_buckets: usize,
    /// `Tb`
    pub(crate) time_buckets: usize,
    pub(crate) eps: f64,
}

impl Sizes {
    pub(super) const fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Numbers of the parameter vector: both bias tables, then weight and bias of the norm.
    pub(super) const fn n_params(&self) -> usize {
        self.heads * (self.rel_pos_buckets + self.time_buckets) + 2 * self.width()
    }

    /// Where a head's row of the position bias lies in the parameter vector.
    pub(super) const fn rel_pos(&self, head: usize) -> usize {
        head * self.rel_pos_buckets
    }

    /// Where a head's row of the time bias lies.
    pub(super) const fn time(&self, head: usize) -> usize {
        self.heads * self.rel_pos_buckets + head * self.time_buckets
    }

    /// Where the norm's weight lies; its bias follows.
    pub(super) const fn norm(&self) -> usize {
        self.heads * (self.rel_pos_buckets + self.time_buckets)
    }
}
