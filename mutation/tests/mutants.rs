//! A few wrong graphs; `make mutation` makes hundreds.

use onr_mutation::{
    mutant::Fate,
    study::{Outcome, run},
};

#[test]
fn faults_are_found_and_survivors_have_their_reasons() {
    let all = run(3, 20, &|_| {}).unwrap();
    assert_eq!(all.len(), 20);
    let unexplained: Vec<&Outcome> =
        all.iter().filter(|o| o.fate == Fate::Survived && o.reason.is_none()).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let killed = all.iter().filter(|o| o.fate != Fate::Survived).count();
    assert!(killed >= 15, "{killed} of 20");
    let again = run(3, 5, &|_| {}).unwrap();
    let faults = |all: &[Outcome]| -> Vec<String> {
        all.iter().map(|o| format!("{:?}", o.mutant)).collect()
    };
    assert_eq!(faults(&all[..5]), faults(&again), "the same seed, the same faults");
}
