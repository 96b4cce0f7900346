//! What surrounds the sections of a page.

use crate::element::{Element, el, text};

/// A part of a page under its own heading.
pub(super) struct Section {
    pub(super) id: String,
    /// What stands in the list of sections; nothing leaves it out.
    pub(super) title: String,
    /// The heading, where it says more than the title.
    pub(super) heading: Option<Element>,
    pub(super) body: Element,
}

impl Section {
    pub(super) fn new(id: &str, title: &str, body: Element) -> Self {
        Self { id: id.into(), title: title.into(), heading: None, body }
    }

    fn draw(self) -> Element {
        let heading = self.heading.unwrap_or_else(|| text("h2", &self.title));
        el("section")
            .attr("aria-labelledby", &self.id)
            .child(heading.attr("id", &self.id))
            .child(self.body)
    }
}

/// A whole page.
pub(super) struct Page {
    pub(super) title: String,
    /// Style of this page alone; that of all pages comes before it.
    pub(super) style: &'static str,
    /// What stands above the sections.
    pub(super) header: Element,
    pub(super) sections: Vec<Section>,
}

impl Page {
    pub(super) fn html(self) -> String {
        let meta =
            |name: &str, content: &str| el("meta").attr("name", name).attr("content", content);
        let head = el("head")
            .child(el("meta").attr("charset", "utf-8"))
            .child(meta("viewport", "width=device-width, initial-scale=1"))
            .child(meta("color-scheme", "light dark"))
            .child(text("title", &self.title))
            .child(Element::style(&[include_str!("style.css"), self.style]));
        let link = |s: &Section| text("a", &s.title).attr("href", format_args!("#{}", s.id));
        let links = self.sections.iter().filter(|s| !s.title.is_empty()).map(link);
        let contents = el("nav").attr("aria-label", "Sections").children(links);
        let main = el("main").children(self.sections.into_iter().map(Section::draw));
        let body = el("body").child(self.header).child(contents).child(main);
        let page = el("html").attr("lang", "en").child(head).child(body).render();
        format!("<!doctype html>\n{page}\n")
    }
}
