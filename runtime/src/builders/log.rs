//! TensorRT's log: what it says goes to `tracing` (target `tensorrt`), and what a report or an error
//! needs of it is kept.

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// TensorRT's `kINTERNAL_ERROR` and `kERROR`.
    Error,
    /// `kWARNING`.
    Warning,
    /// `kINFO`.
    Info,
    /// `kVERBOSE`: thousands of lines a build, hence `tracing`'s lowest level.
    Verbose,
}

/// Errors and warnings of one build.
#[derive(Debug, Default)]
pub(crate) struct LogBook {
    /// Error messages in order.
    pub(crate) errors: Vec<String>,
    /// Warnings in order, without repeats.
    pub(crate) warnings: Vec<String>,
}

impl LogBook {
    /// Traces one message, and keeps it if it is a warning or an error.
    pub(super) fn note(&mut self, level: Level, message: &str) {
        match level {
            Level::Warning if is_routine(message) => self.note(Level::Info, message),
            Level::Error => {
                tracing::error!(target: "tensorrt", "{message}");
                self.errors.push(message.to_owned());
            }
            Level::Warning => {
                tracing::warn!(target: "tensorrt", "{message}");
                if !self.warnings.iter().any(|w| w == message) {
                    self.warnings.push(message.to_owned());
                }
            }
            Level::Info => tracing::info!(target: "tensorrt", "{message}"),
            Level::Verbose => tracing::trace!(target: "tensorrt", "{message}"),
        }
    }
}

/// The parser warns of each input and output of 64-bit integers, which is every id, length and time
/// of the contract. Warnings are read only as long as they are few.
fn is_routine(message: &str) -> bool {
    message.ends_with(" has Int64 binding.")
}

/// Line breaks and runs of blanks as single blanks.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_kept_once_and_routine_ones_never() {
        let mut log = LogBook::default();
        log.note(Level::Warning, "ModelImporter.cpp:1071: Make sure input ids has Int64 binding.");
        log.note(Level::Warning, "first");
        log.note(Level::Error, "bad");
        log.note(Level::Warning, "second");
        log.note(Level::Warning, "first");
        assert_eq!(log.warnings, ["first", "second"]);
        assert_eq!(log.errors, ["bad"]);
    }
}
