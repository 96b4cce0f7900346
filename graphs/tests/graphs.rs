//! The graphs of the contract: they build for every kind of configuration, and their inputs,
//! outputs and operators are those that were reviewed.

use onr_graphs::{
    Attention, DType, Dim, Filter, Graph, GraphKind, GraphOptions, IdType, ItemInput, ModelConfig,
    Precision, build, dump,
    graph::{Node, Role, Value},
    model::weights::checkpoint,
    ops::minimum_opset,
};

fn config(attention: Attention, n_fake_items: usize, time_buckets: usize) -> ModelConfig {
    ModelConfig {
        n_items: 23,
        n_actions: 3,
        d_model: 8,
        n_heads: 2,
        n_layers: 3,
        n_rank_layers: 2,
        max_seq_len: 10,
        attention,
        tasks: ["impression", "click"].map(str::to_owned).to_vec(),
        n_fake_items,
        rel_pos_buckets: 6,
        time_buckets,
        layer_norm_eps: 1e-5,
        temperature: 0.05,
    }
}

fn signature(graph: &Graph) -> String {
    let show = |ids: &[onr_graphs::graph::ValueId]| {
        let one = |v: &Value| {
            let dims: Vec<_> = v.shape.iter().map(Dim::to_string).collect();
            format!("  {} {} [{}]", v.name, v.dtype, dims.join(", "))
        };
        ids.iter().map(|&i| one(graph.value(i))).collect::<Vec<_>>().join("\n")
    };
    format!("{}\n{}\n ->\n{}", graph.name, show(&graph.inputs), show(&graph.outputs))
}

