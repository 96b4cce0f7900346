//! Would a package load and serve in a Triton that is there? Checks before anything is copied.
//!
//! Facts come from a server ([`Deployed::ask`]), from a file ([`Facts::read`]) or both. What neither tells makes a
//! check skip: a skipped check is never a passed one.

mod check;
mod deployed;
mod error;
mod facts;
mod fit;
mod memory;
mod names;
mod plans;
mod releases;
mod version;

#[cfg(test)]
mod tests;

use std::{fs, path::PathBuf};

use onr_kserve::{Client, ClientOptions};
use serde::Serialize;

pub use self::{
    check::{Check, Status},
    deployed::{Deployed, DeployedModel, Live},
    error::PreflightError,
    facts::Facts,
    memory::{Memory, ModelMemory},
};
pub use onr_kserve::Endpoint;

use self::{memory::Load, version::Version};
use crate::{
    error::PackageError,
    options::{Backend, PackageName, PackageOptions},
    package::{Content, Package, default_backend},
    source::Source,
};

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum CheckName {
    /// Are the plans of the TensorRT that Triton has?
    #[serde(rename = "plan.kind")]
    PlanKind,
    /// Are they of the version that it has?
    #[serde(rename = "plan.version")]
    PlanVersion,
    /// Are they for the GPU that it has?
    #[serde(rename = "plan.compute_capability")]
    PlanComputeCapability,
    /// Has the backend all types?
    #[serde(rename = "types")]
    Types,
    /// Is the backend there?
    #[serde(rename = "backends")]
    Backends,
    /// Do joined requests fit the profiles?
    #[serde(rename = "profiles")]
    Profiles,
    /// Can it be packaged, and are the files there?
    #[serde(rename = "package")]
    Package,
    /// Would clients of models of the same names notice?
    #[serde(rename = "names")]
    Names,
    /// Does it fit into the GPU?
    #[serde(rename = "memory")]
    Memory,
    /// Is the server the one that the facts are of?
    #[serde(rename = "facts")]
    Facts,
}

impl CheckName {
    /// As reports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlanKind => "plan.kind",
            Self::PlanVersion => "plan.version",
            Self::PlanComputeCapability => "plan.compute_capability",
            Self::Types => "types",
            Self::Backends => "backends",
            Self::Profiles => "profiles",
            Self::Package => "package",
            Self::Names => "names",
            Self::Memory => "memory",
            Self::Facts => "facts",
        }
    }
}

/// What would be deployed.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// The directory.
    pub source: &'a Source,
    /// As `onr package` would be called.
    pub options: PackageOptions,
    /// Users whose keys and values the caller holds on the GPU.
    pub users: u64,
    /// Memory of a GPU in bytes; goes before that of the facts.
    pub gpu_memory: Option<u64>,
}

/// What came of all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// The directory.
    pub dir: PathBuf,
    /// Name of the package.
    pub name: String,
    /// The backend that its models would have.
    pub backend: Backend,
    /// The server that was asked, with its version.
    pub server: Option<String>,
    /// In the order of [`CheckName`].
    pub checks: Vec<Check>,
    /// What it takes of a GPU.
    pub memory: Memory,
    /// What is live under the package's names.
    pub live: Vec<Live>,
}

impl Preflight {
    /// Did no check fail?
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.checks.iter().any(Check::is_failed)
    }

    /// One check.
    #[must_use]
    pub fn check(&self, name: CheckName) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

/// Asks a server for what [`preflight`] needs.
///
/// # Errors
/// [`PreflightError::Server`].
pub fn ask(endpoint: &Endpoint, name: &PackageName) -> Result<Deployed, PreflightError> {
    let client = Client::new(endpoint, ClientOptions::default())?;
    Ok(Deployed::ask(&client, name)?)
}

