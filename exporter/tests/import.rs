//! Foreign checkpoints, made of our own random weights, come back as they were, or are refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "import/refusals.rs"]
mod refusals;
#[path = "import/world.rs"]
mod world;

use std::{collections::BTreeMap, fs};

use half::{bf16, f16};
use onr_exporter::{
    Checkpoint, Silent,
    import::{ImportMap, import},
};
use onr_graphs::ModelConfig;
use safetensors::{Dtype, SafeTensors};

use world::{D, Tensor, Tensors, World, model, on_base, read, rename, write};

/// Order of the last axis of `uvqk` in a file with blocks `order`, head by head or not.
fn fused_order(order: &str, per_head: bool) -> Vec<usize> {
    let (heads, width) = if per_head { (2, D / 2) } else { (1, D) };
    let mut columns = Vec::new();
    for head in 0..heads {
        for letter in order.chars() {
            let block = "uvqk".find(letter).unwrap();
            columns.extend((0..width).map(|i| block * D + head * width + i));
        }
    }
    columns
}

#[test]
fn pytorch_linear_layouts_come_back_byte_for_byte() {
    let world = World::new();
    let map = ImportMap::named("pytorch-linear").unwrap();
    let report = world.import_map(&map, &world.pytorch()).unwrap();
    let out = world.path("out.safetensors");
    assert_eq!(read(&out), world.ours);
    assert_eq!((report.tensors, report.transposed), (world.ours.len(), 3 * 2 + 4));
    assert_eq!((report.merged, report.reordered), (0, 0));
    assert!(report.filled.is_empty() && report.unused.is_empty());
    assert_eq!(report.map, "pytorch-linear");

    let source = Checkpoint::open(&world.path("foreign.safetensors")).unwrap().record().unwrap();
    let written = Checkpoint::open(&out).unwrap();
    let metadata = |key: &str| written.metadata().get(key).map(String::as_str);
    assert_eq!(metadata("onr.imported_from"), Some("foreign.safetensors"));
    assert_eq!(metadata("onr.imported_sha256"), Some(&source.sha256[..]));
    assert_eq!(metadata("onr.import_map"), Some("pytorch-linear"));
    assert_eq!(metadata("onr.import_map_sha256").map(str::len), Some(64));
    assert_eq!(metadata("onr.untrained"), None);
    assert_eq!(written.check(&world.cfg, &|_| false, true).unwrap(), [""; 0]);
    assert_eq!(written.record().unwrap().sha256, report.file.sha256);
}

#[test]
fn ready_maps_serve_models_without_fake_items_and_time() {
    let cfg = ModelConfig { n_fake_items: 0, time_buckets: 0, n_actions: D, ..model() };
    let world = World::of(cfg);
    let map = ImportMap::resolve("pytorch-linear").unwrap();
    let mut foreign = world.pytorch();
    foreign.insert("fake_items".into(), Tensor::f32(&[1, 1], [0.0]));
    let report = world.import_map(&map, &foreign).unwrap();
    assert_eq!(read(&world.path("out.safetensors")), world.ours);
    assert_eq!(report.unused, ["fake_items"]);
}

#[test]
fn separate_u_v_q_and_k_are_merged() {
    let world = World::new();
    let mut foreign = world.pytorch();
    for key in world.ours.keys().filter(|k| k.contains(".uvqk.")) {
        foreign.remove(key);
        for (i, letter) in ["u", "v", "q", "k"].iter().enumerate() {
            let block: Vec<usize> = (i * D..(i + 1) * D).collect();
            let name = key.replace("uvqk", letter);
            foreign.insert(name, world.ours[key].columns(&block).transposed());
        }
    }
    let map = ImportMap::named("pytorch-uvqk-split").unwrap();
    let report = world.import_map(&map, &foreign).unwrap();
    assert_eq!(read(&world.path("out.safetensors")), world.ours);
    assert_eq!((report.merged, report.transposed), (6, 3 * 2 + 4));

    // Three quarters in one tensor and one elsewhere, each with its own way of lying.
    let mut foreign = world.pytorch();
    let stored = foreign.remove("layers.1.uvqk.weight").unwrap().transposed();
    let all: Vec<usize> = (0..4 * D).collect();
    foreign.insert("uvq".into(), stored.columns(&all[..3 * D]));
    foreign.insert("k".into(), stored.columns(&all[3 * D..]).transposed());
    world.round_trip(
        &on_base(
            "to = \"layers.1.uvqk.weight\"\n\
             merge = [{ from = \"uvq\", transpose = false }, \"k\"]\ntranspose = true",
        ),
        &foreign,
    );
}

