//! The text of a map to rules, all problems at once.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{
    map::{ImportMap, Origin, Part, Piece, Recipe, Reorder, Rule, Slice, ready_list},
    pattern::Pattern,
};
use crate::config::nearest;

/// What may be done to numbers of the file.
const RECIPE: [&str; 8] =
    ["reshape", "part", "transpose", "axis", "reorder", "per_head", "scale", "share"];

/// A map as its text says it.
pub(super) struct Parsed {
    pub(super) identity: bool,
    pub(super) base: Option<&'static str>,
    pub(super) rules: Vec<Rule>,
}

/// Reads the text of a map.
pub(super) fn parse(text: &str) -> Result<Parsed, Vec<String>> {
    let table: Table =
        text.parse().map_err(|e: toml::de::Error| vec![e.to_string().trim_end().to_owned()])?;
    let mut problems = Vec::new();
    let mut keys = Keys::new(&table, "the map", &mut problems);
    let identity = keys.boolean("identity").unwrap_or(true);
    let base = keys.base();
    let tensors = keys.get("tensor");
    keys.finish();
    let rules = match tensors {
        None => Vec::new(),
        Some(Value::Array(list)) => {
            let numbered = list.iter().enumerate();
            numbered.filter_map(|(i, value)| rule(i + 1, value, &mut problems)).collect()
        }
        Some(_) => {
            problems.push("`tensor` must be a list of rules: write [[tensor]]".into());
            Vec::new()
        }
    };
    if problems.is_empty() { Ok(Parsed { identity, base, rules }) } else { Err(problems) }
}

/// One `[[tensor]]`.
fn rule(number: usize, value: &Value, problems: &mut Vec<String>) -> Option<Rule> {
    let Some(table) = value.as_table() else {
        problems.push("`tensor` must be a list of rules: write [[tensor]]".into());
        return None;
    };
    let label = match table.get("to").and_then(Value::as_str) {
        Some(to) => format!("rule {number} (`{to}`)"),
        None => format!("rule {number}"),
    };
    let mut keys = Keys::new(table, &label, problems);
    let to = keys.name("to", Pattern::ours);
    if !table.contains_key("to") {
        keys.say("`to` is missing");
    }
    let origin = keys.origin(to.as_ref());
    keys.finish();
    Some(Rule { to: to?, own: true, origin: origin?, label: format!("rule {number}") })
}

/// Reads typed keys out of one table and remembers every problem.
struct Keys<'a, 'p> {
    table: &'a Table,
    label: &'p str,
    seen: BTreeSet<&'static str>,
    problems: &'p mut Vec<String>,
}

impl<'a, 'p> Keys<'a, 'p> {
    fn new(table: &'a Table, label: &'p str, problems: &'p mut Vec<String>) -> Self {
        Self { table, label, seen: BTreeSet::new(), problems }
    }

    fn say(&mut self, problem: impl AsRef<str>) {
        self.problems.push(format!("{}: {}", self.label, problem.as_ref()));
    }

    fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.seen.insert(key);
        self.table.get(key)
    }

    /// The value under `key` as `convert` reads it; one that it does not read is a problem.
    fn typed<T>(
        &mut self,
        key: &'static str,
        what: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let converted = convert(value);
        if converted.is_none() {
            self.say(format!("`{key}` must be {what}, not {value}"));
        }
        converted
    }

    fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.typed(key, "a string", Value::as_str)
    }

    fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", Value::as_bool)
    }

    fn count(&mut self, key: &'static str) -> Option<usize> {
        self.typed(key, "a whole number of at least 0", count)
    }

    fn number(&mut self, key: &'static str) -> Option<f32> {
        self.typed(key, "a finite number", |value| {
            let number = match value {
                Value::Float(x) => *x as f32,
                Value::Integer(n) => *n as f32,
                _ => return None,
            };
            number.is_finite().then_some(number)
        })
    }

    /// The ready map that this one adds to.
    fn base(&mut self) -> Option<&'static str> {
        let what = ready_list(" or ");
        self.typed("base", &what, |value| ImportMap::ready().find(|r| value.as_str() == Some(r)))
    }

    fn name(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<Pattern, String>,
    ) -> Option<Pattern> {
        let text = self.text(key)?;
        read(text).map_err(|problem| self.say(problem)).ok()
    }

    /// `from`, `merge` or `fill`, and what goes with it.
    fn origin(&mut self, to: Option<&Pattern>) -> Option<Origin> {
        let given = ["from", "merge", "fill"].into_iter().filter(|k| self.table.contains_key(*k));
        match given.collect::<Vec<_>>()[..] {
            ["fill"] => self.number("fill").map(Origin::Fill),
            [_] => self.recipe(to).map(Origin::Pieces),
            [] => self.no_origin("one of `from`, `merge` and `fill` is missing"),
            [..] => self.no_origin("only one of `from`, `merge` and `fill` can be given"),
        }
    }

    /// Says why, and leaves alone the keys that nobody will read now.
    fn no_origin(&mut self, why: &str) -> Option<Origin> {
        self.seen.extend(["from", "merge", "fill"]);
        self.seen.extend(RECIPE);
        self.say(why);
        None
    }

    fn recipe(&mut self, to: Option<&Pattern>) -> Option<Recipe> {
        let merge = self.table.contains_key("merge");
        let common = self.operations();
        let pieces = if merge { self.merged(&common) } else { self.piece(common) };
        let axis = if merge { self.count("axis") } else { None };
        let reorder = self.reorder();
        let scale = self.number("scale");
        if scale == Some(0.0) {
            self.say("`scale` is 0; write `fill = 0.0` if that is meant");
        }
        let share = self.boolean("share").unwrap_or(false);
        let pieces = pieces?;
        if let Some(to) = to {
            self.check_holes(to, &pieces, share);
        }
        Some(Recipe { pieces, axis, reorder, scale, share })
    }

    /// Operations on one piece; what they are done to is not read here.
    fn operations(&mut self) -> Piece {
        Piece {
            from: Pattern::literal(""),
            reshape: self.reshape(),
            part: self.part(),
            transpose: self.boolean("transpose"),
        }
    }

    fn piece(&mut self, operations: Piece) -> Option<Vec<Piece>> {
        let from = self.name("from", Pattern::theirs)?;
        Some(vec![Piece { from, ..operations }])
    }

    /// The list under `merge`: names, or tables with operations of their own.
    fn merged(&mut self, common: &Piece) -> Option<Vec<Piece>> {
        let what = "a list of two or more names";
        let list = self.typed("merge", what, |v| v.as_array().filter(|list| list.len() > 1))?;
        let piece = |item: &'a Value| match item {
            Value::Table(table) => {
                let label = format!("{}, in `merge`", self.label);
                let mut keys = Keys::new(table, &label, self.problems);
                let own = keys.operations();
                if !table.contains_key("from") {
                    keys.say("`from` is missing");
                }
                let from = keys.name("from", Pattern::theirs);
                keys.finish();
                Some(Piece {
                    from: from?,
                    reshape: own.reshape.or_else(|| common.reshape.clone()),
                    part: own.part.or(common.part),
                    transpose: own.transpose.or(common.transpose),
                })
            }
            Value::String(name) => match Pattern::theirs(name) {
                Ok(from) => Some(Piece { from, ..common.clone() }),
                Err(problem) => {
                    self.say(problem);
                    None
                }
            },
            other => {
                self.say(format!("`merge` must be {what}, and {other} is none"));
                None
            }
        };
        list.iter().map(piece).collect::<Vec<_>>().into_iter().collect()
    }

    fn reshape(&mut self) -> Option<Vec<Option<usize>>> {
        self.typed("reshape", "a list of sizes above 0, one of which may be -1", |value| {
            let size = |v: &Value| match v.as_integer()? {
                -1 => Some(None),
                n => usize::try_from(n).ok().filter(|n| *n > 0).map(Some),
            };
            let sizes: Vec<_> = value.as_array()?.iter().map(size).collect::<Option<_>>()?;
            let free = sizes.iter().filter(|s| s.is_none()).count();
            (!sizes.is_empty() && free <= 1).then_some(sizes)
        })
    }

    /// `{ axis, index, of }` or `{ axis, start, end }`.
    fn part(&mut self) -> Option<Part> {
        let what = "{ axis, index, of } with index < of, or { axis, start, end } with start < end";
        self.typed("part", what, |value| {
            let table = value.as_table()?;
            let number = |key: &str| table.get(key).and_then(count);
            let slice = match (number("index"), number("of"), number("start"), number("end")) {
                (Some(index), Some(of), None, None) if index < of => Slice::Equal { index, of },
                (None, None, Some(start), Some(end)) if start < end => Slice::Range { start, end },
                _ => return None,
            };
            (table.len() == 3).then_some(Part { axis: number("axis")?, slice })
        })
    }

    fn reorder(&mut self) -> Option<Reorder> {
        let per_head = self.boolean("per_head");
        let what = "the file's order of \"u\", \"v\", \"q\" and \"k\", each once";
        let at = self.typed("reorder", what, |value| {
            let names: Vec<_> = value.as_array()?.iter().map(Value::as_str).collect();
            let find = |letter| names.iter().position(|name| *name == Some(letter));
            let at = [find("u")?, find("v")?, find("q")?, find("k")?];
            (names.len() == 4).then_some(at)
        });
        if per_head.is_some() && !self.table.contains_key("reorder") {
            self.say("`per_head` goes with `reorder`, the order inside a head");
        }
        Some(Reorder { at: at?, per_head: per_head.unwrap_or(false) })
    }

    /// Every hole of `from` must be known, and every hole of `to` used.
    fn check_holes(&mut self, to: &Pattern, pieces: &[Piece], share: bool) {
        for Piece { from, .. } in pieces {
            for hole in from.holes().filter(|hole| !to.holes().any(|h| h == *hole)) {
                self.say(format!("`{from}` uses {{{hole}}}, which `to` does not have"));
            }
            for hole in to.holes().filter(|h| !share && !from.holes().any(|hole| hole == *h)) {
                self.say(format!(
                    "`{from}` does not use {{{hole}}}, so several tensors would get the same \
                     numbers; say `share = true` if they do"
                ));
            }
        }
    }

    /// Names the keys that nothing has asked for.
    fn finish(self) {
        for key in self.table.keys().filter(|k| !self.seen.contains(k.as_str())) {
            self.problems.push(format!("{}: `{key}` {}", self.label, self.stray(key)));
        }
    }

    /// Why a key does not belong here.
    fn stray(&self, key: &str) -> String {
        if self.seen.contains("to") && ["base", "identity"].contains(&key) {
            "belongs to the top of the file, before any [[tensor]]".to_owned()
        } else if self.seen.contains("fill") && RECIPE.contains(&key) {
            "has no meaning with `fill`".to_owned()
        } else if key == "axis" {
            "goes with `merge`; the axis of a part stands in `part`".to_owned()
        } else {
            let near = nearest(key, &self.seen);
            let guess = near.map_or_else(String::new, |k| format!("; did you mean `{k}`?"));
            format!("is not a known key{guess}")
        }
    }
}