/// Makes all checks. None of them writes, compiles or infers.
#[must_use]
pub fn preflight(plan: &Plan<'_>, facts: &Facts, server: Option<&Deployed>) -> Preflight {
    let Plan { source, options, .. } = plan;
    let place = Place { facts, server };
    let packaged = Package::plan(std::slice::from_ref(*source), options, None);
    let backend = match &packaged {
        Ok(package) => package.backend,
        Err(_) => options
            .backend
            .unwrap_or_else(|| default_backend(std::slice::from_ref(*source), &mut Vec::new())),
    };
    let package = packaged.as_ref().ok();
    let load = Load {
        instances: options.instances as u64,
        users: plan.users,
        available: plan.gpu_memory.or(facts.gpu_memory_bytes),
        max_batch: options.max_batch.or(source.profile.get("batch").map(|r| r.max)).unwrap_or(1)
            as u64,
    };
    let memory = memory::measure(source, package, backend, load);
    let mut checks = plans::checks(source, options.backend, &place);
    checks.extend([
        fit::types(source, backend, &place),
        fit::backends(backend, &place),
        fit::all_profiles(source, backend, options),
        can_package(&packaged),
        names::check(&options.name, package, server),
        memory::check(&memory, backend),
    ]);
    checks.extend(place.same_server());
    Preflight {
        dir: source.dir.clone(),
        name: options.name.to_string(),
        backend,
        server: server.map(|s| format!("Triton {} at {}", s.version, s.endpoint)),
        checks,
        memory,
        live: server.map(|s| s.live(&options.name)).unwrap_or_default(),
    }
}

/// Is there anything that `onr package` would refuse, and no other check tells?
fn can_package(packaged: &Result<Package, PackageError>) -> Check {
    const NAME: CheckName = CheckName::Package;
    let package = match packaged {
        Ok(package) => package,
        Err(error) => {
            let told = match error {
                PackageError::Type { .. } => Some(CheckName::Types),
                PackageError::RtxPlans { .. }
                | PackageError::NoPlans { .. }
                | PackageError::StrippedPlans { .. } => Some(CheckName::PlanKind),
                PackageError::Profiles { .. } | PackageError::Options { .. } => {
                    Some(CheckName::Profiles)
                }
                _ => None,
            };
            return match told {
                Some(other) => {
                    Check::skipped(NAME, format!("not before `{}` passes", other.name()))
                }
                None => Check::failed(NAME, error.to_string(), error.hint().unwrap_or_default()),
            };
        }
    };
    let mut wrong = Vec::new();
    for file in package.models.iter().flat_map(|model| &model.files) {
        let Content::Copy { from, record } = &file.content else { continue };
        match fs::metadata(from) {
            Ok(meta) if meta.len() == record.size => {}
            Ok(meta) => {
                wrong.push(format!(
                    "{} has {} bytes, not {}",
                    from.display(),
                    meta.len(),
                    record.size
                ));
            }
            Err(error) => wrong.push(format!("{}: {error}", from.display())),
        }
    }
    wrong.sort();
    wrong.dedup();
    if wrong.is_empty() {
        let count = package.models.len();
        return Check::passed(NAME, format!("{count} models for the backend {}", package.backend));
    }
    Check::failed(
        NAME,
        check::lines(wrong),
        "copy the directory again; `onr verify` looks at every byte",
    )
}

/// Where it would be deployed, as far as that is known.
struct Place<'a> {
    facts: &'a Facts,
    server: Option<&'a Deployed>,
}

/// The TensorRT of a server.
struct Tensorrt {
    version: Version,
    /// How it is known.
    from: String,
    /// Is it from the table of releases, and not from the container itself?
    guessed: bool,
}

impl Place<'_> {
    /// What the container said goes before what its release should have.
    fn tensorrt(&self) -> Option<Tensorrt> {
        let said = self.facts.tensorrt_version.as_deref().and_then(Version::parse);
        if let Some(version) = said {
            return Some(Tensorrt { version, from: "from the facts".to_owned(), guessed: false });
        }
        let release = self.facts.container_release.as_deref().and_then(releases::by_release);
        let server = self.server.map(|s| s.version.as_str());
        let triton = [server, self.facts.tritonserver_version.as_deref()];
        let row = release.or_else(|| triton.into_iter().flatten().find_map(releases::by_triton))?;
        let version = Version::parse(row.tensorrt)?;
        let from = format!("the container {}-py3 has it, with Triton {}", row.release, row.triton);
        Some(Tensorrt { version, from, guessed: true })
    }

    /// Facts of another container prove nothing about this server.
    fn same_server(&self) -> Option<Check> {
        const NAME: CheckName = CheckName::Facts;
        let said = self.facts.tritonserver_version.as_ref()?;
        let server = &self.server?.version;
        let same = match (Version::parse(said), Version::parse(server)) {
            (Some(a), Some(b)) => a.agrees(&b),
            _ => said == server,
        };
        Some(match same {
            true => Check::passed(NAME, format!("Triton {server}, as in the facts")),
            false => Check::failed(
                NAME,
                format!("the server is Triton {server}, the facts are of {said}"),
                "make the facts anew, in the container of this server",
            ),
        })
    }
}
