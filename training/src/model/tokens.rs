//! Which rows a batch has, and who of them sees whom.
//!
//! Behaviours are packed: row after row, sequence after sequence, no padding. Each cut of a sequence
//! (a place from which the future is predicted) has a prompt of its own, which sees the behaviours
//! before the cut; prompts of different cuts never see each other. In the first layer prompts are
//! alike, so that their rows are there once for all cuts.

use std::sync::Arc;

use onr_graphs::{ModelConfig, model::time_thresholds};

use crate::ops::attention::{Geometry, Group, SelfKey};

/// One user's behaviours, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    pub(crate) items: Vec<u32>,
    pub(crate) actions: Vec<u32>,
    /// Unix seconds.
    pub(crate) times: Vec<i64>,
}

/// A request within a sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Which sequence.
    pub(crate) sequence: usize,
    /// How many of its behaviours are known.
    pub(crate) at: usize,
    /// `request_time`, unix seconds.
    pub(crate) time: i64,
}

/// What one layer computes.
pub(crate) struct LayerPlan {
    pub(crate) geometry: Arc<Geometry>,
    /// Rows of the layer's input that are queries; `None`: all.
    pub(crate) queries: Option<Vec<u32>>,
    /// Row of the layer's input that each row of its output continues; `None`: the same row.
    pub(crate) residual: Option<Vec<u32>>,
}

/// Rows of a batch in every layer.
pub(crate) struct Tokens<'a> {
    cfg: &'a ModelConfig,
    sequences: &'a [Sequence],
    cuts: &'a [Cut],
    /// First row of each sequence, and the number of rows after the last.
    offsets: Vec<u32>,
    buckets: Buckets,
}

/// Time buckets of all pairs that meet.
#[derive(Default)]
struct Buckets {
    data: Vec<u8>,
    /// Where those of each behaviour begin, by row.
    behaviours: Vec<u32>,
    /// Where those of each cut begin.
    cuts: Vec<u32>,
}

impl Buckets {
    fn new(cfg: &ModelConfig, sequences: &[Sequence], cuts: &[Cut]) -> Self {
        let mut all = Self::default();
        if !cfg.has_time() {
            all.behaviours = vec![0; sequences.iter().map(|s| s.items.len()).sum()];
            all.cuts = vec![0; cuts.len()];
            return all;
        }
        let thresholds = time_thresholds(cfg.time_buckets);
        let bucket = |a: i64, b: i64| -> u8 {
            let apart = a.wrapping_sub(b).wrapping_abs().max(1);
            thresholds.partition_point(|&c| c <= apart) as u8
        };
        for sequence in sequences {
            for (i, &now) in sequence.times.iter().enumerate() {
                all.behaviours.push(all.data.len() as u32);
                all.data.extend(sequence.times[..=i].iter().map(|&t| bucket(now, t)));
            }
        }
        for cut in cuts {
            all.cuts.push(all.data.len() as u32);
            let times = &sequences[cut.sequence].times[..cut.at];
            all.data.extend(times.iter().map(|&t| bucket(cut.time, t)));
        }
        all
    }
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(cfg: &'a ModelConfig, sequences: &'a [Sequence], cuts: &'a [Cut]) -> Self {
        let mut offsets = vec![0];
        for sequence in sequences {
            offsets.push(offsets.last().copied().unwrap_or(0) + sequence.items.len() as u32);
        }
        Self { cfg, sequences, cuts, offsets, buckets: Buckets::new(cfg, sequences, cuts) }
    }

    /// Rows of behaviours.
    pub(crate) fn n_behaviours(&self) -> u32 {
        self.offsets.last().copied().unwrap_or(0)
    }

    pub(crate) const fn n_cuts(&self) -> usize {
        self.cuts.len()
    }

    pub(crate) fn items(&self) -> Vec<u32> {
        self.sequences.iter().flat_map(|s| &s.items).copied().collect()
    }

    pub(crate) fn actions(&self) -> Vec<u32> {
        self.sequences.iter().flat_map(|s| &s.actions).copied().collect()
    }

    /// Row of the first prompt token of a cut in the input of layer `l`.
    fn prompt(&self, l: usize, cut: usize) -> u32 {
        let shift = if l == 0 { 0 } else { cut * self.cfg.prompt_len() };
        self.n_behaviours() + shift as u32
    }

