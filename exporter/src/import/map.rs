//! The map: for every tensor of the model, where a foreign checkpoint keeps it.

use std::{fs, path::Path};

use super::{parse, pattern::Pattern};
use crate::{artifact, error::ExportError};

/// Maps that are compiled in.
const READY: [(&str, &str); 2] = [
    ("pytorch-linear", include_str!("../../maps/pytorch-linear.toml")),
    ("pytorch-uvqk-split", include_str!("../../maps/pytorch-uvqk-split.toml")),
];

/// Label of the rule of a tensor that has none.
const NO_RULE: &str = "no rule";

/// A checked import map. `docs/import.md` describes its text.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportMap {
    pub(super) name: String,
    pub(super) sha256: String,
    /// May a tensor without a rule come from the foreign tensor of the same name?
    pub(super) identity: bool,
    pub(super) rules: Vec<Rule>,
}

/// One `[[tensor]]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// How messages call it: `rule 2`.
    pub(super) label: String,
    /// Our names.
    pub(super) to: Pattern,
    /// `false` for a rule of the map that this one is based on: any own rule goes before it.
    pub(super) own: bool,
    pub(super) origin: Origin,
}

/// Where the numbers come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// One number everywhere.
    Fill(f32),
    /// Pieces of the file.
    Pieces(Recipe),
}

/// Pieces, and what is done with them, in the order of the fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recipe {
    /// At least one; each is reshaped, cut and transposed on its own.
    pub(super) pieces: Vec<Piece>,
    /// The axis along which several are joined; the last one if not given.
    pub(super) axis: Option<usize>,
    pub(super) reorder: Option<Reorder>,
    pub(super) scale: Option<f32>,
    /// May another tensor of the model read the same numbers?
    pub(super) share: bool,
}

/// A foreign tensor or a part of it; the fields are in the order of application.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) from: Pattern,
    /// Sizes, `None` for the one that follows from the others.
    pub(super) reshape: Option<Vec<Option<usize>>>,
    pub(super) part: Option<Part>,
    /// `None`: not said, which is refused where it matters and cannot be seen.
    pub(super) transpose: Option<bool>,
}

/// A slice along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) axis: usize,
    pub(super) slice: Slice,
}

/// Which slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    /// Number `index` of `of` equal ones.
    Equal { index: usize, of: usize },
    /// From `start` up to, and without, `end`.
    Range { start: usize, end: usize },
}

/// The foreign order of U, V, Q and K along the last axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reorder {
    /// Where U, V, Q and K stand in the file.
    pub(super) at: [usize; 4],
    /// All four of head 0 come first, then all four of head 1.
    pub(super) per_head: bool,
}

impl ImportMap {
    /// Names of the maps that are compiled in.
    pub fn ready() -> impl Iterator<Item = &'static str> {
        READY.iter().map(|(name, _)| *name)
    }

    /// The text of a map that is compiled in: a start for one's own.
    #[must_use]
    pub fn ready_text(name: &str) -> Option<&'static str> {
        READY.iter().find(|(ready, _)| *ready == name).map(|(_, text)| *text)
    }

    /// A map that is compiled in.
    ///
    /// # Errors
    /// [`ExportError::Map`] when there is none of that name.
    pub fn named(name: &str) -> Result<Self, ExportError> {
        let text = Self::ready_text(name).ok_or_else(|| ExportError::Map {
            map: name.to_owned(),
            problems: vec![format!(
                "no ready map has this name; there are {}",
                ready_list(" and ")
            )],
        })?;
        Self::parse(name, text)
    }

    /// Reads a map from a file.
    ///
    /// # Errors
    /// [`ExportError::Read`], or [`ExportError::Map`] with every problem of the file.
    pub fn read(path: &Path) -> Result<Self, ExportError> {
        let text = fs::read_to_string(path).map_err(|cause| ExportError::read(path, cause))?;
        let mut map = Self::parse(&path.display().to_string(), &text)?;
        // What is written into checkpoints knows no paths of this machine.
        if let Some(file) = path.file_name() {
            map.name = file.to_string_lossy().into_owned();
        }
        Ok(map)
    }

    /// What `--map` takes: the name of a ready map, or else a path.
    ///
    /// # Errors
    /// As [`ImportMap::named`] and [`ImportMap::read`].
    pub fn resolve(name_or_path: &str) -> Result<Self, ExportError> {
        let path = Path::new(name_or_path);
        let bare = path.components().count() == 1 && path.extension().is_none();
        if Self::ready_text(name_or_path).is_some() || (bare && !path.exists()) {
            Self::named(name_or_path)
        } else {
            Self::read(path)
        }
    }

    /// Checks the text of a map; `name` is for messages and for the metadata of what is written.
    ///
    /// # Errors
    /// [`ExportError::Map`] with every problem.
    pub fn parse(name: &str, text: &str) -> Result<Self, ExportError> {
        let fail = |problems| ExportError::Map { map: name.to_owned(), problems };
        let parse::Parsed { identity, base, mut rules } = parse::parse(text).map_err(fail)?;
        let mut hashed = text.to_owned();
        if let Some((base, text)) = base.and_then(|b| Some((b, Self::ready_text(b)?))) {
            let below = parse::parse(text).map_err(fail)?.rules;
            rules.extend(below.into_iter().map(|rule| rule.of_base(base)));
            hashed.insert_str(0, text);
        }
        let sha256 = artifact::sha256(hashed.as_bytes());
        Ok(Self { name: name.to_owned(), sha256, identity, rules })
    }

    /// The name, or the name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The ready maps, for messages.
pub(super) fn ready_list(joint: &str) -> String {
    ImportMap::ready().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(joint)
}

impl Rule {
    fn of_base(self, base: &str) -> Self {
        Self { label: format!("{} of {base}", self.label), own: false, ..self }
    }

    /// The rule that a tensor without a rule has: the foreign tensor of the same name.
    pub(super) fn identity(name: &str, transpose: Option<bool>) -> Self {
        let piece = Piece { from: Pattern::literal(name), reshape: None, part: None, transpose };
        let origin = Origin::Pieces(Recipe {
            pieces: vec![piece],
            axis: None,
            reorder: None,
            scale: None,
            share: false,
        });
        Self { label: NO_RULE.to_owned(), to: Pattern::literal(name), own: false, origin }
    }

    pub(super) fn is_identity(&self) -> bool {
        self.label == NO_RULE
    }

    /// How messages call it where they don't name a tensor.
    pub(super) fn full_label(&self) -> String {
        format!("{} (`{}`)", self.label, self.to)
    }

    /// Own rules go before those of the base, names without holes before patterns.
    pub(super) fn rank(&self) -> (bool, bool) {
        (self.own, self.to.holes().next().is_none())
    }
}
