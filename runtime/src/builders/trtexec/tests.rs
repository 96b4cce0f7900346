//! Process handling of the builder, against shell scripts that stand for `trtexec`.
//!
//! They are fixtures: they show how a tool is started, read, judged and killed, and nothing about
//! TensorRT. A real `trtexec` needs a GPU and the vendor's container.

mod flags;
pub(crate) mod standin;

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::{
        MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use onr_exporter::progress::Silent;
use onr_graphs::{Dim, Profile};
use tempfile::TempDir;

use self::standin::{script, turn};
use super::*;
use crate::builder::PlanWeights;

/// A folder with a stand-in, an ONNX file and a place for the plan.
struct Bench {
    _turn: MutexGuard<'static, ()>,
    folder: TempDir,
    tool: Trtexec,
    inputs: Vec<(String, Vec<Dim>)>,
    workspace: Option<u64>,
    weights: PlanWeights,
}

impl Bench {
    /// The stand-in prints the banner of `version`, then does what `body` says, in the folder.
    fn new(version: &str, body: &str) -> Self {
        let turn = turn();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("trtexec");
        let text = format!(
            "#!/bin/sh\n\
             echo \"&&&& RUNNING TensorRT.trtexec [TensorRT v{version}] [b26] # $0 $*\"\n\
             [ \"$1\" = --help ] && {{ echo '=== Model Options ==='; exit 0; }}\n\
             cd {}\n\
             {body}\n",
            folder.path().display(),
        );
        script(&path, &text);
        fs::write(folder.path().join("g.onnx"), "onnx").unwrap();
        let inputs = vec![
            ("item_ids".to_owned(), vec![Dim::named("batch"), Dim::named("seq")]),
            ("past_key_values.0.key".to_owned(), vec![Dim::named("batch"), Dim::Fixed(2)]),
            ("scale".to_owned(), vec![Dim::Fixed(1)]),
        ];
        Self {
            _turn: turn,
            folder,
            tool: Trtexec::new(path),
            inputs,
            workspace: Some(1 << 30),
            weights: PlanWeights::Fixed,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        let text = fs::read_to_string(self.file(name)).unwrap();
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn build(
        &self,
        targets: &[Target],
        progress: &dyn Progress,
    ) -> Result<BuiltEngine, EngineError> {
        self.tool.build(
            &BuildJob {
                graph: "encode",
                onnx: &self.file("g.onnx"),
                plan: &self.file("g.plan"),
                inputs: &self.inputs,
                profiles: &[Profile::for_model(16)],
                targets,
                workspace: self.workspace,
                weights: self.weights,
            },
            progress,
        )
    }

    fn refused(&self) -> String {
        self.build(&[], &Silent).unwrap_err().to_string()
    }
}

const RECORD: &str = "echo \"$@\" | tr ' ' '\\n' > args; printf ptrt > g.plan";

#[test]
fn flags_of_ten() {
    let bench = Bench::new("100300", RECORD);
    let built = bench.build(&[], &Silent).unwrap();
    assert_eq!(
        bench.read("args").lines().collect::<Vec<_>>(),
        [
            "--onnx=g.onnx",
            "--saveEngine=g.plan",
            "--minShapes=item_ids:1x1,past_key_values.0.key:1x2",
            "--optShapes=item_ids:8x8,past_key_values.0.key:8x2",
            "--maxShapes=item_ids:32x16,past_key_values.0.key:32x2",
            "--stronglyTyped",
            "--skipInference",
            "--memPoolSize=workspace:1024",
        ]
    );
    assert_eq!((built.version.as_str(), built.library.as_str()), ("10.3.0", "trtexec"));
    assert_eq!(built.kind, PlanKind::Tensorrt);
    assert_eq!(built.network, NetworkSummary::default());
}

#[test]
fn eleven_is_strongly_typed_by_nature() {
    let mut bench = Bench::new("110201", RECORD);
    bench.inputs.clear();
    bench.workspace = None;
    assert_eq!(bench.build(&[], &Silent).unwrap().version, "11.2.1");
    let args = bench.read("args");
    let expected = ["--onnx=g.onnx", "--saveEngine=g.plan", "--skipInference"];
    assert_eq!(args.lines().collect::<Vec<_>>(), expected, "no shapes for a fixed graph");
}

#[test]
fn device_and_warnings_are_read_from_the_output() {
    let bench = Bench::new(
        "101401",
        "echo '[11/21/2026-20:31:07] [I] Compute Capability: 9.0'\n\
         echo '[11/21/2026-20:31:08] [W] [TRT] slow' >&2; printf ptrt > g.plan",
    );
    let built = bench.build(&[], &Silent).unwrap();
    assert_eq!(built.targets, ["sm90"]);
    assert_eq!(built.warnings, ["slow"]);
}

#[test]
fn before_8_6_all_is_refused() {
    let told = Bench::new("8503", RECORD).refused();
    assert!(told.contains("is TensorRT 8.5.3: its parser lacks what the graphs need"), "{told}");
}

#[test]
fn a_tool_that_hangs_is_missing() {
    let bench = Bench::new("100300", RECORD);
    script(&bench.file("trtexec"), "#!/bin/sh\nsleep 1000\n");
    let program = Program::patient(bench.file("trtexec"), Duration::from_millis(200));
    let told = program.about().unwrap_err().what;
    assert!(told.ends_with("trtexec: `--help` has no end after 0.2 s"), "{told}");
}

#[test]
fn what_is_no_trtexec_is_missing() {
    let bench = Bench::new("100300", RECORD);
    fs::write(bench.file("trtexec"), "#!/bin/sh\necho hello\n").unwrap();
    let Availability::Missing { what, hint } = bench.tool.availability() else { panic!() };
    assert!(what.ends_with("does not name its TensorRT version; it said: hello"), "{what}");
    assert!(hint.contains("/usr/src/tensorrt/bin/trtexec"));

    let nowhere = Trtexec::new("/nowhere/trtexec");
    let Availability::Missing { what, .. } = nowhere.availability() else { panic!() };
    assert!(what.starts_with("cannot run /nowhere/trtexec: "), "{what}");
}

#[test]
fn targets_are_refused() {
    let error = Bench::new("100300", RECORD).build(&[Target(90)], &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "builder trtexec cannot compile for sm90: it compiles for the GPU of the machine that it \
         runs on"
    );
    assert!(error.hint().unwrap().starts_with("leave --target out"));
}

#[test]
fn a_failure_quotes_the_last_errors_and_leaves_no_plan() {
    let bench = Bench::new(
        "100300",
        "printf half > g.plan\n\
         echo '[11/21/2026-20:31:08] [E] [TRT] out of memory'\n\
         echo '[11/21/2026-20:31:08] [E] Engine set up failed'; exit 1",
    );
    assert_eq!(
        bench.refused(),
        "trtexec cannot build graph encode: exit status: 1: out of memory; Engine set up failed"
    );
    assert!(!bench.file("g.plan").exists());
}

#[test]
fn a_refused_graph_is_a_parse_error() {
    let bench = Bench::new(
        "100300",
        "echo '[11/21/2026-20:31:08] [E] [TRT] ModelImporter.cpp:949: While parsing node number 4 \
         [Tile -> \"t\"]:'\n\
         echo '[11/21/2026-20:31:08] [E] [TRT] ModelImporter.cpp:950: --- Begin node ---\n\
         input: \"x\"\noutput: \"t\"\nname: \"enc/Tile\"\nop_type: \"Tile\"\n'\n\
         echo '[11/21/2026-20:31:08] [E] [TRT] ModelImporter.cpp:954: ERROR: ModelImporter.cpp:195 In \
         function parseNode:\n[6] Invalid Node - enc/Tile\nno tiles today'\n\
         echo '[11/21/2026-20:31:08] [E] Failed to parse onnx file'; exit 1",
    );
    let Err(EngineError::Parse { node, op, reason, .. }) = bench.build(&[], &Silent) else {
        panic!()
    };
    assert_eq!(
        (node.as_str(), op.as_str(), reason.as_str()),
        ("enc/Tile", "Tile", "no tiles today")
    );
}

#[test]
fn success_without_a_plan_is_none() {
    assert!(Bench::new("100300", "true").refused().starts_with("cannot use "));
    let told = Bench::new("100300", ": > g.plan").refused();
    assert!(told.ends_with("it reported success but wrote an empty plan"), "{told}");
}

#[test]
fn names_that_its_flags_cannot_carry_are_refused() {
    let mut bench = Bench::new("100300", RECORD);
    bench.inputs[0].0 = "ids:0".to_owned();
    assert!(bench.refused().contains("input `ids:0` has a character"));
}

/// Asks to stop as soon as the stand-in has written its process ids.
struct StopWhen<'a> {
    exists: &'a Path,
    asked: AtomicUsize,
}

impl Progress for StopWhen<'_> {
    fn stage(&self, _: &str, _: u64) {}

    fn advance(&self, _: u64) -> ControlFlow<()> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.exists.exists() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A killed grandchild stays a zombie until its new parent looks after it.
fn gone(pid: &str) -> bool {
    (0..100).any(|_| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = status.rsplit_once(") ").and_then(|(_, s)| s.chars().next());
        let gone = matches!(state, None | Some('Z' | 'X'));
        if !gone {
            thread::sleep(Duration::from_millis(20));
        }
        gone
    })
}

#[test]
fn a_break_kills_the_tool_and_its_children() {
    let bench = Bench::new(
        "100300",
        "trap '' TERM INT\nprintf half > g.plan\nsleep 1000 &\n\
         printf '%s\\n' $$ $! > pids.part; mv pids.part pids; echo working; wait; sleep 1000",
    );
    let pids = bench.file("pids");
    let stop = StopWhen { exists: &pids, asked: AtomicUsize::new(0) };
    let error = bench.build(&[], &stop).unwrap_err();
    assert!(matches!(error, EngineError::Interrupted { .. }), "{error}");
    assert!(stop.asked.into_inner() > 0);
    for pid in bench.read("pids").lines() {
        assert!(gone(pid), "process {pid} is alive");
    }
    assert!(!bench.file("g.plan").exists());
}

#[test]
fn the_tool_dies_with_the_thread_that_started_it() {
    let bench = Bench::new("100300", "");
    let pid = bench.file("pid");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let tool = thread::spawn(move || {
        let tool = Tool::start(command).unwrap();
        while !fs::read_to_string(&pid).is_ok_and(|t| t.ends_with('\n')) {
            thread::sleep(Duration::from_millis(5));
        }
        tool
    });
    // The thread has ended, as if we had died; the handle lives on and has killed nothing.
    let tool = tool.join().unwrap();
    assert!(gone(bench.read("pid").trim()));
    drop(tool);
}