    /// A group that sees the behaviours before a cut.
    fn at_cut(&self, cut: usize, queries: std::ops::Range<u32>) -> Group {
        let Cut { sequence, at, .. } = self.cuts[cut];
        let start = self.offsets[sequence];
        Group {
            queries,
            behaviours: start..start + at as u32,
            position: at as u32,
            buckets: self.buckets.cuts[cut],
            prompt: 0..0,
            own: SelfKey::None,
        }
    }

    fn behaviour_groups(&self, groups: &mut Vec<Group>) {
        for window in self.offsets.windows(2) {
            for (i, row) in (window[0]..window[1]).enumerate() {
                groups.push(Group {
                    queries: row..row + 1,
                    behaviours: window[0]..row + 1,
                    position: i as u32,
                    buckets: self.buckets.behaviours[row as usize],
                    prompt: 0..0,
                    own: SelfKey::None,
                });
            }
        }
    }

    /// Groups of a cut's prompt, from output row `next` on.
    fn prompt_groups(&self, l: usize, cut: usize, fakes: bool, next: u32, groups: &mut Vec<Group>) {
        let (n_fakes, base) = (self.cfg.n_fake_items as u32, self.prompt(l, cut));
        let mut next = next;
        if fakes && n_fakes > 0 {
            let group = self.at_cut(cut, next..next + n_fakes);
            groups.push(Group { own: SelfKey::Pool(base), ..group });
            next += n_fakes;
        }
        for n in 0..self.cfg.n_tasks() as u32 {
            let group = self.at_cut(cut, next..next + 1);
            groups.push(Group { prompt: base..base + n_fakes + n + 1, ..group });
            next += 1;
        }
    }

    /// Generator layer `l`. The last layer's queries are the tasks alone: nobody reads the others' output.
    pub(crate) fn layer(&self, l: usize) -> LayerPlan {
        let (nb, n_cuts) = (self.n_behaviours(), self.n_cuts());
        let (fakes, tasks) = (self.cfg.n_fake_items as u32, self.cfg.n_tasks() as u32);
        let last = l + 1 == self.cfg.n_layers;
        let per_cut = if last { tasks } else { fakes + tasks };
        let first = if last { 0 } else { nb };
        let mut groups = Vec::new();
        if !last {
            self.behaviour_groups(&mut groups);
        }
        for cut in 0..n_cuts {
            self.prompt_groups(l, cut, !last, first + cut as u32 * per_cut, &mut groups);
        }
        let geometry = |rows| {
            Arc::new(Geometry { groups: groups.clone(), rows, buckets: self.buckets.data.clone() })
        };
        let repeat = |range: std::ops::Range<u32>| (0..n_cuts).flat_map(move |_| range.clone());
        match (l == 0, last) {
            (true, true) => LayerPlan {
                geometry: geometry(Some(repeat(0..tasks).collect())),
                queries: Some((nb + fakes..nb + fakes + tasks).collect()),
                residual: Some(repeat(nb + fakes..nb + fakes + tasks).collect()),
            },
            (true, false) => {
                let rows: Vec<u32> = (0..nb).chain(repeat(nb..nb + fakes + tasks)).collect();
                LayerPlan {
                    geometry: geometry(Some(rows.clone())),
                    queries: None,
                    residual: Some(rows),
                }
            }
            (false, true) => {
                let base = (0..n_cuts).map(|cut| self.prompt(l, cut) + fakes);
                let rows: Vec<u32> = base.flat_map(|base| base..base + tasks).collect();
                let residual = Some(rows.clone());
                LayerPlan { geometry: geometry(None), queries: Some(rows), residual }
            }
            (false, false) => LayerPlan { geometry: geometry(None), queries: None, residual: None },
        }
    }

    /// Ranker layer over the pool of generator layer `l`: `count` candidates of each of the cuts.
    pub(crate) fn candidates(&self, l: usize, cuts: &[usize], count: usize) -> Arc<Geometry> {
        let group = |(i, &cut): (usize, &usize)| {
            let first = (i * count) as u32;
            let (base, n) = (self.prompt(l, cut), self.cfg.prompt_len() as u32);
            let group = self.at_cut(cut, first..first + count as u32);
            Group { prompt: base..base + n, own: SelfKey::Own, ..group }
        };
        let groups = cuts.iter().enumerate().map(group).collect();
        Arc::new(Geometry { groups, rows: None, buckets: self.buckets.data.clone() })
    }
}