fn count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_integer()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(text).err().unwrap_or_default()
    }

    #[test]
    fn a_rule_says_all_it_can() {
        let text = "identity = false\n[[tensor]]\nto = \"layers.{l}.uvqk.weight\"\n\
                    merge = [\"a.{l}\", { from = \"b.{l}\", transpose = false }]\naxis = 0\n\
                    part = { axis = 1, index = 0, of = 2 }\nreshape = [-1, 4]\ntranspose = true\n\
                    reorder = [\"q\", \"k\", \"v\", \"u\"]\nper_head = true\nscale = 2\nshare = true\n";
        let parsed = parse(text).map_err(|p| p.join("\n")).unwrap();
        assert!(!parsed.identity && parsed.base.is_none());
        let Origin::Pieces(recipe) = &parsed.rules[0].origin else { panic!("not a fill") };
        let half = Part { axis: 1, slice: Slice::Equal { index: 0, of: 2 } };
        let [a, b] = &recipe.pieces[..] else { panic!("two pieces") };
        assert_eq!((a.transpose, b.transpose), (Some(true), Some(false)));
        assert_eq!((a.part, b.part), (Some(half), Some(half)));
        assert_eq!(b.reshape, Some(vec![None, Some(4)]));
        assert_eq!(recipe.reorder, Some(Reorder { at: [3, 2, 0, 1], per_head: true }));
        assert_eq!((recipe.axis, recipe.scale, recipe.share), (Some(0), Some(2.0), true));
    }

    #[test]
    fn every_problem_of_a_map_names_its_rule() {
        let text = "base = \"pytorch\"\nidentiy = true\n\
            [[tensor]]\nform = \"a\"\ntransposed = true\n\
            [[tensor]]\nto = \"a\"\nfrom = \"b\"\nfill = 0\n\
            [[tensor]]\nto = \"a\"\nfill = inf\ntranspose = true\nidentity = false\n\
            [[tensor]]\nto = \"a.{l}\"\nfrom = \"b.{m}\"\ntranspose = 1\naxis = 0\n\
            [[tensor]]\nto = \"a.{l+1}\"\nmerge = [\"b\"]\nscale = 0.0\nper_head = true\n\
            [[tensor]]\nto = \"a\"\nmerge = [\"b\", { from = \"c\", form = 1 }, 3, { part = 1 }]\n";
        assert_eq!(
            problems(text),
            [
                "the map: `base` must be `pytorch-linear` or `pytorch-uvqk-split`, not \"pytorch\"",
                "the map: `identiy` is not a known key; did you mean `identity`?",
                "rule 1: `to` is missing",
                "rule 1: one of `from`, `merge` and `fill` is missing",
                "rule 1: `form` is not a known key; did you mean `from`?",
                "rule 1: `transposed` is not a known key; did you mean `transpose`?",
                "rule 2 (`a`): only one of `from`, `merge` and `fill` can be given",
                "rule 3 (`a`): `fill` must be a finite number, not inf",
                "rule 3 (`a`): `identity` belongs to the top of the file, before any [[tensor]]",
                "rule 3 (`a`): `transpose` has no meaning with `fill`",
                "rule 4 (`a.{l}`): `transpose` must be true or false, not 1",
                "rule 4 (`a.{l}`): `b.{m}` uses {m}, which `to` does not have",
                "rule 4 (`a.{l}`): `b.{m}` does not use {l}, so several tensors would get the same \
                 numbers; say `share = true` if they do",
                "rule 4 (`a.{l}`): `axis` goes with `merge`; the axis of a part stands in `part`",
                "rule 5 (`a.{l+1}`): `a.{l+1}`: a number is added to a hole in `from` only",
                "rule 5 (`a.{l+1}`): `merge` must be a list of two or more names, not [\"b\"]",
                "rule 5 (`a.{l+1}`): `per_head` goes with `reorder`, the order inside a head",
                "rule 5 (`a.{l+1}`): `scale` is 0; write `fill = 0.0` if that is meant",
                "rule 6 (`a`), in `merge`: `form` is not a known key; did you mean `from`?",
                "rule 6 (`a`): `merge` must be a list of two or more names, and 3 is none",
                "rule 6 (`a`), in `merge`: `part` must be { axis, index, of } with index < of, or { \
                 axis, start, end } with start < end, not 1",
                "rule 6 (`a`), in `merge`: `from` is missing",
            ]
        );
    }

    #[test]
    fn values_out_of_range_and_syntax() {
        for (line, says) in [
            ("part = { axis = 0, index = 2, of = 2 }", "`part` must be"),
            ("part = { axis = 0, index = 0, of = 2, start = 1 }", "`part` must be"),
            ("part = { axis = 0, start = 3, end = 3 }", "`part` must be"),
            ("part = { index = 0, of = 2 }", "`part` must be"),
            ("reshape = [-1, -1]", "`reshape` must be"),
            ("reshape = [0, 4]", "`reshape` must be"),
            ("reshape = []", "`reshape` must be"),
            ("reorder = [\"u\", \"v\", \"q\", \"q\"]", "`reorder` must be"),
            ("reorder = [\"u\", \"v\", \"q\", \"k\", \"k\"]", "`reorder` must be"),
            ("scale = 1e39", "`scale` must be a finite number"),
            ("transpose = \"yes\"", "`transpose` must be true or false"),
        ] {
            let problems = problems(&format!("[[tensor]]\nto = \"a\"\nfrom = \"b\"\n{line}\n"));
            assert!(problems.len() == 1 && problems[0].contains(says), "{line}: {problems:?}");
        }
        assert_eq!(problems("[tensor]\n"), ["`tensor` must be a list of rules: write [[tensor]]"]);
        assert!(problems("[[tensor]\n")[0].contains("line 1"));
    }
}
