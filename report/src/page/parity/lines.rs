//! Outputs in the order of the graphs, layers in the order of their numbers.

use crate::data::OutputFigures;

/// Outputs that stand in one line: one, or what belongs to a layer.
pub(super) struct Line<'a> {
    /// The output, or what those of a layer have in common: `present.3`.
    pub(super) name: String,
    /// The layer.
    pub(super) layer: Option<u32>,
    pub(super) outputs: Vec<&'a OutputFigures>,
}

/// A graph with its lines.
pub(super) type Graph<'a> = (&'a str, Vec<Line<'a>>);

/// Graphs as they come first. A report may sort names as texts, which puts layer 10 before layer 2.
pub(super) fn lines(outputs: &[OutputFigures]) -> Vec<Graph<'_>> {
    let mut graphs: Vec<Graph<'_>> = Vec::new();
    for output in outputs {
        let at = graphs.iter().position(|(name, _)| *name == output.graph).unwrap_or_else(|| {
            graphs.push((&output.graph, Vec::new()));
            graphs.len() - 1
        });
        add(&mut graphs[at].1, output);
    }
    graphs
}

fn add<'a>(lines: &mut Vec<Line<'a>>, output: &'a OutputFigures) {
    let Some((family, layer, _)) = layer(&output.output) else {
        lines.push(Line { name: output.output.clone(), layer: None, outputs: vec![output] });
        return;
    };
    let name = format!("{family}.{layer}");
    if let Some(line) = lines.iter_mut().find(|l| l.layer.is_some() && l.name == name) {
        line.outputs.push(output);
        return;
    }
    // Behind the last smaller layer of its family; a family stands where its first one came.
    let of_family = |l: &Line<'_>| l.layer.is_some() && family_of(&l.name) == family;
    let smaller = lines.iter().rposition(|l| of_family(l) && l.layer < Some(layer));
    let first = lines.iter().position(of_family);
    let at = smaller.map(|at| at + 1).or(first).unwrap_or(lines.len());
    lines.insert(at, Line { name, layer: Some(layer), outputs: vec![output] });
}

fn family_of(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(family, _)| family)
}

/// What a name says before, at and after its layer: `present`, 3, `key`.
pub(super) fn layer(name: &str) -> Option<(&str, u32, &str)> {
    let (rest, kind) = name.rsplit_once('.')?;
    let (family, layer) = rest.rsplit_once('.')?;
    Some((family, layer.parse().ok()?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stand_in_the_order_of_their_numbers() {
        let output = |graph: &str, output: &str| OutputFigures {
            graph: graph.into(),
            output: output.into(),
            ..OutputFigures::default()
        };
        let all = [
            output("encode", "present.0.key"),
            output("encode", "present.0.value"),
            output("encode", "present.10.key"),
            output("encode", "present.2.key"),
            output("encode", "present.10.value"),
            output("generate", "prompt.1.key"),
            output("generate", "task_states"),
            output("generate", "prompt.0.key"),
            output("encode", "late"),
        ];
        let found: Vec<(&str, Vec<(String, usize)>)> = lines(&all)
            .into_iter()
            .map(|(graph, lines)| {
                (graph, lines.into_iter().map(|l| (l.name, l.outputs.len())).collect())
            })
            .collect();
        let names = |all: &[(&str, usize)]| -> Vec<(String, usize)> {
            all.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
        };
        let encode = names(&[("present.0", 2), ("present.2", 1), ("present.10", 2), ("late", 1)]);
        let generate = names(&[("prompt.0", 1), ("prompt.1", 1), ("task_states", 1)]);
        assert_eq!(found, [("encode", encode), ("generate", generate)]);
        assert_eq!(layer("a.b.c"), None);
    }
}
