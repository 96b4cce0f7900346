//! Runs TensorRT on a thread of its own and tells the caller's thread what happens there.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use onr_exporter::progress::Progress;

use super::super::log::{Level, LogBook};

/// How often the caller is asked whether to go on while TensorRT says nothing.
const TICK: Duration = Duration::from_millis(100);

/// TensorRT's optimiser recurses; a thread of the standard library has 2 MiB, a main thread 8.
const STACK: usize = 64 << 20;

/// Something that happened on the worker.
#[derive(Debug)]
pub(super) enum Event {
    /// TensorRT's log says something.
    Log(Level, String),
    /// A stage begins, with so many steps to come.
    Stage(String, u64),
    /// So many more steps are done.
    Steps(u64),
}

/// The worker's end: where events go, and whether to stop.
#[derive(Debug, Clone)]
pub(super) struct Link {
    events: Sender<Event>,
    cancel: Arc<AtomicBool>,
    /// Does anybody listen to [`Level::Verbose`]?
    verbose: bool,
}

impl Link {
    /// Reports `event`.
    pub(super) fn tell(&self, event: Event) {
        if self.verbose || !matches!(event, Event::Log(Level::Verbose, _)) {
            // Fails only when the other end has gone, and then nobody wants to know.
            let _ = self.events.send(event);
        }
    }

    /// Has the caller asked to stop?
    pub(super) fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// How the work ended.
#[derive(Debug)]
pub(super) struct Supervised<T> {
    /// What it returned; `None` if it panicked.
    pub(super) result: Option<T>,
    /// What TensorRT said.
    pub(super) log: LogBook,
    /// Whether the caller asked to stop, even if the work was done by then.
    pub(super) cancelled: bool,
}

/// Runs `work` to its end, and `progress` on this thread meanwhile.
pub(super) fn supervise<T: Send>(
    progress: &dyn Progress,
    work: impl FnOnce(Link) -> T + Send,
) -> Supervised<T> {
    let (events, inbox) = mpsc::channel();
    let cancel = Arc::new(AtomicBool::new(false));
    let verbose = tracing::enabled!(target: "tensorrt", tracing::Level::TRACE);
    let link = Link { events, cancel: Arc::clone(&cancel), verbose };
    let mut log = LogBook::default();
    let result = thread::scope(|scope| {
        let builder = thread::Builder::new().name("tensorrt".to_owned()).stack_size(STACK);
        let worker = match builder.spawn_scoped(scope, move || work(link)) {
            Ok(worker) => worker,
            Err(error) => {
                log.note(Level::Error, &format!("cannot start a thread: {error}"));
                return None;
            }
        };
        watch(&inbox, &mut log, progress, &cancel, || worker.is_finished());
        worker.join().ok()
    });
    Supervised { result, log, cancelled: cancel.load(Ordering::Relaxed) }
}

/// Passes events on until the worker has ended and all is said.
fn watch(
    inbox: &Receiver<Event>,
    log: &mut LogBook,
    progress: &dyn Progress,
    cancel: &AtomicBool,
    finished: impl Fn() -> bool,
) {
    loop {
        let go_on = match inbox.recv_timeout(TICK) {
            Ok(Event::Log(level, message)) => {
                // A build that is told to stop reports that as an error; it is none to the caller.
                let stopped = level == Level::Error && cancel.load(Ordering::Relaxed);
                log.note(if stopped { Level::Info } else { level }, &message);
                ControlFlow::Continue(())
            }
            Ok(Event::Stage(name, total)) => {
                progress.stage(&name, total);
                progress.advance(0)
            }
            Ok(Event::Steps(n)) => progress.advance(n),
            Err(RecvTimeoutError::Timeout) if finished() => return,
            Err(RecvTimeoutError::Timeout) => progress.advance(0),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if go_on.is_break() {
            cancel.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use onr_exporter::progress::Silent;

    use super::*;

    /// Asks to stop at once.
    struct Impatient;

    impl Progress for Impatient {
        fn stage(&self, _: &str, _: u64) {}
        fn advance(&self, _: u64) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }

    #[test]
    fn a_panic_is_an_absent_result() {
        let done = supervise(&Silent, |_| -> u32 { panic!("as bindings do") });
        assert_eq!(done.result, None);
        assert!(!done.cancelled);
    }

    #[test]
    fn a_silent_worker_hears_of_the_break() {
        let done = supervise(&Impatient, |link| {
            while !link.cancelled() {
                thread::sleep(TICK / 10);
            }
            7
        });
        assert_eq!((done.result, done.cancelled), (Some(7), true));
    }

    #[test]
    fn what_is_said_last_is_heard() {
        let done = supervise(&Silent, |link| {
            for n in 0..1000 {
                link.tell(Event::Log(Level::Warning, format!("{n}")));
            }
            link.tell(Event::Log(Level::Error, "the end".to_owned()));
        });
        assert_eq!(done.log.warnings.len(), 1000);
        assert_eq!(done.log.errors, ["the end"]);
    }
}