#[test]
fn other_orders_of_u_v_q_and_k_are_put_into_ours() {
    let world = World::new();
    for per_head in [false, true] {
        let mut foreign = world.pytorch();
        for key in world.ours.keys().filter(|k| k.starts_with("layers.") && k.contains(".uvqk.")) {
            foreign.remove(key);
            let fused = world.ours[key].columns(&fused_order("qkvu", per_head)).transposed();
            foreign.insert(key.replace("layers.", "block_").replace("uvqk", "qkvu"), fused);
        }
        let map = on_base(&format!(
            "to = \"layers.{{l}}.uvqk.{{m}}\"\nfrom = \"block_{{l}}.qkvu.{{m}}\"\ntranspose = true\n\
             reorder = [\"q\", \"k\", \"v\", \"u\"]\nper_head = {per_head}"
        ));
        assert_eq!(world.round_trip(&map, &foreign).reordered, 4);
    }
}

#[test]
fn parts_reshapes_and_shifted_numbers() {
    let world = World::new();
    let mut foreign = world.pytorch();
    // Output projections of all three blocks in one [3, D, D], the ranker's last.
    let blocks = ["layers.0", "layers.1", "rank_layers.0"];
    let stack = blocks.map(|b| foreign.remove(&format!("{b}.out.weight")).unwrap().bytes).concat();
    let stack = Tensor { dtype: Dtype::F32, shape: vec![3, D, D], bytes: stack };
    foreign.insert("outs".into(), stack);
    // The ranker's norm counts on after the generator's layers; the table is padded and in two parts.
    rename(&mut foreign, "rank_layers.0.norm.weight", "layers.2.norm.weight");
    let items = foreign.remove("item_embedding").unwrap();
    let padded = [&items.bytes[..], &[0; 5 * D * 4]].concat();
    let half = 8 * D * 4;
    let shard = |bytes: &[u8]| Tensor { bytes: bytes.to_vec(), ..items.clone() };
    foreign.insert("items.0".into(), shard(&padded[..half]).reshaped(&[8, D]));
    foreign.insert("items.1".into(), shard(&padded[half..]).reshaped(&[8, 1, D]));
    let part = |to: &str, index: usize| {
        format!(
            "[[tensor]]\nto = \"{to}.out.weight\"\nfrom = \"outs\"\nreshape = [-1, {D}]\n\
             part = {{ axis = 0, index = {index}, of = 3 }}\ntranspose = true\n"
        )
    };
    let map = format!(
        "base = \"pytorch-linear\"\n{}{}{}\
         [[tensor]]\nto = \"rank_layers.{{r}}.norm.weight\"\nfrom = \"layers.{{r+2}}.norm.weight\"\n\
         [[tensor]]\nto = \"item_embedding\"\naxis = 0\nmerge = [\n  {{ from = \"items.0\", transpose = \
         false }},\n  {{ from = \"items.1\", reshape = [8, {D}], part = {{ axis = 0, start = 0, end = \
         3 }} }},\n]\n",
        part("layers.0", 0),
        part("layers.1", 1),
        part("rank_layers.0", 2)
    );
    let report = world.round_trip(&map, &foreign);
    assert_eq!(report.unused, ["items.1 (3..8 of axis 0)"]);
}

#[test]
fn missing_biases_are_filled_and_factors_applied() {
    let world = World::new();
    let mut foreign = world.pytorch();
    foreign.remove("rank_bias");
    foreign.insert("rank_bais".into(), Tensor::f32(&[2], [1.0, 1.0]));
    foreign.insert("optimizer.step".into(), Tensor::f32(&[1], [1.0]));
    let half = |bits: u16| bits.to_le_bytes();
    let norm: Vec<f32> = (0..8_u8).map(f32::from).collect();
    let bytes = norm.iter().flat_map(|x| half(f16::from_f32(*x).to_bits())).collect();
    foreign.insert("ln.g".into(), Tensor { dtype: Dtype::F16, shape: vec![D], bytes });
    let map = "base = \"pytorch-linear\"\n[[tensor]]\nto = \"rank_bias\"\nfill = -1.5\n\
               [[tensor]]\nto = \"final_norm.weight\"\nfrom = \"ln.g\"\nscale = 0.5\n";
    let report = world.import(map, &foreign).unwrap();
    assert_eq!(report.filled, ["rank_bias"]);
    assert_eq!(report.unused, ["final_norm.weight", "optimizer.step", "rank_bais"]);
    let out = read(&world.path("out.safetensors"));
    assert_eq!(out["rank_bias"], Tensor::f32(&[2], [-1.5, -1.5]));
    let scaled: Vec<u8> =
        norm.iter().flat_map(|x| half(f16::from_f32(*x / 2.0).to_bits())).collect();
    assert_eq!(
        (out["final_norm.weight"].dtype, &out["final_norm.weight"].bytes),
        (Dtype::F16, &scaled)
    );

    let too_much = map.replace("0.5", "1e5");
    fs::remove_file(world.path("out.safetensors")).unwrap();
    assert_eq!(
        world.problems(&too_much, &foreign),
        ["`final_norm.weight`[1] is 1, and 100000 times that is beyond the largest f16"]
    );
}

