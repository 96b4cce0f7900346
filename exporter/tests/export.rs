//! Exports: equal bytes for equal input, every table once, and each way a checkpoint can be wrong.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, fs, path::Path};

use onr_exporter::{
    Checkpoint, ExportError, ExportJob, Exported, Silent, WEIGHTS_FILE, artifact::hash_file,
    export, init, onnx::check_weights, parse_model,
};
use onr_graphs::{GraphKind, GraphOptions, ItemInput, ModelConfig, Precision, Profile};
use onr_onnx::proto::{EXTERNAL, ModelProto};
use prost::Message;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tempfile::TempDir;

fn config() -> ModelConfig {
    let text = "[model]\nn_items = 500\nn_actions = 3\nd_model = 16\nn_heads = 2\nn_layers = 2\n\
                n_rank_layers = 1\nmax_seq_len = 8\nattention = \"hstu\"\ntasks = [\"a\", \"b\"]\n\
                n_fake_items = 3\nrel_pos_buckets = 4\ntime_buckets = 5\nlayer_norm_eps = 1e-5\n\
                temperature = 0.1\n";
    parse_model(text).unwrap()
}

fn run(checkpoint: &Path, options: &GraphOptions, out: &Path) -> Result<Exported, ExportError> {
    let cfg = config();
    let checkpoint = Checkpoint::open(checkpoint)?;
    let graphs = match options.item_input {
        ItemInput::Ids => &GraphKind::ALL[..],
        ItemInput::Embeddings => &GraphKind::ALL[..4],
    };
    let job = ExportJob {
        config: &cfg,
        options,
        graphs,
        checkpoint: &checkpoint,
        strict: true,
        profile: &Profile::for_model(8),
        round_weights: None,
        out,
    };
    export(&job, &Silent)
}

fn checkpoint(dir: &TempDir) -> std::path::PathBuf {
    let path = dir.path().join("w.safetensors");
    init(&config(), 1, &path, &Silent).unwrap();
    path
}

/// The checkpoint's tensors, to be changed and written again.
fn tensors(path: &Path) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let one = |(k, v): (&str, TensorView<'_>)| {
        (k.to_owned(), (v.dtype(), v.shape().to_vec(), v.data().to_vec()))
    };
    file.iter().map(one).collect()
}

