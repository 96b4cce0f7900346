//! The request itself and how it reads from JSON.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The fields of a request in the order in which files have them.
pub(crate) const FIELDS: [&str; 6] =
    ["user", "items", "actions", "timestamps", "request_time", "candidates"];

/// How many names of ignored fields are remembered: enough to show, bounded for hostile files.
pub(crate) const IGNORED_NAMES: usize = 64;

/// One user's question: given these behaviours, how do these candidates rank now?
///
/// | field | length | unit |
/// | --- | --- | --- |
/// | `items` | `T` | dense item ids, `1..V` known, 0 padding |
/// | `actions` | `T` | action ids, `0..A` |
/// | `timestamps` | `T` | unix seconds, never decreasing |
/// | `request_time` | – | unix seconds; may lie before the last behaviour |
/// | `candidates` | `C` | dense item ids; may be empty |
///
/// Reading promises the types alone; [`crate::Checker`] holds the rest of the table true.
/// In JSON `user` may be a string or an integer, `candidates` may be missing or null, and unknown
/// fields are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Who asks; any text.
    pub user: String,
    /// What the user saw or bought, oldest first.
    pub items: Vec<i64>,
    /// What the user did with each item.
    pub actions: Vec<i64>,
    /// When, in unix seconds.
    pub timestamps: Vec<i64>,
    /// When the request is made, in unix seconds.
    pub request_time: i64,
    /// The items to rank.
    pub candidates: Vec<i64>,
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RequestSeed(&Trace::default()).deserialize(deserializer)
    }
}

/// What a parse noticed apart from the request: where it stood, what it passed over.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The field whose value is being read; kept when that fails.
    pub(crate) field: Cell<Option<&'static str>>,
    /// The field that was found missing.
    pub(crate) missing: Cell<Option<&'static str>>,
    /// Names that are no field of a request.
    pub(crate) ignored: RefCell<BTreeSet<String>>,
}

impl Trace {
    fn ignore(&self, name: String) {
        let mut names = self.ignored.borrow_mut();
        if names.len() < IGNORED_NAMES {
            names.insert(name);
        }
    }

    fn missing<E: Error>(&self, field: &'static str) -> E {
        self.missing.set(Some(field));
        E::missing_field(field)
    }
}

/// Reads one request and notes in the [`Trace`] what an error message needs.
pub(crate) struct RequestSeed<'a>(pub(crate) &'a Trace);

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Request;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Request, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// The fields that have been read so far.
#[derive(Default)]
struct Partial {
    user: Option<String>,
    /// In the order items, actions, timestamps, candidates.
    lists: [Option<Vec<i64>>; 4],
    request_time: Option<i64>,
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of a request")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Request, M::Error> {
        let mut partial = Partial::default();
        while let Some(name) = map.next_key::<String>()? {
            let Some(field) = FIELDS.into_iter().find(|f| *f == name) else {
                map.next_value::<IgnoredAny>()?;
                self.0.ignore(name);
                continue;
            };
            self.0.field.set(Some(field));
            partial.read(field, &mut map)?;
            self.0.field.set(None);
        }
        let Partial { user, lists, request_time } = partial;
        let [items, actions, timestamps, candidates] = lists;
        Ok(Request {
            user: user.ok_or_else(|| self.0.missing("user"))?,
            items: items.ok_or_else(|| self.0.missing("items"))?,
            actions: actions.ok_or_else(|| self.0.missing("actions"))?,
            timestamps: timestamps.ok_or_else(|| self.0.missing("timestamps"))?,
            request_time: request_time.ok_or_else(|| self.0.missing("request_time"))?,
            candidates: candidates.unwrap_or_default(),
        })
    }
}

impl Partial {
    fn read<'de, M: MapAccess<'de>>(&mut self, field: &str, map: &mut M) -> Result<(), M::Error> {
        match field {
            "user" => once(&mut self.user, map.next_value::<UserId>()?.0),
            "request_time" => once(&mut self.request_time, map.next_value()?),
            "items" => once(&mut self.lists[0], map.next_value()?),
            "actions" => once(&mut self.lists[1], map.next_value()?),
            "timestamps" => once(&mut self.lists[2], map.next_value()?),
            _ => {
                let value: Option<Vec<i64>> = map.next_value()?;
                once(&mut self.lists[3], value.unwrap_or_default())
            }
        }
    }
}

fn once<T, E: Error>(slot: &mut Option<T>, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("given twice")),
    }
}

/// A user id: text, or an integer that becomes its decimal text.
struct UserId(String);

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UserVisitor)
    }
}

struct UserVisitor;

impl Visitor<'_> for UserVisitor {
    type Value = UserId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an integer")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<UserId, E> {
        Ok(UserId(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<UserId, E> {
        Ok(UserId(id.to_string()))
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<UserId, E> {
        Ok(UserId(id.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"user":"u1","items":[5,6],"actions":[1,2],"timestamps":[10,20],"request_time":30,"candidates":[7]}"#;

    #[test]
    fn reads_what_it_writes() {
        let request: Request = serde_json::from_str(FULL).unwrap();
        assert_eq!(request.items, [5, 6]);
        assert_eq!(serde_json::to_string(&request).unwrap(), FULL);
    }

    #[test]
    fn user_may_be_an_integer_and_candidates_null_or_missing() {
        for tail in ["", r#","candidates":null"#] {
            let text = format!(
                r#"{{"user":-7,"items":[],"actions":[],"timestamps":[],"request_time":0{tail}}}"#
            );
            let request: Request = serde_json::from_str(&text).unwrap();
            assert_eq!(request.user, "-7");
            assert!(request.candidates.is_empty());
        }
    }

    #[test]
    fn refused_because_of_types_and_repeats() {
        let cases = [
            (r#""items":[5,6]"#, r#""items":[5.5]"#, "expected i64"),
            (r#""items":[5,6]"#, r#""items":[9223372036854775808]"#, "expected i64"),
            (r#""user":"u1""#, r#""user":1.5"#, "a string or an integer"),
            (r#""request_time":30"#, r#""request_time":null"#, "expected i64"),
            (r#""user":"u1""#, r#""user":"u1","user":"u2""#, "given twice"),
        ];
        for (from, to, needle) in cases {
            let error = serde_json::from_str::<Request>(&FULL.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(needle), "{error}");
        }
    }

    #[test]
    fn remembers_a_bounded_number_of_unknown_names() {
        let extra: String = (0..200).map(|i| format!(r#""x{i}":[{{}}],"#)).collect();
        let text = FULL.replacen('{', &format!("{{{extra}"), 1);
        let trace = Trace::default();
        let mut json = serde_json::Deserializer::from_str(&text);
        RequestSeed(&trace).deserialize(&mut json).unwrap();
        assert_eq!(trace.ignored.take().len(), IGNORED_NAMES);
    }
}
