//! `model.toml`: raw text to a validated [`ModelConfig`], all problems at once.

use std::{collections::BTreeSet, fs, path::Path};

use onr_graphs::{Attention, ModelConfig, model::weights::checkpoint};

use crate::error::ExportError;

/// Most buckets that thresholds of `ceil(e^(0.301 k))` can have within 64 bits.
const MAX_TIME_BUCKETS: i64 = 145;
/// Sizes beyond this are typing errors.
const MAX_SIZE: i64 = 1 << 40;

/// Reads and validates a `model.toml`.
///
/// # Errors
/// [`ExportError::Read`], or [`ExportError::Config`] with every problem of the file.
pub fn read_model(path: &Path) -> Result<ModelConfig, ExportError> {
    let text = fs::read_to_string(path).map_err(|cause| ExportError::read(path, cause))?;
    parse_model(&text).map_err(|problems| ExportError::Config { file: path.to_owned(), problems })
}

/// Validates the text of a `model.toml`.
///
/// # Errors
/// Every problem, each naming its key.
pub fn parse_model(text: &str) -> Result<ModelConfig, Vec<String>> {
    let table: toml::Table =
        text.parse().map_err(|e: toml::de::Error| vec![e.to_string().trim_end().to_owned()])?;
    let stray = table.keys().filter(|k| *k != "model");
    let stray: Vec<_> =
        stray.map(|k| format!("`{k}` is not a known section; only [model] is")).collect();
    let Some(model) = table.get("model").and_then(toml::Value::as_table) else {
        return Err([stray, vec!["section [model] is missing".to_owned()]].concat());
    };
    let mut reader = Reader { table: model, seen: BTreeSet::new(), problems: stray };
    let config = reader.model();
    reader.finish()?;
    config.ok_or_else(Vec::new).and_then(|cfg| possible(&cfg).map(|()| cfg))
}

/// Sizes that are fine one by one may make a model that no machine holds.
fn possible(cfg: &ModelConfig) -> Result<(), Vec<String>> {
    let count = |shape: &[usize]| shape.iter().map(|&n| n as u128).product::<u128>();
    let tensors = checkpoint(cfg);
    let parameters: u128 = tensors.iter().map(|t| count(&t.shape)).sum();
    if parameters <= MAX_SIZE as u128 {
        return Ok(());
    }
    let largest = tensors.iter().max_by_key(|t| count(&t.shape));
    let largest = largest.map_or_else(String::new, |t| format!("`{}` {:?}", t.key, t.shape));
    Err(vec![format!(
        "the sizes give {parameters} parameters, more than {MAX_SIZE}; the largest tensor is {largest}"
    )])
}

/// The text of a `model.toml` with this configuration.
#[must_use]
pub fn write_model(cfg: &ModelConfig) -> String {
    let tasks: Vec<_> =
        cfg.tasks.iter().map(|t| toml::Value::from(t.as_str()).to_string()).collect();
    format!(
        "[model]\nn_items = {}\nn_actions = {}\nd_model = {}\nn_heads = {}\nn_layers = {}\n\
         n_rank_layers = {}\nmax_seq_len = {}\nattention = \"{}\"\ntasks = [{}]\nn_fake_items = {}\n\
         rel_pos_buckets = {}\ntime_buckets = {}\nlayer_norm_eps = {:?}\ntemperature = {:?}\n",
        cfg.n_items,
        cfg.n_actions,
        cfg.d_model,
        cfg.n_heads,
        cfg.n_layers,
        cfg.n_rank_layers,
        cfg.max_seq_len,
        cfg.attention.name(),
        tasks.join(", "),
        cfg.n_fake_items,
        cfg.rel_pos_buckets,
        cfg.time_buckets,
        cfg.layer_norm_eps,
        cfg.temperature,
    )
}

