//! What commands need besides their settings.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use onr_exporter::Progress;
use onr_runtime::libraries::Search;

use crate::show::Bars;

/// Where progress goes and where libraries are looked for. The only place that reads the environment
/// and installs a signal handler.
pub(crate) struct Context {
    pub(crate) search: Search,
    bars: Bars,
}

impl Context {
    pub(crate) fn new(json: bool) -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        // The first Ctrl-C asks for a clean end, the second one does not wait for it.
        let handler = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
        if let Err(e) = handler {
            tracing::warn!("Ctrl-C will leave temporary files behind: {e}");
        }
        Self { search: Search::from_env(), bars: Bars::new(json, interrupted) }
    }

    pub(crate) fn progress(&self) -> &dyn Progress {
        &self.bars
    }
}
