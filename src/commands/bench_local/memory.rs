//! Memory while graphs are timed.

use std::fs;

use onr_device::{Driver as _, cuda::CudaDriver};
use serde::Serialize;

use crate::show::bytes;

/// The most that was seen, in bytes.
#[derive(Serialize)]
pub(super) struct Peak {
    /// On the GPU, beyond what was taken before a graph was opened. Whatever other processes take
    /// meanwhile is in it. `None` where no GPU computes.
    device: Option<u64>,
    /// Resident memory of this process; `None` where the system does not tell.
    host: Option<u64>,
}

impl Peak {
    /// A line, or nothing.
    pub(super) fn words(&self) -> String {
        let of = |n: Option<u64>, whose| n.map(|n| format!("{} {whose}", bytes(n)));
        let all = [of(self.device, "on the GPU"), of(self.host, "of this process")];
        let known: Vec<_> = all.into_iter().flatten().collect();
        if known.is_empty() {
            return String::new();
        }
        format!("Memory at most: {}.\n", known.join(", "))
    }
}

/// Looks at memory now and then.
pub(super) struct Watch {
    driver: Option<CudaDriver>,
    before: Option<u64>,
    most: Option<u64>,
}

impl Watch {
    /// Watches a GPU by its number, where one computes.
    pub(super) fn begin(gpu: Option<usize>) -> Self {
        let driver = gpu.and_then(|gpu| CudaDriver::open(gpu).ok());
        let before = taken(driver.as_ref());
        Self { driver, before, most: None }
    }

    pub(super) fn look(&mut self) {
        self.most = self.most.max(taken(self.driver.as_ref()));
    }

    pub(super) fn peak(&self) -> Peak {
        let device = self.before.zip(self.most).map(|(before, most)| most.saturating_sub(before));
        Peak { device, host: resident() }
    }
}

fn taken(driver: Option<&CudaDriver>) -> Option<u64> {
    let memory = driver?.memory().ok()?;
    Some(memory.total - memory.free)
}

/// The most that this process ever had, as Linux counts it.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
