//! Plans on the stand-in: what goes in and out, and what is refused.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use half::f16;
use onr_exporter::{onnx::OnnxFile, progress::Silent};
use onr_graphs::{Dim, Profile};

use super::TrtexecBackend;
use crate::{
    backend::{Backend, RunError, Session},
    builder::{BuildJob, EngineBuilder, PlanKind, PlanWeights},
    builders::{
        Trtexec,
        trtexec::tests::standin::{Standin, script},
    },
    manifest::Manifest,
    tensor::{Feeds, HostTensor},
};

/// A directory with a graph, its plan and a manifest, as `build-engine` leaves it.
struct Built {
    standin: Standin,
    onnx: PathBuf,
}

impl Built {
    fn new(table: &str, fault: &str, precision: &str, dynamic: bool) -> Self {
        Self::with(table, fault, precision, dynamic, &[Profile::for_model(16)])
    }

    fn with(
        table: &str,
        fault: &str,
        precision: &str,
        dynamic: bool,
        profiles: &[Profile],
    ) -> Self {
        let whole = Standin::new(table, "");
        let onnx = whole.graph(precision, dynamic);
        let infos = OnnxFile::read(&onnx).unwrap().inputs;
        let dim = |size: &String| size.parse().map_or_else(|_| Dim::named(size), Dim::Fixed);
        let inputs: Vec<_> =
            infos.iter().map(|i| (i.name.clone(), i.shape.iter().map(dim).collect())).collect();
        let job = BuildJob {
            graph: "g",
            onnx: &onnx,
            plan: &whole.path("g.plan"),
            inputs: &inputs,
            profiles,
            targets: &[],
            workspace: None,
            weights: PlanWeights::Fixed,
        };
        let engine = Trtexec::new(whole.program()).build(&job, &Silent).unwrap();
        let mut manifest = Manifest::of_file(&Profile::for_model(16));
        manifest.engines.insert("g".into(), engine);
        manifest.write(whole.folder.path()).unwrap();
        let built = Self { standin: whole, onnx };
        if !fault.is_empty() {
            let program = built.standin.program();
            let text = fs::read_to_string(&program).unwrap();
            script(&program, &text.replace(" -- ", &format!(" {fault} -- ")));
        }
        built
    }

    fn backend(&self) -> TrtexecBackend {
        TrtexecBackend::new(self.standin.program())
    }

    fn open(&self) -> Result<Box<dyn Session>, RunError> {
        self.backend().open(&self.onnx)
    }

    fn refused(&self) -> String {
        self.open().err().unwrap().to_string().replace(&*self.root(), "")
    }

    fn root(&self) -> String {
        format!("{}/", self.standin.folder.path().display())
    }

    fn edit(&self, change: impl FnOnce(&mut Manifest)) {
        let dir = self.standin.folder.path();
        let mut manifest = Manifest::read(dir).unwrap();
        change(&mut manifest);
        manifest.write(dir).unwrap();
    }
}

/// Without a number the tool would take the first one, and refuse the others' sizes.
#[test]
fn a_run_names_the_profile_of_its_sizes() {
    let profile = |text: &str| Profile::for_model(16).with(text).unwrap();
    let profiles = [profile("batch=1:2:4"), profile("batch=5:6:8")];
    let built = Built::with("10.late", "", "fp32", true, &profiles);
    let mut session = built.open().unwrap();
    for rows in [1, 4, 5, 8] {
        let x = HostTensor::of(&[rows, 3], floats(rows));
        assert_eq!(session.run(&feeds(x)).unwrap().len(), 2, "{rows}");
    }
    let x = HostTensor::of(&[9, 3], floats(9));
    let told = session.run(&feeds(x)).unwrap_err().to_string();
    assert!(told.ends_with("g.plan: none of its profiles takes batch=9"), "{told}");
}

fn feeds(x: HostTensor) -> Feeds {
    let shape = x.shape().to_vec();
    let ids: Vec<i32> = (0..).take(shape.iter().product()).collect();
    Feeds::from([("ids".into(), HostTensor::of(&shape, ids)), ("x".into(), x)])
}

fn floats(rows: usize) -> Vec<f32> {
    (0..rows * 3).map(|i| i as f32 / 2.0 - 1.0).collect()
}

#[test]
fn every_version_runs_plans_of_every_type_that_the_stand_in_can() {
    for table in ["8.6", "9", "10.0", "10.late", "11.1"] {
        for (dynamic, rows) in [(true, 5), (false, 2)] {
            for precision in ["fp32", "fp16", "int8"] {
                if !dynamic && precision != "fp16" {
                    continue;
                }
                let built = Built::new(table, "", precision, dynamic);
                let x = floats(rows);
                let shape = [rows, 3];
                let half = |x: &f32| f16::from_f32(*x);
                let (x, y) = match precision {
                    "fp32" => (
                        HostTensor::of(&shape, x.clone()),
                        HostTensor::of(&shape, x.iter().map(|x| x * x).collect::<Vec<_>>()),
                    ),
                    "fp16" => (
                        HostTensor::of(&shape, x.iter().map(half).collect::<Vec<_>>()),
                        HostTensor::of(&shape, x.iter().map(|x| half(&-x)).collect::<Vec<_>>()),
                    ),
                    _ => (HostTensor::of(&shape, x.clone()), HostTensor::of(&shape, x)),
                };
                let feeds = feeds(x);
                let mut session = built.open().unwrap();
                let got = session.run(&feeds).unwrap();
                assert_eq!(got.len(), 2);
                assert_eq!(got["y/out"], y, "{table} {precision}");
                assert_eq!(got["ids.out"], feeds["ids"], "{table} {precision}");
                assert_eq!(session.placement().device, "cuda");
            }
        }
    }
}

