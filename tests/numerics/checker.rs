//! Exported files are valid ONNX in the eyes of two checkers that are not ours: ONNX Runtime's and
//! the official one, both with inference of all types and shapes.

use std::process::Command;

use onr_graphs::{Attention, Filter, GraphOptions, IdType, ItemInput, Precision};

use crate::support::{World, config, ort, root};

const OFFICIAL: &str = "import onnx, sys\n\
                        for file in sys.argv[1:]: onnx.checker.check_model(file, full_check=True)";

fn check(options: GraphOptions) {
    for attention in [Attention::Hstu, Attention::Softmax] {
        let world = World::new(config(attention, 4, 20), options, 2);
        let names = world.exported.graphs.iter().map(|g| format!("{}.onnx", g.name));
        let files: Vec<_> = names.map(|name| world.dir.path().join(name)).collect();
        for file in &files {
            ort().check(file).unwrap_or_else(|e| panic!("{options:?}: {e}"));
        }
        let python = root().join(".onr/venv/bin/python");
        let output = Command::new(python).args(["-c", OFFICIAL]).args(&files).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{options:?}: {errors}");
    }
}

#[test]
fn all_precisions_are_valid() {
    for precision in [Precision::F32, Precision::F16, Precision::BF16] {
        check(GraphOptions { precision, ..GraphOptions::new(5) });
    }
}

#[test]
fn all_interfaces_are_valid() {
    let plain = GraphOptions::new(5);
    check(GraphOptions { io_f32: true, precision: Precision::F16, ..plain });
    check(GraphOptions { ids: IdType::Int32, ..plain });
    check(GraphOptions { item_input: ItemInput::Embeddings, ..plain });
    check(GraphOptions { filter: Filter::Global, ..plain });
    check(GraphOptions { filter: Filter::User, precision: Precision::F16, ..plain });
}
