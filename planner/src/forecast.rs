//! What padding costs.

use crate::plan::AxisPlan;

/// Positions that a graph computes for a sample of requests, one at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waste {
    /// Positions that were asked for.
    pub useful: u128,
    /// Positions that are computed with each size padded to its bucket.
    pub computed: u128,
    /// Positions that are computed with each size padded to the largest.
    pub single: u128,
}

impl Waste {
    /// Share of [`computed`](Self::computed) that is padding, 0 to 1.
    #[must_use]
    pub fn planned_share(&self) -> f64 {
        share(self.useful, self.computed)
    }

    /// Share of [`single`](Self::single) that is padding, 0 to 1.
    #[must_use]
    pub fn single_share(&self) -> f64 {
        share(self.useful, self.single)
    }
}

fn share(useful: u128, computed: u128) -> f64 {
    if computed == 0 { 0.0 } else { 1.0 - useful as f64 / computed as f64 }
}

/// Adds up the positions of a graph whose work grows with the product of `axes`: `T` for `encode`, `S x C` for `rank`.
/// `requests` has the sizes of each request on these axes. A size beyond a plan counts as it is.
pub fn forecast<const N: usize>(
    requests: impl IntoIterator<Item = [usize; N]>,
    axes: [&AxisPlan; N],
) -> Waste {
    let mut waste = Waste::default();
    for sizes in requests {
        let mut product = [1_u128; 3];
        for (size, axis) in sizes.into_iter().zip(axes) {
            let padded = axis.padded(size).unwrap_or(size);
            for (product, size) in product.iter_mut().zip([size, padded, axis.largest().max(size)])
            {
                *product *= size as u128;
            }
        }
        waste.useful += product[0];
        waste.computed += product[1];
        waste.single += product[2];
    }
    waste
}
