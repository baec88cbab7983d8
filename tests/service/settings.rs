//! The example of a configuration, held against the table of settings.

use std::path::Path;

use relabeld::config::{Config, KEYS, Partial};

const EXAMPLE: &str = include_str!("../../packaging/relabeld.toml");

/// The settings that the example names, commented out as they are, with the prose between.
fn settings() -> Vec<&'static str> {
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
    EXAMPLE.lines().filter(is_setting).map(|line| &line[1..]).collect()
}

fn read(text: &str) -> Partial {
    Partial::from_toml(text, Path::new("relabeld.toml")).unwrap()
}

#[test]
fn the_example_has_every_setting_in_its_order() {
    let named: Vec<&str> = settings().iter().map(|line| line.split(" = ").next().unwrap()).collect();
    let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(named, known);
    for line in EXAMPLE.lines() {
        assert!(line.is_empty() || line.starts_with('#'), "as installed it changes nothing: {line}");
    }
    for part in EXAMPLE.split("\n\n").skip(1) {
        assert!(part.starts_with("# "), "every setting is explained: {part}");
    }
}

#[test]
fn what_the_example_shows_is_the_default() {
    let shown = read(&settings().join("\n"));
    // These have no default of their own: the example shows what fits the package.
    let theirs = Partial { socket: None, public_url: None, ..shown.clone() };
    let silent = Partial { data_dir: shown.data_dir.clone(), ..Partial::default() };
    assert_eq!(Config::from(theirs).unwrap(), Config::from(silent).unwrap());
    Config::from(shown).expect("and all of it together is valid");
}
