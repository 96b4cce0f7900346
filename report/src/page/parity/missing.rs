//! Backends that were wanted and are not here.

use super::{
    super::{
        Section,
        parts::or_none,
        table::{code, narrow, row},
    },
    marks::badge,
};
use crate::{
    data::MissingBackend,
    element::{el, text},
};

pub(super) fn section(missing: &[MissingBackend]) -> Option<Section> {
    let rows = missing.iter().map(|m| {
        let (class, word) = if m.required { ("bad", "✗ FAILS") } else { ("plain", "skipped") };
        row(
            code(or_none(&m.backend)),
            [
                text("td", or_none(&m.reason)),
                text("td", or_none(&m.hint)),
                el("td").child(badge(class, word)),
            ],
        )
    });
    let heads = [("Backend", ""), ("What is missing", ""), ("What helps", ""), ("Verdict", "")];
    let caption = "Nothing ran on these. One that had to be here makes everything fail.";
    let table = narrow(caption, &heads, vec![el("tbody").children(rows)]);
    (!missing.is_empty()).then(|| Section::new("missing", "Not here", table))
}