#[test]
fn runs_leave_nothing() {
    let built = Built::new("10.0", "", "fp32", true);
    let (program, note) = (built.standin.program(), built.standin.path("folder"));
    let text = fs::read_to_string(&program).unwrap();
    script(&program, &text.replace("exec ", &format!("pwd > {}\nexec ", note.display())));
    built.open().unwrap().run(&feeds(HostTensor::of(&[1, 3], floats(1)))).unwrap();
    let folder = PathBuf::from(fs::read_to_string(note).unwrap().trim());
    assert!(folder.display().to_string().contains("onr-trtexec-"), "{}", folder.display());
    assert!(!folder.exists());
}

#[test]
fn plans_of_others_are_refused_by_name() {
    let built = Built::new("10.0", "", "fp32", true);
    built.edit(|manifest| manifest.engines.get_mut("g").unwrap().version = "10.14.1".into());
    assert_eq!(
        built.refused(),
        "trtexec cannot load g.plan: it was written by TensorRT 10.14.1, trtexec is TensorRT 10.0.1, and a plan \
         loads only in the version that wrote it"
    );
    built.edit(|manifest| manifest.engines.get_mut("g").unwrap().kind = PlanKind::TensorrtRtx);
    assert_eq!(
        built.refused(),
        "trtexec cannot load g.plan: it is a plan of TensorRT for RTX 10.14.1; data-centre plans are made by `onr \
         build-engine --builder trtexec`"
    );
    built.edit(|manifest| manifest.engines.clear());
    let told = built.refused();
    assert!(told.starts_with("trtexec cannot load g.onnx: "), "{told}");
    assert!(told.contains(" has no plan of g; "), "{told}");
    fs::remove_file(built.standin.path("onr.json")).unwrap();
    let told = built.refused();
    assert!(told.contains("it runs plans, and no manifest names one: "), "{told}");
}

/// The manifest may say what it likes: the tool knows better.
#[test]
fn a_plan_that_the_tool_refuses() {
    let built = Built::new("10.0", "", "fp32", true);
    let other = fs::read_to_string(built.standin.path("g.plan")).unwrap();
    fs::write(built.standin.path("g.plan"), other.replace("10.0.1", "10.3.0")).unwrap();
    let told = run(&built).to_string();
    assert!(told.starts_with("trtexec failed: "), "{told}");
    assert!(told.contains("exit status: 1: The engine plan file is not compatible"), "{told}");
    fs::write(built.standin.path("g.plan"), "no plan").unwrap();
    assert!(run(&built).to_string().contains("Error opening engine file"));
}

fn run(built: &Built) -> RunError {
    let feeds = feeds(HostTensor::of(&[1, 3], floats(1)));
    built.open().unwrap().run(&feeds).unwrap_err()
}

#[test]
fn short_files_and_a_death_are_errors() {
    let told = run(&Built::new("10.0", "short", "fp32", true)).to_string();
    assert_eq!(
        told,
        "trtexec failed: ids.out.output.1.3.int32.raw holds 11 bytes, which are no i32 [1, 3]"
    );
    let told = run(&Built::new("8.6", "dies", "fp32", true)).to_string();
    assert!(told.contains("signal: 6 (SIGABRT)"), "{told}");
    assert!(told.ends_with(": out of memory"), "{told}");
}

#[test]
fn a_run_without_an_end_is_ended() {
    let built = Built::new("10.0", "hangs", "fp32", true);
    let feeds = feeds(HostTensor::of(&[1, 3], floats(1)));
    let began = Instant::now();
    let backend = built.backend().with_limit(Duration::from_millis(300));
    let told = backend.open(&built.onnx).unwrap().run(&feeds).unwrap_err().to_string();
    assert!(told.contains("g.plan: no end after 0.3 s: "), "{told}");
    assert!(began.elapsed() < Duration::from_secs(30));

    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let stop = move || match count.fetch_add(1, Ordering::Relaxed) {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let backend = built.backend().stopped_by(Arc::new(stop));
    let error = backend.open(&built.onnx).unwrap().run(&feeds).unwrap_err();
    assert!(matches!(error, RunError::Interrupted { .. }), "{error}");
    assert!(asked.load(Ordering::Relaxed) > 1);
}

#[test]
fn feeds_that_do_not_fit_never_reach_the_tool() {
    let built = Built::new("10.0", "dies", "fp32", true);
    let mut feeds = feeds(HostTensor::of(&[1, 3], floats(1)));
    feeds.remove("ids");
    let error = built.open().unwrap().run(&feeds).unwrap_err();
    assert_eq!(error.to_string(), "trtexec: input `ids` is missing");
}

#[test]
fn what_is_no_trtexec_is_missing() {
    let built = Built::new("10.0", "", "fp32", true);
    script(&built.standin.program(), "#!/bin/sh\necho hello\n");
    let error = built.open().err().unwrap();
    assert!(matches!(error, RunError::Missing { .. }), "{error}");
    assert!(error.hint().unwrap().contains("/usr/src/tensorrt/bin/trtexec"));
    let nowhere = TrtexecBackend::new(Path::new("/nowhere/trtexec"));
    assert!(matches!(nowhere.open(&built.onnx), Err(RunError::Missing { .. })));
}
