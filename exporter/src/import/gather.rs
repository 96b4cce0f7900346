//! A recipe and a file to the numbers of one tensor, or to the reasons why not.

use onr_graphs::{DType, ModelConfig, model::weights::WeightSpec};

use super::{
    canvas::{Canvas, View},
    map::{Piece, Recipe, Rule},
    pattern::Captures,
    uses::{Taken, Use, Uses},
};
use crate::{
    checkpoint::{Checkpoint, Stored, float_type},
    config::nearest,
};

/// Takes tensors out of a file and remembers every problem.
pub(super) struct Gatherer<'a> {
    source: &'a Checkpoint,
    n_heads: usize,
    problems: Vec<Problem>,
    lookups: Vec<Lookup>,
    /// Tensors of the model that neither a rule nor the file gives.
    absent: Vec<String>,
    uses: Uses,
}

/// What is wrong with a tensor, and with how many others of its rule.
struct Problem {
    first: String,
    last: String,
    more: usize,
    rule: String,
    text: String,
}

/// How often a name of a rule was looked for.
struct Lookup {
    rule: String,
    pattern: String,
    found: usize,
    /// Tensor of the model, and the foreign name that it needs.
    missing: Vec<(String, String)>,
}

/// One tensor on its way: whom messages are about.
#[derive(Clone, Copy)]
struct Target<'b> {
    spec: &'b WeightSpec,
    rule: &'b Rule,
    recipe: &'b Recipe,
    captures: &'b Captures,
}

impl<'a> Gatherer<'a> {
    pub(super) fn new(source: &'a Checkpoint, cfg: &ModelConfig) -> Self {
        Self {
            source,
            n_heads: cfg.n_heads,
            problems: Vec::new(),
            lookups: Vec::new(),
            absent: Vec::new(),
            uses: Uses::default(),
        }
    }

    /// All problems, and who read what.
    pub(super) fn finish(self) -> (Vec<String>, Uses) {
        let free: Vec<&str> = self.source.keys().filter(|name| !self.uses.has(name)).collect();
        let mut problems: Vec<String> = self.problems.iter().map(Problem::line).collect();
        problems.extend(self.absent.iter().map(|key| {
            let guess = guess(key, &free);
            format!("`{key}`: no rule gives it, and the file has no tensor of this name{guess}")
        }));
        problems.extend(self.lookups.iter().flat_map(|lookup| lookup.problems(&free)));
        problems.extend(self.uses.conflicts());
        (problems, self.uses)
    }

    /// The numbers of a tensor and their type, or `None` with the problem noted.
    pub(super) fn gather(
        &mut self,
        spec: &WeightSpec,
        rule: &Rule,
        recipe: &Recipe,
        captures: &Captures,
    ) -> Option<(Canvas<'a>, DType)> {
        let target = Target { spec, rule, recipe, captures };
        let read: Vec<_> = recipe.pieces.iter().map(|piece| self.piece(target, piece)).collect();
        let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
        let (views, types): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        let result = self.assemble(target, &views, &types);
        result.map_err(|problem| self.say(target, &problem)).ok()
    }

