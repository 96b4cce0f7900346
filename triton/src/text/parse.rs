//! Text to fields.

use super::{Message, Value};

/// The text is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Line of the text, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// Messages within messages; Triton's configurations have six.
const DEEPEST: usize = 64;

impl Message {
    /// Reads fields in the text format, whoever wrote them: comments, single quotes, lists, strings in pieces,
    /// `<` for `{`, and commas or semicolons behind fields.
    ///
    /// # Errors
    /// [`ParseError`] with the line.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut reader = Reader { text, at: 0 };
        let message = reader.fields(None, 0)?;
        Ok(message)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, reason: &'static str) -> Result<T, ParseError> {
        let line = 1 + self.text[..self.at].matches('\n').count();
        Err(ParseError { line, reason })
    }

    /// The next character that is neither blank nor in a comment.
    fn peek(&mut self) -> Option<char> {
        loop {
            let rest = &self.text[self.at..];
            let c = rest.chars().next()?;
            if c == '#' {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if c.is_whitespace() {
                self.at += c.len_utf8();
            } else {
                return Some(c);
            }
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.at += wanted.len_utf8();
        }
        there
    }

    fn fields(&mut self, end: Option<char>, depth: usize) -> Result<Message, ParseError> {
        if depth > DEEPEST {
            return self.fail("too many messages within messages");
        }
        let mut message = Message::default();
        loop {
            match (self.peek(), end) {
                (None, None) => return Ok(message),
                (None, Some(_)) => return self.fail("a message has no end"),
                (Some(c), Some(end)) if c == end => {
                    self.at += 1;
                    return Ok(message);
                }
                _ => {}
            }
            let name = self.word("a field's name is missing")?;
            let colon = self.take(':');
            let value = self.value(depth, colon)?;
            message.push(&name, value);
            let _ = self.take(',') || self.take(';');
        }
    }

    fn value(&mut self, depth: usize, colon: bool) -> Result<Value, ParseError> {
        match self.peek() {
            Some(open @ ('{' | '<')) => {
                self.at += 1;
                let close = if open == '{' { '}' } else { '>' };
                self.fields(Some(close), depth + 1).map(Value::Message)
            }
            Some('[') => {
                self.at += 1;
                self.list(depth, colon).map(Value::List)
            }
            _ if !colon => self.fail("`:` is missing"),
            Some('"' | '\'') => {
                let mut text = Vec::new();
                while let Some(quote @ ('"' | '\'')) = self.peek() {
                    self.at += 1;
                    self.string(quote, &mut text)?;
                }
                match String::from_utf8(text) {
                    Ok(text) => Ok(Value::Text(text)),
                    Err(_) => self.fail("a string is not UTF-8"),
                }
            }
            _ => self.word("a value is missing").map(Value::Word),
        }
    }

    fn list(&mut self, depth: usize, colon: bool) -> Result<Vec<Value>, ParseError> {
        let mut values = Vec::new();
        while !self.take(']') {
            if !values.is_empty() && !self.take(',') {
                return self.fail("a list has no end");
            }
            if self.peek() == Some('[') {
                return self.fail("a list within a list");
            }
            values.push(self.value(depth, colon)?);
        }
        Ok(values)
    }

    /// A name, a number or an enumerator.
    fn word(&mut self, missing: &'static str) -> Result<String, ParseError> {
        let _ = self.peek();
        let rest = &self.text[self.at..];
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+');
        let word = &rest[..rest.find(|c| !inside(c)).unwrap_or(rest.len())];
        if word.is_empty() {
            return self.fail(missing);
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    fn string(&mut self, quote: char, text: &mut Vec<u8>) -> Result<(), ParseError> {
        loop {
            let Some(c) = self.text[self.at..].chars().next().filter(|c| *c != '\n') else {
                return self.fail("a string has no end");
            };
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Ok(()),
                '\\' => self.escape(text)?,
                c => text.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), ParseError> {
        let Some(c) = self.text[self.at..].chars().next() else {
            return self.fail("a string has no end");
        };
        let (skip, most, radix) = match c {
            'x' | 'X' => (1, 2, 16),
            '0'..='7' => (0, 3, 8),
            _ => {
                let Some(byte) = plain(c) else {
                    return self.fail("an unknown escape in a string");
                };
                self.at += c.len_utf8();
                text.push(byte);
                return Ok(());
            }
        };
        let digits = &self.text[self.at + skip..];
        let length = digits.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        match u8::from_str_radix(&digits[..length], radix) {
            Ok(byte) => text.push(byte),
            Err(_) => return self.fail("an escape in a string is no byte"),
        }
        self.at += skip + length;
        Ok(())
    }
}

/// Escapes of one character.
const fn plain(c: char) -> Option<u8> {
    Some(match c {
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'v' => 11,
        '\\' | '\'' | '"' | '?' => c as u8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_by_hand_is_read() {
        let text = "name: \"one\" # a comment\n input [\n { name: 'a' 'b' dims: [ -1, 4 ] },\n \
                    { name: \"c\\x41\\060\" dims: 1 dims: 2; } ]\n version_policy: { latest < num_versions: 2 > }";
        let message = Message::parse(text).unwrap();
        let inputs: Vec<_> = message.all("input").filter_map(Value::as_message).collect();
        let names: Vec<_> =
            inputs.iter().map(|i| i.one("name").unwrap().as_text().unwrap()).collect();
        assert_eq!(names, ["ab", "cA0"]);
        let dims: Vec<_> = inputs[1].all("dims").filter_map(Value::as_word).collect();
        assert_eq!(dims, ["1", "2"]);
        assert_eq!(message.one("name").unwrap().as_text(), Some("one"));
    }

    #[test]
    fn what_is_no_message_is_told_with_its_line() {
        let refused = |text: &str| Message::parse(text).unwrap_err().to_string();
        assert_eq!(refused("name: \"a\"\ninput {"), "line 2: a message has no end");
        assert_eq!(refused("name \"a\""), "line 1: `:` is missing");
        assert_eq!(refused("\n\nname: \"a"), "line 3: a string has no end");
        assert_eq!(refused("dims: [1 2]"), "line 1: a list has no end");
        assert_eq!(refused("name: \"\\q\""), "line 1: an unknown escape in a string");
        assert_eq!(refused(&"a {".repeat(100)), "line 1: too many messages within messages");
        assert_eq!(refused("}"), "line 1: a field's name is missing");
    }
}
