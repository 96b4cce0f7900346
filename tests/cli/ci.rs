//! The shell step of our GitHub action, as it stands in its file.

use std::{env, fs, path::Path, process::Command};

use crate::support::World;

/// The lines of `run: |`, without their indentation.
fn step() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/actions/parity/action.yml");
    let text = fs::read_to_string(file).unwrap();
    let (_, script) = text.split_once("      run: |\n").unwrap();
    script
        .lines()
        .map(|line| line.strip_prefix("        ").unwrap_or(line).to_owned() + "\n")
        .collect()
}

/// Runs it as a runner would: inputs are variables, `onr` is on the path.
fn action(world: &World, inputs: &[(&str, &str)]) -> (Option<i32>, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_onr")).parent().unwrap();
    let path = format!("{}:{}", program.display(), env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.current_dir(world.path("")).args(["-c", &step()]).env("PATH", path);
    let defaults = [
        ("ONR_DIRECTORY", "graphs"),
        ("ONR_REQUESTS", ""),
        ("ONR_WEIGHTS", ""),
        ("ONR_GOLDEN", ""),
        ("ONR_CANDIDATE", "ort"),
        ("ONR_REQUIRE", ""),
        ("ONR_EXCUSES", ""),
        ("ONR_REPORT", "parity"),
        ("GITHUB_STEP_SUMMARY", "summary.md"),
    ];
    command.envs(defaults).envs(inputs.iter().copied());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_action_passes_and_fails_as_parity_does() {
    let world = World::exported();
    let (code, said) = action(&world, &[("ONR_CANDIDATE", "ort,tract"), ("ONR_REQUIRE", "ort")]);
    assert_eq!(code, Some(0), "{said}");
    for file in ["parity.xml", "parity.html", "parity.prom", "parity.json"] {
        let text = fs::read_to_string(world.path("parity").join(file)).unwrap();
        assert!(text.contains("encode"), "{file}");
    }
    assert!(fs::read_to_string(world.path("summary.md")).unwrap().contains("exit code 0"));

    world.edit_bytes("graphs/weights.data", |b| {
        b[64..2000].iter_mut().skip(3).step_by(4).for_each(|b| *b ^= 0x80);
    });
    let (code, said) = action(&world, &[]);
    assert_eq!(code, Some(1), "the hash of the file: {said}");
    let (code, _) = action(&world, &[("ONR_DIRECTORY", "nowhere")]);
    assert_eq!(code, Some(1));
}
