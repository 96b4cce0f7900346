//! Things in the order of their last use. Every operation takes constant time.

/// Where a thing lies, as long as it is there.
pub(crate) type Place = usize;

/// No place: the end of a list.
const NONE: Place = usize::MAX;

/// A doubly linked list in a vector, the most recently used first. Places of removed things are used again.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    nodes: Vec<Node<T>>,
    free: Vec<Place>,
    first: Place,
    last: Place,
}

#[derive(Debug)]
struct Node<T> {
    newer: Place,
    older: Place,
    thing: Option<T>,
}

impl<T> Recent<T> {
    pub(crate) const fn new() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), first: NONE, last: NONE }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Adds a thing as the most recently used.
    pub(crate) fn push(&mut self, thing: T) -> Place {
        let node = Node { newer: NONE, older: NONE, thing: Some(thing) };
        let place = match self.free.pop() {
            Some(place) => {
                self.nodes[place] = node;
                place
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.link_first(place);
        place
    }

    pub(crate) fn get(&self, place: Place) -> Option<&T> {
        self.nodes.get(place)?.thing.as_ref()
    }

    /// Makes a thing the most recently used.
    pub(crate) fn touch(&mut self, place: Place) {
        if self.first != place && self.get(place).is_some() {
            self.unlink(place);
            self.link_first(place);
        }
    }

    /// Takes a thing out.
    pub(crate) fn remove(&mut self, place: Place) -> Option<T> {
        let thing = self.nodes.get_mut(place)?.thing.take()?;
        self.unlink(place);
        self.free.push(place);
        Some(thing)
    }

    /// Takes the least recently used thing out.
    pub(crate) fn pop_oldest(&mut self) -> Option<T> {
        self.remove(self.last)
    }

    fn link_first(&mut self, place: Place) {
        let older = std::mem::replace(&mut self.first, place);
        self.nodes[place].older = older;
        self.nodes[place].newer = NONE;
        match older {
            NONE => self.last = place,
            older => self.nodes[older].newer = place,
        }
    }

    fn unlink(&mut self, place: Place) {
        let (newer, older) = (self.nodes[place].newer, self.nodes[place].older);
        match newer {
            NONE => self.first = older,
            newer => self.nodes[newer].older = older,
        }
        match older {
            NONE => self.last = newer,
            older => self.nodes[older].newer = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn the_oldest_goes_first_and_places_are_used_again() {
        let mut list = Recent::new();
        let [a, b, c] = ["a", "b", "c"].map(|thing| list.push(thing));
        list.touch(a);
        list.touch(a);
        assert_eq!(list.pop_oldest(), Some("b"));
        assert_eq!(list.get(b), None);
        assert_eq!(list.remove(b), None);
        list.touch(b);
        assert_eq!(list.push("d"), b);
        assert_eq!(list.remove(a), Some("a"));
        assert_eq!((list.pop_oldest(), list.pop_oldest()), (Some("c"), Some("d")));
        assert_eq!((list.pop_oldest(), list.len()), (None, 0));
        assert_eq!(list.get(c), None);
    }
}
