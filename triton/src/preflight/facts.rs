//! What is known of a container.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{error::PreflightError, version::Version};

/// What is known of the container that a server runs in. What is not known makes checks skip.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    /// Version of the server, `2.51.0`.
    pub tritonserver_version: Option<String>,
    /// Release of the container, `24.10`.
    pub container_release: Option<String>,
    /// Version of its TensorRT, `10.5.0.18`; at least three numbers.
    pub tensorrt_version: Option<String>,
    /// Backends that it has: names in `/opt/tritonserver/backends`.
    pub backends: Option<Vec<String>>,
    /// Compute capability of its GPU, `8.6`.
    pub compute_capability: Option<String>,
    /// Memory of one GPU.
    pub gpu_memory_bytes: Option<u64>,
    /// Version of its C library, `2.35`. No check reads it: it is for whoever runs `onr` there.
    pub glibc: Option<String>,
}

impl Facts {
    /// Reads a file of facts. Unknown keys are refused: a typo would be a fact that nobody looks at.
    ///
    /// # Errors
    /// [`PreflightError::Read`], [`PreflightError::Facts`] with everything that is wrong.
    pub fn read(file: &Path) -> Result<Self, PreflightError> {
        let text = fs::read_to_string(file)
            .map_err(|cause| PreflightError::Read { file: file.to_owned(), cause })?;
        let refuse = |reason| PreflightError::Facts { file: file.to_owned(), reason };
        // Serde takes an array for the keys in their order.
        if !text.trim_start().starts_with('{') {
            return Err(refuse("it is not one object".to_owned()));
        }
        let facts: Self = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
        let problems = facts.problems();
        if problems.is_empty() { Ok(facts) } else { Err(refuse(problems.join("; "))) }
    }

    /// All keys, without values.
    #[must_use]
    pub fn template() -> Self {
        Self::default()
    }

    fn problems(&self) -> Vec<String> {
        let versions = [
            ("tritonserver_version", &self.tritonserver_version, 2, "2.51.0"),
            ("container_release", &self.container_release, 2, "24.10"),
            ("tensorrt_version", &self.tensorrt_version, 3, "10.5.0.18"),
            ("glibc", &self.glibc, 2, "2.35"),
        ];
        let wrong = |(key, text, least, example): (&str, &Option<String>, usize, &str)| {
            let text = text.as_ref()?;
            let good = Version::parse(text).is_some_and(|version| version.len() >= least);
            (!good).then(|| format!("`{key}` is `{text}`, not as `{example}`"))
        };
        let mut problems: Vec<String> = versions.into_iter().filter_map(wrong).collect();
        let capability = self.compute_capability.as_deref();
        if let Some(text) = capability.filter(|text| capability_number(text).is_none()) {
            problems.push(format!("`compute_capability` is `{text}`, not as `8.6`"));
        }
        if self.gpu_memory_bytes == Some(0) {
            problems.push("`gpu_memory_bytes` is 0".to_owned());
        }
        problems
    }
}

/// `8.6`, `86` and `sm86` are 86. GPUs that nothing here was tried on have numbers too.
pub(super) fn capability_number(text: &str) -> Option<u32> {
    let text = text.trim();
    let bare = text.strip_prefix("sm").map_or(text, |rest| rest.trim_start_matches('_'));
    let digits = match bare.split_once('.') {
        Some((major, minor)) if minor.len() == 1 => format!("{major}{minor}"),
        Some(_) => return None,
        None => bare.to_owned(),
    };
    let plain = digits.len() > 1 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Facts, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("facts.json");
        fs::write(&file, text).unwrap();
        let root = format!("{}/", dir.path().display());
        Facts::read(&file).map_err(|error| {
            assert!(error.hint().is_some(), "{error}");
            error.to_string().replace(&root, "")
        })
    }

    #[test]
    fn the_template_is_a_file_of_facts_that_knows_nothing() {
        let text = serde_json::to_string(&Facts::template()).unwrap();
        assert_eq!(text.matches("null").count(), 7, "{text}");
        assert_eq!(read(&text).unwrap(), Facts::default());
        assert_eq!(read("{}").unwrap(), Facts::default());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = r#"{"tensorrt_version": "10.5", "compute_capability": "ampere", "gpu_memory_bytes": 0}"#;
        assert_eq!(
            read(text).unwrap_err(),
            "facts.json has no facts of a container: `tensorrt_version` is `10.5`, not as `10.5.0.18`; \
             `compute_capability` is `ampere`, not as `8.6`; `gpu_memory_bytes` is 0"
        );
        assert!(
            read(r#"{"tensort_version": "10.5.0"}"#)
                .unwrap_err()
                .contains("unknown field `tensort_version`")
        );
        assert!(
            read(r#"{"glibc": "2.35", "glibc": "2.36"}"#).unwrap_err().contains("duplicate field")
        );
        assert!(read("").is_err() && read("[]").is_err());
    }

    #[test]
    fn capabilities_as_people_and_tools_write_them() {
        for text in ["8.6", "86", "sm86", "sm_86", " 8.6 "] {
            assert_eq!(capability_number(text), Some(86), "{text}");
        }
        assert_eq!(capability_number("12.0"), Some(120));
        for text in ["", "8", "8.60", "-8.6", "+86", "x"] {
            assert_eq!(capability_number(text), None, "{text}");
        }
    }
}
