//! Relations over shapes: every size of the profile gives the answers of every other.

use onr_graphs::Range;
use onr_requests::Request;

use super::{super::ParityError, Verdict, bench::Bench, cases::appended, layout::Layout};

/// Rows of a batch whose other sizes vary.
const ROWS: usize = 4;

/// Smallest, best and largest size, and one between each two.
fn sizes(range: Range) -> Vec<usize> {
    let Range { min, opt, max } = range;
    let mut sizes = vec![min, min.midpoint(opt), opt, opt.midpoint(max), max];
    sizes.dedup();
    sizes
}

/// Runs `case` for each size of a symbol; the first that fails is told with its size.
fn each(
    bench: &mut Bench<'_>,
    symbol: &str,
    case: impl Fn(&mut Bench<'_>, usize) -> Result<Verdict, ParityError>,
) -> Result<Verdict, ParityError> {
    let Some(range) = bench.range(symbol) else {
        return Ok(Verdict::Skipped(format!("the profile does not name {symbol}")));
    };
    for size in sizes(range) {
        match case(bench, size) {
            Ok(Verdict::Wrong(why)) => {
                return Ok(Verdict::Wrong(format!("{symbol} = {size}: {why}")));
            }
            Ok(Verdict::Holds) => {}
            Ok(skipped @ Verdict::Skipped(_)) => return Ok(skipped),
            Err(ParityError::Interrupted) => return Err(ParityError::Interrupted),
            Err(error) => return Ok(Verdict::Wrong(format!("{symbol} = {size}: {error}"))),
        }
    }
    Ok(Verdict::Holds)
}

/// Batches of other sizes.
pub(super) fn batch(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    each(bench, "batch", |bench, size| {
        let requests: Vec<Request> = bench.requests.iter().cycle().take(size).cloned().collect();
        let layout = bench.layout();
        let other = bench.padded(&requests, (size, bench.batch.seq, layout.candidates.len()));
        let answers = bench.run(&other)?;
        let here = bench.requests.len().min(size);
        let fewer = bench.padded(&bench.requests[..here], (here, bench.batch.seq, 1));
        let rows = Layout { rows: (0..here).collect(), ..layout };
        let want = bench.plain.iter().map(|(kind, feeds)| {
            let aligned = feeds.iter().map(|(n, t)| (n.clone(), super::layout::align(n, t, &rows)));
            (*kind, aligned.collect())
        });
        let want = want.collect();
        // `fewer` may have fewer candidates; only those of its own requests are compared.
        Ok(bench.differ(&fewer, &want, &answers, &rows)?.into())
    })
}

/// Histories padded to other lengths; longer ones are cut, and compared with themselves.
pub(super) fn seq(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    each(bench, "seq", |bench, size| {
        let most = bench.range("seq").map_or(size, |range| range.max);
        let cut: Vec<Request> =
            bench.requests.iter().rev().take(ROWS).map(|request| last(request, size)).collect();
        let rows = cut.len();
        let tight = bench.padded(&cut, (rows, size, 1));
        let other = if size == most { most.midpoint(1).max(longest(&cut)) } else { most };
        let wide = bench.padded(&cut, (rows, other, 1));
        let (want, got) = (bench.run(&tight)?, bench.run(&wide)?);
        let layout = Layout {
            rows: (0..rows).collect(),
            slots: tight.seq,
            candidates: (0..tight.inputs["candidate_ids"].shape()[1]).collect(),
        };
        Ok(bench.differ(&tight, &want, &got, &layout)?.into())
    })
}

fn longest(requests: &[Request]) -> usize {
    requests.iter().map(|request| request.items.len()).max().unwrap_or(0)
}

/// A request with the last `size` behaviours.
fn last(request: &Request, size: usize) -> Request {
    let from = request.items.len().saturating_sub(size);
    let mut cut = request.clone();
    cut.items.drain(..from);
    cut.actions.drain(..from);
    cut.timestamps.drain(..from);
    cut
}

/// Other numbers of candidates; what is missing is padded, what is too much is left out.
pub(super) fn candidates(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    each(bench, "candidates", |bench, size| {
        let mut cut = bench.requests.clone();
        for request in &mut cut {
            request.candidates.truncate(size);
        }
        let rows = cut.len();
        let other = bench.padded(&cut, (rows, bench.batch.seq, size));
        let answers = bench.run(&other)?;
        let here = bench.layout().candidates.len().min(size);
        let layout = Layout { candidates: (0..here).collect(), ..bench.layout() };
        let want = bench.plain.iter().map(|(kind, feeds)| {
            let aligned =
                feeds.iter().map(|(n, t)| (n.clone(), super::layout::align(n, t, &layout)));
            (*kind, aligned.collect())
        });
        let want = want.collect();
        Ok(bench.differ(&other, &want, &answers, &layout)?.into())
    })
}

/// Other numbers of new behaviours.
pub(super) fn new(bench: &mut Bench<'_>) -> Result<Verdict, ParityError> {
    each(bench, "new", |bench, size| appended(bench, size.min(bench.batch.seq)))
}
