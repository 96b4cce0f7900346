//! A log as it happened: one request before each behaviour.

use super::requests::LogRequests;
use crate::request::Request;

/// Requests of all users in the order of time. At equal times users come in the order of their ids, and each one's
/// requests in the order of the behaviours.
pub struct Replay {
    log: LogRequests,
    /// Time, user, behaviours before it.
    order: Vec<(i64, u32, u32)>,
    next: usize,
}

impl LogRequests {
    /// The log as it happened. Before each behaviour but the first `after` ones its user asks, with the history until then
    /// (cut by the window) and at the behaviour's time. Candidates are those of the user's only request otherwise.
    ///
    /// 16 bytes of memory a request.
    #[must_use]
    pub fn replay(self, after: usize) -> Replay {
        let mut order = Vec::new();
        // Rows are counted in 32 bits, see `from_log`.
        for (user, rows) in (0_usize..).map_while(|user| Some((user, self.rows(user)?))) {
            let all = rows.clone().skip(after);
            order.extend(all.map(|row| {
                (self.behaviour(row).timestamp, user as u32, (row - rows.start) as u32)
            }));
        }
        order.sort_unstable();
        Replay { log: self, order, next: 0 }
    }
}

impl Iterator for Replay {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let (time, user, known) = *self.order.get(self.next)?;
        self.next += 1;
        self.log.request(user as usize, known as usize, time)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.order.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Replay {}
