//! The search itself: from a value that is wrong to the first one that is, asking as few values at a time as
//! possible.
//!
//! Values are numbers in topological order. A value is first when it is wrong and all that it is made from is
//! right. What lies behind a right value is not looked at: it had no say, or its error does not matter.

use std::collections::{BTreeSet, HashSet};

/// Values that are asked for at once, at first. Asking for all would keep an engine from fusing anything.
const WIDTH: usize = 16;

/// How a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First {
    /// This value is wrong, and all that it is made from is right.
    Value(usize),
    /// This value is wrong, but right as soon as any of the `others` that it is made from is asked for.
    Together { value: usize, others: Vec<usize> },
}

/// Which of some values are wrong.
type Answers<E> = Result<Vec<bool>, E>;

/// From the wrong value `wrong` to the first one. `made_from` has the values that each value is made from,
/// and `ask` says of values whether they are wrong.
pub(super) fn search<E>(
    made_from: &[Vec<usize>],
    mut wrong: usize,
    ask: &mut dyn FnMut(&[usize]) -> Answers<E>,
) -> Result<First, E> {
    let mut right = HashSet::new();
    let mut width = WIDTH;
    loop {
        let open = behind(made_from, wrong, &right);
        if open.is_empty() {
            return Ok(First::Value(wrong));
        }
        if width == 0 {
            return Ok(First::Together { value: wrong, others: open });
        }
        let mut asked = spread(&open, width);
        asked.push(wrong);
        let answers = ask(&asked)?;
        if answers.last() == Some(&false) {
            // It is right when these are looked at: fewer, then.
            width = asked.len() / 2;
            if asked.len() == 2 {
                width = 0;
            }
            continue;
        }
        let answered = asked.iter().copied().zip(answers);
        let (bad, good): (Vec<_>, Vec<_>) = answered.partition(|(_, is_wrong)| *is_wrong);
        right.extend(good.into_iter().map(|(value, _)| value));
        wrong = bad.first().map_or(wrong, |(value, _)| *value);
        // Branches beside each other shrink by what is asked only.
        if 2 * behind(made_from, wrong, &right).len() > open.len() {
            width = 2 * width.max(1);
        }
    }
}

/// What a value is made from, as far as no right value is in between; in order, without itself.
pub(super) fn behind(made_from: &[Vec<usize>], value: usize, right: &HashSet<usize>) -> Vec<usize> {
    let (mut found, mut stack) = (BTreeSet::new(), vec![value]);
    while let Some(value) = stack.pop() {
        let open = made_from[value].iter().filter(|v| !right.contains(v));
        stack.extend(open.copied().filter(|v| found.insert(*v)));
    }
    found.into_iter().collect()
}

/// At most `width` of them, evenly.
pub(super) fn spread(values: &[usize], width: usize) -> Vec<usize> {
    let width = width.min(values.len());
    (0..width).map(|i| values[(2 * i + 1) * values.len() / (2 * width)]).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Searches from the last value and counts how often was asked, and for how many at most.
    fn find(
        made_from: &[Vec<usize>],
        is_wrong: impl Fn(usize, &[usize]) -> bool,
    ) -> (First, usize, usize) {
        let (mut asked, mut most) = (0, 0);
        let mut ask = |values: &[usize]| {
            asked += 1;
            most = most.max(values.len());
            Ok::<_, Infallible>(values.iter().map(|v| is_wrong(*v, values)).collect())
        };
        let first = search(made_from, made_from.len() - 1, &mut ask).unwrap();
        (first, asked, most)
    }

    fn chain(n: usize) -> Vec<Vec<usize>> {
        (0..n).map(|v| v.checked_sub(1).into_iter().collect()).collect()
    }

    #[test]
    fn each_place_of_a_chain_is_found_in_a_few_rounds() {
        for fault in 0..1000 {
            let (first, asked, most) = find(&chain(1000), |v, _| v >= fault);
            assert_eq!(first, First::Value(fault));
            assert!(asked <= 4 && most <= 17, "{asked} {most}");
        }
    }

    #[test]
    fn each_branch_of_a_wide_graph_is_found() {
        // 200 branches of 3 values, joined at the end.
        let mut made_from: Vec<Vec<usize>> = Vec::new();
        for branch in 0..200 {
            made_from.extend([vec![], vec![3 * branch], vec![3 * branch + 1]]);
        }
        made_from.push((0..200).map(|b| 3 * b + 2).collect());
        for fault in 0..600 {
            let end = fault / 3 * 3 + 2;
            let (first, asked, _) = find(&made_from, |v, _| (v >= fault && v <= end) || v == 600);
            assert_eq!(first, First::Value(fault));
            assert!(asked <= 10, "{asked}");
        }
    }

    #[test]
    fn an_error_that_is_hidden_on_one_way_is_found_on_the_other() {
        // 0 -> 1 -> 3, 0 -> 2 -> 3, and 1 hides what is wrong with 0.
        let made_from = [vec![], vec![0], vec![0], vec![1, 2]];
        assert_eq!(find(&made_from, |v, _| v != 1).0, First::Value(0));
    }

    #[test]
    fn a_fault_that_hides_from_looks_is_told_with_its_surroundings() {
        // Wrong from 60 on, unless one of 58..=60 is asked for: an engine computes these with 61 as one.
        let is_wrong =
            |v: usize, asked: &[usize]| v >= 61 && !asked.iter().any(|a| (58..=60).contains(a));
        let First::Together { value, others } = find(&chain(100), is_wrong).0 else { panic!() };
        assert!((61..64).contains(&value), "{value}");
        assert!(others.contains(&60) && others.len() < 30, "{others:?}");
    }

    #[test]
    fn looks_are_spread_evenly() {
        assert_eq!(spread(&[0, 1, 2, 3, 4, 5, 6, 7], 2), [2, 6]);
        assert_eq!(spread(&[3, 4], 16), [3, 4]);
    }
}
