//! The ranges that plans are compiled for.

use std::path::Path;

use onr_graphs::{Profile, Profiles};
use onr_runtime::profiles;

use super::profile;
use crate::exit::Refusal;

/// The ranges of the file of `--profiles`, and those of `--profile` for symbols that it does not have. `kv` is as `seq`
/// unless one of them names it.
pub(crate) fn planned(
    file: Option<&Path>,
    typed: Option<&str>,
    max_seq_len: usize,
) -> anyhow::Result<Profiles> {
    let Some(file) = file else { return Ok(profile(max_seq_len, typed)?.into()) };
    let mut axes = profiles::read(file, max_seq_len)?;
    let named = Profile::of_any(typed.unwrap_or_default())?;
    if let Some(symbol) = named.ranges().keys().find(|symbol| axes.contains_key(*symbol)) {
        let what = format!("--profile names `{symbol}`, which {} has too", file.display());
        return Err(Refusal::usage(what).hint("leave one of them out").into());
    }
    if let Some(seq) = axes.get("seq").filter(|_| named.get("kv").is_none()).cloned() {
        axes.entry("kv".to_owned()).or_insert(seq);
    }
    let hulls = axes.iter().map(|(symbol, axis)| format!("{symbol}={}", axis.hull()));
    let all: Vec<String> = hulls.chain(typed.map(str::to_owned)).collect();
    Ok(Profiles::new(profile(max_seq_len, Some(&all.join(",")))?, axes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: &str, typed: Option<&str>) -> anyhow::Result<Profiles> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("p.toml");
        std::fs::write(&path, file)?;
        planned(Some(&path), typed, 64)
    }

    const SEQ: &str = "[seq]\nbuckets = [8, 64]\nprofiles = [\"1:8:8\", \"9:64:64\"]\n";

    #[test]
    fn keys_and_values_follow_histories() {
        let hull = |typed| of(SEQ, typed).unwrap().hull().to_string();
        let candidates = "candidates=1:256:1024";
        assert_eq!(
            hull(None),
            format!("batch=1:8:32,{candidates},kv=1:8:64,new=1:8:64,seq=1:8:64")
        );
        assert_eq!(
            hull(Some("batch=2,kv=1:2:3")),
            format!("batch=2:2:2,{candidates},kv=1:2:3,new=1:8:64,seq=1:8:64")
        );
        let kv = |typed| of(SEQ, typed).unwrap().of(|s| s == "kv").len();
        assert_eq!((kv(None), kv(Some("kv=1:2:3"))), (2, 1));
        assert_eq!(planned(None, None, 64).unwrap().of(|s| s == "seq").len(), 1);
    }

    #[test]
    fn a_symbol_stands_in_one_place() {
        let told = of(SEQ, Some("seq=1:2:3")).unwrap_err().to_string();
        assert!(told.starts_with("--profile names `seq`, which "), "{told}");
        assert!(of(SEQ, Some("tokens=1:2:3")).is_err());
    }
}
