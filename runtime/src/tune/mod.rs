//! Mixed precision by budget: which products can run on 8-bit numbers before the order of candidates suffers more
//! than it may.
//!
//! Each product is first tried alone, which tells what it costs. Then products join in the order of what they
//! save for what they cost, and every set that is kept was measured as a whole: costs do not simply add up.

mod budget;

pub use budget::{Budget, BudgetError, Figure, Held, Limit};

use serde::Serialize;

use crate::parity::{Accuracy, RequestAccuracy};

/// A product that may run on 8-bit numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Product {
    /// Its canonical name.
    pub name: String,
    /// Multiplications and additions over all requests.
    pub flops: u64,
    /// Whether its activation can be smoothed.
    pub smoothable: bool,
}

/// How a product runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// In 16 bits.
    Wide,
    /// On 8-bit numbers.
    Narrow,
    /// On 8-bit numbers, its activation smoothed.
    Smoothed,
}

/// What a product costs when it alone runs on 8-bit numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The product.
    pub product: String,
    /// The better of the ways.
    pub way: Way,
    /// Error of the scores, in standard deviations of a request's scores.
    pub score_error: f64,
    /// Mean overlap, ties forgiven.
    pub overlap: f64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tuned {
    /// How each product runs, in the order of the products.
    pub ways: Vec<Way>,
    /// Each product alone, the least harmful for what it saves first.
    pub sensitivity: Vec<Sensitivity>,
    /// The limits, measured on the whole.
    pub held: Vec<Held>,
    /// The whole.
    pub accuracy: Accuracy,
    /// Share of the FLOPs of products with weights that run on 8-bit numbers.
    pub narrow_share: f64,
    /// How many sets were measured.
    pub measured: usize,
}

/// Candidates whose reference scores are closer than this many standard deviations may swap.
pub const TIE: f64 = 0.01;

/// Runs the model with each product in its way, on real requests.
pub type Measure<'m, E> = dyn FnMut(&[Way]) -> Result<Vec<RequestAccuracy>, E> + 'm;

/// Measures sets of products.
struct Search<'a, 'm, E> {
    products: &'a [Product],
    budget: &'a Budget,
    measure: &'a mut Measure<'m, E>,
    measured: usize,
}

/// Looks for the set of products that saves the most FLOPs and keeps the budget. `measure` runs the model
/// with each product in its way.
///
/// The result keeps the budget unless not even 16 bits do: then no product is narrow, and
/// [`Tuned::held`] says which limit fails.
///
/// # Errors
/// Those of `measure`.
pub fn tune<E>(
    products: &[Product],
    budget: &Budget,
    measure: &mut Measure<'_, E>,
) -> Result<Tuned, E> {
    let mut search = Search { products, budget, measure, measured: 0 };
    let order = search.sensitivity()?;
    let mut ways = vec![Way::Wide; products.len()];
    let mut best = search.try_out(&ways)?;
    if best.iter().all(|r| r.1.iter().all(|h| h.holds)) {
        // As many of the cheapest as keep the budget, by bisection; then one by one what still fits.
        let (mut fits, mut fails) = (0, order.len() + 1);
        while fails - fits > 1 {
            let middle = fits.midpoint(fails);
            let tried = with(&ways, &order[..middle], products);
            let found = search.try_out(&tried)?;
            if holds(&found) {
                (fits, best) = (middle, found);
            } else {
                fails = middle;
            }
        }
        ways = with(&ways, &order[..fits], products);
        for one in order.iter().skip(fits + 1) {
            let tried = with(&ways, std::slice::from_ref(one), products);
            let found = search.try_out(&tried)?;
            if holds(&found) {
                (ways, best) = (tried, found);
            }
        }
    }
    let requests: Vec<RequestAccuracy> = best.into_iter().flat_map(|(r, _)| r).collect();
    let flops = |narrow: bool| -> u64 {
        let each = products.iter().zip(&ways);
        each.filter(|(_, w)| !narrow || **w != Way::Wide).map(|(p, _)| p.flops).sum()
    };
    Ok(Tuned {
        held: budget.check(&requests),
        accuracy: Accuracy::over(&requests, budget.k(), TIE).unwrap_or(NOTHING),
        narrow_share: flops(true) as f64 / flops(false).max(1) as f64,
        ways,
        sensitivity: order,
        measured: search.measured,
    })
}

/// Of no request.
const NOTHING: Accuracy = Accuracy {
    requests: 0,
    k: 0,
    tie: TIE,
    overlap: 0.0,
    overlap_p05: 0.0,
    overlap_exact: 0.0,
    kendall: 0.0,
    dc_reference: 0.0,
    dc: 0.0,
    dc_shift: 0.0,
    score_error: 0.0,
};

type Found = Option<(Vec<RequestAccuracy>, Vec<Held>)>;

fn holds(found: &Found) -> bool {
    found.as_ref().is_some_and(|(_, held)| held.iter().all(|h| h.holds))
}

fn with(ways: &[Way], more: &[Sensitivity], products: &[Product]) -> Vec<Way> {
    let mut ways = ways.to_vec();
    for one in more {
        if let Some(at) = products.iter().position(|p| p.name == one.product) {
            ways[at] = one.way;
        }
    }
    ways
}

impl<E> Search<'_, '_, E> {
    fn try_out(&mut self, ways: &[Way]) -> Result<Found, E> {
        self.measured += 1;
        let requests = (self.measure)(ways)?;
        let held = self.budget.check(&requests);
        Ok(Some((requests, held)))
    }

    /// Each product alone in its better way, the most FLOPs for the least error first.
    fn sensitivity(&mut self) -> Result<Vec<Sensitivity>, E> {
        let mut all = Vec::with_capacity(self.products.len());
        for (at, product) in self.products.iter().enumerate() {
            let mut best: Option<Sensitivity> = None;
            for way in [Way::Narrow, Way::Smoothed] {
                if way == Way::Smoothed && !product.smoothable {
                    continue;
                }
                let mut ways = vec![Way::Wide; self.products.len()];
                ways[at] = way;
                self.measured += 1;
                let requests = (self.measure)(&ways)?;
                let Some(found) = Accuracy::over(&requests, self.budget.k(), TIE) else { continue };
                let (score_error, overlap) = (found.score_error, found.overlap);
                if best.as_ref().is_none_or(|b| score_error < b.score_error) {
                    let product = product.name.clone();
                    best = Some(Sensitivity { product, way, score_error, overlap });
                }
            }
            all.extend(best.map(|b| (b.score_error.max(1e-9) / product.flops.max(1) as f64, b)));
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(all.into_iter().map(|(_, s)| s).collect())
    }
}
