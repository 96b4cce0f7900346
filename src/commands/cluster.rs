//! `onr cluster`: other fake items for a checkpoint.

use std::path::PathBuf;

use onr_exporter::{Checkpoint, artifact, read_model, write_model};
use onr_graphs::ModelConfig;
use onr_training::{Reclustered, kmeans::KMeansOptions, recluster};
use serde::Serialize;

use crate::{
    args::ClusterArgs,
    exit::Refusal,
    settings::make_parent,
    show::{Detail, Report, bytes},
};

#[derive(Serialize)]
pub(crate) struct Clustered {
    out: PathBuf,
    /// Where the model has another number of fake items than before.
    model: Option<PathBuf>,
    seed: u64,
    #[serde(flatten)]
    clusters: Reclustered,
}

pub(crate) fn run(args: &ClusterArgs) -> anyhow::Result<Clustered> {
    let given = read_model(&args.model.model)?;
    let n_fake_items = args.n_fake_items.unwrap_or(given.n_fake_items);
    let most = given.n_items - 1;
    if !(1..=most).contains(&n_fake_items) {
        let what = match args.n_fake_items {
            Some(n) => format!("--n-fake-items {n} is outside 1..={most}"),
            None => format!("{} has no fake items", args.model.model.display()),
        };
        return Err(Refusal::usage(what)
            .hint("a fake item stands for one item at least; padding is none")
            .into());
    }
    let model = ModelConfig { n_fake_items, ..given.clone() };
    let checkpoint = Checkpoint::open(&args.model.weights)?;
    let _made = make_parent(&args.out)?;
    let options = KMeansOptions { seed: args.seed, ..KMeansOptions::default() };
    let clusters = recluster(&checkpoint, &model, &options, &args.out)?;
    let new = (model != given).then(|| args.out.with_extension("model.toml"));
    if let Some(file) = &new {
        artifact::write(file, write_model(&model).as_bytes())?;
    }
    Ok(Clustered { out: args.out.clone(), model: new, seed: args.seed, clusters })
}

impl Report for Clustered {
    fn human(&self, _: Detail) -> String {
        let c = &self.clusters;
        let size = |pick: Option<&u32>| pick.copied().unwrap_or(0);
        let before = c
            .inertia_before
            .map_or_else(String::new, |x| format!(" ({x:.4} before, of {})", c.before));
        let model = self.model.as_ref().map_or_else(String::new, |file| {
            format!("\n{}: the model with {} fake items", file.display(), c.sizes.len())
        });
        format!(
            "{}: {}, {} fake items of {} to {} items, seed {}\nsum of squared distances {:.4}{before}{model}",
            self.out.display(),
            bytes(c.file.size),
            c.sizes.len(),
            size(c.sizes.iter().min()),
            size(c.sizes.iter().max()),
            self.seed,
            c.inertia
        )
    }
}
