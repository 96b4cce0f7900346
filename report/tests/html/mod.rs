//! What every page must be.

/// Every element that is opened is closed, in order, and no id is there twice.
pub(crate) fn check(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut ids = std::collections::HashSet::new();
    let body = html.split_once("</style>").expect("a style sheet").1;
    for tag in body.split('<').skip(1).map(|part| part.split_once('>').expect("a whole tag").0) {
        for id in tag.split(" id=\"").skip(1) {
            let id = id.split('"').next().unwrap();
            assert!(ids.insert(id), "the id {id} is there twice");
        }
        let name = tag.split([' ', '/']).find(|n| !n.is_empty()).unwrap();
        if tag.starts_with('/') {
            if name != "head" && name != "html" {
                assert_eq!(open.pop(), Some(name), "</{name}> ends something else");
            }
        } else if !tag.ends_with('/') && !["br", "wbr", "meta"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    for link in body.split("href=\"#").skip(1).map(|l| l.split('"').next().unwrap()) {
        assert!(ids.contains(link), "nothing has the id {link}");
    }
    for word in ["NaN", "inf", "Infinity"] {
        let shown = |part: &str| part.split('>').nth(1).is_some_and(|text| text == word);
        assert!(!body.split('<').any(shown), "{word} is shown");
        for mark in ["=\"", " ", ":"] {
            assert!(!body.contains(&format!("{mark}{word}\"")), "{word} is drawn");
        }
    }
    for drawing in body.split("<svg").skip(1) {
        let drawing = drawing.split("</svg>").next().unwrap();
        assert!(drawing.contains("<title"), "a drawing has no title: {drawing:.80}");
    }
}

/// No script, and nothing that a browser would fetch.
pub(crate) fn nothing_from_outside(html: &str) {
    for word in ["http:", "https:", "//", "<script", "<link", "<img", "@import", "url("] {
        assert!(!html.contains(word), "{word}");
    }
}
