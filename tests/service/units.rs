//! The units, as systemd's own programs judge them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::daemon::BINARY;

fn analyze(arguments: &[&str]) -> String {
    let ran = Command::new("systemd-analyze").args(arguments).output().expect("systemd-analyze, of Debian's systemd");
    String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap()
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    // Beside each other, where they find each other, and with a binary that is there.
    let scratch = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for folder in ["packaging/systemd", "packaging/examples"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let unit = entry.unwrap().path();
            let copy = scratch.path().join(unit.file_name().unwrap());
            fs::write(&copy, fs::read_to_string(&unit).unwrap().replace("/usr/bin/relabeld", BINARY)).unwrap();
            units.push(copy.to_str().unwrap().to_owned());
        }
    }
    assert!(units.len() >= 4, "{units:?}");
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(units.iter().map(String::as_str));
    assert_eq!(analyze(&arguments), "");
}

#[test]
fn the_service_is_exposed_to_little() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd/relabeld.service");
    let said = analyze(&["security", "--offline=yes", "--no-pager", unit.to_str().unwrap()]);
    let level = said.split("Overall exposure level for relabeld.service: ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let level: f64 = level.split_whitespace().next().unwrap().parse().unwrap();
    assert!(level <= 1.5, "{said}");
}
