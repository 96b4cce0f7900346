//! Progress bars on a terminal; nothing elsewhere.

use std::{
    io::IsTerminal,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onr_exporter::Progress;

/// The bar of the current stage, and whether Ctrl-C was pressed.
pub(crate) struct Bars {
    hidden: bool,
    current: Mutex<Option<ProgressBar>>,
    interrupted: Arc<AtomicBool>,
}

impl Bars {
    /// Shows nothing where nobody wants bars, or where there is no terminal.
    pub(crate) fn new(wanted: bool, interrupted: Arc<AtomicBool>) -> Self {
        let hidden = !wanted || !std::io::stderr().is_terminal();
        Self { hidden, current: Mutex::new(None), interrupted }
    }

    /// Takes the bar off the terminal, before anything else is said there.
    pub(crate) fn clear(&self) {
        if let Some(bar) = self.current.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(feature = "training")]
impl Bars {
    /// Begins a stage of numbered steps, `done` of which are done, with room for a note.
    pub(crate) fn steps(&self, name: &str, done: u64, total: u64) {
        self.stage(name, total);
        let template = "{prefix} {pos}/{len} {bar:20} {elapsed} (about {eta} left) {wide_msg}";
        if let Some(bar) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.set_message("");
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    /// Shows something short behind the bar.
    pub(crate) fn note(&self, text: String) {
        if let Some(bar) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.set_message(text);
        }
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }
}

impl Progress for Bars {
    fn stage(&self, name: &str, total: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = current.take() {
            bar.finish_and_clear();
        }
        let target =
            if self.hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target((total > 0).then_some(total), target);
        let template = match total {
            0 => "{spinner} {msg} {elapsed}",
            _ => "{msg:24} {bar:32} {percent:>3} %  {elapsed} (about {eta} left)",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        if !self.hidden {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        *current = Some(bar);
    }

    fn advance(&self, n: u64) -> ControlFlow<()> {
        if let Some(bar) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(n);
        }
        if self.interrupted.load(Ordering::SeqCst) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
