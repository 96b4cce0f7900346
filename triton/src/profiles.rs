//! Optimisation profiles of plans: which an instance uses, and what CUDA graphs are recorded for.

use std::collections::BTreeMap;

use onr_exporter::TensorInfo;
use onr_graphs::{Profile, Range};

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

/// Is there a shape that both take?
fn overlap(a: &Profile, b: &Profile) -> bool {
    let disjoint = |(name, range): (&String, &Range)| {
        b.get(name).is_some_and(|other| range.max < other.min || other.max < range.min)
    };
    !a.ranges().iter().any(disjoint)
}

/// What CUDA graphs are recorded for: the profile's best shapes, at its best and its largest batch. A smaller batch
/// may run in a larger one, for rows do not see each other; other sizes must be met, for a shorter row would not
/// lie where the graph reads it.
#[must_use]
pub fn cuda_graphs(inputs: &[TensorInfo], profile: &Profile, max_batch: usize) -> Vec<GraphSpec> {
    let best = |symbol: &str| profile.get(symbol).map_or(1, |range| range.opt) as i64;
    let dims = |t: &TensorInfo| {
        let sizes = t.shape.iter().skip(1);
        sizes.map(|s| s.parse().unwrap_or_else(|_| best(s))).collect::<Vec<i64>>()
    };
    let input: BTreeMap<_, _> = inputs.iter().map(|t| (t.name.clone(), dims(t))).collect();
    let batch = profile.get("batch").unwrap_or(Range { min: 1, opt: 1, max: 1 });
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
            let specs = cuda_graphs(&inputs, &profile(text), max);
            assert!(specs.iter().all(|s| s.input["x"] == [2, 16]));
            let low = |s: &GraphSpec| s.lower_bound.as_ref().map(|b| b.batch_size);
            specs.iter().map(|s| (low(s), s.batch_size)).collect::<Vec<_>>()
        };
        assert_eq!(spans("batch=1:8:32,kv=1:16:32", 32), [(Some(1), 8), (Some(9), 32)]);
        assert_eq!(spans("batch=1:8:32,kv=1:16:32", 4), [(Some(1), 4)]);
        assert_eq!(spans("batch=1:1:2,kv=1:16:32", 2), [(None, 1), (None, 2)]);
    }
}
