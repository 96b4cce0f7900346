//! The formulas count what the graphs hold: their products, one by one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use onr_graphs::{
    Attention, Bindings, Graph, GraphKind, GraphOptions, ModelConfig, build,
    flops::{Sizes, flops},
    graph::{Node, ValueId},
};

fn config(attention: Attention, layers: usize, fakes: usize, time_buckets: usize) -> ModelConfig {
    ModelConfig {
        n_items: 23,
        n_actions: 3,
        d_model: 8,
        n_heads: 2,
        n_layers: layers,
        n_rank_layers: layers.div_ceil(2),
        max_seq_len: 10,
        attention,
        tasks: ["impression", "click", "value"].map(str::to_owned).to_vec(),
        n_fake_items: fakes,
        rel_pos_buckets: 6,
        time_buckets,
        layer_norm_eps: 1e-5,
        temperature: 0.05,
    }
}

/// Operations of all products that depend on an input.
fn counted(graph: &Graph, sizes: &Bindings) -> u64 {
    let mut fed: BTreeSet<ValueId> = graph.inputs.iter().copied().collect();
    let mut sum = 0;
    for node in &graph.nodes {
        if node.inputs.iter().any(|input| fed.contains(input)) {
            fed.extend(&node.outputs);
            sum += product(graph, node, sizes);
        }
    }
    sum
}

/// Two for each element of the result and each term of its sum.
fn product(graph: &Graph, node: &Node, sizes: &Bindings) -> u64 {
    if !matches!(node.op, "MatMul" | "Gemm") {
        return 0;
    }
    let size = |id: ValueId| graph.value(id).shape.iter().map(|d| d.resolve(sizes).unwrap());
    let terms = size(node.inputs[0]).next_back().unwrap();
    2 * size(node.outputs[0]).product::<usize>() as u64 * terms as u64
}

#[test]
fn the_formulas_count_the_products_of_the_graphs() {
    let options = GraphOptions::new(5);
    for attention in [Attention::Hstu, Attention::Softmax] {
        for (layers, fakes, time_buckets) in [(1, 4, 5), (2, 0, 0), (5, 3, 5)] {
            let cfg = config(attention, layers, fakes, time_buckets);
            for (batch, seq, new, kv, candidates) in [(1, 7, 2, 10, 9), (3, 10, 1, 4, 1)] {
                let at = Sizes { batch, seq, new, kv, candidates };
                let named = [
                    ("batch", batch),
                    ("seq", seq),
                    ("new", new),
                    ("kv", kv),
                    ("candidates", candidates),
                ];
                let named: Bindings = named.map(|(name, n)| (name.to_owned(), n)).into();
                for kind in GraphKind::ALL {
                    let graph = build(&cfg, &options, kind).unwrap();
                    let want = counted(&graph, &named);
                    assert!(want > 0);
                    assert_eq!(flops(&cfg, &options, kind, at), want, "{kind:?} {cfg:?} {at:?}");
                }
            }
        }
    }
}
