//! The open graphs of a directory.

use std::{collections::BTreeMap, path::Path};

use onr_exporter::{ExportedGraph, TensorInfo};
use onr_graphs::{DType, GraphKind};

use super::ServeError;
use crate::{
    backend::{Backend, Placement, Session},
    tensor::{HostTensor, Values},
};

/// Graphs that every request needs.
const NEEDED: [GraphKind; 3] = [GraphKind::Encode, GraphKind::Generate, GraphKind::Rank];

/// Sessions of the graphs, all of them open.
pub(super) struct Graphs(BTreeMap<GraphKind, Open>);

struct Open {
    session: Box<dyn Session>,
    inputs: Vec<TensorInfo>,
}

impl Graphs {
    /// Opens what requests need, and `append` where there is one.
    pub(super) fn open(
        backend: &dyn Backend,
        dir: &Path,
        graphs: &[ExportedGraph],
    ) -> Result<Self, ServeError> {
        let mut open = BTreeMap::new();
        for kind in NEEDED.into_iter().chain([GraphKind::Append]) {
            match graphs.iter().find(|graph| graph.name == kind.name()) {
                Some(graph) => {
                    let session = backend.open(&dir.join(graph.file_name()))?;
                    open.insert(kind, Open { session, inputs: graph.inputs.clone() });
                }
                None if kind == GraphKind::Append => {}
                None => return Err(ServeError::Graph { graph: kind.name() }),
            }
        }
        Ok(Self(open))
    }

    pub(super) fn has(&self, kind: GraphKind) -> bool {
        self.0.contains_key(&kind)
    }

    /// Where the graphs run.
    pub(super) fn placement(&self) -> Option<Placement> {
        self.0.values().next().map(|open| open.session.placement())
    }

    /// Runs a graph on what it asks for out of `state`. Ids take the graph's type; keys and values have it, as other
    /// graphs of the directory made them. What other graphs read stays where it was computed.
    pub(super) fn run(&mut self, kind: GraphKind, state: &Values) -> Result<Values, ServeError> {
        let graph = kind.name();
        let open = self.0.get_mut(&kind).ok_or(ServeError::Graph { graph })?;
        let input = |info: &TensorInfo| {
            let typed = DType::from_name(&info.dtype);
            let value = state.get(&info.name).zip(typed).and_then(|(value, t)| value.cast(t));
            let unfit =
                || ServeError::Input { graph, input: info.name.clone(), dtype: info.dtype.clone() };
            Ok((info.name.clone(), value.ok_or_else(unfit)?))
        };
        let feeds: Result<Values, ServeError> = open.inputs.iter().map(input).collect();
        Ok(open.session.run_values(&feeds?, &|_| kind != GraphKind::Rank)?)
    }

    /// Keys and values of nobody: `slots` slots of zeros, as `generate` takes them.
    pub(super) fn empty_past(&self, slots: usize) -> Result<Values, ServeError> {
        let generate = GraphKind::Generate;
        let open = self.0.get(&generate).ok_or(ServeError::Graph { graph: generate.name() })?;
        let past = open.inputs.iter().filter(|info| info.name.starts_with("past_key_values."));
        past.map(|info| Ok((info.name.clone(), zeros(info, slots)?.into()))).collect()
    }
}

/// `[1, H, slots, Dh]`
fn zeros(info: &TensorInfo, slots: usize) -> Result<HostTensor, ServeError> {
    let size = |axis: &String| match axis.as_str() {
        "batch" => Some(1),
        "kv" => Some(slots),
        number => number.parse().ok(),
    };
    let shape: Option<Vec<usize>> = info.shape.iter().map(size).collect();
    let made = shape.zip(DType::from_name(&info.dtype)).and_then(|(shape, dtype)| {
        let count = shape.iter().product();
        match dtype {
            DType::I8 => Some(HostTensor::of(&shape, vec![0_i8; count])),
            float => HostTensor::of(&shape, vec![0.0_f32; count]).cast(float),
        }
    });
    made.ok_or_else(|| ServeError::Input {
        graph: GraphKind::Generate.name(),
        input: info.name.clone(),
        dtype: info.dtype.clone(),
    })
}
