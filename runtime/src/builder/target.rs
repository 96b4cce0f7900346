//! The GPUs that a plan is compiled for.

use std::{fmt, str::FromStr};

use onr_onnx::ElemType;

use super::EngineError;

/// A compute capability, `sm86` as people type it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(pub u32);

impl Target {
    /// The GPUs that a name is accepted for. A builder may know fewer: see
    /// [`EngineBuilder::check_targets`](super::EngineBuilder::check_targets).
    pub const KNOWN: [Self; 11] = [
        Self(75),
        Self(80),
        Self(86),
        Self(87),
        Self(89),
        Self(90),
        Self(100),
        Self(103),
        Self(110),
        Self(120),
        Self(121),
    ];
}

impl Target {
    /// The first capability that computes in an ONNX element type, and the type's name; nothing for types that
    /// all GPUs have.
    #[must_use]
    pub fn least_for(elem: ElemType) -> Option<(Self, &'static str)> {
        match elem {
            ElemType::Float8E4M3Fn => Some((Self(89), "FP8")),
            ElemType::Bfloat16 => Some((Self(80), "BF16")),
            _ => None,
        }
    }
}

/// Refuses GPUs that lack a type: better said before a build than in the middle of it.
///
/// # Errors
/// [`EngineError::Target`] with the first GPU that lacks it.
pub fn check_capability(
    builder: &'static str,
    targets: &[Target],
    elem: ElemType,
) -> Result<(), EngineError> {
    let Some((least, what)) = Target::least_for(elem) else { return Ok(()) };
    match targets.iter().find(|target| **target < least) {
        None => Ok(()),
        Some(target) => Err(EngineError::Target {
            builder,
            target: target.to_string(),
            reason: format!("{what} needs {least} or later"),
            hint: format!(
                "leave {target} out of --target, or choose another --precision for it: int8 and fp16 run on all"
            ),
        }),
    }
}

/// `sm75, sm80, sm86`.
pub(crate) fn list_targets(targets: &[Target]) -> String {
    targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ")
}

/// The text is not the name of a GPU target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a GPU target; known: {known}", known = list_targets(&Target::KNOWN))]
pub struct UnknownTarget {
    /// The text as typed.
    pub text: String,
}

impl FromStr for Target {
    type Err = UnknownTarget;

    /// `sm86`, `sm_86`, `86` or `8.6`.
    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let bare = text.trim().to_ascii_lowercase();
        let bare = bare.strip_prefix("sm").map_or(bare.as_str(), |t| t.trim_start_matches('_'));
        let number = match bare.split_once('.') {
            Some((major, minor)) if minor.len() == 1 => format!("{major}{minor}"),
            _ => bare.to_owned(),
        };
        let plain = number.bytes().all(|b| b.is_ascii_digit());
        let target = number.parse().ok().map(Self).filter(|_| plain);
        target
            .filter(|t| Self::KNOWN.contains(t))
            .ok_or_else(|| UnknownTarget { text: text.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_people_type_them() {
        for text in ["sm86", "SM_86", " 86 ", "8.6"] {
            assert_eq!(text.parse(), Ok(Target(86)), "{text}");
        }
        assert_eq!("12.0".parse(), Ok(Target(120)));
        assert_eq!("sm90".parse(), Ok(Target(90)), "known, though TensorRT for RTX refuses it");
    }

    #[test]
    fn an_unknown_target_lists_the_known_ones() {
        for text in ["sm42", "8.66", "+86", "ampere", ""] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert_eq!(
            "ampere".parse::<Target>().unwrap_err().to_string(),
            "`ampere` is not a GPU target; known: sm75, sm80, sm86, sm87, sm89, sm90, sm100, sm103, \
             sm110, sm120, sm121"
        );
    }
}
