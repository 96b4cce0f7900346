//! Puts codes in the place of tables.

use std::collections::BTreeMap;

use onr_onnx::{
    ElemType, Links, Model, Use, edit,
    proto::{GraphProto, NodeProto, TensorProto},
    tensor,
};
use serde::Serialize;

use super::{Rows, TableFormat, quantize_rows};
use crate::qdq::QdqError;

/// What became of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantizedTable {
    /// The table.
    pub table: String,
    /// Its format.
    pub format: TableFormat,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Bytes before, and of codes and scales.
    pub bytes: (usize, usize),
    /// Median over rows of the length of the error over the length of the row.
    pub median_error: f32,
}

/// A table of the model and what reads it.
struct Site {
    name: String,
    format: TableFormat,
    elem: ElemType,
    rows: usize,
    columns: usize,
    gathers: Vec<usize>,
    products: Vec<usize>,
}

/// Stores tables as codes with a scale for each row. Tables that the model does not have are for other
/// graphs.
///
/// # Errors
/// [`QdqError::Model`] for a table that something else than `Gather` along axis 0 or `Gemm` with the table
/// transposed reads, [`QdqError::NotFinite`]; the model is then in an unusable state.
pub fn quantize_tables(
    model: &mut Model,
    tables: &BTreeMap<String, TableFormat>,
) -> Result<Vec<QuantizedTable>, QdqError> {
    let links = Links::new(model.graph());
    let known = tables.iter().filter_map(|(name, format)| {
        let stored = model.initializer(name)?;
        Some(Site::new(model.graph(), &links, stored, *format))
    });
    let sites = known.collect::<Result<Vec<_>, _>>()?;
    let mut report = Vec::new();
    for site in sites.iter().filter(|s| !(s.gathers.is_empty() && s.products.is_empty())) {
        let opset = if site.products.is_empty() { 13 } else { site.format.opset() };
        edit::upgrade(model, opset).map_err(QdqError::Model)?;
        let absent = || QdqError::Model(format!("`{}` is not in the model", site.name));
        let bytes = model.bytes(model.initializer(&site.name).ok_or_else(absent)?)?;
        let made = quantize_rows(&site.name, site.elem, &bytes, site.columns, site.format)?;
        report.push(QuantizedTable {
            table: site.name.clone(),
            format: site.format,
            shape: (site.rows, site.columns),
            bytes: (bytes.len(), made.codes.len() + 4 * made.scales.len()),
            median_error: made.median_error(),
        });
        drop(bytes);
        site.rewrite(model.graph_mut(), made);
    }
    Ok(report)
}

impl Site {
    fn new(
        graph: &GraphProto,
        links: &Links,
        stored: &TensorProto,
        format: TableFormat,
    ) -> Result<Self, QdqError> {
        let name = stored.label().to_owned();
        let refuse = |what: &str| QdqError::Model(format!("table `{name}` {what}"));
        let &[rows, columns] = stored.dims.as_slice() else {
            return Err(refuse("does not have two axes"));
        };
        let elem = stored.data_type.and_then(ElemType::of).filter(|elem| elem.is_activation());
        let mut site = Self {
            elem: elem.ok_or_else(|| refuse("has no floats"))?,
            rows: rows as usize,
            columns: columns as usize,
            format,
            gathers: Vec::new(),
            products: Vec::new(),
            name: name.clone(),
        };
        for Use { node, input } in links.uses(&name) {
            let reader = &graph.node[*node];
            let flag = |key: &str| reader.int(key).unwrap_or(0);
            match (reader.op(), input) {
                ("Gather", 0) if flag("axis") == 0 => site.gathers.push(*node),
                ("Gemm", 1) if flag("transB") == 1 => site.products.push(*node),
                _ => {
                    let what = format!("is read by {} `{}`", reader.op(), reader.label());
                    return Err(refuse(&what));
                }
            }
        }
        if graph.output.iter().any(|o| o.label() == name) {
            return Err(refuse("is an output"));
        }
        Ok(site)
    }

