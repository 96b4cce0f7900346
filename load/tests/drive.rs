//! Loads on fake servers. Time is virtual, so nothing here depends on how busy the machine is.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use onr_load::{
    Call, Clock, Failure, Load, LoadError, Measured, Shape, Spacing, SystemClock, Until,
    VirtualClock, drive,
};

const MS: Duration = Duration::from_millis(1);
const CLOSED: Shape = Shape::Closed { workers: 4 };

fn open(rate: f64, in_flight: usize) -> Shape {
    Shape::Open { rate, spacing: Spacing::Even, in_flight }
}

fn seconds(seconds: u64) -> Until {
    Until::Elapsed(Duration::from_secs(seconds))
}

/// What is measured of a server that takes so long for a call.
fn measure(load: &Load, takes: impl Fn(Call, Duration) -> Duration + Sync) -> Measured {
    let clock = VirtualClock::new();
    let call = |call: Call| {
        let now = clock.now();
        clock.sleep_until(now + takes(call, now));
        Ok::<_, Failure>(8)
    };
    drive(load, &clock, &AtomicBool::new(false), &call).unwrap()
}

fn near(got: f64, wanted: f64) {
    assert!((got - wanted).abs() <= wanted * 0.01, "{got}, not {wanted}");
}

#[test]
fn a_closed_loop_keeps_all_workers_busy() {
    let load = Load::new(CLOSED, seconds(10)).warm_up(Duration::from_secs(1));
    let got = measure(&load, |_, _| 5 * MS);
    assert_eq!((got.requests, got.rows, got.warm_up), (8000, 64_000, 800));
    near(got.requests_per_second, 800.0);
    near(got.rows_per_second, 6400.0);
    near(got.latency.p50_ms, 5.0);
    near(got.latency.p999_ms, 5.0);
    near(got.latency.mean_ms, 5.0);
    assert_eq!((got.failed, got.unsent, got.stopped), (0, 0, false));
    assert_eq!(got.seconds.len(), 10);
    assert!(got.seconds.iter().all(|s| (796..=804).contains(&s.requests)), "{:?}", got.seconds);
}

#[test]
fn the_warm_up_is_left_out() {
    let load = Load::new(CLOSED, seconds(2)).warm_up(Duration::from_secs(1));
    let slow_at_first = |call: Call, _| if call.warm_up { 250 * MS } else { 10 * MS };
    let got = measure(&load, slow_at_first);
    near(got.latency.max_ms, 10.0);
    assert_eq!((got.warm_up, got.requests), (16, 800));
}

#[test]
fn a_count_is_kept_whoever_does_the_work() {
    for shape in [CLOSED, open(100.0, 4)] {
        let load = Load::new(shape, Until::Calls(101)).warm_up(100 * MS);
        let seen = Mutex::new(Vec::new());
        let got = measure(&load, |call, _| {
            seen.lock().unwrap().push(call.index);
            3 * MS
        });
        assert_eq!(got.requests, 101);
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        let all: Vec<u64> = (0..101 + got.warm_up).collect();
        assert_eq!(seen, all, "each index once");
    }
}

/// The server stands still for a second: a closed loop sees one slow call a worker, an open loop all that were due.
#[test]
fn a_slow_server_cannot_hide_its_queue() {
    let stall = |_, now: Duration| {
        let second = Duration::from_secs(1);
        let standing = (second..2 * second).contains(&now);
        if standing { 2 * second - now + MS } else { MS }
    };
    let closed = measure(&Load::new(CLOSED, seconds(10)), stall);
    let open = measure(&Load::new(open(100.0, 4), seconds(10)), stall);
    near(closed.latency.max_ms, 1000.0);
    near(closed.latency.p99_ms, 1.0);
    near(open.latency.max_ms, 1001.0);
    assert_eq!(open.requests, 1000);
    // A hundred of a thousand were due while it stood still, one every 10 ms.
    assert!(open.latency.p99_ms > 850.0, "{:?}", open.latency);
    assert!((400.0..600.0).contains(&open.latency.p95_ms), "{:?}", open.latency);
    assert!(open.latency.p50_ms < 2.0, "{:?}", open.latency);
    assert!(open.seconds[1].requests < 5 && open.seconds[2].requests > 150, "{:?}", open.seconds);
}

#[test]
fn a_rate_that_is_too_high_shows_as_latency_and_as_calls_never_made() {
    // One at a time, ten a second; twenty are due.
    let got = measure(&Load::new(open(20.0, 1), seconds(10)), |_, _| 100 * MS);
    assert_eq!((got.requests, got.unsent), (100, 100));
    near(got.latency.max_ms, 5050.0);
    near(got.latency.p50_ms, 2575.0);
    assert_eq!(got.failed, 0);
}

#[test]
fn a_rate_that_is_low_is_measured_over_the_whole_time() {
    let got = measure(&Load::new(open(0.3, 4), seconds(10)), |_, _| MS);
    assert_eq!(got.requests, 3, "at 0, 3.3 and 6.7 s");
    near(got.requests_per_second, 0.3);
    assert_eq!(got.seconds.len(), 10);
    let poisson = Shape::Open { rate: 50.0, spacing: Spacing::Poisson { seed: 3 }, in_flight: 16 };
    let got = measure(&Load::new(poisson, seconds(100)), |_, _| 5 * MS);
    assert!((4700..5300).contains(&got.requests), "{}", got.requests);
    near(got.latency.p50_ms, 5.0);
}

