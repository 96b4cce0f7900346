//! Types, backends and shapes against what Triton has.

use onr_graphs::{Profile, Range};

use super::{
    CheckName, Place,
    check::{Check, lines},
    releases::INT64,
    version::Version,
};
use crate::{
    error::PackageError,
    options::{Backend, PackageOptions},
    profiles::indices,
    source::Source,
    tensors::tensor,
};

/// Types that Triton, the backend or an old TensorRT does not have.
pub(super) fn types(source: &Source, backend: Backend, place: &Place<'_>) -> Check {
    const NAME: CheckName = CheckName::Types;
    let mut wrong = Vec::new();
    let mut fix = String::new();
    let mut int64 = false;
    for graph in &source.manifest.graphs {
        int64 |= graph.inputs.iter().any(|t| t.dtype == "i64");
        for info in graph.inputs.iter().chain(&graph.outputs) {
            // What has no batch axis has a type all the same: `package` tells.
            if let Err(error @ PackageError::Type { .. }) = tensor(&graph.name, info, backend) {
                wrong.push(error.to_string());
                fix = error.hint().unwrap_or_default();
            }
        }
    }
    if !wrong.is_empty() {
        return Check::failed(NAME, lines(wrong), fix);
    }
    if backend != Backend::TensorRt || !int64 {
        return Check::passed(NAME, format!("the backend {backend} has all of them"));
    }
    match place.int64() {
        Some((true, from)) => Check::passed(NAME, format!("int64 ids among them ({from})")),
        Some((false, from)) => Check::failed(
            NAME,
            format!("ids are int64, which the TensorRT backend has from release 24.05 on ({from})"),
            "export with `--ids int32`, take a container of 24.05 or later, or `--backend onnxruntime`",
        ),
        None => Check::skipped(
            NAME,
            "the server's version is not known: ids are int64, which the TensorRT backend has from release 24.05 on",
        ),
    }
}

impl Place<'_> {
    /// Does the TensorRT backend there have int64, and how is that known?
    fn int64(&self) -> Option<(bool, String)> {
        let (release, triton, tensorrt) = INT64;
        let facts = self.facts;
        let known = [
            (self.server.map(|s| &s.version), triton, "Triton"),
            (facts.tritonserver_version.as_ref(), triton, "Triton"),
            (facts.container_release.as_ref(), release, "release"),
            (facts.tensorrt_version.as_ref(), tensorrt, "TensorRT"),
        ];
        known.into_iter().find_map(|(text, least, what)| {
            let text = text?;
            Some((Version::parse(text)?.reaches(least), format!("{what} {text}")))
        })
    }
}

/// Is the backend among those of the container?
pub(super) fn backends(backend: Backend, place: &Place<'_>) -> Check {
    const NAME: CheckName = CheckName::Backends;
    let Some(there) = &place.facts.backends else {
        let models = place.server.into_iter().flat_map(|server| &server.models);
        let mut running = models.filter(|(_, m)| {
            m.config.as_ref().is_some_and(|config| config.backend == backend.name())
        });
        return match running.next() {
            Some((model, _)) => Check::passed(NAME, format!("{backend}, which runs {model} there")),
            None => Check::skipped(
                NAME,
                format!(
                    "whether the server has {backend} is not known: give `backends` in --container-facts"
                ),
            ),
        };
    };
    if there.iter().any(|name| name == backend.name()) {
        return Check::passed(NAME, backend.name());
    }
    let why = format!("{backend} is not among {}", there.join(", "));
    let fits = |other: &Backend| there.iter().any(|name| name == other.name());
    let others = [Backend::OnnxRuntime, Backend::Python].into_iter().filter(fits);
    let others: Vec<String> = others.map(|other| format!("`--backend {other}`")).collect();
    let fix = match others.as_slice() {
        [] => "take a container that has it".to_owned(),
        others => format!("take a container that has it, or {}", others.join(" or ")),
    };
    Check::failed(NAME, why, fix)
}

/// Do requests that Triton joins fit the profiles of every plan?
pub(super) fn all_profiles(source: &Source, backend: Backend, options: &PackageOptions) -> Check {
    let whole = profiles(&[&source.profile], backend, options);
    if backend != Backend::TensorRt {
        return whole;
    }
    let mut most = 1;
    for graph in &source.manifest.graphs {
        let several = match source.profiles(&graph.name) {
            Ok(several) => several,
            Err(error) => {
                let fix = error.hint().unwrap_or_default();
                return Check::failed(CheckName::Profiles, error.to_string(), fix);
            }
        };
        most = most.max(several.len());
        let check = profiles(&several.iter().collect::<Vec<_>>(), backend, options);
        if check.is_failed() && several.len() > 1 {
            return check.of(&graph.name);
        }
    }
    if most == 1 { whole } else { whole.with(&format!("plans have up to {most} profiles")) }
}

/// Do requests that Triton joins fit the profiles?
pub(super) fn profiles(profiles: &[&Profile], backend: Backend, options: &PackageOptions) -> Check {
    const NAME: CheckName = CheckName::Profiles;
    let fixed = Range { min: 1, opt: 1, max: 1 };
    let owned: Vec<Profile> = profiles.iter().map(|p| (*p).clone()).collect();
    let mut wrong = Vec::new();
    let mut fix = String::new();
    if backend == Backend::TensorRt
        && let Err(error) = indices(&owned)
    {
        wrong.push(error.to_string());
        fix = error.hint().unwrap_or_default();
    }
    let batches: Vec<Range> = profiles.iter().map(|p| p.get("batch").unwrap_or(fixed)).collect();
    let largest = batches.iter().map(|range| range.max).max().unwrap_or(1);
    let smallest = batches.iter().map(|range| range.min).min().unwrap_or(1);
    let max = options.max_batch.unwrap_or(largest);
    if !(smallest..=largest).contains(&max) {
        wrong.push(format!("--max-batch {max} is outside the profile's {smallest}..={largest}"));
        fix = "`--profile` of the export sets the largest batch".to_owned();
    }
    if backend == Backend::TensorRt && smallest > 1 {
        wrong.push(format!(
            "the smallest batch is {smallest}: a request that Triton can join with no other is refused"
        ));
        fix = "build with a `--profile` whose batch begins with 1".to_owned();
    }
    if wrong.is_empty() {
        Check::passed(NAME, format!("requests are joined up to {max} rows"))
    } else {
        Check::failed(NAME, lines(wrong), fix)
    }
}