/// Reads typed keys out of one TOML table and remembers every problem.
struct Reader<'a> {
    table: &'a toml::Table,
    seen: BTreeSet<&'static str>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn model(&mut self) -> Option<ModelConfig> {
        let n_items = self.integer("n_items", 2, MAX_SIZE);
        let n_actions = self.integer("n_actions", 1, MAX_SIZE);
        let d_model = self.integer("d_model", 1, MAX_SIZE);
        let n_heads = self.integer("n_heads", 1, MAX_SIZE);
        let n_layers = self.integer("n_layers", 1, 10_000);
        let n_rank_layers = self.integer("n_rank_layers", 1, 10_000);
        let max_seq_len = self.integer("max_seq_len", 1, MAX_SIZE);
        let attention = self.attention();
        let tasks = self.tasks();
        let n_fake_items = self.integer("n_fake_items", 0, MAX_SIZE);
        let rel_pos_buckets = self.integer("rel_pos_buckets", 1, MAX_SIZE);
        let time_buckets = self.integer("time_buckets", 0, MAX_TIME_BUCKETS);
        let layer_norm_eps = self.positive("layer_norm_eps");
        let temperature = self.positive("temperature");
        if let (Some(d), Some(h)) = (d_model, n_heads)
            && !d.is_multiple_of(h)
        {
            self.problems
                .push(format!("model.d_model = {d} is not a multiple of model.n_heads = {h}"));
        }
        if let (Some(r), Some(l)) = (n_rank_layers, n_layers)
            && r > l
        {
            self.problems
                .push(format!("model.n_rank_layers = {r} is more than model.n_layers = {l}"));
        }
        Some(ModelConfig {
            n_items: n_items?,
            n_actions: n_actions?,
            d_model: d_model?,
            n_heads: n_heads?,
            n_layers: n_layers?,
            n_rank_layers: n_rank_layers?,
            max_seq_len: max_seq_len?,
            attention: attention?,
            tasks: tasks?,
            n_fake_items: n_fake_items?,
            rel_pos_buckets: rel_pos_buckets?,
            time_buckets: time_buckets?,
            layer_norm_eps: layer_norm_eps?,
            temperature: temperature?,
        })
    }

    /// The value under `key`; a missing one is noted.
    fn value(&mut self, key: &'static str) -> Option<&toml::Value> {
        self.seen.insert(key);
        let value = self.table.get(key);
        if value.is_none() {
            self.problems.push(format!("model.{key} is missing"));
        }
        value
    }

    fn integer(&mut self, key: &'static str, low: i64, high: i64) -> Option<usize> {
        let value = self.value(key)?.clone();
        if let toml::Value::Integer(n) = value
            && (low..=high).contains(&n)
        {
            return usize::try_from(n).ok();
        }
        let range = if high < MAX_TIME_BUCKETS + 1 || high == 10_000 {
            format!("from {low} to {high}")
        } else {
            format!("of at least {low}")
        };
        self.problems.push(format!("model.{key} must be an integer {range}, not {value}"));
        None
    }

    fn positive(&mut self, key: &'static str) -> Option<f32> {
        let value = self.value(key)?.clone();
        let number = match value {
            toml::Value::Float(x) => Some(x as f32),
            toml::Value::Integer(n) => Some(n as f32),
            _ => None,
        };
        let fine = number.filter(|x| x.is_finite() && *x > 0.0);
        if fine.is_none() {
            self.problems.push(format!("model.{key} must be a finite number above 0, not {value}"));
        }
        fine
    }

    fn attention(&mut self) -> Option<Attention> {
        let value = self.value("attention")?.clone();
        let known = [Attention::Hstu, Attention::Softmax];
        let found = known.into_iter().find(|a| value.as_str() == Some(a.name()));
        if found.is_none() {
            self.problems
                .push(format!("model.attention must be \"hstu\" or \"softmax\", not {value}"));
        }
        found
    }

    fn tasks(&mut self) -> Option<Vec<String>> {
        let value = self.value("tasks")?.clone();
        let names: Option<Vec<String>> = value
            .as_array()
            .and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        let unique =
            |names: &Vec<String>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
        let fine = names.filter(|n| !n.is_empty() && unique(n) && n.iter().all(|t| !t.is_empty()));
        if fine.is_none() {
            self.problems.push(format!(
                "model.tasks must be a list of one or more different names, not {value}"
            ));
        }
        fine
    }

    /// All problems, unknown keys included.
    fn finish(mut self) -> Result<(), Vec<String>> {
        let unknown = self.table.keys().filter(|k| !self.seen.contains(k.as_str()));
        let unknown = unknown.map(|k| match nearest(k, &self.seen) {
            Some(n) => format!("model.{k} is not a known key; did you mean `{n}`?"),
            None => format!("model.{k} is not a known key"),
        });
        self.problems.extend(unknown);
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }
}

