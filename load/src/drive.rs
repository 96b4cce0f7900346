//! Workers, and what they do until the end.

use std::{
    panic,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    Call, Clock, Failure, Load, LoadError, Measured, Shape, Until,
    feed::{Due, Feed},
    series::Series,
    tally::Tally,
};

/// How often somebody who waits looks whether to stop.
const SLICE: Duration = Duration::from_millis(20);

/// Makes calls until the load's end, or until `stop` is set: then no further call is made, and those under way are waited for.
/// `call` makes one and says how many rows were answered; it blocks, and many threads use it at once.
///
/// # Errors
/// [`LoadError`] when there is nothing to drive or no thread to drive it. Calls that fail are in the outcome.
///
/// # Panics
/// When a call does, after the other workers have ended.
pub fn drive<E: Into<Failure>>(
    load: &Load,
    clock: &dyn Clock,
    stop: &AtomicBool,
    call: &(impl Fn(Call) -> Result<u64, E> + Sync),
) -> Result<Measured, LoadError> {
    load.check()?;
    let feed = Feed::new(load, clock.now());
    let (series, broken) = (Series::default(), AtomicBool::new(false));
    let run = Run { load, clock, stop, broken: &broken, feed: &feed, series: &series, call };
    let tally = run.all()?;
    let stopped = stop.load(Ordering::SeqCst);
    let mut elapsed = tally.last.saturating_sub(feed.measured_from);
    if let Until::Elapsed(length) = load.until
        && !stopped
    {
        elapsed = elapsed.max(length);
    }
    Ok(Measured::of(tally, series, elapsed, stopped))
}

struct Run<'a, F> {
    load: &'a Load,
    clock: &'a dyn Clock,
    stop: &'a AtomicBool,
    /// A worker could not go on.
    broken: &'a AtomicBool,
    feed: &'a Feed,
    series: &'a Series,
    call: &'a F,
}

/// Leaves the clock, also when a call panics; then the other workers stop.
struct Inside<'a>(&'a dyn Clock, &'a AtomicBool);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.1.store(true, Ordering::SeqCst);
        }
        self.0.leave();
    }
}

impl<E: Into<Failure>, F: Fn(Call) -> Result<u64, E> + Sync> Run<'_, F> {
    /// Starts all workers, waits for them, and adds up what they counted.
    fn all(&self) -> Result<Tally, LoadError> {
        let workers = self.load.workers();
        let mut total = Tally::new()?;
        let mut outcome = Ok(());
        thread::scope(|scope| {
            // All of them, so that no time passes before the last one is there.
            self.clock.enter(workers);
            let mut threads = Vec::with_capacity(workers);
            for worker in 0..workers {
                let builder = thread::Builder::new().name(format!("load-{worker}"));
                match builder.spawn_scoped(scope, move || self.worker(worker)) {
                    Ok(thread) => threads.push(thread),
                    Err(cause) => {
                        self.broken.store(true, Ordering::SeqCst);
                        (worker..workers).for_each(|_| self.clock.leave());
                        outcome = Err(LoadError::Thread { worker: worker + 1, workers, cause });
                        break;
                    }
                }
            }
            for thread in threads {
                match thread.join() {
                    Ok(Ok(tally)) => total.merge(tally),
                    Ok(Err(error)) => outcome = Err(error),
                    Err(panic) => panic::resume_unwind(panic),
                }
            }
        });
        outcome.map(|()| total)
    }

    fn worker(&self, worker: usize) -> Result<Tally, LoadError> {
        let _inside = Inside(self.clock, self.broken);
        let mut tally = Tally::new()?;
        while !self.is_over()
            && let Some(due) = self.feed.next(worker, self.clock.now())
        {
            if !self.wait_until(due.at) {
                break;
            }
            if self.feed.end.is_some_and(|end| self.clock.now() >= end) {
                tally.unsent += u64::from(!due.call.warm_up);
                continue;
            }
            self.make(due, &mut tally)?;
        }
        Ok(tally)
    }

    /// Makes a call and counts it.
    fn make(&self, due: Due, tally: &mut Tally) -> Result<(), LoadError> {
        let outcome = (self.call)(due.call).map_err(Into::into);
        let ended = self.clock.now();
        let latency = ended.saturating_sub(due.at);
        let failed = outcome.is_err();
        if due.call.warm_up {
            tally.warm_up += 1;
        } else {
            tally.last = tally.last.max(ended);
            let since = ended.saturating_sub(self.feed.measured_from);
            self.series.note(since, (!failed).then_some(latency))?;
        }
        match outcome {
            Err(failure) => tally.failed(failure, ended),
            Ok(_) if due.call.warm_up => {}
            Ok(rows) => tally.answered(rows, latency),
        }
        if failed && matches!(self.load.shape, Shape::Closed { .. }) {
            self.wait_until(ended + self.load.pause);
        }
        Ok(())
    }

    /// Waits; false if it is over before.
    fn wait_until(&self, at: Duration) -> bool {
        loop {
            let now = self.clock.now();
            if now >= at {
                return true;
            }
            if self.is_over() {
                return false;
            }
            self.clock.sleep_until(at.min(now + SLICE));
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || self.broken.load(Ordering::SeqCst)
    }
}
