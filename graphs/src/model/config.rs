//! What a model is: the numbers of `model.toml`, and the choices made when it is exported.

use crate::dtype::DType;

/// The attention of all blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attention {
    /// `SiLU(s) / M`, additive over keys (HSTU, section 3).
    Hstu,
    /// Softmax over the visible keys.
    Softmax,
}

impl Attention {
    /// The word in `model.toml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hstu => "hstu",
            Self::Softmax => "softmax",
        }
    }
}

/// A validated model configuration; `onr-exporter` reads it from `model.toml` and refuses
/// impossible values, so nothing here checks again.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelConfig {
    /// `V`: items, the padding id 0 included.
    pub n_items: usize,
    /// `A`: actions, the padding id 0 included.
    pub n_actions: usize,
    /// `D`: model width.
    pub d_model: usize,
    /// `H`: heads; divides `D`.
    pub n_heads: usize,
    /// `L`: generator layers.
    pub n_layers: usize,
    /// `R`: ranker layers, at most `L`.
    pub n_rank_layers: usize,
    /// `M`: longest history, and the normaliser of the HSTU attention.
    pub max_seq_len: usize,
    /// Which attention.
    pub attention: Attention,
    /// Names of the `N` tasks in causal order.
    pub tasks: Vec<String>,
    /// `F`: fake items; 0 switches them off.
    pub n_fake_items: usize,
    /// `Rb`: buckets of the relative position.
    pub rel_pos_buckets: usize,
    /// `Tb`: buckets of the time difference; 0 switches the time bias off.
    pub time_buckets: usize,
    /// Added to the variance in every norm.
    pub layer_norm_eps: f32,
    /// `tau`: divides the generator's logits.
    pub temperature: f32,
}

impl ModelConfig {
    /// `Dh`: width of a head.
    #[must_use]
    pub const fn head_dim(&self) -> usize {
        self.d_model / self.n_heads
    }

    /// `N`: tasks.
    #[must_use]
    pub const fn n_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// `P = F + N`: prompt tokens.
    #[must_use]
    pub const fn prompt_len(&self) -> usize {
        self.n_fake_items + self.n_tasks()
    }

    /// The generator layer whose keys and values ranker layer `r` reads: `L - R + r`.
    #[must_use]
    pub const fn source_layer(&self, r: usize) -> usize {
        self.n_layers - self.n_rank_layers + r
    }

    /// Does any graph need times?
    #[must_use]
    pub const fn has_time(&self) -> bool {
        self.time_buckets > 0
    }
}

/// Arithmetic of the products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// All in F32.
    F32,
    /// Products in F16; norms, softmax, residual sums and final scores in F32.
    F16,
    /// Products in BF16; the rest as for F16.
    BF16,
}

impl Precision {
    /// Element type of weights of products, and of keys and values.
    #[must_use]
    pub const fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
        }
    }

    /// The word of `--precision`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "fp32",
            Self::F16 => "fp16",
            Self::BF16 => "bf16",
        }
    }
}

/// How items come into the graphs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemInput {
    /// As ids; the tables are in the graphs.
    Ids,
    /// As vectors that the caller made; no table is in any graph.
    Embeddings,
}

/// Element type of the ids, lengths and times that go in and out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IdType {
    /// As the contract has them.
    #[default]
    Int64,
    /// For engines without 64-bit integers: TensorRT before 10, and so Triton before 24.05.
    Int32,
}

impl IdType {
    /// The element type.
    #[must_use]
    pub const fn dtype(self) -> DType {
        match self {
            Self::Int64 => DType::I64,
            Self::Int32 => DType::I32,
        }
    }

    /// The word of `--ids`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int64 => "int64",
            Self::Int32 => "int32",
        }
    }

    /// The type of that [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Int64, Self::Int32].into_iter().find(|ids| ids.name() == name)
    }
}

/// Which items `oneranker` may retrieve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filter {
    /// All but the padding item.
    None,
    /// Those of `allowed_items [V]`.
    Global,
    /// Those of `allowed_items [B, V]`.
    User,
}

/// Choices of an export that are not part of the model.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GraphOptions {
    /// Arithmetic of the products.
    pub precision: Precision,
    /// Keep all inputs and outputs F32, whatever the precision.
    pub io_f32: bool,
    /// Ids, lengths and times of inputs and outputs. Inside, all are I64.
    pub ids: IdType,
    /// How items come in.
    pub item_input: ItemInput,
    /// Inventory filter of `oneranker`.
    pub filter: Filter,
    /// `K`: candidates that `oneranker` retrieves per task.
    pub top_k: usize,
}

impl GraphOptions {
    /// Largest `K`: the limit of TensorRT's TopK layer.
    pub const MAX_TOP_K: usize = 3840;

    /// FP32, items as ids, no filter.
    #[must_use]
    pub const fn new(top_k: usize) -> Self {
        Self {
            precision: Precision::F32,
            io_f32: false,
            ids: IdType::Int64,
            item_input: ItemInput::Ids,
            filter: Filter::None,
            top_k,
        }
    }
}

/// The graphs of the contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GraphKind {
    /// Behaviours to keys and values.
    Encode,
    /// New behaviours into existing keys and values.
    Append,
    /// Prompt over the behaviours' keys and values.
    Generate,
    /// Candidates over the keys and values passed through.
    Rank,
    /// All in one, with retrieval.
    OneRanker,
}

impl GraphKind {
    /// All graphs, in the order of the contract.
    pub const ALL: [Self; 5] =
        [Self::Encode, Self::Append, Self::Generate, Self::Rank, Self::OneRanker];

    /// Name of the graph and of its files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Append => "append",
            Self::Generate => "generate",
            Self::Rank => "rank",
            Self::OneRanker => "oneranker",
        }
    }

    /// The graph of that [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}
