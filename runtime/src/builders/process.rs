//! Runs a tool: its lines come out while it works, it can be stopped, and it never outlives us.

use std::{
    io::{self, BufRead, BufReader, Read},
    ops::ControlFlow,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

/// How often the caller is asked whether to go on.
const TICK: Duration = Duration::from_millis(100);

/// How a tool ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself.
    Exited(ExitStatus),
    /// Killed with all its children, because the caller asked for it.
    Stopped,
}

/// A running tool, in a process group of its own. Dropped, the whole group is killed.
#[derive(Debug)]
pub(crate) struct Tool {
    child: Child,
    lines: Receiver<String>,
    ended: bool,
}

impl Tool {
    /// Starts `command` without standard input.
    ///
    /// Its own process group keeps a Ctrl-C on the terminal away from it, so that we decide; and
    /// should we die without a chance to decide, the kernel kills it.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        die_with_parent(&mut command);
        let mut child = command.spawn()?;
        let (sender, lines) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            forward(out, sender.clone());
        }
        if let Some(err) = child.stderr.take() {
            forward(err, sender);
        }
        Ok(Self { child, lines, ended: false })
    }

    /// Hands each line of both outputs to `line` until the tool has ended, and asks `go_on` several
    /// times a second.
    pub(crate) fn finish(
        mut self,
        mut line: impl FnMut(&str),
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> io::Result<Ending> {
        let mut asked = Instant::now();
        loop {
            match self.lines.recv_timeout(TICK) {
                Ok(text) => line(&text),
                // Both outputs are closed, or silent for now: only then has a dead tool said all.
                Err(quiet) => {
                    if let Some(status) = self.child.try_wait()? {
                        self.ended = true;
                        return Ok(Ending::Exited(status));
                    }
                    if quiet == RecvTimeoutError::Disconnected {
                        thread::sleep(TICK);
                    }
                }
            }
            if asked.elapsed() >= TICK {
                asked = Instant::now();
                if go_on().is_break() {
                    return Ok(Ending::Stopped);
                }
            }
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Not reaped yet, so the number is still that of our group.
        if let Ok(group) = i32::try_from(self.child.id()) {
            sys::kill(-group, sys::SIGKILL);
        }
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "cannot wait for a killed tool");
        }
    }
}

/// Reads lines on a thread of its own, which ends with the pipe.
fn forward(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            if lines.send(text).is_err() {
                return;
            }
        }
    });
}

/// Has the kernel kill the tool when the thread that starts it ends, by whatever death.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    #[expect(unsafe_code, reason = "the standard library has no parent-death signal")]
    // SAFETY: `prctl` is async-signal-safe, allocates nothing and touches no memory of ours.
    unsafe {
        command.pre_exec(|| match sys::prctl(sys::PR_SET_PDEATHSIG, sys::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

/// The two calls that the standard library does not offer.
#[expect(unsafe_code, reason = "foreign functions must be declared somewhere")]
mod sys {
    pub(super) const SIGKILL: i32 = 9;
    #[cfg(target_os = "linux")]
    pub(super) const PR_SET_PDEATHSIG: i32 = 1;

    // SAFETY: the signatures are those of POSIX and of Linux's <sys/prctl.h>. `kill` has no way to
    // break memory safety of the caller.
    unsafe extern "C" {
        pub(super) safe fn kill(pid: i32, signal: i32) -> i32;
        #[cfg(target_os = "linux")]
        pub(super) fn prctl(option: i32, ...) -> i32;
    }
}
