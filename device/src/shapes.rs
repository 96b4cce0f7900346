//! Which optimisation profile a run needs.

use std::collections::BTreeMap;

use crate::DeviceError;

/// Smallest and largest shape of each dynamic input in one profile, both included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges(pub BTreeMap<String, Vec<(usize, usize)>>);

impl Ranges {
    fn refusal(&self, shapes: &BTreeMap<&str, &[usize]>) -> Option<(String, String)> {
        for (input, axes) in &self.0 {
            let Some(shape) = shapes.get(input.as_str()) else { continue };
            let inside =
                |(size, (least, most)): (&usize, &(usize, usize))| (least..=most).contains(&size);
            if shape.len() != axes.len() || !shape.iter().zip(axes).all(inside) {
                let words: Vec<_> =
                    axes.iter().map(|(least, most)| format!("{least}..={most}")).collect();
                return Some((
                    input.clone(),
                    format!("{shape:?} is outside [{}]", words.join(", ")),
                ));
            }
        }
        None
    }
}

/// The first profile that all shapes fit; the profiles of a plan are disjoint, so there is at most one but for inputs of
/// fixed shape. Without profiles every shape is the engine's to judge.
///
/// # Errors
/// [`DeviceError::Input`] with the input that keeps each profile from fitting.
pub fn choose(
    profiles: &[Ranges],
    shapes: &BTreeMap<&str, &[usize]>,
) -> Result<usize, DeviceError> {
    let mut refusals = Vec::with_capacity(profiles.len());
    for (number, profile) in profiles.iter().enumerate() {
        match profile.refusal(shapes) {
            None => return Ok(number),
            Some(refusal) => refusals.push(refusal),
        }
    }
    let Some((input, _)) = refusals.first().cloned() else { return Ok(0) };
    let each = refusals.into_iter().enumerate();
    let reasons: Vec<_> = each
        .map(|(number, (name, why))| {
            let of = if name == input { String::new() } else { format!("`{name}` ") };
            format!("{of}{why} of profile {number}")
        })
        .collect();
    Err(DeviceError::Input { input, reason: reasons.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[(&str, &[(usize, usize)])]) -> Ranges {
        Ranges(list.iter().map(|(name, axes)| ((*name).to_owned(), axes.to_vec())).collect())
    }

    #[test]
    fn the_profile_that_fits_is_chosen() {
        let short = ranges(&[("ids", &[(1, 8), (1, 64)]), ("lens", &[(1, 8)])]);
        let long = ranges(&[("ids", &[(1, 8), (65, 256)]), ("lens", &[(1, 8)])]);
        let profiles = [short, long];
        let fit = |shape: &[usize]| {
            choose(&profiles, &BTreeMap::from([("ids", shape), ("lens", &shape[..1])]))
        };
        assert_eq!(fit(&[2, 64]), Ok(0));
        assert_eq!(fit(&[2, 65]), Ok(1));
        assert_eq!(
            fit(&[2, 300]).unwrap_err().to_string(),
            "input `ids` [2, 300] is outside [1..=8, 1..=64] of profile 0; [2, 300] is outside [1..=8, 65..=256] of \
             profile 1"
        );
        assert!(
            fit(&[9, 64])
                .unwrap_err()
                .to_string()
                .contains("[9, 64] is outside [1..=8, 1..=64] of profile 0")
        );
        assert_eq!(
            choose(&[], &BTreeMap::from([("ids", &[1, 2][..])])),
            Ok(0),
            "nothing to choose from"
        );
    }
}