fn save(path: &Path, tensors: &BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>) {
    let views =
        tensors.iter().map(|(k, (t, s, d))| (k, TensorView::new(*t, s.clone(), d).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn f16(precision: Precision) -> GraphOptions {
    GraphOptions { precision, ..GraphOptions::new(5) }
}

#[test]
fn equal_input_gives_equal_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let weights = checkpoint(&dir);
    for precision in [Precision::F32, Precision::F16] {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = run(&weights, &f16(precision), a.path()).unwrap();
        let second = run(&weights, &f16(precision), b.path()).unwrap();
        assert_eq!(first, second);
        for graph in &first.graphs {
            let name = format!("{}.onnx", graph.name);
            assert_eq!(hash_file(&a.path().join(&name)).unwrap(), graph.file);
            assert_eq!(
                fs::read(a.path().join(&name)).unwrap(),
                fs::read(b.path().join(&name)).unwrap()
            );
        }
        assert_eq!(hash_file(&a.path().join(WEIGHTS_FILE)).unwrap(), first.weights);
    }
}

#[test]
fn tables_lie_on_disk_once_and_all_graphs_point_at_them() {
    let dir = tempfile::tempdir().unwrap();
    let weights = checkpoint(&dir);
    let exported = run(&weights, &GraphOptions::new(5), dir.path()).unwrap();
    let checkpoint_size = fs::metadata(&weights).unwrap().len();
    assert!(exported.weights.size < checkpoint_size + 64 * 64, "{exported:?}");
    let data = fs::read(dir.path().join(WEIGHTS_FILE)).unwrap();
    let stored = tensors(&weights);
    let mut places = BTreeMap::new();
    for graph in &exported.graphs {
        let bytes = fs::read(dir.path().join(format!("{}.onnx", graph.name))).unwrap();
        let model = ModelProto::decode(bytes.as_slice()).unwrap();
        for tensor in model.graph.unwrap().initializer {
            if tensor.data_location != Some(EXTERNAL) {
                continue;
            }
            let get = |key: &str| tensor.external(key).unwrap().to_owned();
            assert_eq!(get("location"), WEIGHTS_FILE);
            let offset: usize = get("offset").parse().unwrap();
            let length: usize = get("length").parse().unwrap();
            let name = tensor.name.unwrap();
            assert_eq!(data[offset..offset + length], stored[&name].2, "{name}");
            assert_eq!(*places.entry(name).or_insert(offset), offset);
        }
    }
    assert_eq!(places.len(), stored.len());
}

#[test]
fn half_weights_take_half_the_space() {
    let dir = tempfile::tempdir().unwrap();
    let weights = checkpoint(&dir);
    let full = run(&weights, &f16(Precision::F32), dir.path()).unwrap().weights.size;
    let half = run(&weights, &f16(Precision::F16), dir.path()).unwrap().weights.size;
    assert!((half as f64) < 0.56 * full as f64, "{half} of {full}");
}

#[test]
fn stored_half_types_and_shards_export_like_f32() {
    let dir = tempfile::tempdir().unwrap();
    let whole = checkpoint(&dir);
    let mut all = tensors(&whole);
    for (dtype, _, bytes) in all.values_mut() {
        let (words, _) = bytes.as_chunks::<4>();
        *bytes = words
            .iter()
            .flat_map(|w| half::bf16::from_f32(f32::from_le_bytes(*w)).to_le_bytes())
            .collect();
        *dtype = Dtype::BF16;
    }
    let narrow = dir.path().join("bf16.safetensors");
    save(&narrow, &all);
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from_one = run(&narrow, &GraphOptions::new(5), a.path()).unwrap();

    let (first, second): (BTreeMap<_, _>, BTreeMap<_, _>) = all.into_iter().enumerate().fold(
        (BTreeMap::new(), BTreeMap::new()),
        |(mut x, mut y), (i, (k, v))| {
            if i % 2 == 0 {
                x.insert(k, v)
            } else {
                y.insert(k, v)
            };
            (x, y)
        },
    );
    let mut map = serde_json::Map::new();
    for (name, shard) in [("m-1.safetensors", &first), ("m-2.safetensors", &second)] {
        save(&dir.path().join(name), shard);
        map.extend(shard.keys().map(|k| (k.clone(), name.into())));
    }
    let index = dir.path().join("m.safetensors.index.json");
    fs::write(&index, serde_json::json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    let from_shards = run(&index, &GraphOptions::new(5), b.path()).unwrap();
    assert_eq!(from_one.weights, from_shards.weights);
    assert_ne!(from_one.checkpoint.sha256, from_shards.checkpoint.sha256);
}

#[test]
fn every_problem_of_a_checkpoint_comes_in_one_message() {
    let dir = tempfile::tempdir().unwrap();
    let path = checkpoint(&dir);
    let mut all = tensors(&path);
    let table = all.remove("rank_norm.weight").unwrap();
    all.insert("rank_norm.wieght".into(), table);
    all.get_mut("user_proj.bias").unwrap().1 = vec![4, 4];
    let integers = (Dtype::I32, vec![2], vec![0; 8]);
    all.insert("rank_bias".into(), integers);
    save(&path, &all);
    let error = run(&path, &GraphOptions::new(5), dir.path()).unwrap_err();
    let text = error.to_string();
    for part in [
        "`rank_norm.weight` is missing; is it `rank_norm.wieght`?",
        "`user_proj.bias` has shape [4, 4], the model needs [16]",
        "`rank_bias` is stored as I32; F32, F16 and BF16 are read",
        "`rank_norm.wieght` is no tensor of this model",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!dir.path().join(WEIGHTS_FILE).exists());
}

#[test]
fn numbers_that_are_not_finite_are_named_and_nothing_remains() {
    let dir = tempfile::tempdir().unwrap();
    let path = checkpoint(&dir);
    let mut all = tensors(&path);
    all.get_mut("layers.1.out.weight").unwrap().2[40..44].copy_from_slice(&f32::NAN.to_le_bytes());
    save(&path, &all);
    let out = tempfile::tempdir().unwrap();
    let error = run(&path, &GraphOptions::new(5), out.path()).unwrap_err();
    assert_eq!(error.to_string(), "`layers.1.out.weight`[10] is NaN, which is not finite");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn headers_that_lie_and_truncated_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = checkpoint(&dir);
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        let broken = dir.path().join("broken.safetensors");
        fs::write(&broken, bytes).unwrap();
        let error = Checkpoint::open(&broken).unwrap_err();
        assert!(matches!(error, ExportError::Format { .. }), "{error}");
    };
    refused(&whole[..whole.len() - 1]);
    refused(&whole[..100]);
    refused(&[]);
    refused(b"this is no safetensors file, is it?");
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&huge);
    let text = String::from_utf8_lossy(&whole).replace("\"shape\":[16]", "\"shape\":[99]");
    refused(text.as_bytes());
}

#[test]
fn shards_outside_the_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("x.index.json");
    for shard in ["../w.safetensors", "/etc/passwd", ""] {
        fs::write(&index, serde_json::json!({"weight_map": {"a": shard}}).to_string()).unwrap();
        let error = Checkpoint::open(&index).unwrap_err();
        assert!(matches!(error, ExportError::Escape { .. }), "{error}");
    }
}

#[test]
fn retrieval_that_cannot_fit_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let cfg = config();
    let weights = Checkpoint::open(&checkpoint(&dir)).unwrap();
    let job = ExportJob {
        config: &cfg,
        options: &GraphOptions::new(5),
        graphs: &GraphKind::ALL,
        checkpoint: &weights,
        strict: false,
        profile: &Profile::for_model(8).with("batch=1:8:3000000").unwrap(),
        round_weights: None,
        out: dir.path(),
    };
    let error = export(&job, &Silent).unwrap_err();
    assert!(error.to_string().contains("3000000 x 2 x 500 logits"), "{error}");
    assert!(!dir.path().join(WEIGHTS_FILE).exists());
}

#[test]
fn a_single_changed_bit_of_any_weight_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = checkpoint(&dir);
    for precision in [Precision::F32, Precision::F16] {
        let exported = run(&path, &f16(precision), dir.path()).unwrap();
        let weights = Checkpoint::open(&path).unwrap();
        let check = || check_weights(dir.path(), &exported.graphs, &weights, None).unwrap();
        assert_eq!(check(), Vec::<String>::new());
        let data = dir.path().join(WEIGHTS_FILE);
        let clean = fs::read(&data).unwrap();
        for at in (0..clean.len()).step_by(clean.len() / 50) {
            let mut changed = clean.clone();
            changed[at] ^= 1;
            fs::write(&data, &changed).unwrap();
            // Bytes between tensors belong to none.
            let found = check();
            assert!(found.len() == 1 || clean[at] == 0, "{at}: {found:?}");
        }
        fs::write(&data, &clean[..clean.len() - 1]).unwrap();
        let short = check_weights(dir.path(), &exported.graphs, &weights, None).unwrap_err();
        assert!(short.to_string().contains("weights.data, which has"), "{short}");
        fs::write(&data, &clean).unwrap();
    }
}
