//! What clients see of a model, and what would change under them.

use std::collections::BTreeMap;

use crate::text::{Message, Value};

/// Inputs and outputs of `old` that `new` lacks or has otherwise, and those that only `new` has.
pub(crate) fn changes(old: &Message, new: &Message) -> Vec<String> {
    let of = |field| differences(field, &tensors(old, field), &tensors(new, field));
    [of("input"), of("output")].concat()
}

/// Type and sizes by name, as people read them.
fn tensors(config: &Message, field: &str) -> BTreeMap<String, String> {
    let all = config.all(field).filter_map(Value::as_message);
    all.map(|tensor| {
        let text =
            |field| tensor.one(field).and_then(Value::as_text).unwrap_or_default().to_owned();
        (text("name"), describe(tensor))
    })
    .collect()
}

fn describe(tensor: &Message) -> String {
    let word = |field| tensor.one(field).and_then(Value::as_word).unwrap_or_default();
    let dims: Vec<_> = tensor.all("dims").filter_map(Value::as_word).collect();
    let optional = if word("optional") == "true" { ", optional" } else { "" };
    format!("{} [{}]{optional}", word("data_type"), dims.join(", "))
}

pub(crate) fn differences(
    what: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<String> {
    let changed = old.iter().filter_map(|(name, was)| match new.get(name) {
        Some(is) if is == was => None,
        Some(is) => Some(format!("{what} `{name}` was {was}, would be {is}")),
        None => Some(format!("{what} `{name}` would be gone")),
    });
    let added = new.keys().filter(|name| !old.contains_key(*name));
    changed.chain(added.map(|name| format!("{what} `{name}` would be new"))).collect()
}

/// The largest batch of a configuration.
pub(crate) fn max_batch(config: &Message) -> Option<usize> {
    config.one("max_batch_size")?.as_word()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_names_its_tensor() {
        let old = "input { name: \"a\" data_type: TYPE_INT64 dims: [ -1 ] }\n\
                   input { name: \"b\" data_type: TYPE_FP16 dims: 1 reshape { shape: [] } }\n\
                   output [ { name: \"c\", data_type: TYPE_FP32, dims: [ 4, 2 ] } ]";
        let new = "input { name: \"b\" data_type: TYPE_FP32 dims: 1 }\n\
                   input { name: \"d\" data_type: TYPE_BOOL dims: -1 }\n\
                   output { name: \"c\" data_type: TYPE_FP32 dims: [ 8, 2 ] }";
        let (old, new) = (Message::parse(old).unwrap(), Message::parse(new).unwrap());
        assert_eq!(
            changes(&old, &new),
            [
                "input `a` would be gone",
                "input `b` was TYPE_FP16 [1], would be TYPE_FP32 [1]",
                "input `d` would be new",
                "output `c` was TYPE_FP32 [4, 2], would be TYPE_FP32 [8, 2]",
            ]
        );
        assert!(changes(&old, &old).is_empty());
    }
}
