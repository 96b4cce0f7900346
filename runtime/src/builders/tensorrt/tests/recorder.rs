//! Remembers what is logged with the target `tensorrt`.

use std::{cell::RefCell, fmt, sync::Once};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

type Log = Vec<(Level, String)>;

thread_local! {
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// The subscriber of this process. One of a thread's own would miss events whose call site another
/// thread, without one, has used first: `tracing` remembers that nobody listened.
pub(super) struct Recorder;

impl Recorder {
    /// Runs `f`, and returns with its result what this thread logged meanwhile.
    pub(super) fn during<T>(f: impl FnOnce() -> T) -> (T, Log) {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| tracing::subscriber::set_global_default(Self).unwrap());
        LOG.set(Some(Log::new()));
        let result = f();
        (result, LOG.take().unwrap_or_default())
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "tensorrt" && LOG.with_borrow(Option::is_some)
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = (*event.metadata().level(), message.0);
        LOG.with_borrow_mut(|log| log.as_mut().map(|log| log.push(line)));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
