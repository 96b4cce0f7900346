//! The drawing of errors by output: where an error begins, and how it grows from layer to layer.

use super::{
    super::parts,
    lines::{Line, layer, lines},
};
use crate::{
    data::{Outcome, OutputFigures, OutputLimit, ParityRun},
    element::Element,
    number::significant,
    svg::{ErrorPoint, ErrorRow, Errors},
};

pub(super) fn panel(run: &ParityRun, prefix: &str) -> Option<Element> {
    let graphs: Vec<(String, Vec<ErrorRow>)> = lines(&run.outputs)
        .into_iter()
        .map(|(graph, lines)| {
            (parts::or_none(graph).to_owned(), lines.iter().map(|line| row(run, line)).collect())
        })
        .collect();
    let title = "Error by output";
    let drawing = Errors {
        id: &format!("{prefix}outputs"),
        title: "Error by output, in the order of the graphs",
        description: &description(&run.outputs),
        name: "rms error / rms of the reference",
        groups: &graphs,
    };
    (!graphs.is_empty()).then(|| parts::panel(title, drawing.draw(), &caption(run)))
}

/// Does the check of this output hold?
pub(super) fn broken(run: &ParityRun, output: &OutputFigures) -> bool {
    let name = format!("{}.{}", output.graph, output.output);
    let mut checks = run.checks.iter().filter(|check| check.name == name);
    checks.any(|check| matches!(check.outcome, Outcome::Failed { .. } | Outcome::Excused { .. }))
}

fn row(run: &ParityRun, line: &Line<'_>) -> ErrorRow {
    let mut outputs = line.outputs.clone();
    outputs.sort_by(|a, b| a.output.cmp(&b.output));
    ErrorRow {
        label: line.name.clone(),
        series: line.layer.is_some(),
        points: outputs.iter().map(|output| point(run, output)).collect(),
    }
}

fn point(run: &ParityRun, output: &OutputFigures) -> ErrorPoint {
    let value = output.relative(output.rms_error).unwrap_or(f64::NAN);
    let limit = output.limit.and_then(|limit| output.relative(limit.value()));
    let largest = matches!(output.limit, Some(OutputLimit::Largest(_)));
    let far = output.relative(output.max_abs).filter(|_| largest);
    let mut said = format!("{}.{}: {}", output.graph, output.output, significant(value, 2));
    if let Some(far) = far {
        said += &format!(", largest {}", significant(far, 2));
    }
    if let Some(limit) = limit {
        said += &format!(", limit {}", significant(limit, 2));
    }
    let tone = match layer(&output.output) {
        Some((_, _, "key")) | None => "a",
        Some((_, _, "value")) => "s",
        Some(_) => "old",
    };
    ErrorPoint { value, far, limit, tone, broken: broken(run, output), said }
}

fn description(outputs: &[OutputFigures]) -> String {
    let each = outputs.iter().filter_map(|o| Some((o.relative(o.rms_error)?, o)));
    match each.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((error, o)) => {
            format!("The largest is {} of {}.{}.", significant(error, 2), o.graph, o.output)
        }
        None => "No output has an error that is a number.".into(),
    }
}

/// What the marks mean, as far as there are such.
fn caption(run: &ParityRun) -> String {
    let outputs = &run.outputs;
    let mut words = description(outputs);
    let has = |kind: &str| outputs.iter().any(|o| layer(&o.output).is_some_and(|l| l.2 == kind));
    if has("key") || has("value") {
        words += " Of a layer, blue is the key and purple the value.";
    }
    let limits = |largest: bool| {
        outputs.iter().any(|o| match o.limit {
            Some(OutputLimit::Largest(_)) => largest,
            Some(OutputLimit::Rms(_)) => !largest,
            None => false,
        })
    };
    words += match (limits(true), limits(false)) {
        (true, false) => {
            " Lines reach to the largest difference of an element, which must not pass the orange limit."
        }
        (false, true) => " Dots must not pass the orange limit.",
        (true, true) => {
            " Dots must not pass the orange limit, nor must lines, which reach to the largest difference of an \
             element."
        }
        (false, false) => "",
    };
    if outputs.iter().any(|o| broken(run, o)) {
        words += " Red ones with a ✗ are out of tolerance.";
    }
    let lost = outputs.iter().filter(|o| o.relative(o.rms_error).is_none()).count();
    if lost > 0 {
        let many = parts::many(lost as u64, "output");
        words += &format!(" {many} without an error that is a number: not drawn.");
    }
    words
}
