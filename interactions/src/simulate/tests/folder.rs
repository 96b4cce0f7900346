//! The log on disk.

use std::fs::{self, File};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn written(format: LogFormat, rows_per_file: u64) -> (tempfile::TempDir, SimulationReport) {
    let parent = tempfile::tempdir().unwrap();
    let options = WriteOptions { format, rows_per_file };
    let mut last = 0;
    let mut progress = |users| last = users;
    let log = simulate(&small()).unwrap();
    let report = log.write(&parent.path().join("a/log"), options, &mut progress).unwrap();
    assert_eq!((report.users, last), (600, 600));
    (parent, report)
}

/// Lines as a CSV file has them, without the header.
fn expected() -> Vec<String> {
    let log = simulate(&small()).unwrap();
    let line = |user: &SimulatedUser, row: &SimulatedRow| {
        let (user, item) = (log.user_id(user.number), log.item_id(row.item as usize));
        let (clicked, converted) = (u8::from(row.clicked), u8::from(row.converted));
        format!("{user},{item},{},{clicked},{converted},{}", row.timestamp, row.value)
    };
    let lines =
        |user: SimulatedUser| user.rows.iter().map(|row| line(&user, row)).collect::<Vec<_>>();
    log.users().flat_map(lines).collect()
}

fn parquet_lines(file: &Path) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let mut lines = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let (user, item) =
            (column("user_id").as_string::<i32>(), column("item_id").as_string::<i32>());
        let time = column("timestamp").as_primitive::<Int64Type>();
        let clicked = column("clicked").as_primitive::<Int32Type>();
        let converted = column("converted").as_primitive::<Int32Type>();
        let value = column("value").as_primitive::<Float64Type>();
        lines.extend((0..batch.num_rows()).map(|i| {
            let (user, item, time) = (user.value(i), item.value(i), time.value(i));
            let (clicked, converted, value) =
                (clicked.value(i), converted.value(i), value.value(i));
            format!("{user},{item},{time},{clicked},{converted},{value}")
        }));
    }
    lines
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn csv_shards_hold_all_rows_in_order() {
    let (parent, report) = written(LogFormat::Csv, 5_000);
    let dir = parent.path().join("a/log");
    assert_eq!(names(&dir), ["part-00000.csv", "part-00001.csv", "part-00002.csv", "truth.json"]);
    let mut lines = Vec::new();
    for name in &names(&dir)[..3] {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        let mut shard = text.lines();
        assert_eq!(shard.next(), Some("user_id,item_id,timestamp,clicked,converted,value"));
        lines.extend(shard.map(str::to_owned));
    }
    assert_eq!(lines, expected());
    assert_eq!((report.files, report.rows), (3, lines.len() as u64));
    assert_eq!(
        report.clicks,
        lines.iter().filter(|l| l.split(',').nth(3) == Some("1")).count() as u64
    );
}

#[test]
fn parquet_shards_hold_all_rows_in_order() {
    let (parent, report) = written(LogFormat::Parquet, 9_000);
    let dir = parent.path().join("a/log");
    assert_eq!(names(&dir), ["part-00000.parquet", "part-00001.parquet", "truth.json"]);
    let shards: Vec<_> =
        (0..2).map(|n| parquet_lines(&dir.join(format!("part-{n:05}.parquet")))).collect();
    assert_eq!(shards[0].len(), 9_000);
    assert_eq!(shards.concat(), expected());
    assert_eq!(report.files, 2);
}

#[test]
fn truth_is_read_back() {
    let (parent, _) = written(LogFormat::Csv, 1 << 20);
    let dir = parent.path().join("a/log");
    let (read, made) = (Truth::open(&dir).unwrap(), simulate(&small()).unwrap().truth());
    assert_eq!(read.simulation(), &small());
    let history = ["i03", "i40", "i17"];
    let of = |truth: &Truth| {
        let moment = truth.moment("u000000599", &history).unwrap();
        (moment.interest(), moment.expected_values())
    };
    assert_eq!(of(&read), of(&made));
}

#[test]
fn refused_because_another_program_wrote_it() {
    let (parent, _) = written(LogFormat::Csv, 1 << 20);
    let file = parent.path().join("a/log/truth.json");
    let text = fs::read_to_string(&file).unwrap();
    let open = |text: &str| {
        fs::write(&file, text).unwrap();
        Truth::open(&parent.path().join("a/log")).unwrap_err()
    };
    let other = open(&text.replace("\"version\": 1", "\"version\": 2"));
    assert!(matches!(other, SimulationError::Version { found: 2, known: 1, .. }), "{other}");
    assert!(matches!(open("{}"), SimulationError::Json { .. }));
    let wrong = open(&text.replace("\"n_items\": 60", "\"n_items\": 3"));
    assert!(matches!(wrong, SimulationError::Parameters { .. }), "{wrong}");
    fs::remove_file(&file).unwrap();
    let missing = Truth::open(&parent.path().join("a/log")).unwrap_err();
    assert!(matches!(missing, SimulationError::Read { .. }));
}

#[test]
fn refused_because_the_folder_is_not_empty() {
    let parent = tempfile::tempdir().unwrap();
    let (full, empty) = (parent.path().join("full"), parent.path().join("empty"));
    fs::create_dir(&full).unwrap();
    fs::create_dir(&empty).unwrap();
    fs::write(full.join("a.txt"), "mine").unwrap();
    let log = simulate(&Simulation { n_users: 3, ..small() }).unwrap();
    let write = |dir: &Path| log.write(dir, WriteOptions::default(), &mut |_| {});
    assert!(matches!(write(&full), Err(SimulationError::Exists { .. })));
    assert!(matches!(write(&full.join("a.txt")), Err(SimulationError::Exists { .. })));
    write(&empty).unwrap();
    assert_eq!(names(&empty), ["part-00000.parquet", "truth.json"]);
    assert_eq!(
        (names(parent.path()), names(&full)),
        (vec!["empty".into(), "full".into()], vec!["a.txt".into()])
    );
}

#[test]
fn stopped_half_way_nothing_remains() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    let log = simulate(&small()).unwrap();
    let stop = |users| assert!(users < 100, "stopped");
    let run = || log.write(&dir, WriteOptions::default(), &mut { stop });
    assert!(std::panic::catch_unwind(run).is_err());
    assert!(names(parent.path()).is_empty());
    let none = WriteOptions { rows_per_file: 0, ..WriteOptions::default() };
    assert!(matches!(log.write(&dir, none, &mut |_| {}), Err(SimulationError::Parameters { .. })));
}
