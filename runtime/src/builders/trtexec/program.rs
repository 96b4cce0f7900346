//! The tool itself: where it lies, whose TensorRT it has, and what its help says.

use std::{
    collections::BTreeSet,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::version::Version;
use crate::{
    backend::Availability,
    builders::process::{Ending, Tool},
};

/// How long `trtexec --help` may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `trtexec` that may or may not be there.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    patience: Duration,
    /// Asked once; a failure is not remembered.
    about: OnceLock<About>,
}

/// What a `trtexec` says of itself.
#[derive(Debug)]
pub(crate) struct About {
    /// Its TensorRT.
    pub(crate) version: Version,
    options: BTreeSet<String>,
}

impl About {
    /// Does its help name `option`?
    pub(crate) fn knows(&self, option: &str) -> bool {
        self.options.contains(option)
    }
}

/// Why a program is of no use.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// What is wrong with it.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) hint: String,
}

impl Program {
    /// The program at `path`. Nothing is started yet.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self::patient(path, PATIENCE)
    }

    /// The same with another limit for its help.
    pub(crate) fn patient(path: impl Into<PathBuf>, patience: Duration) -> Self {
        Self { path: path.into(), patience, about: OnceLock::new() }
    }

    /// A command that may run in another folder.
    pub(crate) fn command(&self) -> Command {
        let whole = self.named().then(|| std::path::absolute(&self.path).ok()).flatten();
        Command::new(whole.as_ref().unwrap_or(&self.path))
    }

    /// Is there a folder in its path?
    fn named(&self) -> bool {
        self.path.components().count() > 1 || self.path.is_absolute()
    }

    /// Where it lies, as it was said.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its version and options, from the banner and the text of `--help`.
    pub(crate) fn about(&self) -> Result<&About, Unusable> {
        if let Some(about) = self.about.get() {
            return Ok(about);
        }
        let path = self.path.display();
        let lines = self.help().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound if !self.named() => {
                unusable(format!("{path} is neither in PATH nor in /usr/src/tensorrt/bin"))
            }
            _ => unusable(format!("cannot run {path}: {e}")),
        })?;
        let version = lines.iter().find_map(|l| Version::from_banner(l)).ok_or_else(|| {
            let said = lines.iter().rfind(|l| !l.is_empty()).map_or("nothing", String::as_str);
            unusable(format!("{path} does not name its TensorRT version; it said: {said}"))
        })?;
        version
            .check()
            .map_err(|reason| unusable(format!("{path} is TensorRT {version}: {reason}")))?;
        let options = lines.iter().filter_map(|line| option(line)).collect();
        Ok(self.about.get_or_init(|| About { version, options }))
    }

    /// Can it be used?
    pub(crate) fn availability(&self) -> Availability {
        match self.about() {
            Ok(about) => Availability::Ready {
                version: format!("TensorRT {}", about.version),
                library: Some(self.path.clone()),
            },
            Err(Unusable { what, hint }) => Availability::Missing { what, hint },
        }
    }

    fn help(&self) -> io::Result<Vec<String>> {
        let mut command = Command::new(&self.path);
        command.arg("--help");
        let mut lines = Vec::new();
        let began = Instant::now();
        let patient = || match began.elapsed() < self.patience {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        match Tool::start(command)?.finish(|l| lines.push(l.to_owned()), patient)? {
            // Old versions end their help with a failure; the text is all that matters.
            Ending::Exited(_) => Ok(lines),
            Ending::Stopped => {
                let seconds = self.patience.as_secs_f32();
                let what = format!("`--help` has no end after {seconds} s");
                Err(io::Error::new(io::ErrorKind::TimedOut, what))
            }
        }
    }
}

fn unusable(what: String) -> Unusable {
    let hint = "give the trtexec of the deployment's container, usually \
                /usr/src/tensorrt/bin/trtexec";
    Unusable { what, hint: hint.to_owned() }
}

/// `--shapes` of `  --shapes=spec     Set input shapes`.
fn option(line: &str) -> Option<String> {
    let word = line.split_whitespace().next().filter(|word| word.starts_with("--"))?;
    Some(word.split(['=', ',']).next().unwrap_or(word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_help() {
        assert_eq!(option("  --shapes=spec   Set shapes").as_deref(), Some("--shapes"));
        assert_eq!(option("  --verbose       Talk").as_deref(), Some("--verbose"));
        assert_eq!(option("  --help, -h      Print this").as_deref(), Some("--help"));
        assert_eq!(option("        see also --shapes"), None);
        assert_eq!(option(""), None);
    }
}