#[test]
fn every_configuration_builds_every_graph() {
    for attention in [Attention::Hstu, Attention::Softmax] {
        for (fakes, buckets) in [(0, 0), (0, 5), (4, 0), (4, 5)] {
            let cfg = config(attention, fakes, buckets);
            for precision in [Precision::F32, Precision::F16, Precision::BF16] {
                for (filter, io_f32, ids) in [
                    (Filter::None, false, IdType::Int64),
                    (Filter::Global, true, IdType::Int32),
                    (Filter::User, false, IdType::Int64),
                ] {
                    let opts =
                        GraphOptions { precision, io_f32, ids, filter, ..GraphOptions::new(5) };
                    for kind in GraphKind::ALL {
                        let graph = build(&cfg, &opts, kind).unwrap();
                        assert_eq!(minimum_opset(&graph), Some(17), "{kind:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn narrow_ids_are_a_matter_of_inputs_and_outputs() {
    let cfg = config(Attention::Hstu, 4, 5);
    let narrow = GraphOptions { ids: IdType::Int32, ..GraphOptions::new(5) };
    for kind in GraphKind::ALL {
        let [wide, narrow] =
            [GraphOptions::new(5), narrow].map(|opts| build(&cfg, &opts, kind).unwrap());
        assert_eq!(signature(&wide).replace(" i64 ", " i32 "), signature(&narrow));
        let names = |graph: &Graph| -> Vec<String> {
            let names = graph.nodes.iter().map(|node| node.name.clone());
            names.filter(|name| !name.starts_with("ids/")).collect()
        };
        assert_eq!(names(&wide), names(&narrow), "other nodes keep their names");
    }
}

#[test]
fn graphs_together_read_the_whole_checkpoint_and_nothing_else() {
    for cfg in [config(Attention::Hstu, 4, 5), config(Attention::Softmax, 0, 0)] {
        let mut read: Vec<(String, Vec<usize>)> = Vec::new();
        for kind in GraphKind::ALL {
            let graph = build(&cfg, &GraphOptions::new(5), kind).unwrap();
            for (key, value) in graph.weights() {
                let shape = value.shape.iter().map(|d| d.fixed().unwrap()).collect();
                read.push((key.to_owned(), shape));
            }
        }
        let mut named: Vec<_> = checkpoint(&cfg).into_iter().map(|w| (w.key, w.shape)).collect();
        named.sort();
        read.sort();
        read.dedup();
        assert_eq!(read, named);
    }
}

#[test]
fn signatures_are_those_of_the_contract() {
    let cfg = config(Attention::Hstu, 4, 5);
    let opts = GraphOptions { precision: Precision::F16, ..GraphOptions::new(5) };
    let all = GraphKind::ALL.map(|kind| signature(&build(&cfg, &opts, kind).unwrap()));
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn without_time_bias_no_graph_asks_for_times() {
    let cfg = config(Attention::Softmax, 0, 0);
    for kind in GraphKind::ALL {
        let graph = build(&cfg, &GraphOptions::new(5), kind).unwrap();
        let names: Vec<_> = graph.inputs.iter().map(|&i| graph.value(i).name.as_str()).collect();
        assert!(!names.contains(&"timestamps") && !names.contains(&"request_time"), "{names:?}");
    }
}

#[test]
fn item_vectors_leave_every_table_out() {
    let cfg = config(Attention::Hstu, 4, 5);
    let opts = GraphOptions { item_input: ItemInput::Embeddings, ..GraphOptions::new(5) };
    for kind in [GraphKind::Encode, GraphKind::Append, GraphKind::Generate, GraphKind::Rank] {
        let graph = build(&cfg, &opts, kind).unwrap();
        let tables =
            graph.weights().filter(|(k, _)| k.ends_with("_embedding") && !k.starts_with("task"));
        assert_eq!(tables.count(), 0);
    }
    let refused = build(&cfg, &opts, GraphKind::OneRanker).unwrap_err();
    assert!(refused.to_string().contains("--item-input embeddings"), "{refused}");
}

#[test]
fn top_k_has_limits() {
    let cfg = config(Attention::Hstu, 4, 5);
    for (k, fine) in [(0, false), (1, true), (22, true), (23, false), (4000, false)] {
        let built = build(&cfg, &GraphOptions::new(k), GraphKind::OneRanker);
        assert_eq!(built.is_ok(), fine, "{k}");
    }
}

/// A calibration of FP32 graphs is read by these names.
#[test]
fn nodes_have_the_same_names_in_every_precision() {
    for attention in [Attention::Hstu, Attention::Softmax] {
        for filter in [Filter::None, Filter::User] {
            let cfg = config(attention, 4, 5);
            let wide = GraphOptions { filter, ..GraphOptions::new(5) };
            let narrow = GraphOptions { precision: Precision::F16, ..wide };
            for kind in GraphKind::ALL {
                let graphs = [wide, narrow].map(|opts| build(&cfg, &opts, kind).unwrap());
                let [wide, narrow] = graphs.each_ref().map(|graph| {
                    let nodes = graph.nodes.iter().filter(|node| node.op != "Cast");
                    nodes.map(|node| (node.name.as_str(), node.op)).collect::<Vec<_>>()
                });
                let added = |name: &str| name.contains(".before/") || name.starts_with("reorder/");
                let rest = narrow.into_iter().filter(|(name, _)| !added(name));
                assert_eq!(rest.collect::<Vec<_>>(), wide, "{kind:?}");
            }
        }
    }
}

#[test]
fn half_precision_keeps_norms_softmax_and_scores_in_f32() {
    let cfg = config(Attention::Softmax, 4, 5);
    let opts = GraphOptions { precision: Precision::F16, ..GraphOptions::new(5) };
    for kind in GraphKind::ALL {
        let graph = build(&cfg, &opts, kind).unwrap();
        for node in &graph.nodes {
            let dtype = graph.value(node.outputs[0]).dtype;
            let wide =
                ["LayerNormalization", "Softmax", "Sigmoid", "Sqrt", "Log", "TopK", "ReduceSum"];
            if wide.contains(&node.op) {
                assert_eq!(dtype.name(), "f32", "{}", node.name);
            }
            if node.op == "MatMul" || node.op == "Gemm" {
                let score = node.name == "rank/MatMul" || node.name == "rank/MatMul_1";
                assert_eq!(dtype.name(), if score { "f32" } else { "f16" }, "{}", node.name);
            }
        }
    }
}

#[test]
fn hstu_concatenates_nothing_and_softmax_only_scores() {
    for attention in [Attention::Hstu, Attention::Softmax] {
        let cfg = config(attention, 0, 5);
        let graph = build(&cfg, &GraphOptions::new(5), GraphKind::Rank).unwrap();
        let joins = |n: &&Node| n.op == "Concat" && graph.value(n.outputs[0]).dtype == DType::F32;
        let concats: Vec<_> = graph.nodes.iter().filter(joins).collect();
        match attention {
            Attention::Hstu => assert!(concats.is_empty()),
            Attention::Softmax => {
                for node in concats {
                    let last = graph.value(node.outputs[0]).shape[3].to_string();
                    assert_eq!(last, "kv+3");
                }
            }
        }
    }
}

#[test]
fn weights_are_never_copied_into_the_graph() {
    let graph = build(&config(Attention::Hstu, 4, 5), &GraphOptions::new(5), GraphKind::OneRanker);
    for value in &graph.unwrap().values {
        if let Role::Const(_) = value.role {
            let count: usize = value.shape.iter().filter_map(Dim::fixed).product();
            assert!(count <= 64, "{} has {count} elements", value.name);
        }
    }
}

#[test]
fn rank_reads_like_the_equations() {
    let cfg = ModelConfig { n_layers: 1, n_rank_layers: 1, ..config(Attention::Hstu, 0, 3) };
    insta::assert_snapshot!(dump(&build(&cfg, &GraphOptions::new(5), GraphKind::Rank).unwrap()));
}
