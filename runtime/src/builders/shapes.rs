//! Input shapes at the three ends of a profile.

use onr_graphs::{Dim, Profile, profile::End};

use crate::builder::{BuildJob, EngineError};

/// One input with at least one symbol, at the ends of its ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InputShapes {
    /// Name of the input.
    pub(super) name: String,
    /// Its smallest shape.
    pub(super) min: Vec<usize>,
    /// The shape that kernels are chosen for.
    pub(super) opt: Vec<usize>,
    /// Its largest shape.
    pub(super) max: Vec<usize>,
}

/// The dynamic inputs of `job` in each of its profiles; no profile where there are none of these inputs. Inputs of fixed shape are
/// left out: TensorRT takes theirs from the file, and `trtexec` refuses shapes for a graph that has no dynamic input.
pub(super) fn dynamic_inputs(job: &BuildJob<'_>) -> Result<Vec<Vec<InputShapes>>, EngineError> {
    if job.inputs.iter().all(|(_, shape)| shape.iter().all(|d| d.fixed().is_some())) {
        return Ok(Vec::new());
    }
    job.profiles.iter().map(|profile| inputs_in(job, profile)).collect()
}

/// The dynamic inputs in one profile, in the order of the job.
fn inputs_in(job: &BuildJob<'_>, profile: &Profile) -> Result<Vec<InputShapes>, EngineError> {
    job.inputs
        .iter()
        .filter(|(_, shape)| shape.iter().any(|d| d.fixed().is_none()))
        .map(|(name, shape)| {
            let at = |end| {
                profile.resolve(shape, end).ok_or_else(|| EngineError::Profile {
                    graph: job.graph.to_owned(),
                    input: name.clone(),
                    symbol: unbound(shape, profile),
                })
            };
            Ok(InputShapes {
                name: name.clone(),
                min: at(End::Min)?,
                opt: at(End::Opt)?,
                max: at(End::Max)?,
            })
        })
        .collect()
}

/// The first symbol of `shape` without a range.
fn unbound(shape: &[Dim], profile: &Profile) -> String {
    shape
        .iter()
        .find_map(|d| match d {
            Dim::Affine { symbol, .. } if profile.get(symbol).is_none() => Some(symbol.to_string()),
            _ => None,
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::builder::PlanWeights;

    fn profile(text: &str) -> Profile {
        Profile::for_model(16).with(text).unwrap()
    }

    #[test]
    fn affine_sizes_resolve_and_fixed_inputs_are_left_out() {
        let inputs = [
            ("past".to_owned(), vec![Dim::named("batch").times(2), Dim::named("kv").plus(3)]),
            ("scale".to_owned(), vec![Dim::Fixed(1)]),
        ];
        let job = BuildJob {
            graph: "g",
            onnx: Path::new("g.onnx"),
            plan: Path::new("g.plan"),
            inputs: &inputs,
            profiles: &[profile("batch=1:2:4"), profile("batch=5:6:8,kv=2")],
            targets: &[],
            workspace: None,
            weights: PlanWeights::Fixed,
        };
        let past = InputShapes {
            name: "past".to_owned(),
            min: vec![2, 4],
            opt: vec![4, 11],
            max: vec![8, 19],
        };
        let [first, second] = dynamic_inputs(&job).unwrap().try_into().unwrap();
        assert_eq!(first, [past]);
        assert_eq!((&second[0].min, &second[0].max), (&vec![10, 5], &vec![16, 5]));
        let fixed = BuildJob { inputs: &inputs[1..], ..job };
        assert_eq!(dynamic_inputs(&fixed).unwrap(), Vec::<Vec<_>>::new());
    }
}
