//! How far apart a query and a behaviour are, in positions and in time, and the biases that follow.
//! Only behaviours have biases; fake items, tasks and candidates have none as keys.

use crate::{
    builder::{GraphBuilder, Result, Tensor},
    dtype::DType,
    model::Model,
};

/// Queries against the behaviours of a history: which buckets each pair falls in, and which pairs
/// may see each other. Shared by all layers; only the bias tables differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relation {
    buckets: Buckets,
    /// `[B or 1, 1, q or 1, k]`, bool.
    pub(super) visible: Tensor,
}

/// Where a pair's biases are looked up, I64.
#[derive(Clone, Copy, Debug)]
enum Buckets {
    /// `b_pos`, `[B or 1, q, k]`, in a model without times.
    Position(Tensor),
    /// `b_pos * Tb + b_time`, `[B, q, k]`: the place in one table of both biases' sums.
    Both(Tensor),
    /// `b_pos`, `[B or 1, q, k]`, and `b_time`, `[B, q, k]`, where that table would be too large.
    Apart(Tensor, Tensor),
}

/// Numbers that a table of both biases' sums has at most. It is computed when an engine is loaded or built, for each layer,
/// and should stay close to whoever looks up.
const LARGEST_TABLE: usize = 1 << 16;

/// `b_pos = min(max(p_query - p_key, 0), Rb - 1)`
pub(super) fn position_buckets(
    g: &mut GraphBuilder,
    m: Model<'_>,
    query: Tensor,
    key: Tensor,
) -> Result {
    let distance = g.sub(query, key)?;
    let (zero, last) = (g.int(0), g.int(m.cfg.rel_pos_buckets as i64 - 1));
    let distance = g.max(distance, zero)?;
    g.min(distance, last)
}

/// `b_time`: how many thresholds `c_k` are `<= max(|t_query - t_key|, 1)`, `k = 1 .. Tb - 1`.
///
/// An F32 logarithm guesses the count to within half a bucket, rounded down to `h`, so the count is
/// `h` or `h + 1`; comparing the integer `c_{h+1}` with the integer difference decides.
pub(super) fn time_buckets(
    g: &mut GraphBuilder,
    m: Model<'_>,
    query: Tensor,
    key: Tensor,
) -> Result {
    let difference = g.sub(query, key)?;
    let difference = g.abs(difference)?;
    let one = g.int(1);
    let difference = g.max(difference, one)?;

    let wide = g.cast(difference, DType::F32)?;
    let log = g.log(wide)?;
    let guess = g.scale(log, (1.0 / TIME_STEP) as f32)?;
    let half = g.float(DType::F32, 0.5);
    let guess = g.sub(guess, half)?;
    let guess = g.floor(guess)?;
    let guess = g.cast(guess, DType::I64)?;
    let (zero, last) = (g.int(0), g.int(m.cfg.time_buckets as i64 - 1));
    let guess = g.max(guess, zero)?;
    let guess = g.min(guess, last)?;

    let thresholds = g.ints(&next_thresholds(m.cfg.time_buckets));
    let next = g.gather(thresholds, guess, 0)?;
    let reached = g.less_or_equal(next, difference)?;
    let above = g.add(guess, one)?;
    g.select(reached, above, guess)
}

/// `c_k = ceil(e^(0.301 k))`
const TIME_STEP: f64 = 0.301;

/// The thresholds of the time bias, `c_1 .. c_{Tb - 1}`, seconds: a difference in time has as many
/// buckets below its own as there are thresholds that it reaches.
#[must_use]
pub fn time_thresholds(buckets: usize) -> Vec<i64> {
    (1..buckets).map(|k| (TIME_STEP * k as f64).exp().ceil() as i64).collect()
}

/// The thresholds, then one that nothing reaches.
fn next_thresholds(buckets: usize) -> Vec<i64> {
    [time_thresholds(buckets), vec![i64::MAX]].concat()
}

impl Relation {
    /// From buckets of positions `[B or 1, q, k]` and, where the model has them, of times `[B, q, k]`.
    pub(super) fn new(
        g: &mut GraphBuilder,
        m: Model<'_>,
        position: Tensor,
        time: Option<Tensor>,
        visible: Tensor,
    ) -> Result<Self> {
        let sums = m.cfg.n_heads * m.cfg.rel_pos_buckets * m.cfg.time_buckets;
        let buckets = match time {
            None => Buckets::Position(position),
            Some(time) if sums > LARGEST_TABLE => Buckets::Apart(position, time),
            Some(time) => {
                let row = g.int(m.cfg.time_buckets as i64);
                let row = g.mul(position, row)?;
                Buckets::Both(g.add(row, time)?)
            }
        };
        Ok(Self { buckets, visible })
    }

    /// `rel_pos_bias[h, b_pos] + time_bias[h, b_time]` of the current layer, F32,
    /// `[B or 1, H, q, k]`.
    pub(super) fn bias(self, g: &mut GraphBuilder, m: Model<'_>) -> Result {
        match self.buckets {
            Buckets::Position(position) => {
                let table = positions(g, m)?;
                looked_up(g, table, position)
            }
            Buckets::Both(index) => {
                let (position, time) = (positions(g, m)?, times(g, m)?);
                let (position, time) = (g.unsqueeze(position, 2)?, g.unsqueeze(time, 1)?);
                let sums = g.add(position, time)?;
                let rows = m.cfg.rel_pos_buckets * m.cfg.time_buckets;
                let table = g.reshape(sums, &[m.cfg.n_heads.into(), rows.into()])?;
                looked_up(g, table, index)
            }
            Buckets::Apart(position, time) => {
                let (positions, times) = (positions(g, m)?, times(g, m)?);
                let (position, time) =
                    (looked_up(g, positions, position)?, looked_up(g, times, time)?);
                g.add(position, time)
            }
        }
    }
}

/// `rel_pos_bias [H, Rb]` of the current layer, F32.
fn positions(g: &mut GraphBuilder, m: Model<'_>) -> Result {
    table(g, m, "rel_pos_bias", m.cfg.rel_pos_buckets)
}

/// `time_bias [H, Tb]` of the current layer, F32.
fn times(g: &mut GraphBuilder, m: Model<'_>) -> Result {
    table(g, m, "time_bias", m.cfg.time_buckets)
}

fn table(g: &mut GraphBuilder, m: Model<'_>, name: &str, buckets: usize) -> Result {
    let table = g.weight(name, m.narrow(), &[m.cfg.n_heads.into(), buckets.into()])?;
    g.cast(table, DType::F32)
}

/// `table [H, n]` at `[b, q, k] -> [b, H, q, k]`. All heads of a pair are looked up at once: engines turn the table
/// around when they load it, and reading `H` neighbours costs hardly more than reading one.
fn looked_up(g: &mut GraphBuilder, table: Tensor, index: Tensor) -> Result {
    let table = g.transpose(table, &[1, 0])?;
    let bias = g.gather(table, index, 0)?;
    g.transpose(bias, &[0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::next_thresholds;

    #[test]
    fn largest_threshold_of_145_buckets_is_an_i64() {
        let t = next_thresholds(145);
        assert_eq!(&t[..6], &[2, 2, 3, 4, 5, 7]);
        assert!(t.windows(2).all(|w| w[0] <= w[1]));
        assert!(t[143] < i64::MAX && t[144] == i64::MAX);
    }
}
