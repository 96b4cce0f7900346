//! Rules that look at one node and what it touches.
//!
//! Their order is that of the report: what the caller or the file's author decided, what cannot be said in the
//! target type, what its numbers forbid, what its operator does to errors.

use std::collections::BTreeMap;

use onr_onnx::ElemType;

use super::{
    CastError, CastJob,
    masks::Masks,
    numbers::{SMALLEST_NORMAL, too_small},
    ops::Kind,
    report::{Pinned, Rule},
    view::{View, bodies, own_domain},
};

/// Sums of up to so many terms stay narrow: an engine that accumulated them one by one in FP16 would be
/// off by 16 half steps, 0.8 %, at worst and by a tenth of that as a rule.
const SHORT: i64 = 16;

/// A rule, the value that decided, the number that decided.
pub(super) type Reason = (Rule, Option<String>, Option<f64>);

/// What the rules look at.
pub(super) struct Judge<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) job: &'a CastJob<'a>,
    pub(super) masks: &'a Masks,
    /// Integer constants of axes, by name.
    pub(super) axes: BTreeMap<String, Vec<i64>>,
}

impl Judge<'_> {
    /// Why a node stays in F32, if it does.
    pub(super) fn pin(&self, node: usize) -> Option<Pinned> {
        let checks: [fn(&Self, usize) -> Option<Reason>; 8] = [
            Self::keep,
            Self::operator,
            Self::untyped,
            Self::quantization,
            Self::integers,
            Self::constants,
            Self::measured,
            Self::kind,
        ];
        let reason = checks.iter().find_map(|check| check(self, node))?;
        Some(self.pinned(node, reason))
    }

    /// A node with its reason.
    pub(super) fn pinned(&self, node: usize, (rule, tensor, value): Reason) -> Pinned {
        let proto = self.view.node(node);
        let (node, op) = (proto.label().to_owned(), proto.op().to_owned());
        Pinned { node, op, rule, tensor, value }
    }

    fn keep(&self, node: usize) -> Option<Reason> {
        (self.job.keep)(self.view.node(node).label()).then_some((Rule::Keep, None, None))
    }

    fn operator(&self, node: usize) -> Option<Reason> {
        let proto = self.view.node(node);
        if bodies(proto).next().is_some() {
            return Some((Rule::Subgraph, None, None));
        }
        if !own_domain(proto) {
            return Some((Rule::UnknownOperator, None, None));
        }
        let bf16 = self.view.narrow.elem() == ElemType::Bfloat16;
        match self.view.op(node).map(|op| op.since(bf16)) {
            Some(since) if since <= self.view.opset => None,
            since => Some((Rule::UnsupportedType, None, since.map(as_f64))),
        }
    }

    fn untyped(&self, node: usize) -> Option<Reason> {
        let value = self.view.untyped(node)?;
        Some((Rule::UnknownType, Some(value.to_owned()), None))
    }

    /// `Q`, `DQ`, and what reads a `DQ`: a cast between them would break the pattern.
    fn quantization(&self, node: usize) -> Option<Reason> {
        let quantizes = |node: usize| self.view.kind(node) == Some(Kind::Quantize);
        if quantizes(node) {
            return Some((Rule::Quantization, None, None));
        }
        let made_by = |value: &&str| self.view.producer(value).is_some_and(quantizes);
        let value = self.view.computed(node).find(made_by)?;
        Some((Rule::Quantization, Some(value.to_owned()), None))
    }

    fn integers(&self, node: usize) -> Option<Reason> {
        let own = self.view.results(node).chain(self.view.computed(node));
        own.into_iter().find_map(|value| {
            let largest = self.wide_integers(value)?;
            Some((Rule::IntegerCast, Some(value.to_owned()), largest))
        })
    }

    /// Whether a value was an integer that may be too large to stay exact, and how large.
    fn wide_integers(&self, value: &str) -> Option<Option<f64>> {
        let node = self.view.producer(value)?;
        if self.view.kind(node) != Some(Kind::Convert) {
            return None;
        }
        let from = self.view.node(node).input.first()?;
        let bits = match self.view.type_of(from)? {
            ElemType::Bool | ElemType::Int8 | ElemType::Uint8 => return None,
            ElemType::Float => return None,
            other => other.bits(),
        };
        let exact = self.view.narrow.exact_integers();
        match self.measured_of(value) {
            Some(seen) if seen.max_abs <= exact => None,
            Some(seen) => Some(Some(f64::from(seen.max_abs))),
            None => (bits > 8).then_some(None),
        }
    }

    /// Constants that a node reads, masks apart.
    fn constants(&self, node: usize) -> Option<Reason> {
        self.view.ports(node).filter(|port| !port.fixed).find_map(|port| {
            let stats = self.view.constants.get(port.value)?;
            if self.masks.fills.contains_key(&(node, port.input)) {
                return None;
            }
            let reason = if stats.overflowing > 0 {
                (Rule::ConstantRange, stats.largest)
            } else if stats.vanishes() {
                (Rule::ConstantUnderflow, stats.smallest)
            } else {
                return None;
            };
            Some((reason.0, Some(port.value.to_owned()), Some(f64::from(reason.1))))
        })
    }

    fn measured(&self, node: usize) -> Option<Reason> {
        let mut touched = self.view.results(node).chain(self.view.computed(node));
        touched.find_map(|value| {
            let (rule, number) = self.out_of_range(value)?;
            Some((rule, Some(value.to_owned()), Some(number)))
        })
    }

    /// The rule that a measured value breaks, and its number: the largest magnitude, or the share of
    /// elements that are too small.
    pub(super) fn out_of_range(&self, value: &str) -> Option<(Rule, f64)> {
        let seen = self.measured_of(value)?;
        let masked = self.masks.masked.contains(value);
        if seen.max_abs >= self.view.narrow.overflow() && !masked {
            return Some((Rule::Overflow, f64::from(seen.max_abs)));
        }
        let small = self.view.narrow.elem() == ElemType::Float16
            && seen.max_abs > 0.0
            && too_small(seen.subnormal, seen.flushed, seen.count);
        #[expect(clippy::cast_precision_loss, reason = "a share that is shown")]
        let share = || seen.subnormal.max(seen.flushed) as f64 / seen.count as f64;
        small.then(|| (Rule::Underflow, share()))
    }

    fn measured_of(&self, value: &str) -> Option<crate::Measured> {
        self.job.measured?.get(value).copied()
    }

    /// What an operator does to errors.
    ///
    /// `LayerNormalization` has a `stash_type` that says F32 for its sums while input and output are narrow.
    /// ONNX Runtime follows it, TensorRT rounds the input first and its plugins differ, and both round the
    /// output. So norms get F32 inputs and nothing hangs on it.
    fn kind(&self, node: usize) -> Option<Reason> {
        match self.view.kind(node)? {
            Kind::Norm => Some((Rule::Norm, None, None)),
            Kind::Softmax => Some((Rule::Softmax, None, None)),
            Kind::Steep => Some((Rule::Steep, None, None)),
            Kind::Rank => Some((Rule::FinalScores, None, None)),
            Kind::Reduce => self.reduction(node),
            Kind::Quotient => self.quotient(node),
            _ => None,
        }
    }

    /// Products are not asked: hardware accumulates them in F32, or pads them to do so.
    fn reduction(&self, node: usize) -> Option<Reason> {
        let length = self.terms(node);
        let short = length.is_some_and(|length| length <= SHORT);
        (!short).then(|| (Rule::Reduction, None, length.map(as_f64)))
    }

    /// Number of terms that a `Reduce...` sums, where the file tells.
    fn terms(&self, node: usize) -> Option<i64> {
        let proto = self.view.node(node);
        let axes = match proto.attribute("axes") {
            Some(axes) => axes.ints.clone(),
            None => self.axes.get(proto.input.get(1)?)?.clone(),
        };
        let data = proto.input.first().filter(|_| proto.op().starts_with("Reduce"))?;
        let lengths = axes.iter().map(|axis| self.view.length(data, *axis));
        lengths.reduce(|a, b| a?.checked_mul(b?)).flatten()
    }

    /// Division is safe by a constant that is normal, and by what was measured and never small.
    fn quotient(&self, node: usize) -> Option<Reason> {
        let proto = self.view.node(node);
        let by = proto.input.last().filter(|by| self.view.is_float(by))?;
        let small = f64::from(SMALLEST_NORMAL);
        let number = match (self.view.constants.get(by.as_str()), self.measured_of(by)) {
            (Some(stats), _) if stats.subnormal == 0 => return None,
            (Some(stats), _) => Some(f64::from(stats.smallest)),
            (None, Some(seen)) if seen.subnormal == 0 && seen.flushed == 0 => return None,
            (None, Some(_)) => Some(small),
            (None, None) => None,
        };
        Some((Rule::Quotient, Some(by.clone()), number))
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths and opsets")]
const fn as_f64(number: i64) -> f64 {
    number as f64
}

/// Refuses measurements that are no numbers.
///
/// # Errors
/// [`CastError::NaN`].
pub(super) fn refuse_nan(job: &CastJob<'_>) -> Result<(), CastError> {
    let nan = job.measured.and_then(|all| all.iter().find(|(_, seen)| seen.max_abs.is_nan()));
    nan.map_or(Ok(()), |(tensor, _)| Err(CastError::NaN { tensor: tensor.clone() }))
}
