//! What the caller sees and hears while TensorRT works, and how it stops that.

use std::{
    ops::ControlFlow,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{recorder::Recorder, *};

/// Remembers the stages, counts the steps and asks to stop once it has seen some of them.
struct Witness {
    stages: Mutex<Vec<(String, u64)>>,
    steps: AtomicU64,
    patience: u64,
}

impl Witness {
    fn new(patience: u64) -> Self {
        Self { stages: Mutex::default(), steps: AtomicU64::new(0), patience }
    }
}

impl Progress for Witness {
    fn stage(&self, name: &str, total: u64) {
        self.stages.lock().unwrap().push((name.to_owned(), total));
    }

    fn advance(&self, n: u64) -> ControlFlow<()> {
        let steps = self.steps.fetch_add(n, Ordering::Relaxed) + n;
        if steps < self.patience { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

#[test]
fn progress_reaches_its_end() {
    let witness = Witness::new(u64::MAX);
    Case::new(dense(F32)).build_with(&witness).unwrap();
    let stages = witness.stages.into_inner().unwrap();
    assert_eq!(stages[0], ("parse".to_owned(), 1));
    assert!(stages.len() > 1, "{stages:?}");
    let total: u64 = stages.iter().map(|(_, n)| n).sum();
    assert_eq!(witness.steps.into_inner(), total);
}

#[test]
fn a_break_cancels_and_leaves_nothing() {
    for patience in [0, 1, 2] {
        let case = Case::new(dense(F32));
        let error = case.build_with(&Witness::new(patience)).unwrap_err();
        assert_eq!(error.to_string(), "interrupted while building graph tiny");
        assert!(!case.plan().exists());
    }
    Case::new(dense(F32)).build().unwrap();
}

#[test]
fn tensorrt_itself_stops_at_a_break() {
    /// Deep enough that TensorRT is still at work when its first step has been heard of.
    const DEPTH: usize = 300;
    let mut graph = Graph::default()
        .input("h0", F32, &rows(4))
        .output(&format!("h{DEPTH}"), F32, &rows(4))
        .weight("w", F32, &[4, 4], &[0.5; 16]);
    for n in 0..DEPTH {
        let (from, to) = (format!("h{n}"), format!("h{}", n + 1));
        graph = graph.node(&format!("n{n}/MatMul"), "MatMul", &[&from, "w"], &to);
    }
    let mut case = Case::new(graph.model());
    case.inputs[0].0 = "h0".to_owned();
    let (result, log) = Recorder::during(|| case.build_with(&Witness::new(2)));
    assert!(matches!(result, Err(EngineError::Interrupted { .. })));
    let told = log.iter().find(|(_, message)| message.contains("BuildCanceled"));
    assert_eq!(told.map(|(level, _)| *level), Some(tracing::Level::INFO), "no error to the caller");
}

#[test]
fn the_log_reaches_the_subscriber_of_the_calling_thread() {
    let case = Case::new(single("odd/Frobnicate", "Frobnicate"));
    let (_, log) = Recorder::during(|| case.build());
    let has = |level, text: &str| log.iter().any(|(l, m)| *l == level && m.contains(text));
    assert!(has(tracing::Level::ERROR, "While parsing node number 0 [Frobnicate"), "{log:#?}");
    assert!(has(tracing::Level::INFO, "Opset version:    17"));
    assert!(has(tracing::Level::TRACE, "Static check for parsing node: odd/Frobnicate"));
}
