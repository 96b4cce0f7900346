//! Tables in codes: every code against an obvious implementation, and what is refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, path::Path};

use half::f16;
use onr_calibration::fp8;
use onr_onnx::{
    ElemType, Model, edit,
    proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto},
    tensor,
};
use onr_precision::{
    Plan,
    qdq::QdqError,
    tables::{QuantizedTable, Rows, TableFormat, quantize_rows, quantize_tables},
};

/// Numbers between -1 and 1 from a linear congruence, and from them rows whose magnitudes follow a power law.
fn table(rows: usize, columns: usize) -> Vec<f32> {
    let mut state = 7_u64;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 24) as f32
    };
    // A sum of uniforms is nearly normal.
    let mut normal = || (0..6).map(|_| uniform()).sum::<f32>() - 3.0;
    let row = |at: usize| (at + 1) as f32;
    (0..rows * columns).map(|i| normal() * row(i / columns).powf(-0.7)).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn quantized(values: &[f32], columns: usize, format: TableFormat) -> Rows {
    quantize_rows("t", ElemType::Float, &bytes(values), columns, format).unwrap()
}

/// The codes of a row of the result, one a byte.
fn codes(made: &Rows, row: usize, columns: usize, format: TableFormat) -> Vec<u8> {
    let stride = made.codes.len() / made.scales.len();
    let row = &made.codes[row * stride..(row + 1) * stride];
    match format {
        TableFormat::Int4 => row.iter().flat_map(|b| [b & 15, b >> 4]).take(columns).collect(),
        TableFormat::Int8 | TableFormat::Fp8 => row[..columns].to_vec(),
    }
}

#[test]
fn eight_bit_codes_are_the_nearest_at_a_scale_from_the_largest_magnitude() {
    let columns = 13;
    let values = table(2500, columns);
    for (format, top) in [(TableFormat::Int8, 127.0), (TableFormat::Fp8, 448.0)] {
        let made = quantized(&values, columns, format);
        assert_eq!(made.codes.len(), 2500 * 16, "{format}: rows of whole words");
        for (at, row) in values.chunks(columns).enumerate() {
            let most = row.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            assert_eq!(made.scales[at], most / top, "{format}, row {at}");
            let nearest = |x: &f32| match format {
                TableFormat::Int8 => ((x / made.scales[at]).round_ties_even() as i8) as u8,
                _ => fp8::encode(x / made.scales[at]),
            };
            let want: Vec<u8> = row.iter().map(nearest).collect();
            assert_eq!(codes(&made, at, columns, format), want, "{format}, row {at}");
            assert_eq!(&made.codes[at * 16 + 13..(at + 1) * 16], [0; 3], "padding");
        }
    }
}

#[test]
fn four_bit_rows_are_no_worse_than_at_either_plain_scale() {
    let columns = 11;
    let values = table(1500, columns);
    let made = quantized(&values, columns, TableFormat::Int4);
    assert_eq!(made.codes.len(), 1500 * 8);
    for (at, row) in values.chunks(columns).enumerate() {
        let error = |scale: f32| -> f32 {
            let near = |x: f32| (x / scale).round_ties_even().clamp(-8.0, 7.0) * scale;
            row.iter().map(|x| (near(*x) - x).powi(2)).sum()
        };
        let (low, high) = row.iter().fold((0.0_f32, 0.0_f32), |(l, h), x| (l.min(*x), h.max(*x)));
        let plain = error(high.max(-low) / 7.0).min(error((high / 7.0).max(-low / 8.0)));
        assert!(error(made.scales[at]) <= plain * 1.000_001, "row {at}");
        let want = row
            .iter()
            .map(|x| ((x / made.scales[at]).round_ties_even().clamp(-8.0, 7.0) as i8 as u8) & 15);
        let found = codes(&made, at, columns, TableFormat::Int4);
        assert_eq!(found, want.collect::<Vec<_>>(), "row {at}");
    }
}

#[test]
fn errors_of_a_power_law_table_are_those_of_the_format() {
    let values = table(5000, 64);
    for (format, least, most) in [
        (TableFormat::Int8, 0.004, 0.007),
        (TableFormat::Fp8, 0.02, 0.028),
        (TableFormat::Int4, 0.06, 0.11),
    ] {
        let error = quantized(&values, 64, format).median_error();
        assert!((least..most).contains(&error), "{format}: {error}");
    }
}

