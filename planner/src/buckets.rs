//! The buckets with the least padding.

use crate::{histogram::Histogram, plan::Limits};

/// Sizes of at most `limits.buckets` buckets, ascending, the last one `limits.largest`: padding every request up to the
/// next of them costs least, and of equal costs the fewest buckets win.
///
/// A request of size `s` in a bucket of size `b` costs `b - s`. Buckets are multiples of `limits.multiple`, but for the
/// last one. A best bucket ends at a size that is asked for, rounded up: one further up would pad more and take no
/// request more. So the ends to choose from are at most as many as the sizes, `n`, and the dynamic program over them is
/// exact. With `W` requests between two ends the cost of a bucket is `b W` minus a sum that no choice changes, which is
/// a Monge function: `(b' - b) W(a, a') >= 0` for ends `a <= a' <= b <= b'`. So the best place of the bucket before moves up with the
/// end, each layer takes `O(n log n)` (divide and conquer), and what one more bucket saves never grows: the first that
/// saves nothing is the last that is tried.
pub(crate) fn sizes(histogram: &Histogram, limits: Limits) -> Vec<usize> {
    let ends = Ends::of(histogram, limits);
    let n = ends.sizes.len();
    let mut costs: Vec<u128> = (0..=n).map(|j| if j == 0 { 0 } else { ends.cost(0, j) }).collect();
    let mut before: Vec<Vec<usize>> = Vec::new();
    for k in 2..=limits.buckets.min(n) {
        let (next, from) = layer(&ends, &costs, k);
        if next[n] >= costs[n] {
            break;
        }
        costs = next;
        before.push(from);
    }
    let mut at = n;
    let mut chosen = vec![ends.sizes[n - 1]];
    for from in before.iter().rev() {
        at = from[at];
        chosen.push(ends.sizes[at - 1]);
    }
    chosen.reverse();
    chosen
}

/// Least costs of `k` buckets, and where the bucket before ends, by the end of the last bucket; from those of `k - 1`.
fn layer(ends: &Ends, costs: &[u128], k: usize) -> (Vec<u128>, Vec<usize>) {
    let n = ends.sizes.len();
    let (mut next, mut from) = (vec![u128::MAX; n + 1], vec![0; n + 1]);
    // Ends still to do, and between which the bucket before may end.
    let mut work = vec![(k, n, k - 1, n - 1)];
    while let Some((low, high, least, most)) = work.pop() {
        let end = low.midpoint(high);
        let before = (least..=most.min(end - 1)).map(|i| (costs[i] + ends.cost(i, end), i));
        (next[end], from[end]) = before.min().unwrap_or((u128::MAX, least));
        if low < end {
            work.push((low, end - 1, least, from[end]));
        }
        if end < high {
            work.push((end + 1, high, from[end], most));
        }
    }
    (next, from)
}

/// Where buckets may end, and how many requests lie below.
struct Ends {
    sizes: Vec<usize>,
    /// Requests of the first so many ends.
    below: Vec<u128>,
}

impl Ends {
    fn of(histogram: &Histogram, limits: Limits) -> Self {
        let (mut sizes, mut below) = (Vec::new(), vec![0]);
        let mut total = 0;
        for (size, requests) in histogram.iter().chain([(limits.largest, 0)]) {
            let end = size.max(1).next_multiple_of(limits.multiple).min(limits.largest);
            total += u128::from(requests);
            if sizes.last() == Some(&end) {
                below.pop();
            } else {
                sizes.push(end);
            }
            below.push(total);
        }
        Self { sizes, below }
    }

    /// Positions of one bucket at end `j`, for the requests above end `i`; ends count from 1.
    fn cost(&self, i: usize, j: usize) -> u128 {
        self.sizes[j - 1] as u128 * (self.below[j] - self.below[i])
    }
}
