//! A tiny model, its weights as `onr` keeps them, and foreign files made of them.
#![expect(unreachable_pub, reason = "a module of a test")]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use onr_exporter::{
    Checkpoint, ExportError, Silent,
    import::{ImportMap, Imported, import},
    init, parse_model,
};
use onr_graphs::ModelConfig;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tempfile::TempDir;

pub const D: usize = 8;

pub fn model() -> ModelConfig {
    let text = "[model]\nn_items = 11\nn_actions = 3\nd_model = 8\nn_heads = 2\nn_layers = 2\n\
                n_rank_layers = 1\nmax_seq_len = 16\nattention = \"hstu\"\ntasks = [\"a\", \"b\"]\n\
                n_fake_items = 3\nrel_pos_buckets = 5\ntime_buckets = 4\nlayer_norm_eps = 1e-5\n\
                temperature = 0.05\n";
    parse_model(text).unwrap()
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

pub type Tensors = BTreeMap<String, Tensor>;

impl Tensor {
    pub fn size(&self) -> usize {
        self.dtype.bitsize() / 8
    }

    pub fn f32(shape: &[usize], values: impl IntoIterator<Item = f32>) -> Self {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    pub fn numbers(&self) -> Vec<&[u8]> {
        self.bytes.chunks(self.size()).collect()
    }

    /// Picks elements of the flattened tensor.
    pub fn picked(&self, shape: &[usize], picks: impl Iterator<Item = usize>) -> Self {
        let numbers = self.numbers();
        let bytes = picks.flat_map(|i| numbers[i].to_vec()).collect();
        Self { dtype: self.dtype, shape: shape.to_vec(), bytes }
    }

    pub fn transposed(&self) -> Self {
        let [rows, columns] = self.shape[..] else { return self.clone() };
        let picks = (0..columns).flat_map(|c| (0..rows).map(move |r| r * columns + c));
        self.picked(&[columns, rows], picks)
    }

    /// The last axis in another order.
    pub fn columns(&self, order: &[usize]) -> Self {
        let (last, rest) = self.shape.split_last().unwrap();
        let rows = rest.iter().product::<usize>();
        let picks = (0..rows).flat_map(|r| order.iter().map(move |c| r * last + c));
        self.picked(&[rest, &[order.len()]].concat(), picks)
    }

    pub fn reshaped(self, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), ..self }
    }
}

pub fn read(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |view: TensorView<'_>| Tensor {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    file.iter().map(|(key, view)| (key.to_owned(), tensor(view))).collect()
}

pub fn write(path: &Path, tensors: &Tensors, metadata: &[(&str, &str)]) {
    let views = tensors
        .iter()
        .map(|(key, t)| (key, TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap()));
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    safetensors::serialize_to_file(views, Some(metadata), path).unwrap();
}

/// A directory, a model and its weights as `onr` keeps them.
pub struct World {
    pub dir: TempDir,
    pub cfg: ModelConfig,
    pub ours: Tensors,
}

impl World {
    pub fn new() -> Self {
        Self::of(model())
    }

    pub fn of(cfg: ModelConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ours.safetensors");
        init(&cfg, 7, &path, &Silent).unwrap();
        Self { cfg, ours: read(&path), dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `foreign` and imports it with a map's text.
    pub fn import(&self, map: &str, foreign: &Tensors) -> Result<Imported, ExportError> {
        self.import_map(&ImportMap::parse("map.toml", map).unwrap(), foreign)
    }

    pub fn import_map(&self, map: &ImportMap, foreign: &Tensors) -> Result<Imported, ExportError> {
        let path = self.path("foreign.safetensors");
        write(&path, foreign, &[("format", "pt")]);
        let source = Checkpoint::open(&path)?;
        import(map, &source, &self.cfg, &self.path("out.safetensors"), &Silent)
    }

    /// Imports and expects our weights back.
    pub fn round_trip(&self, map: &str, foreign: &Tensors) -> Imported {
        let report = self.import(map, foreign).unwrap();
        assert_eq!(read(&self.path("out.safetensors")), self.ours);
        report
    }

    /// The problems of an import, one a line.
    pub fn problems(&self, map: &str, foreign: &Tensors) -> Vec<String> {
        match self.import(map, foreign) {
            Err(ExportError::Import { problems, .. }) => {
                assert!(!self.path("out.safetensors").exists(), "nothing is written");
                problems
            }
            other => panic!("{other:?}"),
        }
    }

    /// Our weights as `nn.Linear` would keep them.
    pub fn pytorch(&self) -> Tensors {
        let flip = |(key, t): (&String, &Tensor)| {
            let linear = key.ends_with(".weight");
            (key.clone(), if linear { t.transposed() } else { t.clone() })
        };
        self.ours.iter().map(flip).collect()
    }
}

/// `base` with one rule more.
pub fn on_base(rule: &str) -> String {
    format!("base = \"pytorch-linear\"\n[[tensor]]\n{rule}")
}

pub fn rename(tensors: &mut Tensors, from: &str, to: &str) {
    let tensor = tensors.remove(from).unwrap();
    tensors.insert(to.to_owned(), tensor);
}
