//! The log does what the closed forms say.

mod folder;
mod probabilities;

use rayon::ThreadPoolBuilder;

use super::*;

/// A world in which series run out.
pub(super) fn small() -> Simulation {
    Simulation {
        n_users: 600,
        n_items: 60,
        n_series: 6,
        min_events: 5,
        max_events: 30,
        seed: 11,
        ..Simulation::default()
    }
}

fn all(simulation: &Simulation) -> Vec<SimulatedUser> {
    simulate(simulation).unwrap().users().collect()
}

#[test]
fn the_same_numbers_give_the_same_log_on_any_number_of_threads() {
    let on = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| all(&small()))
    };
    assert_eq!(on(1), on(4));
    assert_ne!(all(&small()), all(&Simulation { seed: 12, ..small() }));
}

#[test]
fn the_first_users_stay_who_they_are() {
    let many = all(&small());
    let few = all(&Simulation { n_users: 301, ..small() });
    assert_eq!(few[..], many[..301]);
    assert_eq!(simulate(&small()).unwrap().user(300), many[300]);
}

#[test]
fn nothing_is_shown_twice_and_time_goes_on() {
    for user in all(&small()) {
        assert!((5..=30).contains(&user.rows.len()));
        let mut items: Vec<u32> = user.rows.iter().map(|row| row.item).collect();
        items.sort_unstable();
        assert!(items.windows(2).all(|w| w[0] < w[1]) && items.iter().all(|&i| i < 60));
        let gaps: Vec<i64> =
            user.rows.windows(2).map(|w| w[1].timestamp - w[0].timestamp).collect();
        assert!(gaps.iter().all(|gap| (60..=259_200).contains(gap)), "{gaps:?}");
        for row in &user.rows {
            assert!(row.clicked || !row.converted);
            assert_eq!(row.value > 0.0, row.converted);
        }
    }
}

#[test]
fn a_user_may_see_everything() {
    let tiny = Simulation { n_items: 7, n_series: 5, min_events: 7, max_events: 7, ..small() };
    for user in all(&tiny) {
        let mut items: Vec<u32> = user.rows.iter().map(|row| row.item).collect();
        items.sort_unstable();
        assert_eq!(items, [0, 1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn clicks_and_conversions_are_neither_rare_nor_certain() {
    for conflict in [true, false] {
        let users = all(&Simulation { n_users: 2_000, conflict, ..Simulation::default() });
        let rows = || users.iter().flat_map(|user| &user.rows);
        let clicks = rows().filter(|row| row.clicked).count() as f64;
        let conversions = rows().filter(|row| row.converted).count() as f64;
        let (of_rows, of_clicks) = (clicks / rows().count() as f64, conversions / clicks);
        assert!((0.30..0.45).contains(&of_rows), "{of_rows}");
        assert!((0.30..0.40).contains(&of_clicks), "{of_clicks}");
    }
}

#[test]
fn appealing_items_are_cheap_under_conflict_and_all_cost_1_without() {
    let log = simulate(&Simulation::default()).unwrap();
    let points: Vec<(f64, f64)> =
        (0..2_000).map(|i| (log.world.appeal(i), log.world.price(i).ln())).collect();
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / 2_000.0;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
    let cross = mean(&|p| (p.0 - x) * (p.1 - y));
    let spread = mean(&|p| (p.0 - x).powi(2)) * mean(&|p| (p.1 - y).powi(2));
    let correlation = cross / spread.sqrt();
    assert!(correlation < -0.9, "{correlation}");
    let calm = simulate(&Simulation { conflict: false, ..Simulation::default() }).unwrap();
    assert!((0..2_000).all(|i| calm.world.price(i) == 1.0));
}

#[test]
fn ids_tell_neither_series_nor_order() {
    let log = simulate(&Simulation::default()).unwrap();
    let in_order = |s: usize| log.world.chain(s).windows(2).filter(|w| w[0] < w[1]).count();
    let steps: usize = (0..40).map(in_order).sum();
    assert!((880..1080).contains(&steps), "{steps} of 1960 steps go up");
    let adjacent = |i: &u32| log.world.series(*i) == log.world.series(*i + 1);
    let same = (0..1_999).filter(adjacent).count();
    assert!((25..80).contains(&same), "{same} of 1999 neighbours share a series");
}

/// A log is a promise: whatever changes these lines must count up the version in `truth.json`.
#[test]
fn the_first_rows_of_a_log() {
    let log = simulate(&Simulation::default()).unwrap();
    let user = log.user(0);
    let text: Vec<String> = user.rows[..4]
        .iter()
        .map(|r| {
            format!("{} {} {} {:.3}", log.item_id(r.item as usize), r.timestamp, r.clicked, r.value)
        })
        .collect();
    assert_eq!((log.user_id(0).as_str(), user.rows.len()), ("u000000000", 30));
    let expected = [
        "i0220 1702168728 false 0.000",
        "i0811 1702168843 false 0.000",
        "i0694 1702173663 true 0.000",
        "i1073 1702173854 false 0.000",
    ];
    assert_eq!(text, expected);
}

#[test]
fn the_labels_are_toml_and_their_actions_a_rule() {
    let labels: toml::Table = LABELS.parse().unwrap();
    let rule: Result<onr_requests::ActionRule, _> = labels["actions"].as_str().unwrap().parse();
    rule.unwrap();
    let tasks = labels["task"].as_array().unwrap();
    let names: Vec<_> = tasks.iter().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["impression", "click", "conversion", "value"]);
}
