//! Elements of HTML and SVG. Text and attributes are escaped when they come in, so a page can't be broken by a
//! name.

use std::fmt::Display;

/// An element with all that is in it.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    tag: &'static str,
    attributes: String,
    body: String,
}

/// An empty element.
pub(crate) fn el(tag: &'static str) -> Element {
    Element { tag, attributes: String::new(), body: String::new() }
}

/// An element that shows a text.
pub(crate) fn text(tag: &'static str, words: &str) -> Element {
    el(tag).text(words)
}

/// Elements without an end tag.
const VOID: [&str; 3] = ["br", "meta", "wbr"];
/// Elements that SVG lets end at once.
const SHAPES: [&str; 5] = ["circle", "line", "path", "rect", "use"];

impl Element {
    pub(crate) fn attr(mut self, name: &str, value: impl Display) -> Self {
        self.attributes.push(' ');
        self.attributes.push_str(name);
        self.attributes.push_str("=\"");
        escape(&value.to_string(), &mut self.attributes);
        self.attributes.push('"');
        self
    }

    pub(crate) fn class(self, value: &str) -> Self {
        if value.is_empty() { self } else { self.attr("class", value) }
    }

    pub(crate) fn text(mut self, words: &str) -> Self {
        escape(words, &mut self.body);
        self
    }

    pub(crate) fn child(mut self, child: Self) -> Self {
        child.write(&mut self.body);
        self
    }

    pub(crate) fn children(self, children: impl IntoIterator<Item = Self>) -> Self {
        children.into_iter().fold(self, Self::child)
    }

    /// Style sheets as they stand.
    pub(crate) fn style(css: &[&str]) -> Self {
        Self { tag: "style", attributes: String::new(), body: css.concat() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(self.tag);
        out.push_str(&self.attributes);
        if self.body.is_empty() && SHAPES.contains(&self.tag) {
            out.push_str("/>");
            return;
        }
        out.push('>');
        if VOID.contains(&self.tag) {
            return;
        }
        out.push_str(&self.body);
        out.push_str("</");
        out.push_str(self.tag);
        out.push('>');
    }
}

/// Marks stay text, and characters that no page may have become U+FFFD. So do those that turn the direction
/// of what follows them: a name must not reorder its row.
fn escape(words: &str, out: &mut String) {
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        let cell = el("td").attr("title", "a\"b").text("<script>&'\u{0}\u{202e}");
        let want = "<td title=\"a&quot;b\">&lt;script&gt;&amp;&#39;\u{fffd}\u{fffd}</td>";
        assert_eq!(cell.render(), want);
        assert_eq!(el("rect").attr("x", 1).render(), "<rect x=\"1\"/>");
        assert_eq!(el("meta").render(), "<meta>");
        assert_eq!(
            el("p").class("").children([el("br"), text("b", "x")]).render(),
            "<p><br><b>x</b></p>"
        );
    }
}
