//! Which numbers of the file went where: none twice by mistake, and none forgotten unseen.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::Range,
};

/// One reading of a foreign tensor.
#[derive(Clone, Debug)]
pub(super) struct Use {
    /// Tensor of the model.
    pub(super) target: String,
    /// Rule that says so.
    pub(super) rule: String,
    /// Does the rule expect other readers?
    pub(super) share: bool,
    /// What was read; `None` for all of it.
    pub(super) taken: Option<Taken>,
}

/// A slice of an axis of `len`.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) axis: usize,
    pub(super) range: Range<usize>,
    pub(super) len: usize,
}

/// All readings, by foreign tensor.
#[derive(Default)]
pub(super) struct Uses(BTreeMap<String, Vec<Use>>);

impl Uses {
    pub(super) fn add(&mut self, name: &str, one: Use) {
        self.0.entry(name.to_owned()).or_default().push(one);
    }

    /// Does anybody read the tensor of this name?
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Numbers that two readers get though no rule says `share`; one problem for a pair of rules.
    pub(super) fn conflicts(&self) -> Vec<String> {
        let mut told = BTreeSet::new();
        let mut problems = Vec::new();
        for (name, uses) in &self.0 {
            for (i, b) in uses.iter().enumerate() {
                let clash = |a: &&Use| !a.share && !b.share && a.overlaps(b);
                let Some(a) = uses[..i].iter().find(clash) else { continue };
                if told.insert((&a.rule, &b.rule)) {
                    problems.push(format!(
                        "`{name}` is read for `{}` ({}) and for `{}` ({}); say `share = true` in a \
                         rule if they are tied",
                        a.target, a.rule, b.target, b.rule
                    ));
                }
            }
        }
        problems
    }

    /// Foreign tensors that nobody read, and slices of those that were read in part.
    pub(super) fn unused<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut unused = Vec::new();
        for name in names {
            match self.0.get(name) {
                None => unused.push(name.to_owned()),
                Some(uses) => unused.extend(gaps(name, uses)),
            }
        }
        unused
    }
}

impl Use {
    fn overlaps(&self, other: &Self) -> bool {
        match (&self.taken, &other.taken) {
            (Some(a), Some(b)) => {
                a.axis == b.axis && a.range.start < b.range.end && b.range.start < a.range.end
            }
            _ => true,
        }
    }
}

/// The slices of one axis that no use takes. Uses along different axes are not compared.
fn gaps(name: &str, uses: &[Use]) -> Vec<String> {
    let taken: Option<Vec<&Taken>> = uses.iter().map(|u| u.taken.as_ref()).collect();
    let Some(mut taken) = taken else { return Vec::new() };
    let Some(Taken { axis, len, .. }) = taken.first().copied() else { return Vec::new() };
    if taken.iter().any(|t| t.axis != *axis) {
        return Vec::new();
    }
    taken.sort_by_key(|t| t.range.start);
    let mut gaps = Vec::new();
    let mut end = 0;
    let ranges = taken.iter().map(|t| t.range.clone()).chain(iter::once(*len..*len));
    for range in ranges {
        if range.start > end {
            gaps.push(format!("{name} ({end}..{} of axis {axis})", range.start));
        }
        end = end.max(range.end);
    }
    gaps
}
