//! `cast IN.onnx OUT.onnx fp16|bf16 [MEASURED.tsv] [narrow-io]`: casts a model and says what stayed in F32.
//!
//! A line of the table: value, largest magnitude, elements, subnormal, flushed, separated by tabs.

use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    path::Path,
};

use onr_onnx::{ElemType, Model};
use onr_precision::{
    Measured, Measurements,
    cast::{CastJob, IoTypes, cast},
};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, precision, rest @ ..] = args.as_slice() else {
        return Err("usage: cast IN.onnx OUT.onnx fp16|bf16 [MEASURED.tsv] [narrow-io]".into());
    };
    let elem = match precision.as_str() {
        "fp16" => ElemType::Float16,
        "bf16" => ElemType::Bfloat16,
        other => return Err(format!("no precision `{other}`").into()),
    };
    let io = match rest.iter().any(|word| word == "narrow-io") {
        true => IoTypes::Narrow,
        false => IoTypes::Keep,
    };
    let table = rest.iter().find(|word| *word != "narrow-io");
    let measured = table.map(fs::read_to_string).transpose()?;
    let measured = measured.as_deref().map(parse).transpose()?;
    let mut model = Model::open(Path::new(from))?;
    let job = CastJob { to: elem, measured: measured.as_ref(), io, keep: &|_| false };
    let report = cast(&mut model, &job)?;
    model.inline()?;
    fs::write(to, model.encode())?;
    let mut out = io::stdout().lock();
    for pinned in &report.pinned {
        writeln!(out, "{pinned}")?;
    }
    let (before, after) = (report.bytes_before, report.bytes_after);
    writeln!(
        out,
        "{} narrow, {} F32, {before} -> {after} bytes",
        report.narrowed,
        report.pinned.len()
    )?;
    Ok(())
}

fn parse(table: &str) -> Result<Measurements, Box<dyn Error>> {
    let mut all = Measurements::new();
    for line in table.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, max_abs, count, subnormal, flushed] = fields[..] else {
            return Err(format!("not five fields: {line}").into());
        };
        let (count, subnormal, flushed) = (count.parse()?, subnormal.parse()?, flushed.parse()?);
        all.insert(
            name.to_owned(),
            Measured { max_abs: max_abs.parse()?, count, subnormal, flushed },
        );
    }
    Ok(all)
}
