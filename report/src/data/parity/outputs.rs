//! Differences of one output of a graph.

/// Differences of one output from the reference's, over all requests.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutputFigures {
    /// The graph.
    pub graph: String,
    /// The output. A number between dots is a layer: `present.3.key`.
    pub output: String,
    /// Largest difference of an element.
    pub max_abs: f64,
    /// Largest difference, relative to the element or to the rms of its request's output, whichever is larger.
    pub max_rel: f64,
    /// Root mean square of the differences.
    pub rms_error: f64,
    /// Root mean square of the reference.
    pub rms_reference: f64,
    /// Smallest cosine of a request.
    pub min_cosine: Option<f64>,
    /// Power of the reference over that of the differences, decibels; `None` where nothing differs.
    pub sqnr_db: Option<f64>,
    /// Largest distance in numbers that the output's type can represent.
    pub max_ulp: Option<u64>,
    /// The rms error over the one that rounding the weights alone makes.
    pub error_ratio: Option<f64>,
    /// What it must keep to.
    pub limit: Option<OutputLimit>,
    /// Index of the request with the largest difference.
    pub worst_request: Option<u64>,
}

/// A limit for the differences of an output, in its own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OutputLimit {
    /// For the largest difference of an element.
    Largest(f64),
    /// For the root mean square of the differences.
    Rms(f64),
}

impl OutputLimit {
    /// The number.
    #[must_use]
    pub const fn value(self) -> f64 {
        match self {
            Self::Largest(value) | Self::Rms(value) => value,
        }
    }
}

impl OutputFigures {
    /// An error in units of the reference's rms, where that is a number.
    pub(crate) fn relative(&self, error: f64) -> Option<f64> {
        let relative = error / self.rms_reference;
        // No error is none, whatever the size of the output.
        if error == 0.0 { Some(0.0) } else { Some(relative).filter(|r| r.is_finite()) }
    }
}
