//! The manual pages and completions, as the programs that read them judge them.

use std::fs::File;
use std::process::{Command, Stdio};

use super::daemon::relabeld;

fn page(command: Option<&str>) -> String {
    let made = relabeld().arg("man").args(command).output().unwrap();
    assert!(made.status.success(), "{command:?}");
    String::from_utf8(made.stdout).unwrap()
}

#[test]
fn every_page_is_read_without_a_warning() {
    let scratch = tempfile::tempdir().unwrap();
    let top = page(None);
    let named = top.split("relabeld\\-").skip(1).filter_map(|rest| rest.split_once("(1)"));
    let commands: Vec<String> = named.map(|(name, _)| name.replace('\\', "")).filter(|name| name != "help").collect();
    assert!(commands.iter().any(|name| name == "publish"), "{top}");
    for command in std::iter::once(None).chain(commands.iter().map(|name| Some(name.as_str()))) {
        let text = page(command);
        let title = command.map_or("relabeld".to_owned(), |command| format!("relabeld-{command}"));
        assert!(text.contains(&format!(".TH {title} 1  \"relabeld ")), "{title}");
        let file = scratch.path().join(title);
        std::fs::write(&file, text).unwrap();
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(&file).env("MANWIDTH", "80");
        let read = man.env("LC_ALL", "C.UTF-8").output().expect("man, of Debian's man-db");
        assert!(read.status.success() && !read.stdout.is_empty());
        // A line of an example that is wider than the page is shown as it is.
        let said = String::from_utf8(read.stderr).unwrap();
        let warnings: Vec<&str> = said.lines().filter(|line| !line.contains("cannot adjust line")).collect();
        assert!(warnings.is_empty(), "{command:?}: {warnings:?}");
    }
}

#[test]
fn bash_takes_its_completions() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("relabeld");
    let made = relabeld().args(["completions", "bash"]).stdout(File::create(&file).unwrap()).status().unwrap();
    assert!(made.success());
    let script = format!(
        ". {}; COMP_WORDS=(relabeld pub); COMP_CWORD=1; _relabeld relabeld pub relabeld; echo \"${{COMPREPLY[*]}}\"",
        file.display()
    );
    let asked = Command::new("bash").args(["--norc", "-c", &script]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "publish");
}
