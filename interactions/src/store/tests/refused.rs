//! Why no store is built or opened.

use super::*;

const HEAD: &str = "user_id,item_id,rating,timestamp\n1,2,5,4\n";

/// The message for a log, without the folder's name.
fn refusal(text: &str, options: &StoreOptions) -> String {
    let dir = tempfile::tempdir().unwrap();
    let log = [write(dir.path(), "log.csv", text)];
    let at = dir.path().join("store");
    let error = Store::build(&log, options, &at, &mut go).unwrap_err();
    assert!(fs::read_dir(&at).map_or(0, Iterator::count) == 0, "nothing remains");
    error.to_string().replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn because_of_a_row() {
    for (row, expected) in [
        ("1,2,good,4", "log.csv line 3: column `rating` is `good`, needed is a number"),
        ("1,2,inf,4", "log.csv line 3: column `rating` is `inf`, needed is a finite number"),
        ("1,2,5,noon", "log.csv line 3: column `timestamp` is `noon`, needed is unix seconds"),
        ("1,,5,4", "log.csv line 3: column `item_id` is ``, needed is an id"),
    ] {
        assert_eq!(refusal(&format!("{HEAD}{row}\n"), &options()), expected);
    }
}

#[test]
fn because_of_columns() {
    let no_rating = "user_id,item_id,timestamp\n1,2,3\n";
    let expected = "log.csv: no column `rating` among user_id, item_id, timestamp";
    assert_eq!(refusal(no_rating, &options()), expected);
    let labels = Labels::new(vec![rule("click", "device==phone")]).unwrap();
    let expected = "log.csv: no column `device` among user_id, item_id, rating, timestamp";
    assert_eq!(refusal(HEAD, &StoreOptions::new(labels)), expected);
}

#[test]
fn because_nothing_is_left() {
    let (head, _) = HEAD.split_once('\n').unwrap();
    assert_eq!(refusal(head, &options()), "the log has no rows");
    let vocab = Some(Vocab::new(vec!["7".into()]).unwrap());
    let expected =
        "no row of 2 is a behaviour: 1 have no action, 1 an item that the vocabulary lacks";
    assert_eq!(
        refusal(&format!("{HEAD}1,2,1,4\n"), &StoreOptions { vocab, ..options() }),
        expected
    );
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "_SUCCESS", "");
    let build = |logs: &[PathBuf]| {
        Store::build(logs, &options(), &dir.path().join("store"), &mut go).unwrap_err()
    };
    assert!(matches!(build(&[dir.path().to_owned()]), InteractionsError::NoLogs { .. }));
    assert!(matches!(build(&[]), InteractionsError::NoRows));
    assert!(matches!(build(&[dir.path().join("none.csv")]), InteractionsError::Read { .. }));
    write(dir.path(), "part-0.csv.gz", "");
    let text = build(&[dir.path().to_owned()]).to_string();
    assert!(
        text.ends_with("part-0.csv.gz: the extension is none of .inter, .tsv, .csv, .parquet"),
        "{text}"
    );
}

#[test]
fn because_the_model_is_too_small() {
    let small = StoreOptions { n_items: Some(1), ..options() };
    let expected = "the vocabulary has 1 items, the model has room for 0 (n_items 1, the padding id 0 included)";
    assert_eq!(refusal(HEAD, &small), expected);
    let few = StoreOptions { n_actions: Some(2), ..options() };
    let expected = "an action rule gives action 2, the model has 2 actions (0 to 1)";
    assert_eq!(refusal(HEAD, &few), expected);
    let column =
        StoreOptions { actions: Actions::Column("rating".into()), n_actions: Some(5), ..options() };
    assert_eq!(refusal(HEAD, &column), "log.csv line 2: action 5 is not in 1 to 4");
    let padding = StoreOptions { actions: Actions::Rule("*:0".parse().unwrap()), ..options() };
    assert_eq!(refusal(HEAD, &padding), "log.csv line 2: action 0 is not in 1 to 65535");
}

#[test]
fn because_of_a_given_history() {
    let good = Event { item: 1, action: 1, labels: 1, value: 0.0, time: 5 };
    let refuse = |bad: Event| {
        let dir = tempfile::tempdir().unwrap();
        let given = vec![vec![good], vec![good, bad]];
        Store::from_histories(3, vec!["a".into()], given, dir.path()).unwrap_err().to_string()
    };
    for (bad, reason) in [
        (Event { item: 3, ..good }, "item 3 is outside 1..3"),
        (Event { item: 0, ..good }, "item 0 is outside 1..3"),
        (Event { action: 0, ..good }, "action 0 is padding"),
        (Event { labels: 2, ..good }, "labels 0b10 are of more than 1 tasks"),
        (Event { value: -1.0, ..good }, "value -1 is no finite number of at least 0"),
        (Event { value: f32::NAN, ..good }, "value NaN is no finite number of at least 0"),
        (Event { time: 4, ..good }, "time 4 comes after 5"),
    ] {
        assert_eq!(refuse(bad), format!("user 1, behaviour 1: {reason}"));
    }
    let dir = tempfile::tempdir().unwrap();
    let tasks = (0..17).map(|n| n.to_string()).collect();
    let error = Store::from_histories(3, tasks, vec![], dir.path()).unwrap_err();
    assert_eq!(error.to_string(), "task `16`: there are 17 tasks, at most 16 fit");
}

#[test]
fn because_the_store_is_broken() {
    let (dir, store) = made(LOG, &options()).unwrap();
    let at = dir.path().join("store");
    let whole = files(&at);
    let names = [EVENTS, USERS, VOCAB, META];
    let refuse = |name: &str, bytes: &[u8]| {
        fs::write(at.join(name), bytes).unwrap();
        let error = Store::open(&at).unwrap_err();
        let text = error.to_string().replace(&format!("{}/", at.display()), "");
        names.iter().zip(&whole).for_each(|(name, bytes)| fs::write(at.join(name), bytes).unwrap());
        assert!(error.hint().is_some(), "{text}");
        text
    };
    assert_eq!(refuse(EVENTS, &whole[0][1..]), "events.bin: 167 bytes, needed are 168");
    assert_eq!(refuse(USERS, &whole[1][..72]), "users.bin: 72 bytes, needed are 96");
    let meta = String::from_utf8(whole[3].clone()).unwrap();
    let other = meta.replace("\"version\": 1", "\"version\": 2");
    assert_eq!(refuse(META, other.as_bytes()), "store.json: store version 2, this program reads 1");
    let text = refuse(META, &whole[3][..50]);
    assert!(text.starts_with("store.json: not readable as the description of a store"), "{text}");

    let mut events = whole[0].clone();
    events[0] = 9;
    fs::write(at.join(EVENTS), &events).unwrap();
    let opened = Store::open(&at).unwrap();
    let text = opened.history(0, &mut Vec::new()).unwrap_err().to_string();
    assert!(text.ends_with("item 9 of user 0 is outside 1..4"), "{text}");
    let error = store.history(3, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "user 3 is none of the 3 of the store");
    let missing = Store::open(dir.path()).unwrap_err();
    assert_eq!(missing.hint().as_deref(), Some("build the store from a log first"));
}
