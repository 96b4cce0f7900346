//! What is refused, and what the messages say.

use std::{fs, ops::ControlFlow};

use onr_exporter::{
    Checkpoint, ExportError, Progress, Silent,
    import::{ImportMap, import},
};
use safetensors::Dtype;

use crate::world::{D, Tensor, World, on_base, read, rename};

#[test]
fn square_weights_need_a_word() {
    let world = World::new();
    let rule = |rest: &str| {
        format!("base = \"pytorch-linear\"\n[[tensor]]\nto = \"{{p}}_proj.weight\"\n{rest}")
    };
    let foreign = world.pytorch();
    let name = "from = \"{p}_proj.weight\"";
    assert_eq!(
        world.problems(&rule(name), &foreign),
        [
            "`fake_proj.weight` and 3 more (rule 1): it is read from a square, [8, 8], where a forgotten \
             transposition would not show; say `transpose = true` (stored [out, in], as nn.Linear \
             does) or `transpose = false`"
        ]
    );
    world.round_trip(&rule(&format!("{name}\ntranspose = true")), &foreign);
    // What is said is believed.
    world.import(&rule(&format!("{name}\ntranspose = false")), &foreign).unwrap();
    assert_ne!(read(&world.path("out.safetensors")), world.ours);
    fs::remove_file(world.path("out.safetensors")).unwrap();

    // Without any rule: each by name, and only those that are square.
    let problems = world.problems("", &world.ours);
    assert_eq!(problems.len(), 4 + 3, "{problems:#?}");
    assert_eq!(
        problems[0],
        "`fake_proj.weight` (no rule): it is read from a square, [8, 8], where a forgotten transposition \
         would not show; add a rule with `transpose = true` (stored [out, in], as nn.Linear does) or \
         `transpose = false`"
    );
    // Pieces of a fused tensor are square too.
    let fused = "to = \"layers.0.uvqk.weight\"\n\
                 merge = [\"layers.0.out.weight\", \"a\", \"b\", \"layers.1.out.weight\"]";
    let problems = world.problems(&on_base(fused), &foreign);
    let expected = "`layers.0.uvqk.weight` (rule 1): it is read from a square";
    assert!(problems[0].contains(expected), "{problems:#?}");
}

#[test]
fn what_onr_wrote_is_known_to_lie_right() {
    let world = World::new();
    let source = Checkpoint::open(&world.path("ours.safetensors")).unwrap();
    let map = ImportMap::parse("map.toml", "").unwrap();
    let out = world.path("out.safetensors");
    import(&map, &source, &world.cfg, &out, &Silent).unwrap();
    assert_eq!(read(&out), world.ours);
    assert_eq!(Checkpoint::open(&out).unwrap().metadata()["onr.seed"], "7");
}

