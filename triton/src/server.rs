//! A `tritonserver` on loopback, for tests and for a look at a repository. It lives as long as its handle.

mod error;
mod log;
mod process;

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use onr_kserve::{Client, ClientOptions, Endpoint, Transport};

pub use error::{LoadFailure, ServerError};
use process::Group;

/// Names the program instead of [`PLACE`].
const PROGRAM: &str = "ONR_TRITONSERVER";
/// Where `make setup` puts the program, in the checkout.
const PLACE: &str = ".onr/triton/bin/tritonserver";
/// How often a server is asked whether it is ready.
const STEP: Duration = Duration::from_millis(25);
/// How often other ports are tried. Between finding a port free and using it, another program may take it.
const TRIES: usize = 3;

/// Which models a server loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// All that are in the repository, once.
    #[default]
    All,
    /// These at the start, others when a client asks.
    Explicit(Vec<String>),
}

/// What to serve, and how.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerOptions {
    repository: PathBuf,
    log: PathBuf,
    program: Option<PathBuf>,
    control: Control,
    deadline: Duration,
    shared_memory: Option<u64>,
    backends: Option<PathBuf>,
    extra: Vec<OsString>,
}

impl ServerOptions {
    /// Serves all models of `repository`; what the server and its models print goes to the file `log`.
    pub fn new(repository: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            repository: repository.into(),
            log: log.into(),
            program: None,
            control: Control::All,
            deadline: Duration::from_secs(120),
            shared_memory: None,
            backends: None,
            extra: Vec::new(),
        }
    }

    /// Starts this program instead of what [`LocalServer::find`] finds.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Which models are loaded.
    pub fn control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    /// How long the server may take until it is ready. Two minutes unless said otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Bytes of `/dev/shm` that each instance of a Python model takes at first and grows by. 1 MiB is the server's own
    /// choice; less is refused by it. Containers often have 64 MiB in all.
    pub fn shared_memory(mut self, bytes: u64) -> Self {
        self.shared_memory = Some(bytes);
        self
    }

    /// Where backends lie, if the program does not know.
    pub fn backends(mut self, directory: impl Into<PathBuf>) -> Self {
        self.backends = Some(directory.into());
        self
    }

    /// One more argument of the program.
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.extra.push(argument.into());
        self
    }

    fn arguments(&self, ports: &Ports, prefix: &str) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec![
            joined("--model-repository=", &self.repository),
            "--http-address=127.0.0.1".into(),
            "--grpc-address=127.0.0.1".into(),
            "--metrics-address=127.0.0.1".into(),
            format!("--http-port={}", ports.http).into(),
            format!("--grpc-port={}", ports.grpc).into(),
            format!("--metrics-port={}", ports.metrics).into(),
            "--strict-readiness=true".into(),
            // What a configuration leaves out is not guessed.
            "--disable-auto-complete-config".into(),
            format!("--backend-config=python,shm-region-prefix-name={prefix}").into(),
        ];
        if let Control::Explicit(models) = &self.control {
            all.push("--model-control-mode=explicit".into());
            all.extend(models.iter().map(|model| format!("--load-model={model}").into()));
        }
        if let Some(bytes) = self.shared_memory {
            for setting in ["shm-default-byte-size", "shm-growth-byte-size"] {
                all.push(format!("--backend-config=python,{setting}={bytes}").into());
            }
        }
        all.extend(self.backends.iter().map(|path| joined("--backend-directory=", path)));
        all.extend(self.extra.iter().cloned());
        all
    }
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    http: u16,
    grpc: u16,
    metrics: u16,
}

impl Ports {
    /// Three that nobody listens on.
    fn free() -> io::Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let all = [listen()?, listen()?, listen()?];
        let [http, grpc, metrics] = all.map(|listener| listener.local_addr().map(|a| a.port()));
        Ok(Self { http: http?, grpc: grpc?, metrics: metrics? })
    }
}

/// A running server. Dropping it kills it with all its processes and removes what they left in `/dev/shm`; so does
/// the death of this program, whatever its cause.
#[derive(Debug)]
pub struct LocalServer {
    group: Group,
    ports: Ports,
    log: PathBuf,
}