    /// Name of one of the table's new tensors.
    fn part(&self, what: &str) -> String {
        format!("{}/rows.{what}", self.name)
    }

    fn rewrite(&self, graph: &mut GraphProto, made: Rows) {
        let words = self.format.words(self.columns) as i64;
        let padded = words * self.format.per_word() as i64;
        let rows = self.rows as i64;
        let codes = made.codes;
        let scales: Vec<u8> = made.scales.iter().flat_map(|s| s.to_le_bytes()).collect();
        graph.initializer.push(tensor(&self.part("scales"), ElemType::Float, &[rows], scales));
        if self.products.is_empty() {
            let stored = tensor(&self.part("words"), ElemType::Int32, &[rows, words], codes);
            graph.initializer.push(stored);
            self.constants(graph, padded);
            for node in std::mem::take(&mut graph.node).into_iter().enumerate() {
                match node {
                    (at, gather) if self.gathers.contains(&at) => {
                        graph.node.append(&mut self.lookup(&gather, padded));
                    }
                    (_, other) => graph.node.push(other),
                }
            }
        } else {
            let elem = self.format.elem();
            graph.initializer.push(tensor(&self.part("codes"), elem, &[rows, padded], codes));
            for node in &mut graph.node {
                for input in node.input.iter_mut().filter(|input| **input == self.name) {
                    *input = self.part("whole");
                }
            }
            let whole = self.whole(graph, padded);
            graph.node.splice(0..0, whole);
        }
        edit::prune(graph);
    }

    /// The whole table as floats, for products and what else reads it beside them.
    fn whole(&self, graph: &mut GraphProto, padded: i64) -> Vec<NodeProto> {
        let mut nodes = Vec::new();
        let mut chain = Chain { nodes: &mut nodes, last: String::new() };
        let mut dequantize = edit::node(
            "DequantizeLinear",
            &self.part("dequantized"),
            &[&self.part("codes"), &self.part("scales")],
            &[&self.part("dequantized")],
        );
        dequantize.attribute.push(edit::int("axis", 0));
        chain.push(dequantize);
        if padded as usize != self.columns {
            self.cut_constants(graph);
            let cut = self.cut(&chain.last, &self.part("cut"));
            chain.push(cut);
        }
        chain.finish(&self.part("whole"), self.elem);
        nodes
    }

    /// `Gather(table, ids)` as arithmetic on gathered words; the result keeps its name.
    ///
    /// Products, quotients and remainders of numbers that are not negative are the same everywhere, so a
    /// negative word `w` is taken apart as `-1 - w`, whose digits are those of `w` counted from the other
    /// end. The table of numbers has both halves.
    fn lookup(&self, gather: &NodeProto, padded: i64) -> Vec<NodeProto> {
        let (ids, result) = (&gather.input[1], &gather.output[0]);
        let mut nodes = Vec::new();
        let at = |what: &str| format!("{result}/rows.{what}");
        let own = |what: &str| self.part(what);
        let mut add = |op: &str, inputs: &[&str], output: &str| {
            nodes.push(edit::node(op, output, inputs, &[output]));
        };
        add("Gather", &[&own("words"), ids], &at("words"));
        add("Less", &[&at("words"), &own("zero")], &at("negative"));
        add("Sub", &[&own("minus_one"), &at("words")], &at("flipped"));
        add("Max", &[&at("words"), &at("flipped")], &at("magnitude"));
        add("Unsqueeze", &[&at("magnitude"), &own("last_axis")], &at("column"));
        add("Div", &[&at("column"), &own("powers")], &at("quotients"));
        add("Mod", &[&at("quotients"), &own("base")], &at("digits"));
        add("Mul", &[&at("sign"), &own("base")], &at("half"));
        add("Unsqueeze", &[&at("half"), &own("last_axis")], &at("halves"));
        add("Add", &[&at("digits"), &at("halves")], &at("indices"));
        add("Gather", &[&own("numbers"), &at("indices")], &at("numbers"));
        add("Shape", &[ids], &at("shape_of_ids"));
        add("Concat", &[&at("shape_of_ids"), &own("padded")], &at("shape"));
        add("Reshape", &[&at("numbers"), &at("shape")], &at("rows"));
        add("Gather", &[&own("scales"), ids], &at("scale"));
        add("Unsqueeze", &[&at("scale"), &own("last_axis")], &at("scales"));
        let sign = edit::cast(&at("negative"), &at("sign"), ElemType::Int32);
        nodes.insert(2, sign);
        if let Some(concat) = nodes.iter_mut().find(|n| n.op() == "Concat") {
            concat.attribute.push(edit::int("axis", 0));
        }
        let mut chain = Chain { nodes: &mut nodes, last: at("rows") };
        if padded as usize != self.columns {
            let cut = self.cut(&chain.last, &at("cut"));
            chain.push(cut);
        }
        let scaled = at("scaled");
        let product = edit::node("Mul", &scaled, &[&chain.last, &at("scales")], &[&scaled]);
        chain.push(product);
        chain.finish(result, self.elem);
        nodes
    }

