//! What a server's log says about models that do not load.

use std::path::Path;
use std::time::Duration;

use super::{LoadFailure, ServerError};

/// The error of a server that has stopped.
pub(super) fn stopped(text: &str, log: &Path) -> ServerError {
    ServerError::Stopped { words: last_words(text), failures: failures(text), log: log.into() }
}

/// The error of a server that is not ready in time.
pub(super) fn not_ready(text: &str, log: &Path, after: Duration) -> ServerError {
    ServerError::NotReady { after, failures: failures(text), log: log.into() }
}

/// Models that do not load, in the order of the log.
fn failures(text: &str) -> Vec<LoadFailure> {
    let mut failures: Vec<LoadFailure> = Vec::new();
    let mut syntax = None;
    for line in text.lines() {
        // The parser complains without naming a model; the server's next complaint does.
        if let Some((_, words)) = line.split_once("text-format inference.ModelConfig: ") {
            syntax = Some(format!("config.pbtxt:{words}"));
        }
        let Some(message) = message(line) else { continue };
        let Some((model, words)) = failure(&message) else { continue };
        if failures.iter().all(|known| known.model != model) {
            let words = syntax.take().unwrap_or_else(|| words.into());
            failures.push(LoadFailure { model: model.into(), words });
        }
    }
    failures
}

/// Model and reason, if this is what a message of the server is about.
fn failure(message: &str) -> Option<(&str, &str)> {
    let starts =
        ["failed to load '", "failed to load model '", "Poll failed for model directory '"];
    let rest = starts.iter().find_map(|start| message.strip_prefix(start))?;
    let (model, rest) = rest.split_once('\'')?;
    let (_, words) = rest.split_once(": ")?;
    Some((model, words))
}

/// What is quoted in an error line: `E1122 09:52:23.066518 7926 model_lifecycle.cc:642] "..."`.
fn message(line: &str) -> Option<String> {
    let (place, quoted) = line.split_once("] \"")?;
    place.starts_with('E').then(|| unescape(quoted.strip_suffix('"').unwrap_or(quoted)))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            _ => out.push(letter),
        }
    }
    out
}

/// The last line that is neither information, nor a warning, nor a table.
fn last_words(text: &str) -> String {
    let dated = |line: &str| line.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let quiet = |line: &str| line.starts_with(['I', 'W']) && dated(line);
    let told = |line: &&str| !(line.is_empty() || line.starts_with(['|', '+']) || quiet(line));
    let last = text.lines().map(str::trim).rfind(told).unwrap_or("without a word");
    message(last).unwrap_or_else(|| last.trim_start_matches("error: ").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"W1122 09:52:22.665192 7926 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory"
E1122 09:52:22.665334 7926 server.cc:241] "CudaDriverHelper has not been initialized."
[libprotobuf ERROR /build/text_format.cc:337] Error parsing text-format inference.ModelConfig: 4:42: Unknown enumeration value of "TYPE_FP33" for field "data_type".
E1122 09:52:22.669637 7926 model_repository_manager.cc:1460] "Poll failed for model directory 'worse': failed to read text proto from /models/worse/config.pbtxt"
E1122 09:52:22.669673 7926 model_repository_manager.cc:724] "failed to load model 'nofile': at least one version must be available"
E1122 09:52:23.066518 7926 model_lifecycle.cc:642] "failed to load 'bad' version 1: Internal: ValueError: weights are\nmissing\n"
| bad    | 1       | UNAVAILABLE: Internal: ValueError: weights are |
error: creating server: Internal - failed to load all models
I1122 09:52:32.228832 8267 server.cc:345] "Timeout 30: Found 0 live models"
"#;

    #[test]
    fn models_that_do_not_load_are_named() {
        let error = stopped(LOG, Path::new("log"));
        let want = r#"tritonserver stopped: creating server: Internal - failed to load all models
  `worse`: config.pbtxt:4:42: Unknown enumeration value of "TYPE_FP33" for field "data_type".
  `nofile`: at least one version must be available
  `bad`: Internal: ValueError: weights are
missing"#;
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn last_words_of_a_loader() {
        let text = "tritonserver: error while loading shared libraries: libcudart.so.12\n\n";
        let error = stopped(text, Path::new("log")).to_string();
        assert!(error.ends_with("libraries: libcudart.so.12"), "{error}");
        assert!(stopped("", Path::new("log")).to_string().ends_with("without a word"));
    }
}
