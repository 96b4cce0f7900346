//! Opsets: raised only where nothing changes its meaning.

use onr_onnx::{Model, proto::GraphProto};

use super::{
    CastError,
    numbers::Narrow,
    ops,
    view::{bodies, own_domain},
};

/// Makes sure that the model's opset has the target type, raising it if that changes no meaning. FP16 is as old
/// as any opset that is still met; BF16 came with opset 13.
///
/// # Errors
/// [`CastError::Opset`] with the first operator that means something else in the opset that is needed.
pub(super) fn ensure(model: &mut Model, narrow: Narrow) -> Result<(), CastError> {
    let (opset, needed) = (model.opset(), narrow.opset());
    if opset >= needed {
        return Ok(());
    }
    let operator = match narrow {
        // Below 6 `Cast` names types by words, and much else is different.
        Narrow::F16 => Some("Cast".to_owned()),
        Narrow::Bf16 => changed(model.graph(), opset),
    };
    match operator {
        Some(operator) => Err(CastError::Opset { to: narrow.elem(), operator, opset, needed }),
        None => {
            model.raise_opset(needed);
            Ok(())
        }
    }
}

/// The first operator, in bodies too, that may mean something else in opset 13.
fn changed(graph: &GraphProto, opset: i64) -> Option<String> {
    graph.node.iter().find_map(|node| {
        let known = match ops::find(node.op()) {
            Some(op) => op.keeps_meaning(opset),
            None => ops::neutral_since(node.op()).is_some_and(|since| opset >= since),
        };
        let own = (own_domain(node) && !known).then(|| node.op().to_owned());
        own.or_else(|| bodies(node).find_map(|body| changed(body, opset)))
    })
}