    fn assemble(
        &self,
        target: Target<'_>,
        views: &[View<'a>],
        types: &[DType],
    ) -> Result<(Canvas<'a>, DType), String> {
        let Target { spec, recipe, .. } = target;
        let dtype = types[0];
        if let Some(other) = types.iter().find(|t| **t != dtype) {
            return Err(format!(
                "its pieces are stored as {dtype} and {other}; they must be alike"
            ));
        }
        let canvas = Canvas::join(views, recipe.axis)?;
        if canvas.shape() != spec.shape {
            return Err(format!(
                "it would get shape {:?}, and the model needs {:?}{}",
                canvas.shape(),
                spec.shape,
                advice(target, views, &canvas.shape())
            ));
        }
        match recipe.reorder {
            None => Ok((canvas, dtype)),
            Some(_) if !spec.key.contains(".uvqk.") => {
                Err("`reorder` is about U, V, Q and K, which only `uvqk` tensors have".into())
            }
            Some(reorder) => Ok((canvas.reordered(reorder, self.n_heads)?, dtype)),
        }
    }

    /// Finds, reshapes, cuts and transposes one piece.
    fn piece(&mut self, target: Target<'_>, piece: &Piece) -> Option<(View<'a>, DType)> {
        let name = match piece.from.expand(target.captures) {
            Ok(name) => name,
            Err(problem) => {
                self.say(target, &problem);
                return None;
            }
        };
        let stored = self.look_up(target, piece, &name)?;
        match cut(&name, stored, piece, target.spec) {
            Ok((view, dtype, taken)) => {
                let Target { spec, rule, recipe, .. } = target;
                let (target_name, label) = (spec.key.clone(), rule.label.clone());
                self.uses.add(
                    &name,
                    Use { target: target_name, rule: label, share: recipe.share, taken },
                );
                self.check_square(target, piece, &view)?;
                let flip = piece.transpose == Some(true);
                Some((if flip { view.transposed() } else { view }, dtype))
            }
            Err(problem) => {
                self.say(target, &problem);
                None
            }
        }
    }

    fn look_up(&mut self, target: Target<'_>, piece: &Piece, name: &str) -> Option<Stored<'a>> {
        let stored = self.source.tensor(name);
        if target.rule.is_identity() {
            self.absent.extend(stored.is_none().then(|| name.to_owned()));
            return stored;
        }
        let (rule, pattern) = (target.rule.full_label(), piece.from.to_string());
        let known = self.lookups.iter().position(|l| l.rule == rule && l.pattern == pattern);
        let at = known.unwrap_or_else(|| {
            self.lookups.push(Lookup { rule, pattern, found: 0, missing: Vec::new() });
            self.lookups.len() - 1
        });
        match stored {
            Some(_) => self.lookups[at].found += 1,
            None => self.lookups[at].missing.push((target.spec.key.clone(), name.to_owned())),
        }
        stored
    }

    /// Refuses a square matrix of which nobody has said how it lies: both ways it has one shape.
    fn check_square(&mut self, target: Target<'_>, piece: &Piece, view: &View<'_>) -> Option<()> {
        let shape = view.shape();
        let square = matches!(shape[..], [rows, columns] if rows == columns && rows > 1);
        if !square || piece.transpose.is_some() {
            return Some(());
        }
        let say = if target.rule.is_identity() { "add a rule with" } else { "say" };
        let text = format!(
            "it is read from a square, {shape:?}, where a forgotten transposition would not show; \
             {say} `transpose = true` (stored [out, in], as nn.Linear does) or `transpose = false`"
        );
        self.say(target, &text);
        None
    }

    fn say(&mut self, target: Target<'_>, text: &str) {
        let identity = target.rule.is_identity();
        let (target, rule) = (&target.spec.key, &target.rule.label);
        let alike = |p: &&mut Problem| p.rule == *rule && p.text == text;
        let known = self.problems.iter_mut().find(alike);
        // A tensor without a rule is named, however many there are.
        match known.filter(|p| !identity || p.last == *target) {
            Some(same) if same.last != *target => {
                same.last.clone_from(target);
                same.more += 1;
            }
            Some(_) => {}
            None => self.problems.push(Problem {
                first: target.clone(),
                last: target.clone(),
                more: 0,
                rule: rule.clone(),
                text: text.to_owned(),
            }),
        }
    }
}

impl Problem {
    fn line(&self) -> String {
        let Self { first, more, rule, text, .. } = self;
        match more {
            0 => format!("`{first}` ({rule}): {text}"),
            _ => format!("`{first}` and {more} more ({rule}): {text}"),
        }
    }
}

/// The name that may have been meant.
fn guess(name: &str, names: &[&str]) -> String {
    nearest(name, names).map_or_else(String::new, |near| format!("; is it `{near}`?"))
}

impl Lookup {
    /// What is missing: one line if the file has nothing of the kind, or one for each tensor.
    fn problems(&self, names: &[&str]) -> Vec<String> {
        match &self.missing[..] {
            [(_, first), _, ..] if self.found == 0 => vec![format!(
                "{}: `{}` matches no tensor of the file; the first of {} would be `{first}`{}",
                self.rule,
                self.pattern,
                self.missing.len(),
                guess(first, names)
            )],
            some => {
                let line = |(target, name): &(String, String)| {
                    format!(
                        "{}: `{target}` needs `{name}`, which the file does not have{}",
                        self.rule,
                        guess(name, names)
                    )
                };
                some.iter().map(line).collect()
            }
        }
    }
}

/// A piece before it is transposed, and what of the stored tensor it is.
fn cut<'a>(
    name: &str,
    stored: Stored<'a>,
    piece: &Piece,
    needed: &WeightSpec,
) -> Result<(View<'a>, DType, Option<Taken>), String> {
    let dtype = float_type(stored.dtype).ok_or_else(|| {
        format!("`{name}` is stored as {:?}; F32, F16 and BF16 are read", stored.dtype)
    })?;
    let shape = match &piece.reshape {
        None => stored.shape.to_vec(),
        Some(sizes) => reshaped(stored.shape, sizes)
            .map_err(|reason| format!("`{name}` has shape {:?}, {reason}", stored.shape))?,
    };
    let view = View::new(stored.bytes, dtype.size(), &shape).ok_or_else(|| {
        let advice = squeeze(&shape, &needed.shape);
        format!("`{name}` has shape {shape:?}; `reshape` must bring it to one or two axes{advice}")
    })?;
    let Some(part) = piece.part else { return Ok((view, dtype, None)) };
    let len = *shape.get(part.axis).ok_or_else(|| {
        format!("`{name}` has shape {shape:?}, and `part` asks for its axis {}", part.axis)
    })?;
    let range = part.slice.within(len).map_err(|reason| {
        format!("`{name}` has shape {shape:?}, and `part` does not fit: {reason}")
    })?;
    let taken = Taken { axis: part.axis, range: range.clone(), len };
    Ok((view.part(part.axis, range), dtype, Some(taken)))
}

/// The sizes with the open one filled in.
///
/// # Errors
/// The reason, when the number of elements differs, and when a transposition must be meant.
fn reshaped(stored: &[usize], sizes: &[Option<usize>]) -> Result<Vec<usize>, String> {
    let elements: usize = stored.iter().product();
    let product = |sizes: &[usize]| sizes.iter().try_fold(1_usize, |n, size| n.checked_mul(*size));
    let known: Vec<usize> = sizes.iter().flatten().copied().collect();
    let open = elements / product(&known).unwrap_or(usize::MAX);
    let shape: Vec<usize> = sizes.iter().map(|size| size.unwrap_or(open)).collect();
    if product(&shape) != Some(elements) {
        return Err("which `reshape` does not fit".to_owned());
    }
    match (stored, &shape[..]) {
        ([a, b], [c, d]) if (a, b) == (d, c) && a != b && *a > 1 && *b > 1 => Err(format!(
            "and `reshape` to {shape:?} would leave its numbers in the wrong order; say `transpose`"
        )),
        _ => Ok(shape),
    }
}

/// What would make the shapes fit.
fn advice(target: Target<'_>, views: &[View<'_>], found: &[usize]) -> String {
    let Target { spec, rule, recipe, .. } = target;
    let flipped: Vec<View<'_>> = views.iter().map(|view| view.transposed()).collect();
    let fits = Canvas::join(&flipped, recipe.axis).is_ok_and(|c| c.shape() == spec.shape);
    let transposed = recipe.pieces.iter().any(|p| p.transpose == Some(true));
    match (fits, transposed, rule.is_identity()) {
        (true, true, _) => "; it would fit without `transpose = true`".to_owned(),
        (true, _, true) => {
            "; its transpose would fit: add a rule with `transpose = true`".to_owned()
        }
        (true, ..) => "; its transpose would fit: say `transpose = true`".to_owned(),
        (false, ..) => squeeze(found, &spec.shape),
    }
}

/// Advice for shapes that differ in axes of 1 only.
fn squeeze(found: &[usize], needed: &[usize]) -> String {
    let long = |shape: &[usize]| shape.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>();
    if found.len() != needed.len() && long(found) == long(needed) {
        format!("; `reshape = {needed:?}` would fit")
    } else {
        String::new()
    }
}
