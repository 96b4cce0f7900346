//! `onr preflight`: would a package load and serve in a Triton that is there?

use onr_triton::{
    PackageOptions, Source,
    preflight::{self, Check, Facts, Memory, Plan, Preflight, Status},
};
use serde::Serialize;

use crate::{
    args::PreflightArgs,
    exit::{Exit, Refusal},
    show::{Detail, Report, Table, bytes, wrapped},
};

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Checked {
    Template(Facts),
    Done {
        passed: bool,
        #[serde(flatten)]
        preflight: Preflight,
    },
}

pub(crate) fn run(args: &PreflightArgs) -> anyhow::Result<Checked> {
    if args.facts_template {
        return Ok(Checked::Template(Facts::template()));
    }
    let dir = args.dir.as_ref().ok_or_else(|| Refusal::usage("no directory is given"))?;
    let source = Source::open(dir)?;
    let facts = args.container_facts.as_deref().map(Facts::read).transpose()?.unwrap_or_default();
    let endpoint = args.triton.as_ref();
    let server = endpoint.map(|endpoint| preflight::ask(endpoint, &args.name)).transpose()?;
    let options = PackageOptions {
        backend: args.backend.map(Into::into),
        max_batch: args.max_batch,
        instances: args.instances as usize,
        ..PackageOptions::new(args.name.clone())
    };
    let (users, gpu_memory) = (args.users, args.gpu_memory);
    let plan = Plan { source: &source, options, users, gpu_memory };
    let preflight = preflight::preflight(&plan, &facts, server.as_ref());
    Ok(Checked::Done { passed: preflight.passed(), preflight })
}

impl Report for Checked {
    fn human(&self, _: Detail) -> String {
        match self {
            Self::Template(facts) => serde_json::to_string_pretty(facts).unwrap_or_default(),
            Self::Done { preflight, .. } => text(preflight),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Done { passed: false, .. } => Exit::Tolerance,
            _ => Exit::Fine,
        }
    }
}

fn text(found: &Preflight) -> String {
    let Preflight { dir, name, backend, server, .. } = found;
    let server = server.as_ref().map(|server| format!(", in {server}")).unwrap_or_default();
    let mut parts = vec![format!("{} as {name}, for the backend {backend}{server}", dir.display())];
    parts.extend(found.checks.iter().map(line));
    if !found.live.is_empty() {
        parts.push(format!("live now\n{}", live(found)));
    }
    parts.push(memory(&found.memory));
    parts.push(in_all(&found.checks));
    parts.join("\n")
}

/// A check with its reasons, in the columns of all.
fn line(check: &Check) -> String {
    let (word, reasons, fix) = match &check.status {
        Status::Passed { found } => ("passed", found, None),
        Status::Failed { why, fix } => ("FAILS", why, Some(fix)),
        Status::Skipped { why } => ("skipped", why, None),
    };
    let head = format!("  {:<23} {word:<8}", check.name.name());
    let room = head.chars().count();
    let mut lines = Vec::new();
    for (i, reason) in reasons.lines().enumerate() {
        let head = if i == 0 { head.clone() } else { " ".repeat(room) };
        lines.push(wrapped(&head, reason));
    }
    lines.extend(fix.map(|fix| wrapped(&format!("{:room$} fix:", ""), fix)));
    lines.join("\n")
}

fn live(found: &Preflight) -> String {
    let mut table = Table::new(&["model", "version", "onr", "precision", "checkpoint"]);
    for live in &found.live {
        let unknown = || "unknown".to_owned();
        let checkpoint = live.checkpoint_sha256.as_ref().map(|sha| format!("{sha:.12}"));
        table.row([
            live.model.clone(),
            live.versions.join(", "),
            live.onr.clone().unwrap_or_else(unknown),
            live.precision.clone().unwrap_or_else(unknown),
            checkpoint.unwrap_or_else(unknown),
        ]);
    }
    table.text()
}

fn memory(memory: &Memory) -> String {
    let mut table = Table::new(&["memory", "weights", "context", "times", "in all"]);
    for model in &memory.models {
        let one = model.weights.saturating_add(model.context);
        table.row([
            model.model.clone(),
            bytes(model.weights),
            bytes(model.context),
            memory.instances.to_string(),
            bytes(one.saturating_mul(memory.instances)),
        ]);
    }
    let users = memory.bytes_per_user.saturating_mul(memory.users);
    table.row([
        "keys and values of a user".to_owned(),
        String::new(),
        bytes(memory.bytes_per_user),
        memory.users.to_string(),
        bytes(users),
    ]);
    let of = memory.available.map(|n| format!(" of {}", bytes(n))).unwrap_or_default();
    let blank = || String::new();
    let total = format!("{}{of}", bytes(memory.total));
    table.row(["in all".to_owned(), blank(), blank(), blank(), total]);
    table.text()
}

fn in_all(checks: &[Check]) -> String {
    let count = |of: fn(&Status) -> bool| checks.iter().filter(|c| of(&c.status)).count();
    let passed = count(|s| matches!(s, Status::Passed { .. }));
    let failed = count(|s| matches!(s, Status::Failed { .. }));
    let skipped = count(|s| matches!(s, Status::Skipped { .. }));
    format!("in all     {passed} checks passed, {failed} failed, {skipped} skipped")
}
