//! Where vendor libraries lie.
//!
//! `scripts/setup.sh` installs them beside the repository, and that is where they are found without
//! any environment variable. [`Search::from_env`] is the only place that asks the environment; what
//! it found out is data, and looking for a library is a function of that data and the disk.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// Names ONNX Runtime's library, or a directory that holds it.
pub const ONNXRUNTIME_VARIABLE: &str = "ONR_ONNXRUNTIME";
/// Names the directory with the libraries of the TensorRT that this build binds.
pub const TENSORRT_VARIABLE: &str = "ONR_TENSORRT_DIR";

/// Where the containers of TensorRT and Triton have their programs.
const CONTAINER_PROGRAMS: &str = "/usr/src/tensorrt/bin";

/// A library that we load at run time.
#[derive(Debug, Clone, Copy)]
struct Library {
    /// Its file name before the version.
    stem: &'static str,
    /// The major version that our bindings are made for.
    major: u64,
    /// Its folder in a Python environment's `site-packages`.
    package: &'static str,
    /// What names it from outside.
    variable: &'static str,
}

const ONNXRUNTIME: Library = Library {
    stem: "libonnxruntime.so",
    major: 1,
    package: "onnxruntime/capi",
    variable: ONNXRUNTIME_VARIABLE,
};
const TENSORRT: Library = match cfg!(feature = "tensorrt") {
    false => Library {
        stem: "libtensorrt_rtx.so",
        major: 1,
        package: "tensorrt_rtx_libs",
        variable: TENSORRT_VARIABLE,
    },
    true => Library {
        stem: "libnvinfer.so",
        major: 11,
        package: "tensorrt_libs",
        variable: TENSORRT_VARIABLE,
    },
};
const TENSORRT_PARSER: Library = match cfg!(feature = "tensorrt") {
    false => Library { stem: "libtensorrt_onnxparser_rtx.so", ..TENSORRT },
    true => Library { stem: "libnvonnxparser.so", ..TENSORRT },
};

/// Where to look for libraries, in order: the overrides alone if they are set, else `roots`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// `ONR_ONNXRUNTIME`: the file, or a directory with it.
    pub onnxruntime: Option<PathBuf>,
    /// `ONR_TENSORRT_DIR`: the directory with both libraries.
    pub tensorrt: Option<PathBuf>,
    /// Everything else, most specific first.
    pub roots: Vec<Root>,
    /// Directories of programs: those of `PATH`, then that of NVIDIA's containers.
    pub programs: Vec<PathBuf>,
    /// `onr` in `XDG_CACHE_HOME`, or in `.cache` of `HOME`: what can be made again at a price.
    pub cache: Option<PathBuf>,
}

/// A place that may hold libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A Python environment: libraries lie in the folders of its packages.
    Venv(PathBuf),
    /// A directory that holds libraries itself.
    Directory(PathBuf),
}

/// A library, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The file. Absolute, as far as the roots of the search were.
    pub path: PathBuf,
    /// What led to it.
    pub origin: Origin,
}

/// What led to a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// This environment variable.
    Variable(&'static str),
    /// A package in this Python environment.
    Venv(PathBuf),
    /// A directory of libraries.
    Directory(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "named by {name}"),
            Self::Venv(path) => write!(f, "in the Python environment {}", path.display()),
            Self::Directory(path) => write!(f, "in {}", path.display()),
        }
    }
}

/// The two libraries of TensorRT, out of one directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorrtLibraries {
    /// `libtensorrt_rtx.so.1` or `libnvinfer.so.11`
    pub runtime: Found,
    /// `libtensorrt_onnxparser_rtx.so.1` or `libnvonnxparser.so.11`
    pub parser: Found,
}

/// Why a library is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// No root has it.
    #[error("{what} is in none of {n} places", n = looked_in.len())]
    NotFound {
        /// Stem of the file name.
        what: &'static str,
        /// Every directory that was looked into, in order.
        looked_in: Vec<PathBuf>,
        /// The variable that would name it.
        variable: &'static str,
    },
    /// The user named a place, and it is not there.
    #[error("{variable} is {path}, and {what} is not there", path = path.display())]
    Override {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// Stem of the file name.
        what: &'static str,
    },
}

