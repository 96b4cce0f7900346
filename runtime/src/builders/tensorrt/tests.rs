//! Against the real library, without a GPU. `make test` installs it; without it these tests fail.

mod graphs;
mod onnx;
mod progress;
mod recorder;

use std::{fs, path::PathBuf, thread};

use onr_exporter::progress::{Progress, Silent};
use onr_graphs::{Dim, Profile};
use tempfile::TempDir;

use self::onnx::{Axis, F16, F32, Graph, raw};
use super::*;
use crate::builder::PlanWeights;
use crate::libraries::Search;

fn rtx() -> TensorRt {
    let found = Search::from_env().tensorrt().unwrap_or_else(|e| panic!("{e}; {}", e.hint()));
    TensorRt::new(found.runtime.path, found.parser.path)
}

/// A folder with `tiny.onnx` in it, and what a job needs to know of that file.
struct Case {
    folder: TempDir,
    inputs: Vec<(String, Vec<Dim>)>,
    targets: Vec<Target>,
    plan: &'static str,
}

impl Case {
    fn new(model: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("tiny.onnx"), model).unwrap();
        let x = vec![Dim::named("batch"), Dim::named("seq"), Dim::Fixed(4)];
        Self {
            folder,
            inputs: vec![("x".to_owned(), x)],
            targets: vec![Target(86)],
            plan: "tiny.plan",
        }
    }

    fn plan(&self) -> PathBuf {
        self.folder.path().join(self.plan)
    }

    fn build_with(&self, progress: &dyn Progress) -> Result<BuiltEngine, EngineError> {
        self.build_for(&[Profile::for_model(16)], progress)
    }

    fn build_for(
        &self,
        profiles: &[Profile],
        progress: &dyn Progress,
    ) -> Result<BuiltEngine, EngineError> {
        let job = BuildJob {
            graph: "tiny",
            onnx: &self.folder.path().join("tiny.onnx"),
            plan: &self.plan(),
            inputs: &self.inputs,
            profiles,
            targets: &self.targets,
            workspace: Some(64 << 20),
            weights: PlanWeights::Fixed,
        };
        rtx().build(&job, progress)
    }

    fn build(&self) -> Result<BuiltEngine, EngineError> {
        self.build_with(&Silent)
    }

    /// The message of the failure, and that it left no plan.
    fn refused(&self) -> String {
        let error = self.build().unwrap_err().to_string();
        assert!(!self.plan().exists(), "{error}");
        error.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn rows(width: u64) -> [Axis; 3] {
    [Axis::Name("batch"), Axis::Name("seq"), Axis::Size(width)]
}

const W: [f32; 12] = [0.5, -1., 2., 1., 0.25, -3., 0., 1., 1., -1., 2., 0.125];

/// `y = Relu(x @ w)`.
fn dense(dtype: u64) -> Vec<u8> {
    Graph::default()
        .input("x", dtype, &rows(4))
        .output("y", dtype, &rows(3))
        .weight("w", dtype, &[4, 3], &W)
        .node("dense/MatMul", "MatMul", &["x", "w"], "h")
        .node("dense/Relu", "Relu", &["h"], "y")
        .model()
}

/// One node between `x` and `y`.
fn single(name: &str, op: &str) -> Vec<u8> {
    Graph::default()
        .input("x", F32, &rows(4))
        .output("y", F32, &rows(4))
        .node(name, op, &["x"], "y")
        .model()
}

#[test]
fn a_plan_of_several_profiles() {
    let case = Case::new(dense(F32));
    let one = case.build().unwrap();
    assert!(one.profiles.is_empty(), "one is the manifest's");
    let single = fs::read(case.plan()).unwrap();
    let profile = |text: &str| Profile::for_model(16).with(text).unwrap();
    let profiles = [profile("seq=1:2:4"), profile("seq=5:8:8"), profile("seq=9:16:16")];
    let several = case.build_for(&profiles, &Silent).unwrap();
    assert_eq!(several.profiles.len(), 3);
    assert_eq!(several.profiles[2], profiles[2].to_string());
    // The plan's text names them.
    let has = |plan: &[u8], mark: &str| plan.windows(mark.len()).any(|b| b == mark.as_bytes());
    let plan = fs::read(case.plan()).unwrap();
    assert!(
        has(&plan, "[profile 2]") && !has(&plan, "[profile 3]") && !has(&single, "[profile 1]")
    );
    let wrong = [profile("seq=1:2:4"), profile("seq=5:8:8").at("seq", "8:7:9".parse().unwrap())];
    let error = case.build_for(&wrong, &Silent).unwrap_err().to_string();
    assert!(error.contains("tiny"), "the second one is looked at too: {error}");
}

#[test]
fn one_plan_for_three_gpus() {
    let mut case = Case::new(dense(F32));
    case.targets = vec![Target(86), Target(89), Target(120), Target(86)];
    let built = case.build().unwrap();
    assert!(fs::read(case.plan()).unwrap().starts_with(b"vtrt"));
    assert_eq!(built.kind, PlanKind::TensorrtRtx);
    assert_eq!(built.targets, ["sm86", "sm89", "sm120"], "the repeat is dropped");
    assert!(built.version.starts_with("1."), "{}", built.version);
    assert_eq!(built.library, "libtensorrt_rtx.so.1");
    let io = |name: &str, dtype: &str, width: i64| crate::builder::IoTensor {
        name: name.to_owned(),
        dtype: dtype.to_owned(),
        shape: vec![-1, -1, width],
    };
    assert_eq!(built.network.inputs, [io("x", "f32", 4)]);
    assert_eq!(built.network.outputs, [io("y", "f32", 3)]);
    assert_eq!(built.network.layers["MatrixMultiply"], 1);
    assert_eq!(built.network.layers["Activation"], 1);
    assert!(built.network.f32_layers.iter().any(|l| l == "dense/MatMul"));
    assert_eq!(built.warnings, [""; 0]);
    assert!(built.seconds > 0.);
}

#[test]
fn the_default_is_three_generations() {
    let mut case = Case::new(dense(F32));
    case.targets = vec![];
    assert_eq!(case.build().unwrap().targets, ["sm86", "sm89", "sm120"]);
}

#[test]
fn every_target_compiles_alone() {
    for target in TensorRt::TARGETS {
        let mut case = Case::new(dense(F16));
        case.targets = vec![target];
        assert_eq!(case.build().unwrap().targets, [target.to_string()]);
    }
}

#[test]
fn half_precision_stays_what_the_file_says() {
    let built = Case::new(dense(F16)).build().unwrap();
    assert_eq!(built.network.inputs[0].dtype, "f16");
    assert_eq!(built.network.outputs[0].dtype, "f16");
    assert_eq!(built.network.f32_layers, [""; 0]);

    let model = Graph::default()
        .input("x", F16, &rows(4))
        .output("y", F32, &rows(4))
        .node("body/Relu", "Relu", &["x"], "h")
        .cast("head/Cast", "h", "y", F32);
    let built = Case::new(model.model()).build().unwrap();
    assert_eq!(built.network.f32_layers, ["head/Cast"]);
}

#[test]
fn a_graph_of_fixed_shapes_needs_no_profile() {
    let shape = [Axis::Size(2), Axis::Size(4)];
    let model = Graph::default().input("x", F32, &shape).output("y", F32, &shape);
    let mut case = Case::new(model.node("a/Relu", "Relu", &["x"], "y").model());
    case.inputs[0].1 = vec![Dim::Fixed(2), Dim::Fixed(4)];
    assert_eq!(case.build().unwrap().network.inputs[0].shape, [2, 4]);
}

/// `w` lies in `weights.data`.
fn with_weights_outside() -> Case {
    let model = Graph::default()
        .input("x", F32, &rows(4))
        .output("y", F32, &rows(3))
        .external("w", &[4, 3], "weights.data", 48)
        .node("dense/MatMul", "MatMul", &["x", "w"], "y");
    Case::new(model.model())
}

#[test]
fn weights_are_found_beside_the_file() {
    let case = with_weights_outside();
    fs::write(case.folder.path().join("weights.data"), raw(F32, &[1234.5; 12])).unwrap();
    case.build().unwrap();
    let (plan, some) = (fs::read(case.plan()).unwrap(), raw(F32, &[1234.5; 2]));
    assert!(plan.windows(some.len()).any(|bytes| bytes == some), "the plan holds the weights");
}

#[test]
fn missing_weights_are_named() {
    assert_eq!(with_weights_outside().refused(), "cannot read weights.data");
}

#[test]
fn an_unknown_operator_is_named() {
    let case = Case::new(single("odd/Frobnicate", "Frobnicate"));
    let Err(EngineError::Parse { node, op, reason, .. }) = case.build() else { panic!() };
    assert_eq!((node.as_str(), op.as_str()), ("odd/Frobnicate", "Frobnicate"));
    assert!(reason.contains("Plugin not found"), "{reason}");
    assert!(case.refused().starts_with(
        "TensorRT cannot parse tiny.onnx: node `odd/Frobnicate` (Frobnicate): creator && "
    ));
}

#[test]
fn types_that_do_not_meet_are_named_without_a_word_on_drivers() {
    let model = Graph::default()
        .input("x", F32, &rows(4))
        .output("y", F32, &rows(3))
        .weight("w", F16, &[4, 3], &W)
        .node("dense/MatMul", "MatMul", &["x", "w"], "y");
    let message = Case::new(model.model()).refused();
    assert!(message.contains("node `dense/MatMul` (MatMul): "), "{message}");
    assert!(message.contains("`A` is of type Float and `B` is of type Half"), "{message}");
    assert!(!message.contains("cudaError"), "{message}");
}

#[test]
fn what_is_no_onnx_file_is_refused() {
    // Protobuf takes the empty file for a message without fields.
    let empty = Case::new("").refused();
    assert_eq!(empty, "tiny.onnx is not a usable ONNX model: it has no graph");
    for text in ["this is text", "plain text"] {
        let told = Case::new(text).refused();
        assert!(told.starts_with("tiny.onnx is not a usable ONNX model: "), "{told}");
    }
}

#[test]
fn hopper_is_sent_to_trtexec() {
    let mut case = Case::new(dense(F32));
    case.targets = vec![Target(86), Target(90)];
    let error = case.build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "builder tensorrt-rtx cannot compile for sm90: TensorRT for RTX knows sm75, sm80, sm86, sm89, \
         sm120, sm121 only"
    );
    assert!(error.hint().unwrap().contains("--builder trtexec=PATH"));
}

