//! Protocol buffers as text: what `config.pbtxt` is written in, as a tree of fields.
//!
//! [`Message::to_string`] writes, [`Message::parse`] reads what Triton reads. Neither knows which fields exist:
//! [`config`](crate::config) does.

mod parse;

use std::fmt::{self, Write as _};

pub use parse::ParseError;

/// Fields in their order. A repeated field stands there several times, or once with a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    fields: Vec<(String, Value)>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A quoted string.
    Text(String),
    /// A number, a bool or the name of an enumerator, as it is written.
    Word(String),
    /// Fields of its own.
    Message(Message),
    /// Values of a repeated field.
    List(Vec<Value>),
}

impl Value {
    /// A list of numbers.
    pub fn numbers<T: ToString>(numbers: &[T]) -> Self {
        Self::List(numbers.iter().map(|n| Self::Word(n.to_string())).collect())
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The word, if it is one.
    #[must_use]
    pub fn as_word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }

    /// The fields, if it has some.
    #[must_use]
    pub const fn as_message(&self) -> Option<&Message> {
        if let Self::Message(message) = self { Some(message) } else { None }
    }
}

impl Message {
    /// Adds a field.
    pub fn push(&mut self, name: &str, value: Value) {
        self.fields.push((name.to_owned(), value));
    }

    /// Adds a string.
    pub fn text(&mut self, name: &str, text: &str) {
        self.push(name, Value::Text(text.to_owned()));
    }

    /// Adds a number, a bool or an enumerator.
    pub fn word(&mut self, name: &str, word: impl ToString) {
        self.push(name, Value::Word(word.to_string()));
    }

    /// Adds a message.
    pub fn message(&mut self, name: &str, message: Self) {
        self.push(name, Value::Message(message));
    }

    /// Adds an entry of a map.
    pub fn entry(&mut self, name: &str, key: &str, value: Value) {
        let mut entry = Self::default();
        entry.text("key", key);
        entry.push("value", value);
        self.message(name, entry);
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &[(String, Value)] {
        &self.fields
    }

    /// All values of a field, those of lists one by one.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        let named = self.fields.iter().filter(move |(n, _)| n == name);
        named.flat_map(|(_, value)| match value {
            Value::List(values) => values.iter(),
            one => std::slice::from_ref(one).iter(),
        })
    }

    /// The value of a field that stands there once; the last one of several, as protocol buffers have it.
    #[must_use]
    pub fn one<'a>(&'a self, name: &'a str) -> Option<&'a Value> {
        self.all(name).last()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        for (name, value) in &self.fields {
            write!(f, "{:1$}{name}", "", depth * 2)?;
            if !matches!(value, Value::Message(_)) {
                f.write_char(':')?;
            }
            f.write_char(' ')?;
            value.write(f, depth)?;
            f.write_char('\n')?;
        }
        Ok(())
    }
}

impl Value {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Text(text) => quote(f, text),
            Self::Word(word) => f.write_str(word),
            Self::Message(message) => {
                f.write_str("{\n")?;
                message.write(f, depth + 1)?;
                write!(f, "{:1$}}}", "", depth * 2)
            }
            Self::List(values) if values.is_empty() => f.write_str("[ ]"),
            Self::List(values) => {
                for (i, value) in values.iter().enumerate() {
                    f.write_str(if i == 0 { "[ " } else { ", " })?;
                    value.write(f, depth)?;
                }
                f.write_str(" ]")
            }
        }
    }
}

/// In double quotes, so that any reader of the text format gets the same characters back.
fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            // Three octal digits: nothing that follows can be taken for a fourth.
            c if c.is_ascii_control() => write!(f, "\\{:03o}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let text = any::<String>().prop_map(Value::Text);
        let word = prop_oneof![
            any::<i64>().prop_map(|n| Value::Word(n.to_string())),
            "[A-Z_]{1,9}".prop_map(Value::Word),
        ];
        let leaf = prop_oneof![text, word];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let field = ("[a-z_]{1,8}", inner.clone());
            let fields = prop::collection::vec(field, 0..4);
            let list = prop::collection::vec(inner, 0..4);
            let flat = list.prop_map(|values| {
                // Lists have no lists in them.
                Value::List(values.into_iter().filter(|v| !matches!(v, Value::List(_))).collect())
            });
            prop_oneof![fields.prop_map(|fields| Value::Message(Message { fields })), flat]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in prop::collection::vec(value(), 0..5)) {
            let mut message = Message::default();
            for (i, value) in values.into_iter().enumerate() {
                message.push(&format!("f{i}"), value);
            }
            prop_assert_eq!(Message::parse(&message.to_string()), Ok(message));
        }

        #[test]
        fn any_text_is_a_message_or_an_error(text in any::<String>()) {
            let _ = Message::parse(&text);
        }
    }

    #[test]
    fn strings_are_escaped() {
        let mut message = Message::default();
        message.text("name", "a\"b\\c\n\t\u{1}1 é");
        assert_eq!(message.to_string(), "name: \"a\\\"b\\\\c\\n\\t\\0011 é\"\n");
    }
}