impl LibraryError {
    /// What the reader could do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { variable, .. } => {
                format!("run `make setup`, or set {variable} to where it lies")
            }
            Self::Override { variable, .. } => {
                format!("unset {variable} to use what `make setup` installed, or correct it")
            }
        }
    }
}

impl Search {
    /// What the environment of this process says: the only function here that asks it.
    #[must_use]
    pub fn from_env() -> Self {
        let executable = env::current_exe().ok();
        let directory = env::current_dir().ok();
        Self::from_parts(|name| env::var_os(name), executable.as_deref(), directory.as_deref())
    }

    /// What `variable` says of the environment, `executable` of the program's file and `directory`
    /// of the current directory.
    ///
    /// Unpacked out of an archive the program lies in `bin`, and libraries in `lib` beside that. In a
    /// repository it lies at `target/release/onr` and its tests a folder deeper, so `.onr` is looked
    /// for beside every folder above it, then above the current directory.
    #[must_use]
    pub fn from_parts(
        variable: impl Fn(&str) -> Option<OsString>,
        executable: Option<&Path>,
        directory: Option<&Path>,
    ) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let absolute = |path: PathBuf| directory.map_or(path.clone(), |d| d.join(&path));
        let path = |name: &str| set(name).map(PathBuf::from).map(absolute);

        let mut roots: Vec<_> = path("VIRTUAL_ENV").map(Root::Venv).into_iter().collect();
        let folder = executable.and_then(Path::parent);
        let packed = folder.filter(|folder| folder.ends_with("bin")).and_then(Path::parent);
        roots.extend(packed.map(|root| Root::Directory(root.join("lib"))));
        let above = folder.into_iter().chain(directory);
        for folder in above.flat_map(Path::ancestors) {
            roots.push(Root::Venv(folder.join(".onr/venv")));
            roots.push(Root::Directory(folder.join(".onr/lib")));
        }
        let loader = set("LD_LIBRARY_PATH");
        let loader = loader.iter().flat_map(env::split_paths).filter(|p| !p.as_os_str().is_empty());
        roots.extend(loader.map(absolute).map(Root::Directory));
        roots.extend(system_directories().into_iter().map(Root::Directory));

        let programs = set("PATH");
        let programs = programs.iter().flat_map(env::split_paths);
        let programs = programs.filter(|p| !p.as_os_str().is_empty()).map(absolute);
        let home = path("HOME").map(|home| home.join(".cache"));
        Self {
            cache: path("XDG_CACHE_HOME").or(home).map(|folder| folder.join("onr")),
            programs: programs.chain([PathBuf::from(CONTAINER_PROGRAMS)]).collect(),
            onnxruntime: path(ONNXRUNTIME_VARIABLE),
            tensorrt: path(TENSORRT_VARIABLE),
            roots: unique(roots),
        }
    }

    /// ONNX Runtime's library.
    ///
    /// # Errors
    /// [`LibraryError`], which says where it was looked for.
    pub fn onnxruntime(&self) -> Result<Found, LibraryError> {
        let named = self.onnxruntime.as_deref();
        if let Some(file) = named.filter(|path| path.is_file()) {
            return Ok(Found::named(file.to_owned(), ONNXRUNTIME));
        }
        self.find(ONNXRUNTIME, named, |dir| newest(dir, ONNXRUNTIME))
    }

    /// The libraries of the TensorRT that this build binds: a directory counts only when it holds both.
    ///
    /// # Errors
    /// [`LibraryError`], which says where they were looked for.
    pub fn tensorrt(&self) -> Result<TensorrtLibraries, LibraryError> {
        let runtime = self.find(TENSORRT, self.tensorrt.as_deref(), |dir| {
            newest(dir, TENSORRT_PARSER).and_then(|_| newest(dir, TENSORRT))
        })?;
        let parser = runtime.path.parent().and_then(|dir| newest(dir, TENSORRT_PARSER));
        let path = parser.ok_or_else(|| self.not_found(TENSORRT_PARSER))?;
        Ok(TensorrtLibraries { parser: Found { path, ..runtime.clone() }, runtime })
    }

    /// The first `trtexec` of all directories of programs; its name alone where there is none.
    #[must_use]
    pub fn trtexec(&self) -> PathBuf {
        let name = Path::new("trtexec");
        let mut all = self.programs.iter().map(|dir| dir.join(name));
        all.find(|file| file.is_file()).unwrap_or_else(|| name.to_owned())
    }

    /// The file that `pick` finds in the place that the user named, else in the first root.
    fn find(
        &self,
        library: Library,
        named: Option<&Path>,
        pick: impl Fn(&Path) -> Option<PathBuf>,
    ) -> Result<Found, LibraryError> {
        if let Some(path) = named {
            return pick(path)
                .or_else(|| pick(&path.join("lib")))
                .map(|file| Found::named(file, library))
                .ok_or_else(|| LibraryError::Override {
                    variable: library.variable,
                    path: path.to_owned(),
                    what: library.stem,
                });
        }
        let in_root = |root: &Root| {
            let path = root.directories(library).iter().find_map(|dir| pick(dir))?;
            Some(Found { path, origin: root.origin() })
        };
        self.roots.iter().find_map(in_root).ok_or_else(|| self.not_found(library))
    }

    fn not_found(&self, library: Library) -> LibraryError {
        LibraryError::NotFound {
            what: library.stem,
            looked_in: self.roots.iter().flat_map(|root| root.directories(library)).collect(),
            variable: library.variable,
        }
    }
}