#[test]
fn a_symbol_without_a_range_is_named() {
    let mut case = Case::new(dense(F32));
    case.inputs[0].1[1] = Dim::named("heads");
    assert_eq!(case.refused(), "input `x` of graph tiny has no range for `heads`");
}

#[test]
fn inputs_that_the_file_does_not_have_are_refused() {
    let mut case = Case::new(dense(F32));
    case.inputs.push(("z".to_owned(), vec![Dim::named("batch")]));
    assert_eq!(
        case.refused(),
        "tensorrt-rtx cannot build graph tiny: the ONNX file has no input `z`"
    );
}

#[test]
fn warnings_come_once_and_in_order() {
    let model = Graph::default()
        .input("x", F32, &rows(4))
        .input("idle", F32, &rows(4))
        .output("y", F32, &rows(4))
        .node("a/Relu", "Relu", &["x"], "y");
    let mut case = Case::new(model.model());
    case.inputs.push(("idle".to_owned(), case.inputs[0].1.clone()));
    let warnings = case.build().unwrap().warnings;
    assert!(warnings.iter().any(|w| w.contains("Unused Input: idle")), "{warnings:?}");
}

#[test]
fn builds_from_many_threads_take_turns() {
    let fine: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn(move || {
                    let good = Case::new(dense(if n % 2 == 0 { F32 } else { F16 }));
                    let bad = Case::new(single(&format!("node{n}"), "Frobnicate"));
                    (0..3).all(|_| {
                        good.build().is_ok_and(|b| b.warnings.is_empty())
                            && bad.refused().contains(&format!("node `node{n}`"))
                    })
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(fine, [true; 4]);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let mut case = Case::new(dense(F32));
    case.plan = "no/such/folder/tiny.plan";
    assert_eq!(case.refused(), "cannot use no/such/folder/tiny.plan");
    fs::remove_file(case.folder.path().join("tiny.onnx")).unwrap();
    assert_eq!(case.refused(), "cannot use tiny.onnx");
}

#[test]
fn a_missing_library_is_no_surprise() {
    let nowhere = TensorRt::new("/nowhere/librtx.so.1".into(), "/nowhere/libparser.so.1".into());
    let Availability::Missing { what, hint } = nowhere.availability() else { panic!() };
    assert!(what.contains("/nowhere/librtx.so.1") || what.contains("is loaded"), "{what}");
    assert!(!hint.is_empty());

    let ready = Availability::Ready {
        version: format!("TensorRT for RTX {}", Case::new(dense(F32)).build().unwrap().version),
        library: Some(rtx().library),
    };
    assert_eq!(rtx().availability(), ready);
}

#[test]
fn a_second_library_in_one_process_is_refused() {
    let first = rtx();
    assert!(matches!(first.availability(), Availability::Ready { .. }));
    let second = TensorRt::new("/nowhere/librtx.so.1".into(), first.parser.clone());
    let Availability::Missing { what, .. } = second.availability() else { panic!() };
    assert_eq!(what, format!("{} is loaded in this process already", first.library.display()));
}
