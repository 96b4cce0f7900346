//! A directory with a tiny model, the program, and ways to break both.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A whole build of this model takes seconds.
pub(crate) const MODEL: &str = r#"[model]
n_items = 30
n_actions = 3
d_model = 8
n_heads = 2
n_layers = 2
n_rank_layers = 1
max_seq_len = 12
attention = "hstu"
tasks = ["click", "buy"]
n_fake_items = 4
rel_pos_buckets = 8
time_buckets = 8
layer_norm_eps = 1e-5
temperature = 0.05
"#;

/// What the commands that take a model and weights begin with.
pub(crate) const BOTH: [&str; 4] = ["--model", "m.toml", "--weights", "w.safetensors"];

/// A directory to run `onr` in.
pub(crate) struct World {
    root: TempDir,
}

impl World {
    /// `m.toml`, `w.safetensors`, and `old` with something that must not be touched.
    pub(crate) fn new() -> Self {
        let world = Self { root: tempfile::tempdir().unwrap() };
        world.write("m.toml", MODEL);
        world.runs(&["init", "--model", "m.toml", "--out", "w.safetensors"]);
        fs::create_dir(world.path("old")).unwrap();
        world.write("old/keep.txt", "precious");
        world.write("old/onr.json", "an older one");
        world
    }

    /// The same with `graphs`, which `onr export` wrote.
    pub(crate) fn exported() -> Self {
        let world = Self::new();
        world.runs(&[&["export"], &BOTH[..], &["--out", "graphs"]].concat());
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Changes a text file; `from` must be in it.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        self.write(name, text.replace(from, to));
    }

    /// Changes a file of bytes.
    pub(crate) fn edit_bytes(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        edit(&mut bytes);
        self.write(name, bytes);
    }

    /// Changes the header and the data of a safetensors file.
    pub(crate) fn edit_weights(&self, edit: impl FnOnce(&mut Value, &mut Vec<u8>)) {
        self.edit_bytes("w.safetensors", |bytes| {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
            let mut data = bytes[8 + length..].to_vec();
            edit(&mut header, &mut data);
            let header = header.to_string().into_bytes();
            *bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
        });
    }

    /// The program, here, with none of the caller's settings.
    pub(crate) fn onr(&self) -> Command {
        self.in_shell(&[])
    }

    /// The program as the last words of another command.
    pub(crate) fn in_shell(&self, before: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_onr");
        let mut command = match before {
            [] => Command::new(program),
            [shell, words @ ..] => {
                let mut command = Command::new(shell);
                command.args(words).arg(program);
                command
            }
        };
        command.current_dir(self.root.path()).stdin(Stdio::null());
        for variable in ["ONR_LOG", "ONR_ONNXRUNTIME", "ONR_TENSORRT_DIR"] {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.outcome(self.onr().args(args).output().unwrap())
    }

    pub(crate) fn outcome(&self, output: Output) -> Outcome {
        let root = self.root.path().display().to_string();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&root, "[DIR]");
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(!err.contains("panicked"), "{err}");
        Outcome { code: output.status.code(), out, err }
    }

    /// What a command that must succeed prints.
    pub(crate) fn runs(&self, args: &[&str]) -> Outcome {
        let outcome = self.run(args);
        assert_eq!(outcome.code, Some(0), "{args:?}\n{}{}", outcome.out, outcome.err);
        outcome
    }

    /// What a command says that must end with `code`, print nothing else and change nothing.
    pub(crate) fn refuses(&self, code: i32, args: &[&str]) -> String {
        self.refuses_as(code, self.onr().args(args))
    }

    pub(crate) fn refuses_as(&self, code: i32, command: &mut Command) -> String {
        let before = self.tree();
        let outcome = self.outcome(command.output().unwrap());
        assert_eq!(outcome.code, Some(code), "{command:?}\n{}{}", outcome.out, outcome.err);
        assert_eq!(outcome.out, "", "{command:?}");
        assert_eq!(self.tree(), before, "{command:?} has left something");
        outcome.err
    }

    /// Every file here, hidden ones too, with its bytes; of a large one the length.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        note(self.root.path(), &mut tree);
        tree
    }

    /// Starts the program, to be signalled.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.start_as(self.onr().args(args))
    }

    pub(crate) fn start_as(&self, command: &mut Command) -> Running {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running(Some(child))
    }
}

/// Files beyond this are not compared byte by byte.
const LARGE: u64 = 64 << 20;

fn note(dir: &Path, tree: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            note(&path, tree);
            tree.insert(path, None);
        } else {
            let length = path.metadata().unwrap().len();
            let bytes = match path.is_file() {
                true if length > LARGE => Some(length.to_le_bytes().to_vec()),
                file => file.then(|| fs::read(&path).unwrap()),
            };
            tree.insert(path, bytes);
        }
    }
}

/// How a run ended; the directory is called `[DIR]`.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A run that is under way; killed if nobody waits for its end.
pub(crate) struct Running(Option<Child>);

impl Running {
    /// Sends a signal by name, as `kill` does.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Waits until `there` holds; the run must not end before.
    pub(crate) fn until(&mut self, what: &str, there: impl Fn() -> bool) {
        let began = Instant::now();
        while !there() {
            let ended = self.0.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended before {what}");
            assert!(began.elapsed() < Duration::from_secs(60), "no {what} in a minute");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its end, and how long that took.
    pub(crate) fn end(mut self, world: &World) -> (Outcome, Duration) {
        let began = Instant::now();
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        (world.outcome(output), began.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Names in a directory, sorted, hidden ones too.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A request of JSON Lines with its fields replaced.
pub(crate) fn request(changes: Value) -> String {
    let mut request = json!({
        "user": "ann", "items": [1, 2, 3], "actions": [1, 1, 2], "timestamps": [10, 20, 30],
        "request_time": 40, "candidates": [4, 5, 6]
    });
    for (key, value) in changes.as_object().unwrap() {
        request[key] = value.clone();
    }
    format!("{request}\n")
}

/// Runs a script with our Python, which has NumPy and ONNX, in a world's directory.
pub(crate) fn python(world: &World, script: &str) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".onr/venv/bin/python");
    let mut command = Command::new(python);
    let output = command.current_dir(world.path("")).args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
