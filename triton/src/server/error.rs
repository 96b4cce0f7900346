//! Why there is no server.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use onr_kserve::KserveError;

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// There is no `tritonserver`.
    #[error("no tritonserver at {}", looked.display())]
    Missing {
        /// Where it should be.
        looked: PathBuf,
    },
    /// The program can't be started.
    #[error("can't start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// No port is free.
    #[error("no free port on loopback")]
    Ports(#[source] io::Error),
    /// The log can't be written or read.
    #[error("can't use the log {}", file.display())]
    Log {
        /// The log.
        file: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The server stopped before it was ready.
    #[error("tritonserver stopped: {words}{}", listed(failures))]
    Stopped {
        /// Its last words.
        words: String,
        /// Models that do not load, in the order of the log.
        failures: Vec<LoadFailure>,
        /// All that it said.
        log: PathBuf,
    },
    /// The server was not ready in time.
    #[error("tritonserver was not ready within {after:?}{}", listed(failures))]
    NotReady {
        /// How long was waited.
        after: Duration,
        /// Models that do not load, in the order of the log.
        failures: Vec<LoadFailure>,
        /// All that it said.
        log: PathBuf,
    },
    /// The server's processes can't be listed.
    #[error("can't list the server's processes")]
    Processes(#[source] io::Error),
    /// No client can be made to ask whether the server is ready.
    #[error(transparent)]
    Client(#[from] KserveError),
}

/// A model that does not load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadFailure {
    /// The model.
    pub model: String,
    /// The server's words.
    pub words: String,
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.model, self.words.trim_end())
    }
}

impl ServerError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "`make setup` fetches one, and says if it can't; or name one in ONR_TRITONSERVER"
                    .into(),
            ),
            Self::Stopped { log, .. } | Self::NotReady { log, .. } => {
                Some(format!("all that it said is in {}", log.display()))
            }
            Self::Client(error) => error.hint(),
            Self::Start { .. } | Self::Ports(_) | Self::Log { .. } | Self::Processes(_) => None,
        }
    }

    /// Did another program take a port?
    pub(super) fn is_port_taken(&self) -> bool {
        let taken = ["already in use", "Address in use", "failed to start", "Failed to bind"];
        matches!(self, Self::Stopped { words, failures, .. }
            if failures.is_empty() && taken.iter().any(|sign| words.contains(sign)))
    }
}

fn listed(failures: &[LoadFailure]) -> String {
    failures.iter().map(|failure| format!("\n  {failure}")).collect()
}
