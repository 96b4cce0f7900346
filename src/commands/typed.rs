//! What 16-bit graphs are judged to be: values that fit, nodes that stay in FP32.

use std::collections::BTreeMap;

use onr_exporter::{
    ExportJob, Exported,
    typed::{Misfit, Rule, TypedReport, Wide, judge_graphs},
};
use serde::Serialize;

use crate::{
    exit::Refusal,
    settings::{ExportSettings, expect_checkpoint},
    show::{Table, figure},
};

/// Values that are named where there are many.
const NAMED: usize = 3;

/// A judgement of all graphs of an export.
#[derive(Serialize)]
pub(crate) struct Typed {
    /// Nodes left in FP32.
    wide: Vec<WideNode>,
    #[serde(flatten)]
    judged: Option<Judged>,
}

/// What a calibration said.
#[derive(Serialize)]
struct Judged {
    /// 16-bit values whose numbers are known.
    judged: usize,
    /// 16-bit values of which nothing was measured.
    unmeasured: Vec<Value>,
    /// Values with many numbers that are too small.
    underflow: Vec<Small>,
}

#[derive(Serialize)]
struct WideNode {
    graph: String,
    #[serde(flatten)]
    wide: Wide,
}

#[derive(Serialize)]
struct Value {
    graph: String,
    value: String,
}

#[derive(Serialize)]
struct Small {
    graph: String,
    value: String,
    /// Of its numbers.
    share: f64,
}

impl Typed {
    /// Judges what was exported, if it is in FP16 or BF16.
    ///
    /// # Errors
    /// A calibration of another checkpoint, and values that do not fit.
    pub(super) fn judge(
        settings: &ExportSettings,
        job: &ExportJob<'_>,
        exported: &Exported,
    ) -> anyhow::Result<Option<Self>> {
        let Some(typed) = &settings.typed else { return Ok(None) };
        let calibration = typed.calibration.as_deref();
        if let Some(calibration) = calibration {
            expect_checkpoint(calibration, &exported.checkpoint)?;
        }
        let reports = judge_graphs(job, calibration)?;
        refuse_overflow(&reports)?;
        let judged = calibration.is_some().then(|| Judged::of(&reports));
        let wide = reports.into_iter().flat_map(|(graph, report)| {
            report.wide.into_iter().map(move |wide| WideNode { graph: graph.clone(), wide })
        });
        Ok(Some(Self { wide: wide.collect(), judged }))
    }

    /// Rules, and what was measured.
    pub(super) fn text(&self) -> String {
        let table = self.table();
        let Some(judged) = &self.judged else { return table };
        let fit = format!("{} 16-bit values judged by what was measured", judged.judged);
        match judged.unmeasured.len() {
            0 => format!("{fit}\n{table}"),
            n => format!("{fit}, {n} were not measured\n{table}"),
        }
    }

    /// One line a rule.
    fn table(&self) -> String {
        let mut rules: BTreeMap<Rule, Vec<&WideNode>> = BTreeMap::new();
        for node in &self.wide {
            rules.entry(node.wide.rule).or_default().push(node);
        }
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
        let measured = self.judged.is_some();
        let mut table = match measured {
            true => Table::new(&["left in fp32 by", "nodes", "largest", "of value"]),
            false => Table::new(&["left in fp32 by", "nodes"]),
        };
        for (rule, nodes) in rules {
            let mut row = vec![rule.to_string(), nodes.len().to_string()];
            if measured {
                row.extend(largest(&nodes));
            }
            table.row(row);
        }
        table.text()
    }

    /// What people should know of 16-bit values.
    pub(super) fn warnings(&self) -> Vec<String> {
        let Some(judged) = &self.judged else { return Vec::new() };
        let small = judged.underflow.iter().map(|Small { graph, value, share }| {
            format!(
                "{graph}: {:.1} % of `{value}` are too small for fp16 (below 6.1e-5, or 0 there)",
                100.0 * share
            )
        });
        let unmeasured = match judged.unmeasured.as_slice() {
            [] => None,
            all => {
                let names: Vec<_> =
                    all.iter().take(NAMED).map(|v| format!("`{}`", v.value)).collect();
                let more = if all.len() > NAMED { ", .." } else { "" };
                let names = names.join(", ");
                Some(format!("16-bit values that were not measured: {} ({names}{more})", all.len()))
            }
        };
        small.chain(unmeasured).collect()
    }
}

impl Judged {
    fn of(reports: &[(String, TypedReport)]) -> Self {
        let mut all = Self { judged: 0, unmeasured: Vec::new(), underflow: Vec::new() };
        for (graph, report) in reports {
            all.judged += report.judged;
            let value = |value: &String| Value { graph: graph.clone(), value: value.clone() };
            all.unmeasured.extend(report.unmeasured.iter().map(value));
            let small = |misfit: &Misfit| Small {
                graph: graph.clone(),
                value: misfit.value.clone(),
                share: misfit.number,
            };
            all.underflow.extend(report.underflow.iter().map(small));
        }
        all
    }
}

/// The largest magnitude that nodes touch, and the value that has it.
fn largest(nodes: &[&WideNode]) -> [String; 2] {
    let measured = nodes.iter().filter_map(|node| Some((node.wide.max_abs?, &node.wide.tensor)));
    match measured.reduce(|a, b| if b.0 > a.0 { b } else { a }) {
        Some((number, tensor)) => [figure(number.into()), tensor.clone().unwrap_or_default()],
        None => [String::new(), String::new()],
    }
}

/// Refuses values that FP16 can't hold.
fn refuse_overflow(reports: &[(String, TypedReport)]) -> Result<(), Refusal> {
    let beyond: Vec<_> = reports
        .iter()
        .flat_map(|(graph, report)| report.overflow.iter().map(move |misfit| (graph, misfit)))
        .collect();
    let [(graph, Misfit { value, number, .. }), ..] = beyond.as_slice() else { return Ok(()) };
    let others = match beyond.len() - 1 {
        0 => String::new(),
        n => format!(", and so do {n} others"),
    };
    let what = format!(
        "graph {graph}: `{value}` reaches {number:.4e}, too much for fp16, which ends at 65504 and \
         is given half of that for measured values{others}"
    );
    Err(Refusal::wrong(what)
        .hint("--precision bf16 reaches as far as fp32; or keep --precision fp32"))
}
