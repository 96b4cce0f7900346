//! Loads TensorRT into the process, and asks it for its version.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::flavor::BOUND;
use crate::libraries::TENSORRT_VARIABLE;

/// The version of a loaded library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    major: i32,
    minor: i32,
    patch: i32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A library that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) what: String,
    pub(super) hint: String,
}

/// `trtx` keeps the libraries in globals and ignores a second path without a word; we do not.
struct Loaded {
    library: PathBuf,
    parser: PathBuf,
    version: Version,
}

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// Loads both libraries, unless they are loaded already.
pub(super) fn load(library: &Path, parser: &Path) -> Result<Version, Missing> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(l) = loaded.as_ref() {
        return match l.library == library && l.parser == parser {
            true => Ok(l.version),
            false => Err(Missing {
                what: format!("{} is loaded in this process already", l.library.display()),
                hint: format!("use one {} per run", BOUND.title),
            }),
        };
    }
    let version = open(library, parser).map_err(|what| Missing {
        what,
        hint: format!("{} {TENSORRT_VARIABLE} to where the libraries lie", BOUND.hint),
    })?;
    *loaded = Some(Loaded { library: library.to_owned(), parser: parser.to_owned(), version });
    Ok(version)
}

fn open(library: &Path, parser: &Path) -> Result<Version, String> {
    for file in [library, parser] {
        if !file.is_file() {
            return Err(format!("there is no library {}", file.display()));
        }
    }
    let version = sys::version(library)?;
    let (major, minor) = BOUND.needed;
    if version.major != major || version.minor < minor {
        return Err(format!(
            "{} is version {version}; this onr needs {} {major}.{minor} or a newer {major}.x",
            library.display(),
            BOUND.title,
        ));
    }
    // The parser links against the library by name; loading the library first, by path, makes the
    // pair ours whatever the search path holds.
    trtx::dynamically_load_tensorrt(Some(library)).map_err(|e| cannot_load(library, &e))?;
    trtx::dynamically_load_tensorrt_onnxparser(Some(parser))
        .map_err(|e| cannot_load(parser, &e))?;
    Ok(version)
}

fn cannot_load(file: &Path, error: &trtx::Error) -> String {
    format!("{} cannot be loaded: {error}", file.display())
}

/// Asks a library for its version. `trtx` does not bind these functions, and tells the version of
/// its own headers instead.
#[expect(unsafe_code, reason = "trtx has no safe way to the library's version")]
mod sys {
    use std::{
        ffi::{CStr, CString, c_char, c_int, c_void},
        os::unix::ffi::OsStrExt,
        path::Path,
    };

    use super::Version;

    const RTLD_NOW: c_int = 2;

    // SAFETY: the signatures are those of POSIX.
    unsafe extern "C" {
        fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
        fn dlerror() -> *const c_char;
    }

    pub(super) fn version(library: &Path) -> Result<Version, String> {
        let path = CString::new(library.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
        // SAFETY: the path is a C string. Initialisers of the library run: that is what loading the
        // vendor's library means. It stays loaded, so the functions below stay valid.
        let handle = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        if handle.is_null() {
            return Err(format!("{} cannot be loaded: {}", library.display(), last_error()));
        }
        let ask = |name: &CStr| {
            // SAFETY: the handle is valid and the name a C string.
            let symbol = unsafe { dlsym(handle, name.as_ptr()) };
            if symbol.is_null() {
                return Err(format!("{} is no TensorRT: {}", library.display(), last_error()));
            }
            // SAFETY: NvInferRuntimeBase.h declares all three as `extern "C" int32_t f() noexcept`.
            let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(symbol) };
            Ok(function())
        };
        Ok(Version {
            major: ask(c"getInferLibMajorVersion")?,
            minor: ask(c"getInferLibMinorVersion")?,
            patch: ask(c"getInferLibPatchVersion")?,
        })
    }

    fn last_error() -> String {
        // SAFETY: `dlerror` returns null or a C string that lives until the next call on this
        // thread; it is copied at once.
        unsafe {
            let text = dlerror();
            match text.is_null() {
                true => "no reason given".to_owned(),
                false => CStr::from_ptr(text).to_string_lossy().into_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_no_library_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (library, parser) =
            (folder.path().join("librtx.so.1"), folder.path().join("parser.so.1"));
        let told = open(&library, &parser).unwrap_err();
        assert_eq!(told, format!("there is no library {}", library.display()));
        fs::write(&library, "text").unwrap();
        fs::write(&parser, "text").unwrap();
        let told = open(&library, &parser).unwrap_err();
        assert!(told.starts_with(&format!("{} cannot be loaded: ", library.display())), "{told}");
    }
}