impl Found {
    fn named(path: PathBuf, library: Library) -> Self {
        Self { path, origin: Origin::Variable(library.variable) }
    }
}

impl Root {
    /// The directories that would hold `library`; of an environment that is not there, itself.
    fn directories(&self, library: Library) -> Vec<PathBuf> {
        let (Self::Venv(path) | Self::Directory(path)) = self;
        if matches!(self, Self::Directory(_)) {
            return vec![path.clone()];
        }
        let pythons = entries(&path.join("lib"));
        let found: Vec<_> = pythons
            .into_iter()
            .filter(|p| file_name(p).is_some_and(|name| name.starts_with("python3")))
            .map(|p| p.join("site-packages").join(library.package))
            .collect();
        if found.is_empty() { vec![path.clone()] } else { found }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Venv(path) => Origin::Venv(path.clone()),
            Self::Directory(path) => Origin::Directory(path.clone()),
        }
    }
}

/// The newest file of `library` in `dir`. `libx.so` counts as the oldest: it carries no version.
fn newest(dir: &Path, library: Library) -> Option<PathBuf> {
    entries(dir)
        .into_iter()
        .filter_map(|path| Some((version(file_name(&path)?, library)?, path)))
        .filter(|(_, path)| path.is_file())
        .max()
        .map(|(_, path)| path)
}

/// `[1, 31, 1]` of `libonnxruntime.so.1.31.1`; `None` for another library or major version.
fn version(name: &str, library: Library) -> Option<Vec<u64>> {
    let rest = name.strip_prefix(library.stem)?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let parts: Result<Vec<u64>, _> = rest.strip_prefix('.')?.split('.').map(str::parse).collect();
    parts.ok().filter(|parts| parts.first() == Some(&library.major))
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// What lies in `dir`, sorted; nothing when it cannot be read.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = read.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Where packages and archives usually put libraries on Linux.
fn system_directories() -> Vec<PathBuf> {
    let multiarch = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let fixed = [multiarch.as_str(), "/usr/local/lib", "/usr/lib", "/usr/lib64"].map(PathBuf::from);
    let opt = entries(Path::new("/opt")).into_iter().map(|dir| dir.join("lib"));
    fixed.into_iter().chain(opt.filter(|dir| dir.is_dir())).collect()
}

fn unique(roots: Vec<Root>) -> Vec<Root> {
    let mut kept: Vec<Root> = Vec::with_capacity(roots.len());
    for root in roots {
        if !kept.contains(&root) {
            kept.push(root);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
