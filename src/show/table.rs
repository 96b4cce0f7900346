//! Aligned columns and numbers that people can read.

/// Rows of text in aligned columns; the first column is left-aligned, the others right-aligned.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&h| h.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// All rows, indented by two spaces.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(c));
            cells.map(|s| s.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(c, (cell, &w))| match c {
                0 => format!("{cell:<w$}"),
                _ => format!("{cell:>w$}"),
            });
            format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// `head` and items separated by commas, broken where a terminal would.
pub(crate) fn listed(head: &str, items: impl Iterator<Item = String>) -> String {
    const WIDTH: usize = 96;
    let mut lines = vec![head.to_owned()];
    let mut items = items.peekable();
    while let Some(mut item) = items.next() {
        if items.peek().is_some() {
            item.push(',');
        }
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + item.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(&item);
            }
            _ => lines.push(format!("  {item}")),
        }
    }
    lines.join("\n")
}

/// `head` and words behind it, broken where a terminal would; further lines begin below the first word.
pub(crate) fn wrapped(head: &str, text: &str) -> String {
    const WIDTH: usize = 100;
    let indent = " ".repeat(head.chars().count());
    let mut lines = vec![head.to_owned()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line)
                if *line == head
                    || *line == indent
                    || line.chars().count() + 1 + word.chars().count() <= WIDTH =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent} {word}")),
        }
    }
    lines.join("\n")
}

/// `1.5 MB`: decimal units, as disks are sold.
pub(crate) fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Two significant digits: `1.2e-6`.
pub(crate) fn figure(x: f64) -> String {
    if x == 0.0 { "0".into() } else { format!("{x:.1e}") }
}

/// `0.31 s`
pub(crate) fn seconds(s: f64) -> String {
    format!("{s:.2} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let mut table = Table::new(&["graph", "error"]);
        table.row(["encode".into(), "1e-6".into()]);
        table.row(["rank".into(), "12e-6".into()]);
        assert_eq!(table.text(), "  graph   error\n  encode   1e-6\n  rank    12e-6");
    }

    #[test]
    fn lists_are_broken_between_items() {
        let items = || ["MatMul 3", "Add 1"].map(str::to_owned).into_iter();
        assert_eq!(listed("nodes:", items()), "nodes: MatMul 3, Add 1");
        let many = listed("nodes:", (0..40).map(|n| format!("Operator {n}")));
        assert!(many.lines().count() > 4 && many.lines().all(|l| l.len() <= 96), "{many}");
        assert_eq!(listed("none", [].into_iter()), "none");
    }

    #[test]
    fn words_stay_below_the_first() {
        let text = wrapped("  why", &"word ".repeat(40));
        assert!(text.lines().count() > 2 && text.lines().all(|l| l.len() <= 100), "{text}");
        assert!(text.lines().skip(1).all(|l| l.starts_with("      word")), "{text}");
        assert_eq!(wrapped("a", &"x".repeat(120)).lines().count(), 1, "a word is not broken");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [bytes(999), bytes(1_500_000), bytes(4_000_000_000)],
            ["999 B", "1.5 MB", "4.0 GB"]
        );
    }
}
