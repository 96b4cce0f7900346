//! Optimisation profiles of plans: which an instance uses, and what CUDA graphs are recorded for.

use std::collections::BTreeMap;

use onr_exporter::TensorInfo;
use onr_graphs::{Axis, Bindings, Profile, Range, profile::End};

use crate::{
    config::{GraphSpec, LowerBound},
    error::PackageError,
};

/// Numbers of all profiles of a plan, as `instance_group.profile` takes them: profiles that are not named are
/// ignored.
///
/// # Errors
/// [`PackageError::Profiles`] where two of them have a shape in common: Triton's choice between them is not
/// to be relied on.
pub fn indices(profiles: &[Profile]) -> Result<Vec<String>, PackageError> {
    for (second, later) in profiles.iter().enumerate() {
        for (first, earlier) in profiles[..second].iter().enumerate() {
            if overlap(earlier, later) {
                return Err(PackageError::Profiles { first, second });
            }
        }
    }
    Ok((0..profiles.len()).map(|i| i.to_string()).collect())
}

/// All symbols, for a profile of a graph: `seq` is as `kv` where the graph has only keys and values, for they are of a
/// history of this length.
pub(crate) fn within(hull: &Profile, profile: &Profile) -> Profile {
    let has = |symbol: &str| profile.get(symbol);
    let seq = has("seq").or_else(|| has("kv")).map(|range| ("seq", range));
    let ranges = profile.ranges().iter().map(|(symbol, range)| (symbol.as_str(), *range));
    ranges.chain(seq).fold(hull.clone(), |all, (symbol, range)| all.at(symbol, range))
}

/// Is there a shape that both take?
fn overlap(a: &Profile, b: &Profile) -> bool {
    let disjoint = |(name, range): (&String, &Range)| {
        b.get(name).is_some_and(|other| range.max < other.min || other.max < range.min)
    };
    !a.ranges().iter().any(disjoint)
}

/// What CUDA graphs are recorded for: every combination of the buckets of a graph's symbols, the profile's best size for
/// symbols without, each at the best and the largest batch. A smaller batch may run in a larger one, for rows do not see each
/// other; other sizes must be met, for a shorter row would not lie where the graph reads it.
///
/// Triton tries each of them in each profile, and says in its log that the profiles of other sizes do not take it.
#[must_use]
pub fn cuda_graphs(
    inputs: &[TensorInfo],
    profile: &Profile,
    axes: &BTreeMap<String, Axis>,
    max_batch: usize,
) -> Vec<GraphSpec> {
    let has = |symbol: &str| inputs.iter().any(|t| t.shape[1..].iter().any(|s| s == symbol));
    let mut all = vec![profile.bindings(End::Opt)];
    for (symbol, axis) in axes.iter().filter(|(symbol, _)| has(symbol)) {
        let padded = |sizes: Bindings| {
            let at = move |bucket: &usize| {
                let mut sizes = sizes.clone();
                sizes.insert(symbol.clone(), *bucket);
                sizes
            };
            axis.buckets().iter().map(at)
        };
        all = all.into_iter().flat_map(padded).collect();
    }
    let batch = profile.get("batch").unwrap_or(Range { min: 1, opt: 1, max: 1 });
    all.iter().flat_map(|sizes| graphs_at(inputs, sizes, batch, max_batch)).collect()
}

/// CUDA graphs of all batches at one size of every other symbol.
fn graphs_at(
    inputs: &[TensorInfo],
    sizes: &Bindings,
    batch: Range,
    max_batch: usize,
) -> Vec<GraphSpec> {
    let size = |symbol: &str| sizes.get(symbol).map_or(1, |n| *n as i64);
    let dims = |t: &TensorInfo| {
        let axes = t.shape.iter().skip(1);
        axes.map(|s| s.parse().unwrap_or_else(|_| size(s))).collect::<Vec<i64>>()
    };
    let input: BTreeMap<_, _> = inputs.iter().map(|t| (t.name.clone(), dims(t))).collect();
    let opt = batch.opt.min(max_batch);
    let mut spans = vec![(batch.min.min(opt), opt)];
    if opt < max_batch {
        spans.push((opt + 1, max_batch));
    }
    let spec = |(low, high): (usize, usize)| GraphSpec {
        batch_size: high,
        input: input.clone(),
        lower_bound: (low < high).then(|| LowerBound { batch_size: low, input: input.clone() }),
    };
    spans.into_iter().map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Profile {
        Profile::for_model(64).with(text).unwrap()
    }

    #[test]
    fn several_profiles_must_exclude_each_other() {
        let (short, long) = (profile("kv=1:8:16"), profile("kv=17:32:64"));
        assert_eq!(indices(&[short.clone(), long.clone()]).unwrap(), ["0", "1"]);
        let error = indices(&[short, long, profile("kv=16:20:30")]).unwrap_err();
        assert_eq!(error.to_string(), "optimisation profiles 0 and 2 overlap");
    }

    #[test]
    fn graphs_cover_all_batches_of_the_best_shape() {
        let inputs = [TensorInfo {
            name: "x".into(),
            dtype: "f16".into(),
            shape: ["batch", "2", "kv"].map(str::to_owned).into(),
        }];
        let spans = |text, max| {
            let specs = cuda_graphs(&inputs, &profile(text), &BTreeMap::new(), max);
            assert!(specs.iter().all(|s| s.input["x"] == [2, 16]));
            let low = |s: &GraphSpec| s.lower_bound.as_ref().map(|b| b.batch_size);
            specs.iter().map(|s| (low(s), s.batch_size)).collect::<Vec<_>>()
        };
        assert_eq!(spans("batch=1:8:32,kv=1:16:32", 32), [(Some(1), 8), (Some(9), 32)]);
        assert_eq!(spans("batch=1:8:32,kv=1:16:32", 4), [(Some(1), 4)]);
        assert_eq!(spans("batch=1:1:2,kv=1:16:32", 2), [(None, 1), (None, 2)]);
    }

    #[test]
    fn graphs_are_recorded_for_every_combination_of_buckets() {
        let tensor = |name: &str, shape: [&str; 2]| TensorInfo {
            name: name.into(),
            dtype: "f16".into(),
            shape: shape.map(str::to_owned).into(),
        };
        let inputs = [tensor("keys", ["batch", "kv"]), tensor("ids", ["batch", "candidates"])];
        let axis = |symbol: &str, buckets: &[usize]| {
            let last = buckets[buckets.len() - 1];
            let range = Range { min: 1, opt: last, max: last };
            (symbol.to_owned(), Axis::new(symbol, vec![range], buckets.to_vec(), 64).unwrap())
        };
        let axes = [axis("kv", &[8, 64]), axis("candidates", &[4, 9]), axis("seq", &[1, 2, 3])];
        let specs = cuda_graphs(&inputs, &profile("batch=1:4:8"), &axes.into(), 4);
        let sizes: Vec<_> = specs.iter().map(|s| (s.input["ids"][0], s.input["keys"][0])).collect();
        assert_eq!(sizes, [(4, 8), (4, 64), (9, 8), (9, 64)], "of the graph's symbols only");
    }
}
