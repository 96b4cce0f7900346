//! What TensorRT made of a graph's products, read back from the plan.
//!
//! A plan that builds is no proof that it computes in 8 bits. A plan of TensorRT for RTX holds its program as text:
//! every tensor with its type, every product (`fully_connected`) with its operands and the ONNX nodes it
//! stands for. The format is not documented; what can't be read is left out, never guessed.

use std::collections::HashMap;

use crate::builder::PlannedProduct;

/// The products of a plan, in the order of the program.
pub(super) fn products(plan: &[u8]) -> Vec<PlannedProduct> {
    let types: HashMap<&str, &str> = entries(plan, b"tensor={ ")
        .filter_map(|text| Some((quoted(text, "name=")?, word(text, " type=")?)))
        .collect();
    let mut found: Vec<PlannedProduct> = Vec::new();
    for text in entries(plan, b"fully_connected={ ") {
        let Some(node) = first_layer(text).or_else(|| quoted(text, "name=")) else { continue };
        let of = |value: &str| types.get(value).map(|t| (*t).to_owned());
        let operands: Vec<_> = list(text, "input={").take(2).map(of).collect();
        let result = list(text, "output={").next().and_then(of);
        // Both operands of a product have one type; of a value behind a pointer the text has none.
        let Some(operand) = operands.into_iter().flatten().next() else { continue };
        let product = PlannedProduct { node: node.to_owned(), operands: operand, result };
        if !found.contains(&product) {
            found.push(product);
        }
    }
    found
}

/// The lines that begin with `mark`.
fn entries<'a>(plan: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a str> {
    let mut rest = plan;
    std::iter::from_fn(move || {
        let at = find(rest, mark)?;
        let line = &rest[at + mark.len()..];
        let end = line.iter().position(|b| *b == b'\n' || *b == 0).unwrap_or(line.len());
        rest = &line[end..];
        Some(std::str::from_utf8(&line[..end]).unwrap_or_default())
    })
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    let first = *mark.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|b| *b == first) {
        if text[from + at..].starts_with(mark) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// `x` of `key"x"`.
fn quoted<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_once(key)?.1.strip_prefix('"')?.split('"').next()
}

/// `x` of `key x` up to the next space.
fn word<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_once(key)?.1.split([' ', '}']).next()
}

/// The strings of `key"a" "b" }`.
fn list<'a>(text: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let inner = text.split_once(key).map_or("", |(_, rest)| rest);
    inner.split('}').next().unwrap_or_default().split('"').skip(1).step_by(2)
}

/// `a` of `layers="[ONNX Layer: a]..`.
fn first_layer(text: &str) -> Option<&str> {
    text.split_once("[ONNX Layer: ")?.1.split(']').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &[u8] = b"\x00\x01head\n  tensor={ dims={ 1 64 } name=\"a\" offset=0 type=int8 }\n  \
        tensor={ dims={ 64 64 } name=\"w\" type=int8 }\n  tensor={ name=\"y\" strides={ 1 } type=float }\n  \
        tensor={ name=\"h\" type=half }\n\x00\
        fully_connected={ name=\"u_U7\" output={\"y\" } input={\"p^deref\" \"w\" \"alpha\" } k=0 \
        layers=\"[ONNX Layer: blocks.0/MatMul]\x1f[ONNX Layer: n]\" }\n\
        fully_connected={ name=\"v\" output={\"?\" } input={\"h\" \"h\" } }\n\
        fully_connected={ name=\"v\" output={\"?\" } input={\"p^deref\" \"q^deref\" } }\n\xff";

    #[test]
    fn products_have_the_types_of_their_operands() {
        let found = products(PROGRAM);
        let texts: Vec<_> = found
            .iter()
            .map(|p| format!("{}: {} -> {:?}", p.node, p.operands, p.result.as_deref()))
            .collect();
        assert_eq!(texts, ["blocks.0/MatMul: int8 -> Some(\"float\")", "v: half -> None"]);
    }

    #[test]
    fn other_bytes_have_no_products() {
        assert!(products(b"").is_empty());
        assert!(products(b"fully_connected={ ").is_empty());
        assert!(products(&[0xff; 4096]).is_empty());
    }
}