impl LocalServer {
    /// The program: the one that `ONR_TRITONSERVER` names, or `.onr/triton/bin/tritonserver` here or further up.
    ///
    /// # Errors
    /// [`ServerError::Missing`] if there is none.
    pub fn find() -> Result<PathBuf, ServerError> {
        if let Some(program) = env::var_os(PROGRAM).map(PathBuf::from) {
            return if program.is_file() { Ok(program) } else { Err(missing(program)) };
        }
        let here = env::current_dir().unwrap_or_default();
        let places = here.ancestors().map(|folder| folder.join(PLACE));
        places.into_iter().find(|place| place.is_file()).ok_or_else(|| missing(here.join(PLACE)))
    }

    /// Starts a server, and returns when it and all its models are ready.
    ///
    /// # Errors
    /// [`ServerError::Missing`] if there is no program, [`ServerError::Stopped`] with the models that don't load if it
    /// stops, [`ServerError::NotReady`] if it takes too long.
    pub fn start(options: &ServerOptions) -> Result<Self, ServerError> {
        let program = options.program.clone().map_or_else(Self::find, Ok)?;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match Self::attempt(&program, options) {
                Err(error) if tries > 0 && error.is_port_taken() => {}
                result => return result,
            }
        }
    }

    /// The server over this transport.
    #[must_use]
    pub fn endpoint(&self, transport: Transport) -> Endpoint {
        let port = match transport {
            Transport::Http => self.ports.http,
            Transport::Grpc => self.ports.grpc,
        };
        Endpoint::new(transport, "127.0.0.1", port)
    }

    /// Port of the Prometheus metrics, at `/metrics`.
    #[must_use]
    pub fn metrics_port(&self) -> u16 {
        self.ports.metrics
    }

    /// Bytes of memory that the server and its models' processes hold. Pages that they share count for each.
    ///
    /// # Errors
    /// [`ServerError::Processes`] if `/proc` can't be read.
    pub fn memory(&self) -> Result<u64, ServerError> {
        self.group.memory().map_err(ServerError::Processes)
    }

    /// Ids of the server's processes and of those that its models run in, this program's watcher included.
    ///
    /// # Errors
    /// [`ServerError::Processes`] if `/proc` can't be read.
    pub fn processes(&self) -> Result<Vec<u32>, ServerError> {
        self.group.members().map_err(ServerError::Processes)
    }

    /// Does it still run?
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.group.is_running()
    }

    /// Kills it now, as a crash would. Connections end in the middle.
    pub fn kill(&mut self) {
        self.group.kill();
    }

    /// What the server and its models have printed so far.
    ///
    /// # Errors
    /// [`ServerError::Log`] if the file can't be read.
    pub fn log(&self) -> Result<String, ServerError> {
        read_log(&self.log)
    }

    fn attempt(program: &Path, options: &ServerOptions) -> Result<Self, ServerError> {
        let ports = Ports::free().map_err(ServerError::Ports)?;
        let unwritten = |cause| ServerError::Log { file: options.log.clone(), cause };
        let log = File::create(&options.log).map_err(unwritten)?;
        let prefix = process::prefix(ports.http);
        let arguments = options.arguments(&ports, &prefix);
        let started = Group::start(program, &arguments, prefix, log);
        let group =
            started.map_err(|cause| ServerError::Start { program: program.into(), cause })?;
        let server = Self { group, ports, log: options.log.clone() };
        server.wait(options.deadline)?;
        Ok(server)
    }

    /// Returns when the server is ready.
    fn wait(&self, deadline: Duration) -> Result<(), ServerError> {
        let start = Instant::now();
        let timeout = Duration::from_secs(5);
        let options = ClientOptions { timeout, ..ClientOptions::default() };
        let client = Client::new(&self.endpoint(Transport::Http), options)?;
        loop {
            if !self.is_running() {
                return Err(log::stopped(&self.log()?, &self.log));
            }
            // Until it listens every request fails, and that says nothing.
            if client.server_ready().unwrap_or(false) {
                return Ok(());
            }
            if start.elapsed() > deadline {
                return Err(log::not_ready(&self.log()?, &self.log, deadline));
            }
            sleep(STEP);
        }
    }
}

fn missing(looked: PathBuf) -> ServerError {
    ServerError::Missing { looked }
}

fn read_log(file: &Path) -> Result<String, ServerError> {
    let bytes = fs::read(file).map_err(|cause| ServerError::Log { file: file.into(), cause })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