#[test]
fn rows_of_zeros_and_tables_in_16_bits() {
    let wide = [0.0, 0.0, 0.0, 1.5, -3.0, 0.25];
    let narrow: Vec<u8> = wide.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
    for format in TableFormat::ALL {
        let made = quantized(&wide, 3, format);
        let half = quantize_rows("t", ElemType::Float16, &narrow, 3, format).unwrap();
        assert_eq!(made, half, "{format}");
        assert!(made.scales[0] > 0.0 && made.errors[0] == 0.0, "{format}");
        assert_eq!(codes(&made, 0, 3, format), [0; 3], "{format}");
    }
}

#[test]
fn the_first_number_that_is_not_finite_is_named() {
    let mut values = table(3000, 4);
    values[11_000] = f32::INFINITY;
    values[9_000] = f32::NAN;
    let refused = quantize_rows("t", ElemType::Float, &bytes(&values), 4, TableFormat::Int8);
    assert!(matches!(refused, Err(QdqError::NotFinite { index: 9_000, .. })), "{refused:?}");
}

/// A model that reads a table of 20 rows with `readers`.
fn model(readers: Vec<NodeProto>) -> Model {
    let value = |name: &str| ValueInfoProto { name: Some(name.into()), ..Default::default() };
    let graph = GraphProto {
        name: Some("net".into()),
        initializer: vec![tensor("t", ElemType::Float, &[20, 6], bytes(&table(20, 6)))],
        input: vec![value("ids"), value("x")],
        output: readers.iter().map(|n| value(&n.output[0])).collect(),
        node: readers,
        ..GraphProto::default()
    };
    let proto = ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        graph: Some(graph),
        ..ModelProto::default()
    };
    Model::from_proto(Path::new("test.onnx"), proto).unwrap()
}

fn rewritten(
    readers: Vec<NodeProto>,
    format: TableFormat,
) -> Result<(Model, Vec<QuantizedTable>), QdqError> {
    let mut model = model(readers);
    let tables = BTreeMap::from([("t".to_owned(), format), ("elsewhere".to_owned(), format)]);
    let report = quantize_tables(&mut model, &tables)?;
    Ok((model, report))
}

fn gemm() -> NodeProto {
    let mut gemm = edit::node("Gemm", "p", &["x", "t"], &["p"]);
    gemm.attribute.push(edit::int("transB", 1));
    gemm
}

#[test]
fn lookups_and_products_read_the_same_bytes() {
    for format in TableFormat::ALL {
        let lookup = edit::node("Gather", "y", &["t", "ids"], &["y"]);
        let (model, report) = rewritten(vec![lookup.clone(), gemm()], format).unwrap();
        assert_eq!((report[0].shape, report.len()), ((20, 6), 1));
        let stored =
            |model: &Model, name: &str| model.initializer(name).map(|t| model.bytes(t).unwrap());
        let codes = stored(&model, "t/rows.codes");
        assert!(codes.is_some() && stored(&model, "t/rows.words").is_none(), "{format}");
        assert_eq!(stored(&model, "t"), None, "{format}");
        assert_eq!(model.opset(), format.opset().max(17));
        // Without the product no element type is needed that old opsets lack.
        let (model, _) = rewritten(vec![lookup], format).unwrap();
        assert_eq!(stored(&model, "t/rows.words"), codes, "{format}");
        assert_eq!((model.opset(), model.initializer("t/rows.codes")), (17, None));
    }
}

#[test]
fn a_table_that_something_else_reads_is_refused() {
    let product = edit::node("MatMul", "p", &["x", "t"], &["p"]);
    let refused = rewritten(vec![product], TableFormat::Int8).unwrap_err();
    assert_eq!(refused.to_string(), "table `t` is read by MatMul `p`");
    let mut columns = edit::node("Gather", "y", &["t", "ids"], &["y"]);
    columns.attribute.push(edit::int("axis", 1));
    assert!(rewritten(vec![columns], TableFormat::Int4).is_err());
    assert!(
        rewritten(vec![edit::node("Gather", "y", &["x", "t"], &["y"])], TableFormat::Fp8).is_err()
    );
}

#[test]
fn plans_without_products_and_plans_of_old_are_read() {
    let text = r#"{"format": "int8", "products": {"a": 1.0}}"#;
    let old: Plan = serde_json::from_str(text).unwrap();
    assert!(old.tables.is_empty() && old.format.is_some());
    let tables: Plan = serde_json::from_str(r#"{"tables": {"t": "int4"}}"#).unwrap();
    assert_eq!(tables.tables["t"], TableFormat::Int4);
    let mut model = model(vec![edit::node("Gather", "y", &["t", "ids"], &["y"])]);
    let applied = tables.apply(&mut model).unwrap();
    assert_eq!((applied.counts(), applied.tables.len()), ((0, 0), 1));
    let lacking: Plan = serde_json::from_str(r#"{"products": {"a": 1.0}}"#).unwrap();
    assert!(lacking.apply(&mut model).is_err());
}
