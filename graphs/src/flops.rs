//! How many floating-point operations a graph's products take.
//!
//! Two for each multiplication with its addition. Counted are products with weights and those of attention, as the
//! graphs have them: over padded sizes, hidden pairs included. Not counted are products of weights alone (the first
//! projections of the prompt), which engines compute when they load a graph, and whatever is done element by element, a
//! candidate's attention to itself among it.

use crate::{Attention, GraphKind, GraphOptions, ModelConfig};

/// The sizes of one run; a graph looks at those that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    /// `B`
    pub batch: usize,
    /// `T`, behaviours of `encode` and `oneranker`.
    pub seq: usize,
    /// `t`, new behaviours of `append`.
    pub new: usize,
    /// `S`, slots of keys and values.
    pub kv: usize,
    /// `C`
    pub candidates: usize,
}

/// Operations of one run of a graph. `top_k` of the options counts for `oneranker` alone.
///
/// | graph | operations of a row |
/// | --- | --- |
/// | `encode` | `8LTD² + (L-1)(4T²D + 2TD²)` |
/// | `append` | `8LtD² + (L-1)(4tSD + 2tD²)` |
/// | `generate` | `8(L-1)PD² + sum over layers of q(4(S+P)D + 2D²) + 2ND²`; `q` is `P`, and `N` in the last layer |
/// | `rank` | `4CD² + R(10CD² + 4C(S+P)D) + 4CND` |
/// | `oneranker` | `encode` at `T`, `generate` at `S = T`, `2NVD`, `rank` at `S = T`, `C = NK` |
///
/// In the first layer of `generate` the prompt's scores against itself are the same for all, and its weights too where
/// attention is HSTU's: `2qPD` or `4qPD` fewer.
#[must_use]
pub fn flops(cfg: &ModelConfig, options: &GraphOptions, kind: GraphKind, at: Sizes) -> u64 {
    let m = Widths::of(cfg);
    let a_row = match kind {
        GraphKind::Encode => m.behaviours(at.seq as u64, at.seq as u64),
        GraphKind::Append => m.behaviours(at.new as u64, at.kv as u64),
        GraphKind::Generate => m.generate(at.kv as u64, cfg.attention),
        GraphKind::Rank => m.rank(at.candidates as u64, at.kv as u64),
        GraphKind::OneRanker => {
            let t = at.seq as u64;
            let retrieved = m.n * options.top_k as u64;
            let table = 2 * m.n * cfg.n_items as u64 * m.d;
            m.behaviours(t, t) + m.generate(t, cfg.attention) + table + m.rank(retrieved, t)
        }
    };
    at.batch as u64 * a_row
}

/// The letters of the formulas.
struct Widths {
    d: u64,
    l: u64,
    r: u64,
    n: u64,
    p: u64,
}

impl Widths {
    fn of(cfg: &ModelConfig) -> Self {
        let [d, l, r, n, p] =
            [cfg.d_model, cfg.n_layers, cfg.n_rank_layers, cfg.n_tasks(), cfg.prompt_len()]
                .map(|n| n as u64);
        Self { d, l, r, n, p }
    }

    /// `queries` behaviours that look at `keys` slots. The last layer makes keys and values and looks at nothing.
    const fn behaviours(&self, queries: u64, keys: u64) -> u64 {
        let projected = 8 * queries * self.d * self.d;
        let closed = 4 * queries * keys * self.d + 2 * queries * self.d * self.d;
        self.l * projected + (self.l - 1) * closed
    }

    fn generate(&self, slots: u64, attention: Attention) -> u64 {
        let Self { d, l, n, p, .. } = *self;
        let queries = |layer: u64| if layer + 1 == l { n } else { p };
        let closed = |q: u64| q * (4 * (slots + p) * d + 2 * d * d);
        let same_for_all = match attention {
            Attention::Hstu => 4 * queries(0) * p * d,
            Attention::Softmax => 2 * queries(0) * p * d,
        };
        let layers: u64 = (0..l).map(|layer| closed(queries(layer))).sum();
        8 * (l - 1) * p * d * d + layers + 2 * n * d * d - same_for_all
    }

    const fn rank(&self, candidates: u64, slots: u64) -> u64 {
        let Self { d, r, n, p, .. } = *self;
        let layer = 10 * candidates * d * d + 4 * candidates * (slots + p) * d;
        4 * candidates * d * d + r * layer + 4 * candidates * n * d
    }
}
