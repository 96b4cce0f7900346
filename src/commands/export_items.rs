//! `onr export-items`: item vectors for an index outside the graphs.

use std::path::{Path, PathBuf};

use onr_exporter::{Checkpoint, OutDir, read_model};
use onr_graphs::{DType, ItemInput, ModelConfig, Precision};
use onr_requests::Vocab;
use onr_runtime::{
    items::{
        EXTERNAL_FILE, ItemsJob, ItemsRecord, RECORD_FILE, VECTORS_FILE, earlier, write_items,
    },
    manifest::Manifest,
};
use serde::Serialize;

use super::parity::{manifest_config, manifest_options};
use crate::{
    args::{ExportItemsArgs, ItemTypeArg},
    context::Context,
    exit::Refusal,
    settings::recorded_checkpoint,
    show::{Detail, Report, Table, bytes},
};

#[derive(Serialize)]
pub(crate) struct ItemsDone {
    out: PathBuf,
    #[serde(flatten)]
    record: ItemsRecord,
    /// Format of the graphs' table, if that is in codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<String>,
}

/// Where the items come from.
struct Source {
    config: ModelConfig,
    weights: PathBuf,
    /// What the graphs hold the table in.
    values: Precision,
    tables: Option<String>,
    /// SHA-256 of the checkpoint that was exported.
    sha256: Option<String>,
    /// Where the vocabulary is, if none was typed.
    vocab: PathBuf,
}

pub(crate) fn run(args: &ExportItemsArgs, context: &Context) -> anyhow::Result<ItemsDone> {
    let source = match (&args.dir, &args.model, &args.weights) {
        (Some(dir), ..) => of_directory(dir, args.weights.as_deref())?,
        (None, Some(model), Some(weights)) => of_checkpoint(model, weights)?,
        _ => {
            return Err(Refusal::usage("there is nothing to take items from")
                .hint("name a directory of `onr export`, or --model and --weights")
                .into());
        }
    };
    let beside = || Some(source.vocab.clone()).filter(|file| file.is_file());
    let vocab = args.vocab.clone().or_else(beside).map(|file| Vocab::read(&file)).transpose()?;
    if let Some(vocab) = &vocab {
        vocab.fits(source.config.n_items)?;
    }
    let dtype = match (args.dtype, source.values) {
        (Some(ItemTypeArg::F16), _) | (None, Precision::F16) => DType::F16,
        _ => DType::F32,
    };
    let checkpoint = Checkpoint::open(&source.weights)?;
    let job = ItemsJob {
        config: &source.config,
        checkpoint: &checkpoint,
        values: source.values,
        dtype,
        vocab: vocab.as_ref(),
    };
    let out = OutDir::open(&args.out)?;
    let stale = earlier(out.dir())?;
    let record = write_items(&job, out.staging(), context.progress())?;
    expect(&source, &record)?;
    out.publish(RECORD_FILE, |name| stale.iter().any(|s| s == name))?;
    Ok(ItemsDone { out: args.out.clone(), record, tables: source.tables })
}

fn of_checkpoint(model: &Path, weights: &Path) -> anyhow::Result<Source> {
    Ok(Source {
        config: read_model(model)?,
        weights: weights.to_owned(),
        values: Precision::F32,
        tables: None,
        sha256: None,
        vocab: weights.with_file_name("vocab.json"),
    })
}

fn of_directory(dir: &Path, weights: Option<&Path>) -> anyhow::Result<Source> {
    let manifest = Manifest::read_sealed(dir)?;
    let config = manifest_config(&manifest, dir)?;
    let options = manifest_options(&manifest, dir)?;
    if options.item_input == ItemInput::Embeddings {
        let what = format!("the graphs of {} get item vectors from their caller", dir.display());
        return Err(Refusal::usage(what).hint("index the vectors that the caller makes").into());
    }
    let recorded = manifest.checkpoint.as_ref();
    let found = weights
        .map(Path::to_owned)
        .or_else(|| recorded.and_then(|c| recorded_checkpoint(&c.path, dir)));
    let weights = found.ok_or_else(|| {
        let name = recorded.map_or_else(String::new, |c| format!(", {},", c.path.display()));
        Refusal::usage(format!("the checkpoint of {}{name} is not there", dir.display()))
            .hint("give it with --weights")
    })?;
    Ok(Source {
        config,
        weights,
        values: options.precision,
        tables: manifest.quantized.as_ref().and_then(|q| q.tables.clone()),
        sha256: recorded.map(|c| c.sha256.clone()),
        vocab: dir.join("vocab.json"),
    })
}

/// Refuses items of another checkpoint than that of the graphs.
fn expect(source: &Source, record: &ItemsRecord) -> Result<(), Refusal> {
    let found = &record.checkpoint.sha256;
    let Some(recorded) = source.sha256.as_ref().filter(|recorded| *recorded != found) else {
        return Ok(());
    };
    let what = format!(
        "{} is not the checkpoint that was exported (SHA-256 {found:.12}.., not {recorded:.12}..)",
        source.weights.display()
    );
    Err(Refusal::wrong(what).hint("export again, or give the checkpoint of then with --weights"))
}

impl Report for ItemsDone {
    fn human(&self, _: Detail) -> String {
        let r = &self.record;
        let untrained = if r.checkpoint.untrained { ", untrained weights" } else { "" };
        let mut table = Table::new(&["file", "shape", "type", "size"]);
        for (name, file) in &r.files {
            let (shape, dtype) = match name.as_str() {
                VECTORS_FILE => (format!("[{}, {}]", r.items, r.dim), r.dtype.as_str()),
                EXTERNAL_FILE => (format!("[{}]", r.items), "text"),
                _ => (format!("[{}]", r.items), "i64"),
            };
            table.row([name.clone(), shape, dtype.into(), bytes(file.size)]);
        }
        format!(
            "{} (checkpoint {:.12}{untrained})\n{}\ncompared by {}, with user_embeddings of `generate`",
            self.out.display(),
            r.checkpoint.sha256,
            table.text(),
            r.metric
        )
    }

    fn warnings(&self) -> Vec<String> {
        let rows = self.record.rows_without_id;
        let spare = (rows > 0)
            .then(|| format!("rows of item_embedding beyond the external ids, left out: {rows}"));
        let coded = self.tables.as_ref().map(|format| {
            format!(
                "the graphs hold the table in {format} codes, items.npy has the values before: near \
                 ties may come in another order"
            )
        });
        spare.into_iter().chain(coded).collect()
    }
}
