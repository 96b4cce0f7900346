//! The items of a log, numbered as they come.

use std::collections::HashMap;

use onr_requests::Vocab;

use crate::error::InteractionsError;
use crate::hash;

/// What is known of each item by its number. Takes memory for each different item, not for each row.
#[derive(Default)]
pub(super) struct Items {
    numbers: HashMap<Box<str>, u32>,
    /// By number: the hash of the external id.
    pub(super) hashes: Vec<u64>,
    /// By number: the dense id in the vocabulary that was given, 0 where it has none.
    known: Vec<u32>,
}

impl Items {
    /// The number of an item, `None` when the given vocabulary lacks it.
    pub(super) fn number(
        &mut self,
        external: &str,
        vocab: Option<&Vocab>,
    ) -> Result<Option<u32>, InteractionsError> {
        let number = match self.numbers.get(external) {
            Some(&number) => number,
            None => self.add(external, vocab)?,
        };
        Ok((vocab.is_none() || self.known[number as usize] > 0).then_some(number))
    }

    fn add(&mut self, external: &str, vocab: Option<&Vocab>) -> Result<u32, InteractionsError> {
        let number = u32::try_from(self.hashes.len()).ok().filter(|&n| n < u32::MAX - 1);
        let number = number.ok_or(InteractionsError::TooManyItems { limit: u32::MAX - 1 })?;
        self.numbers.insert(external.into(), number);
        self.hashes.push(hash::id(external)[0]);
        if let Some(vocab) = vocab {
            self.known.push(dense(vocab, external));
        }
        Ok(number)
    }

    /// How many different items came, and how many of them the given vocabulary lacks.
    pub(super) fn counts(&self) -> (u64, u64) {
        let unknown = self.known.iter().filter(|&&id| id == 0).count();
        (self.hashes.len() as u64, unknown as u64)
    }

    /// The vocabulary that was given, else that of the items that came; and the dense id of each number.
    pub(super) fn finish(&mut self, given: Option<&Vocab>) -> (Vocab, Vec<u32>) {
        let numbers = std::mem::take(&mut self.numbers);
        if let Some(vocab) = given {
            return (vocab.clone(), std::mem::take(&mut self.known));
        }
        let vocab = Vocab::build(numbers.keys().map(|name| name.to_string()));
        let mut ids = vec![0; numbers.len()];
        for (name, number) in numbers {
            ids[number as usize] = dense(&vocab, &name);
        }
        (vocab, ids)
    }
}

fn dense(vocab: &Vocab, external: &str) -> u32 {
    vocab.id(external).and_then(|id| u32::try_from(id).ok()).unwrap_or(0)
}
