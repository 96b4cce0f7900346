//! Names with holes: `layers.{l}.out.weight`.

use std::{collections::BTreeMap, fmt};

/// What the holes of a pattern stood for.
pub(super) type Captures = BTreeMap<String, String>;

/// A name in which `{word}` stands for one or more characters other than `.`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Literal(String),
    /// `{name}`, or `{name+shift}`.
    Hole {
        name: String,
        shift: i64,
    },
}

impl Pattern {
    /// A pattern over our names: it is matched, so a segment between dots has one hole at most and
    /// no hole is shifted.
    pub(super) fn ours(text: &str) -> Result<Self, String> {
        let pattern = Self::theirs(text)?;
        if pattern.tokens.iter().any(|t| matches!(t, Token::Hole { shift, .. } if *shift != 0)) {
            return Err(format!("`{text}`: a number is added to a hole in `from` only"));
        }
        if text.split('.').any(|segment| segment.matches('{').count() > 1) {
            return Err(format!("`{text}` has two holes between dots, which is ambiguous"));
        }
        Ok(pattern)
    }

    /// A pattern over foreign names: its holes are filled, never matched.
    pub(super) fn theirs(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (literal, from_brace) = rest.split_at(open);
            let inside = from_brace.strip_prefix('{').and_then(|hole| hole.split_once('}'));
            let Some((inside, after)) = inside else {
                return Err(format!("`{text}` has a brace without its partner"));
            };
            if !literal.is_empty() {
                tokens.push(Token::Literal(literal.to_owned()));
            }
            tokens.push(hole(inside).ok_or_else(|| {
                format!("`{text}`: `{{{inside}}}` is no hole; write {{l}}, or {{l+1}} in `from`")
            })?);
            rest = after;
        }
        if !rest.is_empty() {
            tokens.push(Token::Literal(rest.to_owned()));
        }
        if tokens.is_empty() {
            Err("an empty name".into())
        } else {
            Ok(Self { text: text.to_owned(), tokens })
        }
    }

    /// The name itself, whatever is in it.
    pub(super) fn literal(name: &str) -> Self {
        Self { text: name.to_owned(), tokens: vec![Token::Literal(name.to_owned())] }
    }

    /// Names of the holes.
    pub(super) fn holes(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().filter_map(|t| match t {
            Token::Hole { name, .. } => Some(name.as_str()),
            Token::Literal(_) => None,
        })
    }

    /// The name with `#` for each hole, to be compared with other names.
    pub(super) fn outline(&self) -> String {
        let outline = |token: &Token| match token {
            Token::Literal(text) => text.clone(),
            Token::Hole { .. } => "#".to_owned(),
        };
        self.tokens.iter().map(outline).collect()
    }

    /// What the holes stand for in `name`, if it has this form.
    pub(super) fn matches(&self, name: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        let mut rest = name;
        for (i, token) in self.tokens.iter().enumerate() {
            let taken = match token {
                Token::Literal(text) => rest.starts_with(text.as_str()).then_some(text.len()),
                Token::Hole { name, .. } => {
                    let value = self.value(i, rest)?;
                    let known = captures.entry(name.clone()).or_insert_with(|| value.to_owned());
                    (known == value).then_some(value.len())
                }
            }?;
            rest = &rest[taken..];
        }
        rest.is_empty().then_some(captures)
    }

    /// What hole number `i` covers at the beginning of `rest`: the segment, less what follows it.
    fn value<'a>(&self, i: usize, rest: &'a str) -> Option<&'a str> {
        let first_segment = |text: &str| text.find('.').unwrap_or(text.len());
        let segment = &rest[..first_segment(rest)];
        let tail = match self.tokens.get(i + 1) {
            Some(Token::Literal(text)) => &text[..first_segment(text)],
            _ => "",
        };
        segment.strip_suffix(tail).filter(|value| !value.is_empty())
    }

    /// The name with its holes filled.
    pub(super) fn expand(&self, captures: &Captures) -> Result<String, String> {
        self.tokens
            .iter()
            .map(|token| match token {
                Token::Literal(text) => Ok(text.clone()),
                Token::Hole { name, shift } => {
                    let value = captures.get(name).map_or("", String::as_str);
                    shifted(value, *shift).ok_or_else(|| {
                        format!("`{self}` adds {shift} to {{{name}}}, which is `{value}`")
                    })
                }
            })
            .collect()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `l`, `l+4`, `l-1`.
fn hole(inside: &str) -> Option<Token> {
    let end = inside.find(['+', '-']).unwrap_or(inside.len());
    let (name, shift) = inside.split_at(end);
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let shift = if shift.is_empty() { 0 } else { shift.parse().ok()? };
    word.then(|| Token::Hole { name: name.to_owned(), shift })
}

fn shifted(value: &str, shift: i64) -> Option<String> {
    if shift == 0 {
        return Some(value.to_owned());
    }
    let number = value.parse::<i64>().ok()?.checked_add(shift)?;
    (number >= 0).then(|| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, name: &str) -> Option<Vec<(String, String)>> {
        Some(Pattern::ours(pattern).unwrap().matches(name)?.into_iter().collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_hole_covers_one_segment_or_a_part_of_it() {
        assert_eq!(
            captures("layers.{l}.out.weight", "layers.12.out.weight"),
            pairs(&[("l", "12")])
        );
        assert_eq!(
            captures("{stack}.{l}.norm.{m}", "rank_layers.0.norm.bias"),
            pairs(&[("l", "0"), ("m", "bias"), ("stack", "rank_layers")])
        );
        assert_eq!(captures("{p}_proj.weight", "user_proj.weight"), pairs(&[("p", "user")]));
        assert_eq!(captures("rank_bias", "rank_bias"), pairs(&[]));
    }

    #[test]
    fn what_does_not_match() {
        for (pattern, name) in [
            ("layers.{l}.out.weight", "layers.1.2.out.weight"),
            ("layers.{l}.out.weight", "layers..out.weight"),
            ("layers.{l}.out", "layers.1.out.weight"),
            ("{p}_proj.weight", "_proj.weight"),
            ("{a}.{a}", "x.y"),
            ("layers.{l}", "rank_layers.1"),
        ] {
            assert_eq!(captures(pattern, name), None, "{pattern} {name}");
        }
        assert_eq!(captures("{a}.{a}", "x.x"), pairs(&[("a", "x")]));
    }

    #[test]
    fn foreign_names_are_filled_in() {
        let fill = |pattern: &str, l: &str| {
            let captures = Captures::from([("l".to_owned(), l.to_owned())]);
            Pattern::theirs(pattern).unwrap().expand(&captures)
        };
        assert_eq!(fill("model/block_{l}/{l+4}", "3").unwrap(), "model/block_3/7");
        assert_eq!(fill("h.{l-1}.w", "1").unwrap(), "h.0.w");
        let error = fill("h.{l-1}.w", "0").unwrap_err();
        assert_eq!(error, "`h.{l-1}.w` adds -1 to {l}, which is `0`");
        assert!(fill("{l+1}", "user").unwrap_err().contains("`user`"));
    }

    #[test]
    fn malformed_patterns_say_why() {
        for (text, reason) in [
            ("layers.{l.out", "brace without its partner"),
            ("layers.l}.out", "brace without its partner"),
            ("layers.{}.out", "`{}` is no hole"),
            ("layers.{1}.out", "`{1}` is no hole"),
            ("layers.{l+x}.out", "`{l+x}` is no hole"),
            ("layers.{l+1}.out", "in `from` only"),
            ("{a}{b}.out", "two holes between dots"),
            ("", "an empty name"),
        ] {
            let error = Pattern::ours(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
