//! Requests as JSON Lines: one object a line, blank lines passed over.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeSeed;

use crate::atomic::{AtomicFile, read_error, write_error};
use crate::error::{Place, RequestError};
use crate::request::{IGNORED_NAMES, Request, RequestSeed, Trace};

/// The longest line that is read, bytes: some three million behaviours. A file that is one endless
/// line ends here and not with the memory.
const LINE_LIMIT: usize = 64 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Streams the requests of a JSON Lines file.
pub(crate) struct JsonLines {
    file: Arc<Path>,
    input: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    limit: usize,
    trace: Trace,
    ignored: BTreeSet<String>,
}

impl JsonLines {
    /// # Errors
    /// [`RequestError::Read`] when the file cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self, RequestError> {
        let input = File::open(path).map_err(read_error(path))?;
        Ok(Self {
            file: path.into(),
            input: BufReader::with_capacity(1 << 18, input),
            line: Vec::new(),
            number: 0,
            limit: LINE_LIMIT,
            trace: Trace::default(),
            ignored: BTreeSet::new(),
        })
    }

    /// The line of the request that [`JsonLines::read`] returned last.
    pub(crate) fn place(&self) -> Place {
        Place::Line { file: Arc::clone(&self.file), line: self.number }
    }

    /// Names of fields that were passed over so far.
    pub(crate) fn ignored(&self) -> &BTreeSet<String> {
        &self.ignored
    }

    /// The next request, or `None` at the end of the file.
    pub(crate) fn read(&mut self) -> Result<Option<Request>, RequestError> {
        while self.next_line()? {
            if !self.line.trim_ascii().is_empty() {
                return self.parse().map(Some);
            }
        }
        Ok(None)
    }

    /// Fills `line`; false at the end of the file.
    fn next_line(&mut self) -> Result<bool, RequestError> {
        self.line.clear();
        self.number += 1;
        let room = self.limit as u64 + 1;
        let mut input = self.input.by_ref().take(room);
        let read = input.read_until(b'\n', &mut self.line).map_err(read_error(&self.file))?;
        if read > self.limit {
            return Err(RequestError::LineTooLong { place: self.place(), limit: self.limit });
        }
        if self.number == 1 && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(read > 0)
    }

    fn parse(&mut self) -> Result<Request, RequestError> {
        self.trace.field.set(None);
        let mut json = serde_json::Deserializer::from_slice(&self.line);
        let parsed = RequestSeed(&self.trace)
            .deserialize(&mut json)
            .and_then(|request| json.end().map(|()| request));
        let room = IGNORED_NAMES.saturating_sub(self.ignored.len());
        self.ignored.extend(self.trace.ignored.take().into_iter().take(room));
        parsed.map_err(|cause| self.explain(&cause))
    }

    fn explain(&self, cause: &serde_json::Error) -> RequestError {
        let place = self.place();
        if let Some(field) = self.trace.missing.take() {
            return RequestError::MissingField { place, field };
        }
        // serde_json counts lines within what it was given, which is one line: the number misleads.
        let text = cause.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(fact, _)| fact);
        RequestError::Json {
            place,
            field: self.trace.field.get(),
            column: cause.column(),
            reason: reason.to_owned(),
        }
    }
}

/// Writes one request and its newline.
pub(crate) fn write_line(out: &mut AtomicFile, request: &Request) -> Result<(), RequestError> {
    let written = serde_json::to_writer(&mut *out, request).map_err(std::io::Error::from);
    let written = written.and_then(|()| out.write_all(b"\n"));
    written.map_err(write_error(out.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"user":"u","items":[1],"actions":[1],"timestamps":[5],"request_time":6}"#;

    fn open(text: &str) -> (tempfile::TempDir, JsonLines) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.jsonl");
        std::fs::write(&path, text).unwrap();
        let lines = JsonLines::open(&path).unwrap();
        (dir, lines)
    }

    fn error_of(text: &str) -> String {
        let (dir, mut lines) = open(text);
        let error = loop {
            match lines.read() {
                Ok(request) => assert!(request.is_some(), "no error in {text}"),
                Err(error) => break error,
            }
        };
        error.to_string().replace(&format!("{}/", dir.path().display()), "")
    }

    #[test]
    fn blank_lines_marks_and_carriage_returns_pass() {
        let (_dir, mut lines) = open(&format!("\u{feff}{LINE}\r\n\n  \n{LINE}"));
        assert_eq!(lines.read().unwrap().unwrap().items, [1]);
        assert_eq!(lines.read().unwrap().unwrap().request_time, 6);
        assert!(lines.place().to_string().ends_with("r.jsonl line 4"));
        assert_eq!(lines.read().unwrap(), None);
        assert_eq!(open("").1.read().unwrap(), None);
    }

    #[test]
    fn unknown_fields_are_named_not_refused() {
        let (_dir, mut lines) = open(&LINE.replace("{", r#"{"candidate":[3],"#));
        lines.read().unwrap().unwrap();
        assert!(lines.ignored().contains("candidate"));
    }

    #[test]
    fn refused_because_names_line_and_field() {
        let second = |line: String| error_of(&format!("{LINE}\n{line}\n"));
        let cases = [
            (
                second(LINE.replace("[5]", r#"["5"]"#)),
                "r.jsonl line 2: field `timestamps`: invalid type: string \"5\", expected i64",
            ),
            (
                second(LINE.replace(r#""items":[1],"#, "")),
                "r.jsonl line 2: field `items` is missing",
            ),
            (second("[1]".into()), "r.jsonl line 2: invalid type: sequence, expected an object"),
            (second("{".into()), "r.jsonl line 2: EOF while parsing"),
            (second(format!("{LINE} {LINE}")), "r.jsonl line 2: trailing characters"),
        ];
        for (error, start) in cases {
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[test]
    fn refused_because_the_line_never_ends() {
        let (_dir, mut lines) = open(&LINE.repeat(3));
        lines.limit = 100;
        assert!(matches!(lines.read(), Err(RequestError::LineTooLong { limit: 100, .. })));
    }
}
