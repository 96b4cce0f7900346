//! What commands need besides their settings.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use onr_exporter::{
    ExportError, Progress,
    leftovers::{self, Leftover},
};
use onr_runtime::libraries::Search;
use tempfile::TempDir;

use crate::{
    exit::Exit,
    show::{self, Bars},
};

/// How long a command may take to end by itself after Ctrl-C. Libraries of vendors can be deaf for
/// longer.
const GRACE: Duration = Duration::from_millis(1500);

/// The same for [`Context::be_patient`].
#[cfg(feature = "training")]
const PATIENCE: Duration = Duration::from_secs(60);

/// Temporary directories begin with this.
const SCRATCH: &str = "onr-scratch-";

/// Where progress goes and where libraries are looked for. The only place that reads the environment
/// and installs a signal handler.
pub(crate) struct Context {
    pub(crate) search: Search,
    bars: Arc<Bars>,
    ended: Arc<AtomicBool>,
    /// Milliseconds between Ctrl-C and a forced end.
    #[cfg_attr(not(feature = "training"), expect(dead_code, reason = "nobody needs more time"))]
    grace: Arc<AtomicU64>,
}

impl Context {
    /// Without `bars`, nothing moves on the terminal.
    pub(crate) fn new(json: bool, bars: bool) -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicBool::new(false));
        let grace = Arc::new(AtomicU64::new(GRACE.as_millis() as u64));
        let (flag, end, patience) =
            (Arc::clone(&interrupted), Arc::clone(&ended), Arc::clone(&grace));
        let bars = Arc::new(Bars::new(bars, interrupted));
        let moving = Arc::clone(&bars);
        // The first Ctrl-C asks for a clean end, the second one does not wait for it.
        let handler = ctrlc::set_handler(move || {
            let again = flag.swap(true, Ordering::SeqCst);
            let (end, moving) = (Arc::clone(&end), Arc::clone(&moving));
            let grace = if again { 0 } else { patience.load(Ordering::SeqCst) };
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(grace));
                if !end.swap(true, Ordering::SeqCst) {
                    moving.clear();
                    show::error(&ExportError::Interrupted.into(), json);
                    leftovers::remove_all_and_exit(Exit::Interrupted as i32);
                }
            });
        });
        if let Err(e) = handler {
            tracing::warn!("Ctrl-C will leave temporary files behind: {e}");
        }
        Self { search: Search::from_env(), bars, ended, grace }
    }

    pub(crate) fn progress(&self) -> &dyn Progress {
        &*self.bars
    }

    /// The same for what outlives a call.
    pub(crate) fn shared_progress(&self) -> Arc<dyn Progress + Send + Sync> {
        Arc::clone(&self.bars) as _
    }

    #[cfg(feature = "training")]
    pub(crate) fn bars(&self) -> &Bars {
        &self.bars
    }

    /// From here on, the next safe point may be further away: a step of training ends, its state is written.
    #[cfg(feature = "training")]
    pub(crate) fn be_patient(&self) {
        self.grace.store(PATIENCE.as_millis() as u64, Ordering::SeqCst);
    }

    /// To be called before the outcome is shown: from here on, Ctrl-C changes nothing. Where the other
    /// thread was first, this one waits for the end of the process.
    pub(crate) fn end(&self) {
        while self.ended.swap(true, Ordering::SeqCst) {
            thread::park();
        }
        self.bars.clear();
    }
}

/// A temporary directory, also for what libraries below put into temporary directories. It goes with this
/// value, on a forced end, and after a kill in the next run that makes one.
pub(crate) struct Scratch {
    #[cfg_attr(not(feature = "training"), expect(dead_code, reason = "kept for its end"))]
    dir: TempDir,
    _leftover: Leftover,
    _lock: Option<File>,
}

impl Scratch {
    pub(crate) fn make() -> Result<Self, ExportError> {
        let root = tempfile::env::temp_dir();
        leftovers::sweep(&root, SCRATCH);
        let dir = TempDir::with_prefix_in(SCRATCH, &root)
            .map_err(|cause| ExportError::Write { file: root, cause })?;
        let lock = leftovers::hold(dir.path());
        let leftover = Leftover::note(dir.path());
        // Fails only when it was called before, and once is enough.
        let _ = tempfile::env::override_temp_dir(dir.path());
        Ok(Self { dir, _leftover: leftover, _lock: lock })
    }
    #[cfg(feature = "training")]
    pub(crate) fn path(&self) -> &std::path::Path {
        self.dir.path()
    }
}
