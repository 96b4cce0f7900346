//! External ids: padded with zeros, so that the order of the texts is that of the numbers.

/// Digits of a user id. It doesn't depend on how many users there are: they stay who they are.
const USER_DIGITS: usize = 9;

/// Most users that their ids have room for.
pub(super) const MOST_USERS: usize = 1_000_000_000;

/// The external id of a user: `u000000017`.
pub(super) fn user(number: usize) -> String {
    format!("u{number:0USER_DIGITS$}")
}

/// The number of a user, if `id` is exactly what [`user`] gives.
pub(super) fn user_number(id: &str) -> Option<usize> {
    parse(id, 'u', USER_DIGITS)
}

/// How items are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct ItemNames {
    n_items: usize,
    digits: usize,
}

impl ItemNames {
    pub(super) fn new(n_items: usize) -> Self {
        Self { n_items, digits: n_items.saturating_sub(1).to_string().len() }
    }

    /// The external id of an item: `i0123`.
    pub(super) fn name(self, number: usize) -> String {
        format!("i{number:0digits$}", digits = self.digits)
    }

    /// The number of an item that exists and is called exactly so.
    pub(super) fn number(self, id: &str) -> Option<usize> {
        parse(id, 'i', self.digits).filter(|&number| number < self.n_items)
    }
}

fn parse(id: &str, letter: char, digits: usize) -> Option<usize> {
    let number = id.strip_prefix(letter)?;
    let plain = number.len() == digits && number.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let items = ItemNames::new(1001);
        assert_eq!((user(17).as_str(), items.name(123).as_str()), ("u000000017", "i0123"));
        assert_eq!((user_number("u000000017"), items.number("i0123")), (Some(17), Some(123)));
        assert_eq!(ItemNames::new(1000).name(999), "i999");
    }

    #[test]
    fn refused_because_no_such_item_or_another_spelling() {
        let items = ItemNames::new(1001);
        for id in ["i1001", "i123", "i00123", "u0123", "i+123", "i", "", "i012é"] {
            assert_eq!(items.number(id), None, "{id}");
        }
        assert_eq!(user_number("u17"), None);
    }
}
