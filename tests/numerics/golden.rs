//! Golden files: recorded by another implementation, they see what a reference built from the same
//! checkpoint cannot.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use onr_graphs::{Attention, GraphOptions, Precision};
use onr_runtime::{
    backends::tract::TractBackend,
    parity::{Coded, Golden, ParityError, ParityJob, ParityReport, Strength, check_golden},
    tensor::{Feeds, HostTensor},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{
    numpy::save,
    support::{Users, World, config, export_to, failures, ort, root},
};

/// A golden file of the world's model, recorded by NumPy.
fn record(world: &World) -> std::path::PathBuf {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let users = Users::new(&mut rng, &world.config, &[0, 1, 9, 5], 12);
    let mut state = users.state(&world.config, &world.options, 9);
    state.retain(|name, _| !name.contains("embeddings") && name != "allowed_items");
    let inputs = world.dir.path().join("in.safetensors");
    save(&inputs, &state);
    let golden = world.dir.path().join("golden.safetensors");
    let output = Command::new(root().join(".onr/venv/bin/python"))
        .arg(root().join("tests/reference/golden.py"))
        .args(["--model".as_ref(), world.dir.path().join("model.toml").as_os_str()])
        .args(["--weights".as_ref(), world.weights.as_os_str()])
        .args(["--inputs".as_ref(), inputs.as_os_str(), "--out".as_ref(), golden.as_os_str()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    golden
}

fn compare(world: &World, dir: &Path, golden: &Path) -> Result<ParityReport, ParityError> {
    let job = ParityJob {
        config: &world.config,
        options: &world.options,
        graphs: &world.exported.graphs,
        dir,
        candidate: &ort(),
        reference: &TractBackend::new(),
        requests: &[],
        requests_from: "golden",
        rows: 4,
        coded: Coded::default(),
    };
    check_golden(&job, &Golden::read(golden)?, world.options.precision.name(), None)
}

#[test]
fn exports_agree_with_what_numpy_recorded() {
    for attention in [Attention::Hstu, Attention::Softmax] {
        for precision in [Precision::F32, Precision::F16] {
            let options = GraphOptions { precision, ..GraphOptions::new(5) };
            let world = World::new(config(attention, 4, 20), options, 2);
            let report = compare(&world, world.dir.path(), &record(&world)).unwrap();
            assert!(report.passed(), "{attention:?} {precision:?}: {:?}", failures(&report));
            assert_eq!(report.strength, Strength::Golden);
            assert_eq!(report.outputs.len(), 6 + 2 + 4 + 2);
            assert_eq!(report.order.unwrap().requests, 4);
        }
    }
}

#[test]
fn a_square_weight_that_was_never_transposed_shows() {
    let world = World::new(config(Attention::Hstu, 4, 20), GraphOptions::new(5), 2);
    let golden = record(&world);
    let bytes = fs::read(&world.weights).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let square = |(name, view): &(&str, TensorView<'_>)| {
        matches!(view.shape(), [a, b] if a == b) && name.ends_with("weight")
    };
    let squares: Vec<String> = file.iter().filter(square).map(|(n, _)| n.to_owned()).collect();
    assert_eq!(squares.len(), 3 + 2 + 4, "{squares:?}");
    for key in squares {
        let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = file
            .iter()
            .map(|(n, v)| (n.to_owned(), (v.shape().to_vec(), v.data().to_vec())))
            .collect();
        let (shape, data) = tensors.get_mut(&key).unwrap();
        *data = transposed(data, shape[0]);
        let wrong = tempfile::tempdir().unwrap();
        let path = wrong.path().join("w.safetensors");
        let views = tensors
            .iter()
            .map(|(n, (s, d))| (n, TensorView::new(Dtype::F32, s.clone(), d).unwrap()));
        safetensors::serialize_to_file(views, None, &path).unwrap();
        export_to(&world.config, &world.options, &path, wrong.path());
        let report = compare(&world, wrong.path(), &golden).unwrap();
        assert!(!report.passed(), "{key} transposed was not seen");
    }
}

fn transposed(bytes: &[u8], n: usize) -> Vec<u8> {
    let (words, _) = bytes.as_chunks::<4>();
    (0..n * n).flat_map(|i| words[i % n * n + i / n]).collect()
}

#[test]
fn golden_files_that_cannot_be_used_are_refused() {
    let world = World::new(config(Attention::Hstu, 0, 0), GraphOptions::new(5), 2);
    let file = world.dir.path().join("g.safetensors");
    let base = || {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let users = Users::new(&mut rng, &world.config, &[2, 3], 4);
        let state = users.state(&world.config, &world.options, 3);
        let named = |(n, t): (String, HostTensor)| (format!("inputs.{n}"), t);
        let mut golden: Feeds = state.into_iter().map(named).collect();
        golden.insert("outputs.scores".into(), HostTensor::of(&[2, 4, 3], vec![0_f32; 24]));
        golden
    };
    let refused = |change: &dyn Fn(&mut Feeds)| {
        let mut golden = base();
        change(&mut golden);
        save(&file, &golden);
        Golden::read(&file).unwrap_err().to_string()
    };
    let text = refused(&|g| {
        g.insert("inputs.seq_lens".into(), HostTensor::of(&[2], vec![2_i64, 4]));
    });
    assert!(text.ends_with("`inputs.seq_lens` has 4, outside 0..=3"), "{text}");
    let text = refused(&|g| {
        let flat = HostTensor::of(&[2, 16], vec![0_f32; 32]);
        g.insert("inputs.candidate_embeddings".into(), flat);
    });
    assert!(text.ends_with("has shape [2, 16], not 3 axes of 2 rows"), "{text}");
    let text = refused(&|g| {
        g.remove("inputs.seq_lens");
    });
    assert!(text.ends_with("`inputs.seq_lens` is missing"), "{text}");
    let text = refused(&|g| g.retain(|n, _| n.starts_with("inputs")));
    assert!(text.ends_with("it has no `outputs.`"), "{text}");

    // A name that no graph has compares nothing: that is a failure, not a success.
    let mut golden = base();
    let stray = golden.remove("outputs.scores").unwrap();
    golden.insert("outputs.present.9.key".into(), stray);
    save(&file, &golden);
    let report = compare(&world, world.dir.path(), &file).unwrap();
    assert_eq!(failures(&report), ["golden: no graph has an output `present.9.key`"]);
}