#[test]
fn all_problems_of_a_file_come_together() {
    let world = World::new();
    let mut foreign = world.pytorch();
    rename(&mut foreign, "rank_bias", "rank_bais");
    rename(&mut foreign, "layers.1.norm.bias", "layers.1.norm.bais");
    foreign.insert("final_norm.bias".into(), Tensor::f32(&[1, D], [0.0; D]));
    foreign
        .insert("double".into(), Tensor { dtype: Dtype::F64, shape: vec![1], bytes: vec![0; 8] });
    foreign.insert("cube".into(), Tensor::f32(&[2, 5, 1], [0.0; 10]));
    foreign.insert("long".into(), Tensor::f32(&[4, 5], [0.0; 20]));
    foreign.insert("tall".into(), Tensor::f32(&[4, 2], [0.0; 8]));
    let map = "base = \"pytorch-linear\"\n\
        [[tensor]]\nto = \"{s}.{l}.uvqk.weight\"\nfrom = \"{s}.{l}.uvqk.weight\"\n\
        [[tensor]]\nto = \"layers.{l}.norm.bias\"\nfrom = \"layers.{l}.norm.bias\"\n\
        [[tensor]]\nto = \"layers.{l}.attn_norm.{m}\"\nfrom = \"model.{l}.ln2.{m}\"\n\
        [[tensor]]\nto = \"rank_norm.weight\"\nfrom = \"double\"\n\
        [[tensor]]\nto = \"layers.0.rel_pos_bias\"\nfrom = \"cube\"\n\
        [[tensor]]\nto = \"layers.1.rel_pos_bias\"\nfrom = \"long\"\n\
        part = { axis = 0, index = 0, of = 3 }\n\
        [[tensor]]\nto = \"rank_layers.0.rel_pos_bias\"\nfrom = \"long\"\nreshape = [3, -1]\n\
        [[tensor]]\nto = \"rank_layers.0.time_bias\"\nfrom = \"tall\"\nreshape = [2, -1]\n";
    assert_eq!(
        world.problems(map, &foreign),
        [
            "`layers.0.uvqk.weight` and 2 more (rule 1): it would get shape [32, 8], and the model needs [8, 32]; \
             its transpose would fit: say `transpose = true`",
            "`layers.0.rel_pos_bias` (rule 5): `cube` has shape [2, 5, 1]; `reshape` must bring it to \
             one or two axes; `reshape = [2, 5]` would fit",
            "`layers.1.rel_pos_bias` (rule 6): `long` has shape [4, 5], and `part` does not fit: 4 \
             does not divide into 3 equal parts",
            "`final_norm.bias` (no rule): it would get shape [1, 8], and the model needs [8]; `reshape \
             = [8]` would fit",
            "`rank_layers.0.rel_pos_bias` (rule 7): `long` has shape [4, 5], which `reshape` does not \
             fit",
            "`rank_layers.0.time_bias` (rule 8): `tall` has shape [4, 2], and `reshape` to [2, 4] would \
             leave its numbers in the wrong order; say `transpose`",
            "`rank_norm.weight` (rule 4): `double` is stored as F64; F32, F16 and BF16 are read",
            "`rank_bias`: no rule gives it, and the file has no tensor of this name; is it `rank_bais`?",
            "rule 2 (`layers.{l}.norm.bias`): `layers.1.norm.bias` needs `layers.1.norm.bias`, which \
             the file does not have; is it `layers.1.norm.bais`?",
            "rule 3 (`layers.{l}.attn_norm.{m}`): `model.{l}.ln2.{m}` matches no tensor of the file; \
             the first of 4 would be `model.0.ln2.weight`",
        ]
    );
}