#[test]
fn element_types_stay_and_every_tensor_is_aligned() {
    let world = World::new();
    let mut foreign = world.pytorch();
    for (i, tensor) in foreign.values_mut().enumerate() {
        let floats = tensor.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        let (dtype, bytes) = match i % 3 {
            0 => (Dtype::F16, floats.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect()),
            1 => (Dtype::BF16, floats.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect()),
            _ => continue,
        };
        (tensor.dtype, tensor.bytes) = (dtype, bytes);
    }
    world.import(on_base("to = \"rank_bias\"\nfrom = \"rank_bias\"").as_str(), &foreign).unwrap();
    let path = world.path("out.safetensors");
    let flat: Tensors = read(&path)
        .into_iter()
        .map(|(k, t)| if k.ends_with(".weight") { (k, t.transposed()) } else { (k, t) })
        .collect();
    assert_eq!(flat, foreign);
    let bytes = fs::read(&path).unwrap();
    for (key, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
        let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(offset % (view.dtype().bitsize() / 8), 0, "{key}");
    }
}

#[test]
fn large_tensors_go_in_steps() {
    // 1.3 MB, more than one step whichever way it lies.
    let world = World::of(ModelConfig { n_items: 40_000, ..model() });
    let mut foreign = world.pytorch();
    world.round_trip(&on_base("to = \"rank_bias\"\nfrom = \"rank_bias\""), &foreign);
    let table = foreign["item_embedding"].transposed();
    foreign.insert("item_embedding".into(), table);
    let rule = "to = \"item_embedding\"\nfrom = \"item_embedding\"\ntranspose = true";
    world.round_trip(&on_base(rule), &foreign);
}

#[test]
fn a_sharded_source_and_equal_bytes_twice() {
    let world = World::new();
    let foreign = world.pytorch();
    let (mut a, mut b) = (foreign.clone(), Tensors::new());
    for key in foreign.keys().filter(|k| k.contains("rank")) {
        b.insert(key.clone(), a.remove(key).unwrap());
    }
    write(&world.path("a.safetensors"), &a, &[]);
    write(&world.path("b.safetensors"), &b, &[("onr.untrained", "true"), ("secret", "/home/me")]);
    let place = |k: &String| if b.contains_key(k) { "b.safetensors" } else { "a.safetensors" };
    let weight_map: BTreeMap<_, _> = foreign.keys().map(|k| (k, place(k))).collect();
    let index = world.path("model.safetensors.index.json");
    fs::write(&index, serde_json::json!({ "weight_map": weight_map }).to_string()).unwrap();

    let source = Checkpoint::open(&index).unwrap();
    let map = ImportMap::named("pytorch-linear").unwrap();
    let files = ["1", "2"].map(|name| {
        let out = world.path(name);
        import(&map, &source, &world.cfg, &out, &Silent).unwrap();
        assert_eq!(read(&out), world.ours);
        fs::read(out).unwrap()
    });
    assert!(files[0] == files[1], "equal input gives equal bytes");
    let written = Checkpoint::open(&world.path("1")).unwrap();
    let record = source.record().unwrap();
    assert_eq!(written.metadata()["onr.imported_from"], "model.safetensors.index.json");
    assert_eq!(written.metadata()["onr.imported_sha256"], record.sha256);
    assert_eq!(written.metadata()["onr.untrained"], "true");
    assert_eq!(written.metadata().get("secret"), None);
}

#[test]
fn tied_weights_are_shared_when_said() {
    let world = World::new();
    let mut foreign = world.pytorch();
    let keys: Vec<String> =
        foreign.keys().filter(|k| k.ends_with("attn_norm.weight")).cloned().collect();
    let one = foreign[&keys[0]].clone();
    foreign.retain(|k, _| !keys.contains(k));
    foreign.insert("ln".into(), one.clone());
    let rule = "to = \"{s}.{l}.attn_norm.weight\"\nfrom = \"ln\"\nshare = true";
    world.import(&on_base(rule), &foreign).unwrap();
    let out = read(&world.path("out.safetensors"));
    assert!(keys.len() == 3 && keys.iter().all(|key| out[key] == one));
}