    /// `[.., columns]` of `[.., padded]`.
    fn cut(&self, rows: &str, output: &str) -> NodeProto {
        let [start, end, axis] = ["cut.start", "cut.end", "last_axis"].map(|part| self.part(part));
        edit::node("Slice", output, &[rows, &start, &end, &axis], &[output])
    }

    fn cut_constants(&self, graph: &mut GraphProto) {
        let mut put = |what: &str, value: i64| {
            let stored =
                tensor(&self.part(what), ElemType::Int64, &[1], value.to_le_bytes().to_vec());
            if !graph.initializer.iter().any(|t| t.label() == stored.label()) {
                graph.initializer.push(stored);
            }
        };
        put("cut.start", 0);
        put("cut.end", self.columns as i64);
        put("last_axis", -1);
    }

    /// What lookups compute with.
    fn constants(&self, graph: &mut GraphProto, padded: i64) {
        self.cut_constants(graph);
        let base = self.format.codes();
        let powers: Vec<i32> =
            (0..self.format.per_word() as u32).map(|k| (base as i32).pow(k)).collect();
        let numbers: Vec<f32> = (0..base).map(|code| self.format.decode(code as u8)).collect();
        let both: Vec<u8> =
            numbers.iter().chain(numbers.iter().rev()).flat_map(|x| x.to_le_bytes()).collect();
        let whole = |what: &str, dims: &[i64], values: &[i32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|n| n.to_le_bytes()).collect();
            tensor(&self.part(what), ElemType::Int32, dims, bytes)
        };
        graph.initializer.extend([
            whole("zero", &[], &[0]),
            whole("minus_one", &[], &[-1]),
            whole("base", &[], &[base as i32]),
            whole("powers", &[powers.len() as i64], &powers),
            tensor(&self.part("numbers"), ElemType::Float, &[2 * base as i64], both),
            tensor(&self.part("padded"), ElemType::Int64, &[1], padded.to_le_bytes().to_vec()),
        ]);
    }
}

/// Nodes that each read the one before.
struct Chain<'a> {
    nodes: &'a mut Vec<NodeProto>,
    last: String,
}

impl Chain<'_> {
    fn push(&mut self, node: NodeProto) {
        self.last.clone_from(&node.output[0]);
        self.nodes.push(node);
    }

    /// The last value, as `elem`, gets the name `result`.
    fn finish(self, result: &str, elem: ElemType) {
        if elem != ElemType::Float {
            self.nodes.push(edit::cast(&self.last, result, elem));
        } else if let Some(last) = self.nodes.last_mut() {
            result.clone_into(&mut last.output[0]);
            last.name = Some(result.to_owned());
        }
    }
}
