//! `onr plan-profiles`: buckets and profiles from the sizes of real requests.

use std::{collections::BTreeMap, path::PathBuf};

use onr_exporter::{artifact, read_model};
use onr_graphs::{Axis, ModelConfig, Profile, Range};
use onr_planner::{AxisPlan, Bucket, Limits, PlanError, Span, Waste, forecast, plan};
use onr_requests::{CheckOptions, CheckedRequests};
use onr_runtime::profiles;
use serde::Serialize;

use crate::{
    args::PlanProfilesArgs,
    exit::Refusal,
    settings::{limits, make_parent, noticed},
    show::{Detail, Report, Table},
};

#[derive(Serialize)]
pub(crate) struct ProfilesPlanned {
    requests: usize,
    axes: BTreeMap<&'static str, AxisText>,
    /// By graph.
    padding: Vec<Padding>,
    out: Option<PathBuf>,
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct AxisText {
    buckets: Vec<BucketText>,
    profiles: Vec<String>,
}

#[derive(Serialize)]
struct BucketText {
    size: usize,
    requests: u64,
    profile: String,
}

/// Share of the computed positions that is padding, 0 to 1.
#[derive(Serialize)]
struct Padding {
    graph: &'static str,
    /// What the positions of the graph are: `T`, `C`, `S x C`.
    positions: &'static str,
    planned: f64,
    /// With every request padded to the largest size.
    single: f64,
}

impl Padding {
    fn of(graph: &'static str, positions: &'static str, waste: Waste) -> Self {
        Self { graph, positions, planned: waste.planned_share(), single: waste.single_share() }
    }
}

pub(crate) fn run(args: &PlanProfilesArgs) -> anyhow::Result<ProfilesPlanned> {
    let config = read_model(&args.model)?;
    let Sample { sizes, mut warnings } = Sample::read(args, &config)?;
    let lengths = lengths(args, &config, &sizes)?;
    let mut padding =
        vec![Padding::of("encode", "T", forecast(sizes.iter().map(|s| [s[0]]), [&lengths]))];
    let mut plans = BTreeMap::from([("seq", lengths.clone())]);
    if sizes.iter().any(|[_, candidates]| *candidates > 0) {
        let candidates = candidates(args, &config, &sizes)?;
        let waste = forecast(sizes.iter().map(|s| [s[1]]), [&candidates]);
        padding.push(Padding::of("candidates", "C", waste));
        let waste = forecast(sizes.iter().copied(), [&lengths, &candidates]);
        padding.push(Padding::of("rank", "S x C", waste));
        plans.insert("candidates", candidates);
    } else {
        warnings.push("no request has candidates: they keep one profile".into());
    }
    if let Some(out) = &args.out {
        let axis = |(symbol, plan): (&&str, &AxisPlan)| {
            Ok(((*symbol).to_owned(), axis(symbol, plan, &config)?))
        };
        let axes = plans.iter().map(axis).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        let _made = make_parent(out)?;
        artifact::write(out, profiles::text(&axes).as_bytes())?;
    }
    let axes = plans.iter().map(|(symbol, plan)| (*symbol, AxisText::of(plan))).collect();
    Ok(ProfilesPlanned { requests: sizes.len(), axes, padding, out: args.out.clone(), warnings })
}

/// Behaviours and candidates of every request.
struct Sample {
    sizes: Vec<[usize; 2]>,
    warnings: Vec<String>,
}

impl Sample {
    /// Reads all requests; only their sizes stay in memory. The order of times does not matter here.
    fn read(args: &PlanProfilesArgs, config: &ModelConfig) -> anyhow::Result<Self> {
        let options = CheckOptions { strict: false, sort: true };
        let mut checked = CheckedRequests::open(&args.requests, limits(config), options)?;
        let size = |request: Result<onr_requests::Request, _>| {
            request.map(|r| [r.items.len(), r.candidates.len()])
        };
        let sizes = checked.by_ref().map(size).collect::<Result<Vec<_>, _>>()?;
        if sizes.is_empty() {
            let what = format!("{} has no requests", args.requests.display());
            return Err(Refusal::wrong(what).hint("was the file copied completely?").into());
        }
        Ok(Self { sizes, warnings: noticed(&checked.report()) })
    }
}

fn most(args: &PlanProfilesArgs, largest: usize) -> Limits {
    Limits {
        buckets: args.buckets as usize,
        profiles: args.profiles as usize,
        multiple: args.multiple as usize,
        largest,
    }
}

fn lengths(
    args: &PlanProfilesArgs,
    config: &ModelConfig,
    sizes: &[[usize; 2]],
) -> anyhow::Result<AxisPlan> {
    let histogram = sizes.iter().map(|[length, _]| *length).collect();
    // Histories were cut to it.
    Ok(plan(&histogram, most(args, config.max_seq_len))?)
}

fn candidates(
    args: &PlanProfilesArgs,
    config: &ModelConfig,
    sizes: &[[usize; 2]],
) -> anyhow::Result<AxisPlan> {
    let usual = Profile::for_model(config.max_seq_len).get("candidates").map_or(1, |r| r.max);
    let largest = args.max_candidates.map_or(usual, |most| most as usize);
    let histogram = sizes.iter().map(|[_, candidates]| *candidates).collect();
    plan(&histogram, most(args, largest)).map_err(|error| match error {
        PlanError::Beyond { size, largest } => {
            let what =
                format!("a request has {size} candidates, more than --max-candidates {largest}");
            Refusal::wrong(what)
                .hint(format!("--max-candidates {size} takes all of this file"))
                .into()
        }
        other => other.into(),
    })
}

/// A plan as profiles are read again: what is written must be valid.
fn axis(symbol: &str, plan: &AxisPlan, config: &ModelConfig) -> anyhow::Result<Axis> {
    let range = |span: &Span| Range { min: span.min, opt: span.opt, max: span.max };
    let ranges = plan.profiles.iter().map(range).collect();
    let buckets = plan.buckets.iter().map(|bucket| bucket.size).collect();
    Ok(Axis::new(symbol, ranges, buckets, config.max_seq_len)?)
}

impl AxisText {
    fn of(plan: &AxisPlan) -> Self {
        let within = |bucket: &Bucket| {
            let found = plan.profiles.iter().find(|span| bucket.size <= span.max);
            found.map(Span::to_string).unwrap_or_default()
        };
        let bucket = |bucket: &Bucket| BucketText {
            size: bucket.size,
            requests: bucket.requests,
            profile: within(bucket),
        };
        Self {
            buckets: plan.buckets.iter().map(bucket).collect(),
            profiles: plan.profiles.iter().map(Span::to_string).collect(),
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

impl Report for ProfilesPlanned {
    fn human(&self, _: Detail) -> String {
        let mut parts = vec![format!("{} requests", self.requests)];
        for (symbol, axis) in self.axes.iter().rev() {
            let mut table = Table::new(&["bucket", "requests", "profile"]);
            for BucketText { size, requests, profile } in &axis.buckets {
                table.row([size.to_string(), requests.to_string(), profile.clone()]);
            }
            let (buckets, profiles) = (axis.buckets.len(), axis.profiles.len());
            parts.push(format!(
                "\n{symbol}: buckets {buckets}, profiles {profiles}\n{}",
                table.text()
            ));
        }
        let mut table = Table::new(&["padding", "of", "planned", "all at the largest size"]);
        for Padding { graph, positions, planned, single } in &self.padding {
            table.row([(*graph).into(), (*positions).into(), percent(*planned), percent(*single)]);
        }
        parts.push(format!("\n{}", table.text()));
        parts.extend(self.out.as_ref().map(|out| format!("\n{}", out.display())));
        parts.join("\n")
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
