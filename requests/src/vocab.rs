//! External item ids and the dense ids that a model's table has rows for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic::{AtomicFile, read_error, write_error};
use crate::error::RequestError;

const VERSION: u64 = 1;

/// The items that a model knows: external ids to dense ids `1..=len`. Id 0 is padding and no item.
///
/// On disk: `{"version":1,"items":["external id of 1", "external id of 2", …]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocab {
    items: Vec<String>,
    index: HashMap<String, usize>,
}

/// Read before the rest, so that another version is named even if its items look different.
#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct VocabFile<L> {
    version: u64,
    items: L,
}

impl Vocab {
    /// The vocabulary in which `items[i]` has the dense id `i + 1`.
    ///
    /// # Errors
    /// [`RequestError::VocabRepeated`] when an item occurs twice.
    pub fn new(items: Vec<String>) -> Result<Self, RequestError> {
        let mut index = HashMap::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            if let Some(first) = index.insert(item.clone(), i + 1) {
                let item = item.clone();
                return Err(RequestError::VocabRepeated { item, first, second: i + 1 });
            }
        }
        Ok(Self { items, index })
    }

    /// The vocabulary of these items, whatever their order and however often they occur: sorted as
    /// numbers when every one is an integer, else as text.
    #[must_use]
    pub fn build(items: impl IntoIterator<Item = String>) -> Self {
        let mut items: Vec<String> = items.into_iter().collect();
        sort_ids(&mut items, |item| item);
        items.dedup();
        let index = items.iter().enumerate().map(|(i, item)| (item.clone(), i + 1)).collect();
        Self { items, index }
    }

    /// Reads a vocabulary file.
    ///
    /// # Errors
    /// [`RequestError::Read`], [`RequestError::VocabJson`], [`RequestError::VocabVersion`],
    /// [`RequestError::VocabRepeated`].
    pub fn read(path: &Path) -> Result<Self, RequestError> {
        let open = || File::open(path).map(BufReader::new).map_err(read_error(path));
        let refuse = |cause| RequestError::VocabJson { file: path.to_owned(), cause };
        let VersionOnly { version: found } = serde_json::from_reader(open()?).map_err(refuse)?;
        if found != VERSION {
            let file = path.to_owned();
            return Err(RequestError::VocabVersion { file, found, known: VERSION });
        }
        let file: VocabFile<Vec<String>> = serde_json::from_reader(open()?).map_err(refuse)?;
        Self::new(file.items)
    }

    /// Writes a vocabulary file, all or nothing.
    ///
    /// # Errors
    /// [`RequestError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), RequestError> {
        let mut out = AtomicFile::create(path)?;
        let file = VocabFile { version: VERSION, items: &self.items };
        let written = serde_json::to_writer(&mut out, &file).map_err(std::io::Error::from);
        written.and_then(|()| out.write_all(b"\n")).map_err(write_error(path))?;
        out.commit()
    }

    /// How many items there are, padding not included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The dense id of an external id, `1..=len`.
    #[must_use]
    pub fn id(&self, external: &str) -> Option<i64> {
        self.index.get(external).and_then(|&id| i64::try_from(id).ok())
    }

    /// The external id of a dense id; `None` for the padding id 0 and for what is unknown.
    #[must_use]
    pub fn external(&self, id: i64) -> Option<&str> {
        let position = usize::try_from(id).ok()?.checked_sub(1)?;
        self.items.get(position).map(String::as_str)
    }

    /// The external ids of `1`, `2`, ….
    #[must_use]
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// Refuses a model whose `n_items` (padding included) has no room for every item.
    ///
    /// # Errors
    /// [`RequestError::VocabTooLarge`].
    pub fn fits(&self, n_items: usize) -> Result<(), RequestError> {
        if self.len() < n_items {
            return Ok(());
        }
        Err(RequestError::VocabTooLarge { items: self.len(), n_items })
    }
}

/// Sorts by external id: as numbers when every id is an integer (`7` and `007` then by text), else as
/// text.
pub(crate) fn sort_ids<T>(list: &mut Vec<T>, id: impl Fn(&T) -> &str) {
    let numbers: Option<Vec<i128>> = list.iter().map(|entry| id(entry).parse().ok()).collect();
    let Some(numbers) = numbers else {
        return list.sort_by(|a, b| id(a).cmp(id(b)));
    };
    let mut pairs: Vec<(i128, T)> = numbers.into_iter().zip(list.drain(..)).collect();
    pairs.sort_by(|(n, a), (m, b)| n.cmp(m).then_with(|| id(a).cmp(id(b))));
    list.extend(pairs.into_iter().map(|(_, entry)| entry));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(items: &[&str]) -> Vec<String> {
        Vocab::build(items.iter().map(|&i| i.to_owned())).items().to_vec()
    }

    #[test]
    fn sorts_numbers_as_numbers_and_text_as_text() {
        assert_eq!(build(&["10", "9", "-3", "9", "007"]), ["-3", "007", "9", "10"]);
        assert_eq!(build(&["7", "007"]), ["007", "7"]);
        assert_eq!(build(&["10", "9", "x"]), ["10", "9", "x"]);
    }

    #[test]
    fn ids_begin_at_one() {
        let vocab = Vocab::build(["b".to_owned(), "a".to_owned()]);
        assert_eq!((vocab.id("a"), vocab.id("b"), vocab.id("c")), (Some(1), Some(2), None));
        assert_eq!((vocab.external(0), vocab.external(2)), (None, Some("b")));
        assert_eq!((vocab.external(-1), vocab.external(3)), (None, None));
    }

    #[test]
    fn reads_what_it_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.json");
        let vocab = Vocab::new(vec!["z \"q\"".into(), "a".into()]).unwrap();
        vocab.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"version\":1,\"items\":[\"z \\\"q\\\"\",\"a\"]}\n");
        assert_eq!(Vocab::read(&path).unwrap(), vocab);
    }

    #[test]
    fn refused_because() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.json");
        let refuse = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Vocab::read(&path).unwrap_err().to_string()
        };
        let version = refuse(r#"{"version":2,"items":{"a":1}}"#);
        assert!(version.ends_with("vocabulary version 2, this program reads 1"), "{version}");
        let twice = refuse(r#"{"version":1,"items":["a","b","a"]}"#);
        assert_eq!(twice, "item `a` is in the vocabulary as id 1 and as id 3");
        assert!(refuse(r#"{"version":1}"#).ends_with("not readable as a vocabulary"));
        assert!(refuse(r#"{"version":1,"items":[5]}"#).ends_with("not readable as a vocabulary"));
    }

    #[test]
    fn refused_because_the_model_is_too_small() {
        let vocab = Vocab::build((0..5).map(|i| i.to_string()));
        assert!(vocab.fits(6).is_ok());
        let text = vocab.fits(5).unwrap_err().to_string();
        let expected = "the vocabulary has 5 items, the model has room for 4 (n_items 5, the padding id 0 included)";
        assert_eq!(text, expected);
    }
}
