//! What a new user reads first.

use std::fs;

use crate::support::World;

const VERBS: [&str; 27] = [
    "init",
    "import",
    "requests",
    "simulate",
    "train",
    "evaluate",
    "compare",
    "cluster",
    "export",
    "export-items",
    "calibrate",
    "tune",
    "quantize",
    "cast",
    "parity",
    "bisect",
    "accuracy",
    "plan-profiles",
    "build-engine",
    "refit",
    "preflight",
    "package",
    "bench",
    "serve-check",
    "inspect",
    "verify",
    "doctor",
];

#[test]
fn without_arguments_it_shows_its_verbs_codes_and_examples() {
    let world = World::new();
    let outcome = world.run(&[]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""));
    let help = world.runs(&["--help"]).out;
    assert_eq!(outcome.err, help);
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}");
    }
    for code in ["0    fine", "1    ", "2    ", "3    ", "4    ", "130  interrupted"] {
        assert!(help.contains(&format!("\n  {code}")), "{code}");
    }
    assert!(help.contains("Examples:\n  onr "), "{help}");
}

#[test]
fn each_verb_has_an_example_that_its_own_parser_takes() {
    let world = World::new();
    for verb in VERBS {
        let help = world.runs(&[verb, "--help"]).out;
        fs::create_dir(world.path(verb)).unwrap();
        let begin = format!("  onr {verb}");
        let examples: Vec<_> = help.lines().filter(|l| l.starts_with(&begin)).collect();
        assert!(!examples.is_empty(), "{verb} has no example");
        for example in examples {
            // Nothing of it is here, which is found out after parsing.
            let script = example.replace("  onr ", "\"$0\" ");
            let mut command = world.in_shell(&["sh", "-c", &script]);
            command.current_dir(world.path(verb));
            let outcome = world.outcome(command.output().unwrap());
            assert!(!outcome.err.contains("Usage:"), "{example}\n{}", outcome.err);
            assert!(outcome.code != Some(2), "{example}\n{}", outcome.err);
        }
    }
}

#[test]
fn help_and_version_are_no_errors_and_a_wrong_flag_is() {
    let world = World::new();
    assert!(world.runs(&["--version"]).out.starts_with("onr 0."));
    assert!(world.runs(&["help", "build-engine"]).out.contains("--target"));
    for args in [&["frobnicate"][..], &["export", "--frobnicate"], &["init"], &["parity"]] {
        let said = world.refuses(2, args);
        assert!(said.starts_with("error: "), "{said}");
    }
    assert!(world.refuses(2, &["exprot"]).contains("'export'"), "the nearest is named");
}
