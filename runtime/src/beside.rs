//! A folder beside a model's, for models that are made of it and read its tensors.

use std::{
    fs,
    path::{Path, PathBuf},
};

use onr_exporter::ExportError;
use onr_onnx::Model;
use tempfile::TempDir;

/// Files above this are not copied where that can be helped.
const LARGE: u64 = 1 << 26;

/// A folder with the files of a model. It goes with the handle.
pub(crate) fn beside(model: &Model) -> Result<TempDir, ExportError> {
    let parent = model.path().parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let files = model.external_files().chain([model.path()]);
    let files: Vec<PathBuf> = files.map(Path::to_owned).collect();
    let size = |file: &PathBuf| fs::metadata(file).map_or(0, |m| m.len());
    let made = TempDir::with_prefix("onr-beside-");
    let folder = made.map_err(|cause| write_error(&std::env::temp_dir(), cause))?;
    let copy = |folder: &Path| -> Result<(), ExportError> {
        for file in &files {
            let to = folder.join(file.strip_prefix(parent).unwrap_or(file));
            if let Some(above) = to.parent() {
                fs::create_dir_all(above).map_err(|cause| write_error(above, cause))?;
            }
            // Engines refuse links that lead out of a model's folder; a second name of the file is none.
            if size(file) <= LARGE || fs::hard_link(file, &to).is_err() {
                fs::copy(file, &to).map_err(|cause| write_error(&to, cause))?;
            }
        }
        Ok(())
    };
    let links = |folder: &Path| {
        let probe = folder.join(".probe");
        let works = files.first().is_some_and(|file| fs::hard_link(file, &probe).is_ok());
        let _ = fs::remove_file(&probe);
        works
    };
    let folder = match files.iter().any(|file| size(file) > LARGE) && !links(folder.path()) {
        // On another disk: a folder beside the model spares the copy, where one can be made.
        true => TempDir::with_prefix_in(".onr-beside-", parent).unwrap_or(folder),
        false => folder,
    };
    copy(folder.path())?;
    Ok(folder)
}

fn write_error(file: &Path, cause: std::io::Error) -> ExportError {
    ExportError::Write { file: file.to_owned(), cause }
}
