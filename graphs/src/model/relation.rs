//! How far apart a query and a behaviour are, in positions and in time, and the biases that follow.
//! Only behaviours have biases; fake items, tasks and candidates have none as keys.

use crate::{
    builder::{GraphBuilder, Result, Tensor},
    dtype::DType,
    model::Model,
};

/// Queries against the behaviours of a history: which bucket each pair falls in, and which pairs
/// may see each other. Shared by all layers; only the bias tables differ.
///
/// | field      | shape                | dtype |
/// |------------|----------------------|-------|
/// | `position` | `[B or 1, q, k]`     | I64   |
/// | `time`     | `[B, q, k]`          | I64   |
/// | `visible`  | `[B or 1, 1, q or 1, k]` | bool |
#[derive(Clone, Copy, Debug)]
pub(super) struct Relation {
    pub(super) position: Tensor,
    pub(super) time: Option<Tensor>,
    pub(super) visible: Tensor,
}

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
    /// `rel_pos_bias[h, b_pos] + time_bias[h, b_time]` of the current layer, F32,
    /// `[B or 1, H, q, k]`.
    pub(super) fn bias(self, g: &mut GraphBuilder, m: Model<'_>) -> Result {
        let position = looked_up(g, m, "rel_pos_bias", m.cfg.rel_pos_buckets, self.position)?;
        match self.time {
            None => Ok(position),
            Some(time) => {
                let time = looked_up(g, m, "time_bias", m.cfg.time_buckets, time)?;
                g.add(position, time)
            }
        }
    }
}

/// `table[H, buckets]` at `[b, q, k] -> [b, H, q, k]`
fn looked_up(
    g: &mut GraphBuilder,
    m: Model<'_>,
    table: &str,
    buckets: usize,
    index: Tensor,
) -> Result {
    let table = g.weight(table, m.narrow(), &[m.cfg.n_heads.into(), buckets.into()])?;
    let bias = g.gather(table, index, 1)?;
    let bias = g.transpose(bias, &[1, 0, 2, 3])?;
    g.cast(bias, DType::F32)
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
