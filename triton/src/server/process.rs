//! The server's processes: started together, counted together, killed together.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Where the Python backend has its shared memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// Runs the server, and watches a pipe whose other end this program holds. When the pipe ends, because this program
/// has, it removes the shared memory and kills the group: a signal at the parent's death would come when the thread
/// ends that started the server, and would not reach the models' processes.
const WATCH: &str = r#"
exec 3<&0
prefix=$1
shift
"$@" </dev/null 3<&- &
server=$!
(
    read -r _ <&3
    rm -f "$prefix"*
    kill -KILL 0
) &
exec 3<&-
wait "$server"
"#;

/// Processes of one group, the watcher its leader.
#[derive(Debug)]
pub(super) struct Group {
    leader: Child,
    prefix: String,
}

/// What names of shared memory begin with: this program, this server, no other.
pub(super) fn prefix(port: u16) -> String {
    format!("onr_triton_{}_{port}_", std::process::id())
}

impl Group {
    pub(super) fn start(
        program: &Path,
        arguments: &[OsString],
        prefix: String,
        log: File,
    ) -> io::Result<Self> {
        let leader = Command::new("/bin/sh")
            .args(["-c", WATCH, "onr-triton"])
            .arg(format!("{SHARED_MEMORY}/{prefix}"))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(log.try_clone()?)
            .stdout(log)
            .process_group(0)
            .spawn()?;
        Ok(Self { leader, prefix })
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.leader)
    }

    /// Does the server run? A leader that has ended is left as it is, so that nobody else gets the group's number.
    pub(super) fn is_running(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.pid()), options), Ok(None))
    }

    /// Kills all of them. The leader's entry stays until the handle is dropped.
    pub(super) fn kill(&self) {
        // It fails only if nobody is left.
        let _ = kill_process_group(self.pid(), Signal::KILL);
    }

    /// Ids of all processes in the group, those that have ended and wait for their parent excepted.
    pub(super) fn members(&self) -> io::Result<Vec<u32>> {
        let group = self.pid().as_raw_nonzero().to_string();
        let mut members = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may end between being listed and being read.
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            // After the program's name, which may hold anything: state, parent, group.
            let mut fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
            let ended = fields.next() == Some("Z");
            if !ended && fields.nth(1) == Some(&group) {
                members.push(id);
            }
        }
        Ok(members)
    }

    /// Bytes of memory that they hold.
    pub(super) fn memory(&self) -> io::Result<u64> {
        let held = |id: u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        Ok(self.members()?.into_iter().filter_map(held).sum::<u64>() * 1024)
    }

    /// Removes what killed processes left behind.
    fn sweep(&self) {
        let Ok(files) = fs::read_dir(SHARED_MEMORY) else { return };
        for file in files.flatten() {
            if file.file_name().to_string_lossy().starts_with(&self.prefix) {
                // If it can't be removed, nobody could do anything about it here.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let _ = self.leader.wait();
        self.sweep();
    }
}