#[test]
fn failures_are_counted_by_kind_and_their_latency_is_not() {
    let clock = VirtualClock::new();
    let call = |call: Call| {
        clock.sleep_until(clock.now() + MS);
        match call.index % 10 {
            0 => Err(Failure::new("timeout", format!("call {}", call.index))),
            1 | 2 => Err(Failure::new("refused", format!("call {}", call.index))),
            _ => {
                clock.sleep_until(clock.now() + 4 * MS);
                Ok(1)
            }
        }
    };
    let load = Load::new(Shape::Closed { workers: 1 }, Until::Calls(1000));
    let got = drive(&load, &clock, &AtomicBool::new(false), &call).unwrap();
    let kinds: Vec<_> =
        got.failures.iter().map(|f| (f.kind.as_str(), f.count, f.first.as_str())).collect();
    assert_eq!(kinds, [("refused", 200, "call 1"), ("timeout", 100, "call 0")]);
    assert_eq!((got.requests, got.failed), (700, 300));
    near(got.latency.p50_ms, 5.0);
    // 700 of 5 ms, 300 of 1 ms with 10 ms of pause after each but the last.
    near(got.elapsed_seconds, 6.8);
    assert_eq!(got.seconds.iter().map(|s| s.failed).sum::<u64>(), 300);
}

#[test]
fn a_failure_of_the_warm_up_is_a_failure() {
    let clock = VirtualClock::new();
    let call = |call: Call| {
        clock.sleep_until(clock.now() + MS);
        if call.warm_up { Err(Failure::new("cold", "too early")) } else { Ok(1) }
    };
    let load = Load::new(Shape::Closed { workers: 1 }, seconds(1)).warm_up(50 * MS);
    let got = drive(&load, &clock, &AtomicBool::new(false), &call).unwrap();
    assert_eq!((got.failed, got.warm_up), (5, 5));
    assert!(got.requests > 900, "{}", got.requests);
}

#[test]
fn a_stop_ends_it_and_keeps_what_was_measured() {
    for shape in [CLOSED, open(100.0, 4)] {
        let (clock, stop, made) = (VirtualClock::new(), AtomicBool::new(false), AtomicU64::new(0));
        let call = |_| {
            clock.sleep_until(clock.now() + 10 * MS);
            if made.fetch_add(1, Ordering::SeqCst) == 50 {
                stop.store(true, Ordering::SeqCst);
            }
            Ok::<_, Failure>(1)
        };
        let got = drive(&Load::new(shape, seconds(1_000_000)), &clock, &stop, &call).unwrap();
        assert!(got.stopped);
        assert!((51..60).contains(&got.requests), "{}", got.requests);
        assert!(got.elapsed_seconds < 10.0 && got.seconds.len() < 10, "{got:?}");
    }
}

#[test]
fn nobody_waits_for_a_call_that_is_due_in_a_year() {
    let stop = AtomicBool::new(false);
    let slow = Shape::Open { rate: 1e-8, spacing: Spacing::Poisson { seed: 1 }, in_flight: 2 };
    let measured = std::thread::scope(|scope| {
        let call = |_| Ok::<_, Failure>(1);
        let load = Load::new(slow, Until::Calls(5));
        scope.spawn(|| {
            std::thread::sleep(50 * MS);
            stop.store(true, Ordering::SeqCst);
        });
        drive(&load, &SystemClock::new(), &stop, &call).unwrap()
    });
    assert_eq!((measured.requests, measured.stopped), (0, true));
}

#[test]
fn the_systems_clock_measures_real_time() {
    let call = |_| {
        std::thread::sleep(5 * MS);
        Ok::<_, Failure>(1)
    };
    let load = Load::new(CLOSED, Until::Calls(40));
    let got = drive(&load, &SystemClock::new(), &AtomicBool::new(false), &call).unwrap();
    assert_eq!(got.requests, 40);
    assert!(got.latency.p50_ms >= 4.99, "{:?}", got.latency);
    assert!(got.elapsed_seconds >= 0.0499, "{}", got.elapsed_seconds);
}

#[test]
fn what_cannot_be_driven_is_refused_with_advice() {
    let refused = |load: &Load| {
        let call = |_| Ok::<_, Failure>(1);
        let error = drive(load, &VirtualClock::new(), &AtomicBool::new(false), &call).unwrap_err();
        assert!(error.hint().is_some());
        error
    };
    let none = Load::new(Shape::Closed { workers: 0 }, seconds(1));
    assert!(matches!(refused(&none), LoadError::NoWorker));
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e7] {
        assert!(matches!(refused(&Load::new(open(rate, 1), seconds(1))), LoadError::Rate { .. }));
    }
    assert!(matches!(refused(&Load::new(CLOSED, Until::Calls(0))), LoadError::Empty));
    assert!(matches!(refused(&Load::new(CLOSED, seconds(0))), LoadError::Empty));
}

#[test]
fn a_panic_ends_all_workers() {
    let clock = VirtualClock::new();
    let call = |call: Call| {
        clock.sleep_until(clock.now() + MS);
        assert!(call.index != 20, "the twenty-first");
        Ok::<_, Failure>(1)
    };
    let load = Load::new(CLOSED, seconds(1_000_000));
    let run = std::panic::AssertUnwindSafe(|| {
        drive(&load, &clock, &AtomicBool::new(false), &call).map(|_| ())
    });
    assert!(std::panic::catch_unwind(run).is_err());
}
