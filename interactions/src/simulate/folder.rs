//! A simulated log as a folder of shards that appears whole or not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use tempfile::TempDir;

use super::SimulatedLog;
use super::error::{SimulationError, write_error};
use super::names;
use super::sink::Sink;
use super::truth::TRUTH;
use super::user::SimulatedRow;

/// How the shards are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `part-00000.parquet` and so on.
    #[default]
    Parquet,
    /// `part-00000.csv` and so on, each with the names of the columns in its first line.
    Csv,
}

impl LogFormat {
    const fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// The format of the shards.
    pub format: LogFormat,
    /// Rows of a shard; the last one may have fewer. A user may lie in two. At least 1.
    pub rows_per_file: u64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { format: LogFormat::Parquet, rows_per_file: 1_000_000 }
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SimulationReport {
    /// Users.
    pub users: u64,
    /// Impressions.
    pub rows: u64,
    /// Impressions that were clicked.
    pub clicks: u64,
    /// Clicks that converted.
    pub conversions: u64,
    /// Sum of the values.
    pub value: f64,
    /// Shards.
    pub files: u64,
}

impl SimulationReport {
    fn add(&mut self, row: &SimulatedRow) {
        self.rows += 1;
        self.clicks += u64::from(row.clicked);
        self.conversions += u64::from(row.converted);
        self.value += row.value;
    }
}

impl SimulatedLog {
    /// Writes the log to the new folder `dir`: shards with the columns `user_id`, `item_id`,
    /// `timestamp`, `clicked`, `converted`, `value`, and a `truth.json` for [`super::Truth::open`].
    ///
    /// User by user, so that memory stays bounded; `progress` gets the number of users so far. Everything
    /// is made in a folder beside `dir`, which takes its name at the end.
    ///
    /// # Errors
    /// [`SimulationError::Exists`] unless `dir` is missing or empty, [`SimulationError::Write`],
    /// [`SimulationError::Parquet`], [`SimulationError::Parameters`] for shards of no rows.
    pub fn write(
        &self,
        dir: &Path,
        options: WriteOptions,
        progress: &mut dyn FnMut(u64),
    ) -> Result<SimulationReport, SimulationError> {
        if options.rows_per_file == 0 {
            let problems = vec!["rows_per_file is 0".to_owned()];
            return Err(SimulationError::Parameters { problems });
        }
        let staging = Staging::beside(dir)?;
        let mut shards = Shards { dir: staging.path(), options, open: None, files: 0 };
        let mut report = SimulationReport::default();
        for user in self.users() {
            let id = names::user(user.number);
            for row in &user.rows {
                let item = self.item_id(row.item as usize);
                shards.sink(report.rows)?.write(&id, &item, row)?;
                report.add(row);
            }
            report.users += 1;
            progress(report.users);
        }
        report.files = shards.finish()?;
        self.write_truth(staging.path())?;
        staging.publish(dir)?;
        Ok(report)
    }

    fn write_truth(&self, dir: &Path) -> Result<(), SimulationError> {
        let file = dir.join(TRUTH);
        let json = self.truth().json(&file)?;
        let mut out = File::create(&file).map_err(write_error(&file))?;
        out.write_all(json.as_bytes()).map_err(write_error(&file))?;
        out.sync_all().map_err(write_error(&file))
    }
}

/// A folder beside the one that is to appear; goes with all its files unless published.
struct Staging(TempDir);

impl Staging {
    fn beside(dir: &Path) -> Result<Self, SimulationError> {
        let occupied = match fs::read_dir(dir) {
            Ok(mut entries) => entries.next().is_some(),
            Err(cause) => cause.kind() != std::io::ErrorKind::NotFound,
        };
        if occupied {
            return Err(SimulationError::Exists { dir: dir.to_owned() });
        }
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(write_error(parent))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".onr-simulate-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        Ok(Self(builder.tempdir_in(parent).map_err(write_error(dir))?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Renaming replaces an empty folder and refuses one that has been filled meanwhile.
    fn publish(self, dir: &Path) -> Result<(), SimulationError> {
        fs::rename(self.path(), dir).map_err(write_error(dir))?;
        let _ = self.0.keep();
        Ok(())
    }
}

/// Opens a new file whenever the last one is full.
struct Shards<'a> {
    dir: &'a Path,
    options: WriteOptions,
    open: Option<Sink>,
    files: u64,
}

impl Shards<'_> {
    /// Where row number `row` belongs.
    fn sink(&mut self, row: u64) -> Result<&mut Sink, SimulationError> {
        if row.is_multiple_of(self.options.rows_per_file)
            && let Some(full) = self.open.take()
        {
            full.finish()?;
        }
        if self.open.is_none() {
            let extension = self.options.format.extension();
            let file = self.dir.join(format!("part-{:05}.{extension}", self.files));
            self.files += 1;
            self.open = Some(Sink::create(&file, self.options.format)?);
        }
        match &mut self.open {
            Some(sink) => Ok(sink),
            None => unreachable!("opened above"),
        }
    }

    fn finish(mut self) -> Result<u64, SimulationError> {
        if let Some(last) = self.open.take() {
            last.finish()?;
        }
        Ok(self.files)
    }
}