#[test]
fn contradictions_of_a_map_with_model_and_file() {
    let world = World::new();
    let mut foreign = world.pytorch();
    foreign.insert("half".into(), Tensor { dtype: Dtype::F16, shape: vec![D], bytes: vec![0; 16] });
    let map = "base = \"pytorch-linear\"\nidentity = false\n\
        [[tensor]]\nto = \"{x}_norm.weight\"\nfrom = \"{x}_norm.weight\"\n\
        [[tensor]]\nto = \"final_{x}.weight\"\nfrom = \"final_{x}.weight\"\n\
        [[tensor]]\nto = \"layers.9.norm.bias\"\nfrom = \"x\"\n\
        [[tensor]]\nto = \"layres.{l}.norm.bias\"\nfrom = \"{l}\"\n\
        [[tensor]]\nto = \"{s}.{l}.norm.{m}\"\nfrom = \"{s}.{l}.norm.{m}\"\n\
        [[tensor]]\nto = \"{s}.{l}.attn_norm.{m}\"\nfrom = \"{s}.{l}.norm.{m}\"\n\
        [[tensor]]\nto = \"{s}.{l}.out.bias\"\nfrom = \"{s}.{l}.out.bias\"\nreorder = [\"q\", \"u\", \"v\", \"k\"]\n\
        [[tensor]]\nto = \"{s}.{l}.uvqk.bias\"\nmerge = [\"half\", \"{s}.{l}.out.bias\"]\nshare = true\n\
        [[tensor]]\nto = \"{p}_proj.bias\"\nfrom = \"{p-1}\"\n\
        [[tensor]]\nto = \"user_proj.weight\"\nmerge = [\"user_proj.weight\", \"final_norm.bias\"]\ntranspose = true\n\
        [[tensor]]\nto = \"fake_items\"\nfrom = \"fake_items\"\ntranspose = true\n";
    let problems = world.problems(map, &foreign);
    for expected in [
        "rule 3 (`layers.9.norm.bias`): the model has no such tensor; did you mean `layers.0.norm.bias`?",
        "rule 4 (`layres.{l}.norm.bias`): the model has no such tensor; did you mean `layers.0.norm.bias`?",
        "rule 1 (`{x}_norm.weight`) and rule 2 (`final_{x}.weight`) both give `final_norm.weight`; one of \
         them must go",
        "`rank_bias`: no rule gives it, and the map says `identity = false`",
        "`layers.0.norm.bias` is read for `layers.0.norm.bias` (rule 5) and for `layers.0.attn_norm.bias` \
         (rule 6); say `share = true` in a rule if they are tied",
        "`layers.0.out.bias` and 2 more (rule 7): `reorder` is about U, V, Q and K, which only `uvqk` tensors have",
        "`layers.0.uvqk.bias` and 2 more (rule 8): its pieces are stored as f16 and f32; they must be alike",
        "`user_proj.bias` (rule 9): `{p-1}` adds -1 to {p}, which is `user`",
        "`user_proj.weight` (rule 10): pieces of shapes [8, 8] and [8] cannot be joined along axis 1",
        "`fake_items` (rule 11): it would get shape [8, 3], and the model needs [3, 8]; it would fit \
         without `transpose = true`",
    ] {
        assert!(problems.iter().any(|p| p == expected), "{expected}\nnot in {problems:#?}");
    }
    let about = |text: &str| problems.iter().filter(|p| p.contains(text)).count();
    assert_eq!((about("both give"), about("if they are tied")), (1, 1), "{problems:#?}");
}

#[test]
fn an_interrupted_import_leaves_the_old_file() {
    struct Stop;
    impl Progress for Stop {
        fn stage(&self, _: &str, _: u64) {}
        fn advance(&self, _: u64) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let world = World::new();
    let path = world.path("ours.safetensors");
    let (source, map) = (Checkpoint::open(&path).unwrap(), ImportMap::parse("m", "").unwrap());
    let out = world.path("out.safetensors");
    fs::write(&out, "old").unwrap();
    let result = import(&map, &source, &world.cfg, &out, &Stop);
    assert!(matches!(result, Err(ExportError::Interrupted)));
    assert_eq!(fs::read_to_string(&out).unwrap(), "old");
    assert_eq!(fs::read_dir(world.dir.path()).unwrap().count(), 2);

    let error = import(&map, &source, &world.cfg, &path, &Silent).unwrap_err().to_string();
    assert!(error.contains("it would be overwritten; choose another `--out`"), "{error}");
}

#[test]
fn maps_by_name_and_by_path() {
    let world = World::new();
    let path = world.path("mine.toml");
    fs::write(&path, ImportMap::ready_text("pytorch-linear").unwrap()).unwrap();
    let map = ImportMap::resolve(path.to_str().unwrap()).unwrap();
    assert_eq!(map.name(), "mine.toml");
    let unknown = ImportMap::resolve("pytorch-linaer").unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "import map pytorch-linaer: no ready map has this name; there are `pytorch-linear` and \
         `pytorch-uvqk-split`"
    );
    let missing = ImportMap::resolve("no/such.toml").unwrap_err();
    assert!(matches!(missing, ExportError::Read { .. }));
    for name in ImportMap::ready() {
        ImportMap::named(name).unwrap();
    }
}

#[test]
fn the_maps_of_the_manual_are_maps() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/import.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 4);
    for block in blocks {
        if let Err(error) = ImportMap::parse("docs/import.md", block) {
            panic!("{error}\n{block}");
        }
    }
    for key in ["reshape", "part", "transpose", "axis", "reorder", "per_head", "scale", "share"] {
        assert!(page.contains(&format!("| `{key} = ")), "{key} is not in the table");
    }
}
