"""Trains models beside their peers and ablations, judges all of them, and writes what came out.

    python3 scripts/study.py movielens   -> docs/movielens.md: OneRanker, the plain baseline, classic peers
    python3 scripts/study.py ablation    -> docs/ablation.md: each part left out, on simulated logs

Every run is a run of `onr train` and `onr evaluate` that anyone can repeat; intervals come from `onr compare`.
Runs use one thread each, as many at a time as there are cores. What is there already is not made again
(build/study); remove that folder to begin anew. Nothing is chosen here: configurations are in models/.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ONR = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "onr"
WORK = ROOT / "build" / "study"
MOVIELENS = ROOT / ".onr" / "data" / "ml-100k" / "ml-100k.inter"
# glibc gives large blocks back to the system at once, and training asks for the same ones in each step.
ENVIRONMENT = dict(
    os.environ, RAYON_NUM_THREADS="1",
    MALLOC_MMAP_THRESHOLD_="1000000000", MALLOC_TRIM_THRESHOLD_="10000000000", MALLOC_TOP_PAD_="100000000",
)


def onr(*words):
    """Runs the program; what it prints as JSON."""
    words = [str(word) for word in words]
    done = subprocess.run(
        [ONR, *words, "--json"], capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT
    )
    if done.returncode != 0:
        raise SystemExit(f"onr {' '.join(words)}\n{done.stderr}")
    return json.loads(done.stdout)


class Run:
    """One model: trained once, judged on the test behaviours."""

    cutoff = 100

    def __init__(self, name, model, train, log, tie=0, seed=0, extra=(), truth=None, peers=False):
        self.name, self.tie, self.seed = name, tie, seed
        self.model, self.train, self.log = model, train, log
        self.extra, self.truth, self.peers = list(extra), truth, peers
        self.dir = WORK / name / f"tie{tie}-seed{seed}"
        self.evaluation = self.dir / "evaluation.json"

    def make(self):
        if self.evaluation.exists():
            return self
        started = time.monotonic()
        onr("train", "--model", self.model, "--train", self.train, "--interactions", self.log,
            "--out", self.dir, "--seed", self.seed, "--tie-seed", self.tie, "--threads", 1, *self.extra)
        truth = ["--truth", self.truth] if self.truth else []
        peers = ["--peers"] if self.peers else []
        found = onr("evaluate", "--model", self.dir / "model.toml",
                    "--weights", self.dir / "weights.safetensors", "--train", self.train,
                    "--interactions", self.log, "--tie-seed", self.tie, "--threads", 1,
                    "--cutoff", self.cutoff, "--out", self.evaluation, *truth, *peers)
        (self.dir / "summary.json").write_text(json.dumps(found))
        print(f"{self.name} tie {self.tie} seed {self.seed}: {time.monotonic() - started:.0f} s", flush=True)
        return self

    def minutes(self):
        return json.loads((self.dir / "training.json").read_text())["seconds"] / 60


def make_all(runs):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(Run.make, runs))
    return runs


def compare(of, against, metric, list_="final", against_list=None):
    words = ["compare", "--of", *[r.evaluation for r in of], "--against", *[r.evaluation for r in against],
             "--metric", metric, "--list", list_]
    if against_list:
        words += ["--against-list", against_list]
    return onr(*words)


def estimate(e, digits=4):
    return f"{e['mean']:.{digits}f} ({e['low']:.{digits}f} to {e['high']:.{digits}f})"


def row(label, found, digits=4):
    """A line of a table of comparisons."""
    ratio = estimate(found["ratio"], 3) if found.get("ratio") else "–"
    cells = [label, f"{found['a']['mean']:.{digits}f}", f"{found['b']['mean']:.{digits}f}",
             estimate(found["difference"], digits), ratio]
    return "| " + " | ".join(cells) + " |"


HEADER = ["| comparison | first | second | difference (95 %) | ratio (95 %) |", "| --- | --- | --- | --- | --- |"]


def movielens(args):
    model, train = ROOT / "models" / "ml-100k.toml", ROOT / "models" / "ml-100k.train.toml"
    grid = [(tie, seed) for seed in range(args.seeds) for tie in range(args.ties)]
    full = [Run("movielens/oneranker", model, train, MOVIELENS, t, s, peers=True) for t, s in grid]
    base = [Run("movielens/baseline", model, train, MOVIELENS, t, s, ["--baseline"]) for t, s in grid]
    make_all(full + base)
    last = "value"
    lines = ["# MovieLens-100k", "",
             f"`scripts/study.py movielens --ties {args.ties} --seeds {args.seeds}`: {args.ties} seeds of tied times, "
             f"{args.seeds} of the model, test behaviours, whole catalogue, seen "
             "items left out; paired bootstrap over users, all runs of a user drawn together.", "",
             f"Training took {statistics.mean(r.minutes() for r in full):.1f} minutes on one thread "
             f"(longest {max(r.minutes() for r in full):.1f}), `baseline` {statistics.mean(r.minutes() for r in base):.1f}, beside "
             "whatever else the machine did; docs/benchmarks.md has the time of a run alone on two cores.", "",
             "## NDCG@10", "", *HEADER]

    def add(label, of, against, metric, first, second):
        lines.append(row(label, compare(of, against, metric, first, second)))

    for stage, name in (("generator:impression", "generator"), ("ranker:impression", "ranker")):
        for peer in ("popularity", "markov", "markov-plain", "cooccurrence"):
            add(f"{name} by impression / {peer}", full, full, "ndcg10", stage, peer)
        add(f"{name} by impression / baseline", full, base, "ndcg10", stage, "final")
    add("ranker / generator, by impression", full, full, "ndcg10", "ranker:impression", "generator:impression")
    lines += ["", "## Value-weighted NDCG@10", "", *HEADER]
    add("final order / generator by impression", full, full, "value-ndcg10", "final", "generator:impression")
    add("final order / generator by value", full, full, "value-ndcg10", "final", f"generator:{last}")
    add("final order / co-occurrence", full, full, "value-ndcg10", "final", "cooccurrence")
    add("final order / baseline", full, base, "value-ndcg10", "final", "final")
    add("generator by value / baseline", full, base, "value-ndcg10", f"generator:{last}", "final")
    lines += ["", "## How far the ranker is from a copy of the generator", "", *stage_lines(full), ""]
    write("movielens.md", lines)


def stage_lines(runs):
    """Means over runs of what the two stages have in common."""
    stages = [json.loads((r.dir / "summary.json").read_text())["recommenders"][0]["stage"] for r in runs]

    def mean(key):
        return statistics.mean(s[key] for s in stages)

    return ["| order by | Kendall's tau | overlap of the first ten |", "| --- | --- | --- |",
            f"| first task | {mean('first_tau'):.3f} | {mean('first_overlap10'):.3f} |",
            f"| last task | {mean('last_tau'):.3f} | {mean('last_overlap10'):.3f} |",
            "", f"Distribution consistency of the last task: {mean('dc'):.4f} nats."]


def simulated(conflict, args):
    """A simulated log, with or without conflict."""
    folder = WORK / ("conflict" if conflict else "no-conflict")
    if not (folder / "truth.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        onr("simulate", "--out", folder, "--users", args.users, "--items", args.items,
            "--series", args.series, "--price-slope", args.price_slope, *([] if conflict else ["--no-conflict"]))
    return folder


PARTS = [("task-order", "value10", "final", "value@10, final order"),
         ("fake-items", "hr10", "generator:impression", "HR@10, generator by impression"),
         ("dc", "dc", "final", "DC, nats (less is closer)"),
         ("ranker", "ndcg10", "final", "NDCG@10, final order")]


def ablation(args):
    model, train = ROOT / "models" / "simulated.toml", ROOT / "models" / "simulated.train.toml"
    worlds = {c: simulated(c, args) for c in (True, False)}

    def runs(conflict, part=None):
        name = f"{'conflict' if conflict else 'no-conflict'}-runs/{part or 'full'}"
        extra = ["--without", part] if part else []
        return [Run(name, model, train, worlds[conflict], 0, s, extra, truth=worlds[conflict])
                for s in range(args.seeds)]

    everything = {(True, part): runs(True, part) for part in [None] + [p[0] for p in PARTS]}
    everything |= {(False, part): runs(False, part) for part in (None, "task-order")}
    make_all([run for group in everything.values() for run in group])
    minutes = sum(r.minutes() for group in everything.values() for r in group)
    lines = ["# What each part is for", "",
             f"`make ablation`: {args.users} simulated users, {args.items} items, {args.seeds} model seeds; paired bootstrap over users, all "
             f"seeds of a user drawn together. Training took {minutes:.0f} minutes of one core in all. First: the full "
             "model; second: without the part.", "", "## Interest and value in conflict", "", *HEADER]

    def add(label, conflict, part, metric, list_, second=None):
        of, against = everything[conflict, None], everything[conflict, part]
        lines.append(row(label, compare(of, against, metric, list_, second)))

    for part, metric, list_, what in PARTS:
        # Without a task order there is one task; its lists are called after it.
        add(f"{part}: {what}", True, part, metric, list_)
    lines += ["", "## The conflict switched off", "", *HEADER]
    add("task-order: value@10, final order", False, "task-order", "value10", "final")
    lines += ["", "## All metrics of the final order", "", "Conflict on; what the part is not for moves, too.", "", *HEADER]
    for part, _, _, _ in PARTS:
        for metric in ("ndcg10", "hr10", "value-ndcg10", "value10"):
            add(f"{part}: {metric}", True, part, metric, "final")
    lines.append("")
    write("ablation.md", lines)


def write(name, lines):
    (ROOT / "docs" / name).write_text("\n".join(lines))
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("movielens")
    verb.add_argument("--ties", type=int, default=3)
    verb.add_argument("--seeds", type=int, default=2)
    verb.set_defaults(run=movielens)
    verb = verbs.add_parser("ablation")
    verb.add_argument("--users", type=int, default=2000)
    verb.add_argument("--items", type=int, default=200)
    verb.add_argument("--series", type=int, default=10)
    verb.add_argument("--price-slope", type=float, default=1.5)
    verb.add_argument("--seeds", type=int, default=3)
    verb.set_defaults(run=ablation)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
