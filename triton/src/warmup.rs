//! Warm-ups made of real requests.

use std::collections::BTreeMap;

use onr_exporter::{ExportedGraph, TensorInfo, artifact};
use onr_graphs::{Bindings, DType, Dim, Profile, Range, profile::End};
use onr_requests::Request;
use onr_runtime::{
    parity::{Batch, BatchShape, batches},
    tensor::{Data, HostTensor},
};

use crate::{
    config::{DataType, TensorConfig, Warmup, WarmupData, WarmupInput},
    source::Source,
};

/// One row of inputs, padded to the profile's best sizes.
pub(crate) struct Sample {
    batch: Batch,
    sizes: Bindings,
}

/// Files of a model's directory `warmup`, by name: their names are those of their content, so that no version
/// changes what another one reads.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

impl Sample {
    /// The request with the longest history among those that fit the profile's best sizes, else its largest; `None`
    /// when no request fits.
    pub(crate) fn choose(requests: &[Request], source: &Source, profile: &Profile) -> Option<Self> {
        let range = |symbol: &str| profile.get(symbol);
        let (seq, candidates) = (range("seq")?, range("candidates")?);
        let fits = |request: &&Request, seq: usize, candidates: usize| {
            request.items.len() <= seq && request.candidates.len() <= candidates
        };
        let longest = |seq: usize, candidates: usize| {
            let fitting = requests.iter().filter(|r| fits(r, seq, candidates));
            fitting.max_by_key(|r| r.items.len())
        };
        let chosen =
            longest(seq.opt, candidates.opt).or_else(|| longest(seq.max, candidates.max))?;
        let shape = BatchShape { rows: 1, seq_step: seq.opt, candidate_step: candidates.opt };
        let one = std::slice::from_ref(chosen);
        let batch = batches(one, &source.config, &source.options, shape).pop()?;
        let mut sizes = profile.bindings(End::Opt);
        sizes.insert("batch".into(), 1);
        let width = batch.inputs.get("candidate_ids").map_or(0, |t| t.shape()[1]);
        let sized = [("seq", batch.seq, seq), ("candidates", width, candidates)];
        if !sized.iter().all(|(_, n, range)| (range.min..=range.max).contains(n)) {
            return None;
        }
        sizes.extend(sized.map(|(symbol, n, _)| (symbol.to_owned(), n)));
        if range("kv").is_some_and(|kv| (kv.min..=kv.max).contains(&batch.seq)) {
            sizes.insert("kv".into(), batch.seq);
        }
        Some(Self { batch, sizes })
    }

    /// Warm-ups of a graph, in the profile's smallest and its best batch. Keys, values and whatever else other graphs
    /// compute are 0. `of` says of what they are, where there are several profiles.
    pub(crate) fn warmups(
        &self,
        graph: &ExportedGraph,
        tensors: &[TensorConfig],
        batch: Range,
        of: &str,
    ) -> (Vec<Warmup>, Files) {
        let mut files = Files::new();
        let mut inputs = BTreeMap::new();
        for (info, config) in graph.inputs.iter().zip(tensors) {
            inputs.insert(info.name.clone(), self.input(info, config.data_type, &mut files));
        }
        let warmup = |name: &str, batch_size| Warmup {
            name: format!("{of}{name}"),
            batch_size,
            inputs: inputs.clone(),
        };
        let mut warmups = vec![warmup("smallest batch", batch.min)];
        if batch.opt > batch.min {
            warmups.push(warmup("best batch", batch.opt));
        }
        (warmups, files)
    }

    fn input(&self, info: &TensorInfo, data_type: DataType, files: &mut Files) -> WarmupInput {
        let size = |d: &String| {
            let dim = d.parse().map_or_else(|_| Dim::named(d), Dim::Fixed);
            dim.resolve(&self.sizes).unwrap_or(1)
        };
        let shape: Vec<usize> = info.shape.iter().map(size).collect();
        let values = self.batch.inputs.get(&info.name).filter(|t| t.shape() == shape);
        let data = match values.and_then(|t| bytes(t, &info.dtype)) {
            None => WarmupData::Zero,
            Some(bytes) => {
                let name = format!("{}-{}", info.name, &artifact::sha256(&bytes)[..12]);
                files.insert(name.clone(), bytes);
                WarmupData::File(name)
            }
        };
        let dims: Vec<i64> = shape[1..].iter().map(|&n| n as i64).collect();
        WarmupInput { data_type, dims: if dims.is_empty() { vec![1] } else { dims }, data }
    }
}

/// The elements as a graph takes them; `None` where the types do not fit.
fn bytes(tensor: &HostTensor, dtype: &str) -> Option<Vec<u8>> {
    let wanted = DType::from_name(dtype)?;
    Some(match tensor.cast(wanted)?.data() {
        Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::F16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::BF16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::Bool(v) => v.iter().map(|&x| u8::from(x)).collect(),
        _ => return None,
    })
}
