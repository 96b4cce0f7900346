//! The runner on a device of host memory, with an engine whose sums are known.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "the stand-in of an engine implements an unsafe trait")]

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use onr_device::{
    Address, Binding, Context, Device, DeviceError, DeviceTensor, Engine, Feed, Handle, Keep,
    Ranges, Runner, RunnerOptions, host::HostDriver,
};
use onr_graphs::DType;
use proptest::prelude::*;

/// `y = 2 x + past` and `total`, the sum of each row of `y`; `x`, `past`: `[n, 2]`.
struct Doubler {
    driver: HostDriver,
    bindings: Vec<Binding>,
    profiles: usize,
    contexts: Arc<AtomicUsize>,
}

struct Working {
    driver: HostDriver,
    rows: BTreeMap<String, usize>,
    at: BTreeMap<String, Address>,
    contexts: Arc<AtomicUsize>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.contexts.fetch_sub(1, Ordering::SeqCst);
    }
}

fn binding(name: &str, input: bool, shape: &[Option<usize>]) -> Binding {
    Binding { name: name.into(), input, dtype: DType::F32, shape: shape.to_vec() }
}

impl Doubler {
    fn new(driver: &HostDriver, profiles: usize) -> Self {
        let matrix = [None, Some(2)];
        let bindings = vec![
            binding("x", true, &matrix),
            binding("past", true, &matrix),
            binding("y", false, &matrix),
            binding("total", false, &[None]),
        ];
        Self { driver: driver.clone(), bindings, profiles, contexts: Arc::default() }
    }
}

impl Engine for Doubler {
    fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    fn profiles(&self) -> usize {
        self.profiles
    }

    fn context(&self) -> Result<Box<dyn Context>, DeviceError> {
        self.contexts.fetch_add(1, Ordering::SeqCst);
        let (driver, contexts) = (self.driver.clone(), Arc::clone(&self.contexts));
        Ok(Box::new(Working { driver, rows: BTreeMap::new(), at: BTreeMap::new(), contexts }))
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn bytes(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|x| x.to_le_bytes()).collect()
}

// SAFETY: the driver checks all addresses.
unsafe impl Context for Working {
    unsafe fn choose(&mut self, _: usize, _: Handle) -> Result<(), DeviceError> {
        self.rows.clear();
        Ok(())
    }

    fn resize(&mut self, input: &str, shape: &[usize]) -> Result<(), DeviceError> {
        self.rows.insert(input.into(), shape[0]);
        Ok(())
    }

    fn output(&self, name: &str) -> Result<Vec<usize>, DeviceError> {
        let rows = self.rows["x"];
        Ok(if name == "y" { vec![rows, 2] } else { vec![rows] })
    }

    unsafe fn bind(&mut self, name: &str, at: Address) -> Result<(), DeviceError> {
        self.at.insert(name.into(), at);
        Ok(())
    }

    unsafe fn enqueue(&mut self, stream: Handle) -> Result<(), DeviceError> {
        let (rows, at) = (self.rows["x"], self.at.clone());
        if self.rows["past"] != rows {
            return Err(DeviceError::Engine { reason: "rows differ".into() });
        }
        let run = move |memory: &mut onr_device::host::HostMemory| {
            let x = floats(memory.read(at["x"], rows * 8)?);
            let past = floats(memory.read(at["past"], rows * 8)?);
            if x.iter().any(|x| x.is_nan()) {
                return Err(DeviceError::Engine { reason: "no number".into() });
            }
            let y: Vec<f32> = x.iter().zip(&past).map(|(x, p)| 2.0 * x + p).collect();
            let total: Vec<f32> = y.chunks(2).map(|row| row.iter().sum()).collect();
            memory.write(at["y"], rows * 8)?.copy_from_slice(&bytes(&y));
            memory.write(at["total"], rows * 4)?.copy_from_slice(&bytes(&total));
            Ok(())
        };
        self.driver.submit(stream, Arc::new(run))
    }
}

fn ranges(least: usize, most: usize) -> Ranges {
    let matrix = vec![(least, most), (2, 2)];
    Ranges(BTreeMap::from([("x".into(), matrix.clone()), ("past".into(), matrix)]))
}

struct Bench {
    driver: HostDriver,
    device: Device,
    engine: Arc<Doubler>,
    runner: Runner,
}

fn bench(memory: u64, recordings: usize) -> Bench {
    let driver = HostDriver::new(memory);
    let device = Device::new(driver.clone(), 1 << 16);
    let engine = Arc::new(Doubler::new(&driver, 2));
    let options = RunnerOptions { profiles: vec![ranges(1, 4), ranges(5, 16)], recordings };
    let runner = Runner::new(&device, engine.clone(), options).unwrap();
    Bench { driver, device, engine, runner }
}

fn host<'a>(shape: &'a [usize], values: &[f32]) -> Feed<'a> {
    Feed::Host { shape, dtype: DType::F32, bytes: Cow::Owned(bytes(values)) }
}

