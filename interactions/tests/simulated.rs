//! A simulated log becomes the histories that were simulated.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::ops::ControlFlow;
use std::path::Path;

use onr_interactions::simulate::{LABELS, LogFormat, Simulation, WriteOptions, simulate};
use onr_interactions::{Event, LabelRule, Labels, Store, StoreOptions};
use onr_requests::Actions;
use serde::Deserialize;

#[derive(Deserialize)]
struct Rules {
    actions: String,
    task: Vec<LabelRule>,
}

fn options() -> StoreOptions {
    let Rules { actions, task } = toml::from_str(LABELS).unwrap();
    StoreOptions {
        actions: Actions::Rule(actions.parse().unwrap()),
        memory_mb: 1,
        ..StoreOptions::new(Labels::new(task).unwrap())
    }
}

fn check(format: LogFormat, dir: &Path) {
    let log =
        simulate(&Simulation { n_users: 300, n_items: 200, ..Simulation::default() }).unwrap();
    let folder = dir.join("log");
    log.write(&folder, WriteOptions { format, rows_per_file: 1000 }, &mut |_| ()).unwrap();
    let store = Store::build(&[folder], &options(), &dir.join("store"), &mut |_, _| {
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(store.tasks(), ["impression", "click", "conversion", "value"]);
    let (mut users, mut history) = (0, Vec::new());
    for user in log.users() {
        let number = store.find_user(&log.user_id(user.number)).unwrap().unwrap();
        store.history(number, &mut history).unwrap();
        let expected = user.rows.iter().map(|row| Event {
            item: store.vocab().id(&log.item_id(row.item as usize)).unwrap().try_into().unwrap(),
            action: 1 + u16::from(row.clicked) + u16::from(row.converted),
            labels: 1 | (u16::from(row.clicked) << 1) | (u16::from(row.converted) * 0b1100),
            value: row.value as f32,
            time: row.timestamp,
        });
        assert_eq!(history, expected.collect::<Vec<_>>());
        users += 1;
    }
    assert_eq!(
        (store.n_users(), store.report().backwards, store.report().tied_last),
        (users, 0, 0)
    );
}

#[test]
fn from_parquet() {
    check(LogFormat::Parquet, tempfile::tempdir().unwrap().path());
}

#[test]
fn from_csv() {
    check(LogFormat::Csv, tempfile::tempdir().unwrap().path());
}
