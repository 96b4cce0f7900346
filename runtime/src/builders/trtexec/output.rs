//! What `trtexec` prints, line by line.

use super::super::log::{Level, LogBook, one_line};
use crate::builder::Target;

/// How many of the last errors an explanation quotes.
const QUOTED: usize = 3;

/// What is kept of one run's output.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Warnings and errors.
    pub(super) log: LogBook,
    /// The GPU that it compiled for, if it said so.
    pub(super) device: Option<Target>,
    last_line: String,
    in_error: bool,
}

impl Output {
    /// Takes one line: `[11/21/2026-20:31:07] [E] [TRT] message`, or the rest of the message above.
    pub(super) fn read(&mut self, line: &str) {
        if !line.trim().is_empty() {
            line.clone_into(&mut self.last_line);
        }
        let Some((level, message)) = split(line) else {
            return self.read_rest(line);
        };
        self.in_error = level == Level::Error;
        if let Some(text) = message.strip_prefix("Compute Capability: ") {
            self.device = text.parse().ok();
        }
        self.log.note(level, message);
    }

    /// A line without a level. Parse errors spread over several of them.
    fn read_rest(&mut self, line: &str) {
        tracing::info!(target: "tensorrt", "{line}");
        if line.starts_with("&&&&") {
            self.in_error = false;
        }
        if self.in_error
            && let Some(last) = self.log.errors.last_mut()
        {
            last.push('\n');
            last.push_str(line);
        }
    }

    /// The last errors, or the last line when there is none: a loader's complaint, for example.
    pub(super) fn last_words(&self) -> String {
        let errors = &self.log.errors;
        match errors.get(errors.len().saturating_sub(QUOTED)..) {
            None | Some([]) => self.last_line.clone(),
            Some(last) => last.iter().map(|m| one_line(m)).collect::<Vec<_>>().join("; "),
        }
    }
}

/// Level and message of a line; `None` for a line without a level.
fn split(line: &str) -> Option<(Level, &str)> {
    let mut rest = line.trim_start();
    if let Some(stamped) = rest.strip_prefix('[')
        && let Some((stamp, after)) = stamped.split_once("] ")
        && stamp.contains('/')
    {
        rest = after;
    }
    let levels = [
        ("[E] ", Level::Error),
        ("[F] ", Level::Error),
        ("[W] ", Level::Warning),
        ("[I] ", Level::Info),
        ("[V] ", Level::Verbose),
    ];
    let (level, message) =
        levels.iter().find_map(|(tag, level)| rest.strip_prefix(tag).map(|m| (*level, m)))?;
    Some((level, message.strip_prefix("[TRT] ").unwrap_or(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Output {
        let mut output = Output::default();
        text.lines().for_each(|l| output.read(l));
        output
    }

    #[test]
    fn levels_stamps_and_continued_lines() {
        let output = read(
            "&&&& RUNNING TensorRT.trtexec [TensorRT v101401] [b48] # trtexec\n\
             [11/21/2026-20:31:07] [I] Compute Capability: 9.0\n\
             [11/21/2026-20:31:07] [W] [TRT] twice\n\
             [11/21/2026-20:31:07] [W] [TRT] twice\n\
             [11/21/2026-20:31:08] [E] [TRT] first line\n\
             second line\n\
             &&&& FAILED TensorRT.trtexec [TensorRT v101401] [b48] # trtexec\n",
        );
        assert_eq!(output.device, Some(Target(90)));
        assert_eq!(output.log.warnings, ["twice"]);
        assert_eq!(output.log.errors, ["first line\nsecond line"]);
        assert_eq!(output.last_words(), "first line second line");
    }

    #[test]
    fn the_last_line_speaks_when_no_error_does() {
        let loader =
            "trtexec: error while loading shared libraries: libnvinfer.so.10: no such file";
        assert_eq!(read(loader).last_words(), loader);
    }
}