impl Bench {
    fn run(
        &mut self,
        x: &[f32],
        past: Feed<'_>,
        stays: bool,
    ) -> Result<BTreeMap<String, Keep>, DeviceError> {
        let shape = [x.len() / 2, 2];
        let feeds = BTreeMap::from([("x", host(&shape, x)), ("past", past)]);
        self.runner.run(&feeds, &|name| stays && name == "y")
    }
}

fn on_host(keep: &Keep) -> Vec<f32> {
    match keep {
        Keep::Host(_, _, elements) => floats(elements),
        Keep::Device(tensor) => floats(&tensor.download().unwrap()),
    }
}

#[test]
fn a_tensor_stays_on_the_device_from_run_to_run() {
    let mut bench = bench(1 << 20, 0);
    let first = bench.run(&[1.0, 2.0], host(&[1, 2], &[10.0, 20.0]), true).unwrap();
    let Keep::Device(y) = &first["y"] else { panic!("y was to stay") };
    assert_eq!((y.shape(), on_host(&first["y"])), (&[1, 2][..], vec![12.0, 24.0]));
    let before = bench.runner.counters();
    let second = bench.run(&[0.5, 0.5], Feed::Device(y), true).unwrap();
    assert_eq!(on_host(&second["total"]), [13.0 + 25.0]);
    let after = bench.runner.counters();
    assert_eq!(after.uploaded - before.uploaded, 8, "x alone was copied to the device");
    assert_eq!(after.downloaded - before.downloaded, 4, "the total alone came back");
    assert_eq!(on_host(&first["y"]), [12.0, 24.0], "what was kept is not written again");
}

#[test]
fn a_tensor_gets_room_along_an_axis() {
    let bench = bench(1 << 20, 0);
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let tensor =
        DeviceTensor::upload(&bench.device, &[2, 2, 2], DType::F32, &bytes(&values)).unwrap();
    let wide = tensor.widened(1, 3).unwrap();
    assert_eq!(wide.shape(), [2, 3, 2]);
    let wanted = [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 5.0, 6.0, 7.0, 8.0, 0.0, 0.0];
    assert_eq!(floats(&wide.download().unwrap()), wanted);
    assert_eq!(floats(&tensor.download().unwrap()), values);
}

#[test]
fn profiles_are_chosen_by_shape_and_what_fits_none_is_refused() {
    let mut bench = bench(1 << 20, 0);
    for rows in [1, 16, 4, 5] {
        let x = vec![1.0; 2 * rows];
        let found = bench.run(&x, host(&[rows, 2], &vec![0.5; 2 * rows]), false).unwrap();
        assert_eq!(on_host(&found["total"]), vec![5.0; rows]);
    }
    let error = bench.run(&[1.0; 34], host(&[17, 2], &[0.0; 34]), false).unwrap_err();
    assert!(
        error.to_string().contains("[17, 2] is outside [5..=16, 2..=2] of profile 1"),
        "{error}"
    );
    assert_eq!(bench.runner.counters().runs, 4);
}

