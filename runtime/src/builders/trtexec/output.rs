//! What `trtexec` prints, line by line.

use super::super::log::{Level, LogBook, one_line};
use crate::builder::Target;

/// How many of the last errors an explanation quotes.
const QUOTED: usize = 3;

/// What is kept of one run's output.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Warnings and errors.
    pub(crate) log: LogBook,
    /// The GPU that it compiled for, if it said so.
    pub(crate) device: Option<Target>,
    last_line: String,
    in_error: bool,
}

impl Output {
    /// Takes one line: `[11/21/2026-20:31:07] [E] [TRT] message`, or the rest of the message above.
    pub(crate) fn read(&mut self, line: &str) {
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
    pub(crate) fn last_words(&self) -> String {
        let errors = &self.log.errors;
        match errors.get(errors.len().saturating_sub(QUOTED)..) {
            None | Some([]) => self.last_line.clone(),
            Some(last) => last.iter().map(|m| one_line(m)).collect::<Vec<_>>().join("; "),
        }
    }
}

/// What a build turns to with this line, where it says so.
pub(crate) fn stage(line: &str) -> Option<&'static str> {
    let (_, message) = split(line)?;
    let begins = [("Start parsing network model", "parse graph"), (PARSED, "build engine")];
    begins.iter().find(|(text, _)| message.starts_with(text)).map(|(_, stage)| *stage)
}

const PARSED: &str = "Finished parsing network model";

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
    fn stages_of_a_build() {
        assert_eq!(
            stage("[09/01/2025-21:22:13] [I] Start parsing network model."),
            Some("parse graph")
        );
        let parsed =
            "[09/01/2025-21:22:14] [I] Finished parsing network model. Parse time: 0.241168";
        assert_eq!(stage(parsed), Some("build engine"));
        assert_eq!(stage("[09/01/2025-21:22:14] [E] Parsing model failed"), None);
        assert_eq!(stage("&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec"), None);
    }

    #[test]
    fn the_last_line_speaks_when_no_error_does() {
        let loader =
            "trtexec: error while loading shared libraries: libnvinfer.so.10: no such file";
        assert_eq!(read(loader).last_words(), loader);
    }
}