/// The candidate that is at most two edits away, if any.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a &'a str>,
) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (edits(word, c), *c));
    scored.filter(|(n, _)| *n <= 2).min().map(|(_, c)| c)
}

/// Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = if x == y { diagonal } else { diagonal + 1 };
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"[model]
n_items = 1683
n_actions = 4
d_model = 64
n_heads = 4
n_layers = 4
n_rank_layers = 2
max_seq_len = 256
attention = "hstu"
tasks = ["impression", "click", "conversion", "value"]
n_fake_items = 32
rel_pos_buckets = 128
time_buckets = 64
layer_norm_eps = 1e-5
temperature = 0.05
"#;

    #[test]
    fn a_good_file_round_trips() {
        let cfg = parse_model(GOOD).unwrap();
        assert_eq!((cfg.n_items, cfg.tasks.len(), cfg.temperature), (1683, 4, 0.05));
        assert_eq!(parse_model(&write_model(&cfg)).unwrap(), cfg);
    }

    #[test]
    fn every_problem_comes_in_one_message() {
        let bad = GOOD
            .replace("n_items = 1683", "n_itmes = 1683")
            .replace("n_heads = 4", "n_heads = 5")
            .replace("n_rank_layers = 2", "n_rank_layers = 9")
            .replace("\"hstu\"", "\"flash\"")
            .replace("\"click\"", "\"value\"")
            .replace("time_buckets = 64", "time_buckets = 146")
            .replace("0.05", "inf");
        assert_eq!(
            parse_model(&bad).unwrap_err(),
            [
                "model.n_items is missing",
                "model.attention must be \"hstu\" or \"softmax\", not \"flash\"",
                "model.tasks must be a list of one or more different names, not [\"impression\", \
                 \"value\", \"conversion\", \"value\"]",
                "model.time_buckets must be an integer from 0 to 145, not 146",
                "model.temperature must be a finite number above 0, not inf",
                "model.d_model = 64 is not a multiple of model.n_heads = 5",
                "model.n_rank_layers = 9 is more than model.n_layers = 4",
                "model.n_itmes is not a known key; did you mean `n_items`?",
            ]
        );
    }

    #[test]
    fn a_model_that_no_machine_holds_is_refused() {
        let huge = GOOD.replace("1683", "1099511627776").replace("64\nn_h", "1048576\nn_h");
        let problems = parse_model(&huge).unwrap_err();
        assert!(problems[0].ends_with("tensor is `item_embedding` [1099511627776, 1048576]"));
        let wide = GOOD.replace("64\nn_h", "1099511627776\nn_h");
        assert!(parse_model(&wide).unwrap_err()[0].contains("uvqk.weight"));
    }

    #[test]
    fn syntax_errors_and_stray_sections_are_named() {
        assert!(parse_model("[model\n").unwrap_err()[0].contains("line 1"));
        let stray = parse_model(&format!("{GOOD}\n[training]\nlr = 1\n")).unwrap_err();
        assert_eq!(stray, ["`training` is not a known section; only [model] is"]);
        assert_eq!(parse_model("").unwrap_err(), ["section [model] is missing"]);
    }
}