#[test]
fn what_does_not_fit_the_engine_is_refused_before_anything_moves() {
    let mut bench = bench(1 << 20, 0);
    let x = host(&[1, 2], &[1.0, 2.0]);
    let ids = Feed::Host { shape: &[1, 2], dtype: DType::I64, bytes: Cow::Owned(vec![0; 16]) };
    let short = Feed::Host { shape: &[1, 2], dtype: DType::F32, bytes: Cow::Owned(vec![0; 4]) };
    let cases = [
        (vec![("x", x.clone())], "input `past` is missing"),
        (vec![("x", x.clone()), ("past", ids)], "input `past` is i64, the plan takes f32"),
        (
            vec![("x", x.clone()), ("past", host(&[1, 3], &[0.0; 3]))],
            "input `past` has shape [1, 3], the plan takes [?,2]",
        ),
        (vec![("x", x.clone()), ("past", short)], "input `past` has 4 bytes for shape [1, 2]"),
        (
            vec![("x", x.clone()), ("past", x.clone()), ("z", x.clone())],
            "input `z` is not one of the plan's inputs",
        ),
    ];
    for (feeds, wanted) in cases {
        let feeds = feeds.into_iter().collect();
        let error = bench.runner.run(&feeds, &|_| false).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
    assert_eq!(bench.runner.counters().uploaded, 0);
    let error = bench.run(&[1.0, 2.0], host(&[2, 2], &[0.0; 4]), false).unwrap_err();
    assert_eq!(error.to_string(), "the engine failed: rows differ");
    assert_eq!(
        on_host(&bench.run(&[1.0, 2.0], x.clone(), false).unwrap()["total"]),
        [9.0],
        "it works on"
    );
}

#[test]
fn repeated_runs_are_recorded_and_launched_with_new_numbers() {
    let mut bench = bench(1 << 20, 2);
    for round in 0..10_u8 {
        for rows in [1, 2, 7] {
            let x = vec![f32::from(round); 2 * rows];
            let found = bench.run(&x, host(&[rows, 2], &vec![1.0; 2 * rows]), false).unwrap();
            assert_eq!(
                on_host(&found["total"]),
                vec![4.0 * f32::from(round) + 2.0; rows],
                "round {round}"
            );
        }
    }
    let counters = bench.runner.counters();
    assert!(counters.recordings >= 3 && counters.launches > 0, "{counters:?}");
    assert!(
        bench.engine.contexts.load(Ordering::SeqCst) <= 3,
        "one context, and one for each of two recordings"
    );
}

#[test]
fn what_fails_on_the_device_after_it_was_given_to_the_stream_fails_the_run() {
    let mut bench = bench(1 << 20, 2);
    for _ in 0..4 {
        let error = bench.run(&[f32::NAN, 2.0], host(&[1, 2], &[0.0; 2]), true).unwrap_err();
        assert_eq!(error.to_string(), "the engine failed: no number");
    }
    assert_eq!(bench.runner.counters().runs, 0);
    let found = bench.run(&[1.0, 2.0], host(&[1, 2], &[0.0; 2]), true).unwrap();
    assert_eq!(on_host(&found["total"]), [6.0], "it works on");
}

#[test]
fn a_full_device_says_so_and_works_on() {
    let mut bench = bench(8192, 0);
    let error = bench.device.buffer(1 << 20).unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory of this process has no 1048576 bytes left: 8192 of 8192 are free"
    );
    let kept: Vec<DeviceTensor> = (0..16)
        .map_while(|_| DeviceTensor::upload(&bench.device, &[128], DType::F32, &[0; 512]).ok())
        .collect();
    assert_eq!(kept.len(), 16);
    let error = bench.run(&[1.0, 2.0], host(&[1, 2], &[0.0; 2]), true).unwrap_err();
    assert!(matches!(error, DeviceError::OutOfMemory { free: 0, .. }), "{error}");
    drop(kept);
    assert_eq!(bench.device.idle(), 8192, "kept for the next run");
    let found = bench.run(&[1.0, 2.0], host(&[1, 2], &[0.0; 2]), true).unwrap();
    assert_eq!(on_host(&found["total"]), [6.0], "idle memory of other sizes made room");
}

#[test]
fn a_plan_with_other_profiles_than_expected_is_refused() {
    let driver = HostDriver::new(1 << 20);
    let device = Device::new(driver.clone(), 0);
    let options = RunnerOptions { profiles: vec![ranges(1, 4)], recordings: 0 };
    let error = Runner::new(&device, Arc::new(Doubler::new(&driver, 2)), options).err().unwrap();
    assert_eq!(error.to_string(), "the plan cannot be loaded: 1 profiles were expected, it has 2");
}

#[test]
fn nothing_is_held_in_the_end() {
    let driver = {
        let mut bench = bench(1 << 20, 1);
        for _ in 0..4 {
            bench.run(&[1.0, 2.0], host(&[1, 2], &[0.0; 2]), false).unwrap();
        }
        bench.driver.clone()
    };
    assert_eq!(driver.held(), [0; 5]);
    assert_eq!(driver.used(), 0);
}

proptest! {
    /// Any order of runs, shapes and places gives the sums of a plain loop, and never more memory than there is.
    #[test]
    fn any_order_of_runs_gives_the_same_numbers(
        runs in proptest::collection::vec((1_usize..=16, any::<bool>(), any::<bool>()), 1..40),
        recordings in 0_usize..3,
    ) {
        let mut bench = bench(1 << 14, recordings);
        let mut kept: Option<(DeviceTensor, Vec<f32>)> = None;
        for (round, (rows, chained, stays)) in runs.into_iter().enumerate() {
            let x: Vec<f32> = (0..2 * rows).map(|i| (i + round) as f32).collect();
            let fit = kept.as_ref().filter(|(tensor, _)| chained && tensor.shape()[0] == rows);
            let (past, plain) = match fit {
                Some((tensor, plain)) => (Feed::Device(tensor), plain.clone()),
                None => (host(&[0, 0], &[]), vec![1.0; 2 * rows]),
            };
            let shape = [rows, 2];
            let past = match past {
                Feed::Device(tensor) => Feed::Device(tensor),
                Feed::Host { .. } => host(&shape, &plain),
            };
            let feeds = BTreeMap::from([("x", host(&shape, &x)), ("past", past)]);
            let found = bench.runner.run(&feeds, &|name| stays && name == "y").unwrap();
            let y: Vec<f32> = x.iter().zip(&plain).map(|(x, p)| 2.0 * x + p).collect();
            let total: Vec<f32> = y.chunks(2).map(|row| row.iter().sum()).collect();
            prop_assert_eq!(on_host(&found["y"]), y.clone());
            prop_assert_eq!(on_host(&found["total"]), total);
            if let Keep::Device(tensor) = &found["y"] {
                kept = Some((tensor.clone(), y));
            }
        }
        prop_assert!(bench.driver.used() <= 1 << 14);
    }
}
