//! What the command line says about itself: the first page of help, completions and manual pages.

use std::io::{self, Write};

use clap::builder::Styles;
use clap::{CommandFactory, Subcommand};
use clap_complete::Shell;

use super::command::{Cli, Command};
use crate::client::Error;

/// The commands as they are shown by `relabeld --help`, in the order in which one comes to need them.
pub const GROUPS: [(&str, &[&str]); 6] = [
    ("The daemon", &["serve", "demo", "status", "check", "backup", "restore"]),
    ("Items and rules", &["import", "catalogue", "item", "mark", "erase"]),
    ("Make a job", &["count", "publish", "relabel", "retry", "revert", "apply"]),
    ("See and steer jobs", &["jobs", "show", "watch", "pause", "resume", "cancel", "set", "delete"]),
    ("Results", &["topics", "items", "changes", "labels"]),
    ("Access and manuals", &["login", "token", "completions", "man", "help"]),
];

/// The template of the first page of help: clap has no headings for commands.
pub fn overview() -> String {
    let all = Command::augment_subcommands(clap::Command::new("relabeld"));
    let about = |name: &str| match all.find_subcommand(name).and_then(clap::Command::get_about) {
        Some(about) => about.to_string(),
        None => "Print this, or the help of a command".to_owned(),
    };
    // Those of clap's own headings, which it leaves out where the output is no terminal.
    let styles = Styles::styled();
    let (head, word) = (styles.get_header(), styles.get_literal());
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (heading, names) in GROUPS {
        text += &format!("\n{head}{heading}:{head:#}\n");
        text.extend(names.iter().map(|name| format!("  {word}{name:<12}{word:#} {}\n", about(name))));
    }
    text + &format!("\n{head}Everywhere:{head:#}\n{{options}}{{after-help}}")
}

pub fn completions(shell: Shell) -> Result<(), Error> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "relabeld", &mut page);
    print(&page)
}

/// The page of the command that the words name; of relabeld itself when there are none.
pub fn manual(words: &[String]) -> Result<(), Error> {
    let mut command = Cli::command();
    command.build();
    for word in words {
        let found = command.find_subcommand(word).cloned();
        command = found.ok_or_else(|| {
            Error::Usage(format!("there is no command {}; `relabeld help` lists them", words.join(" ")))
        })?;
    }
    let mut page = Vec::new();
    let version = concat!("relabeld ", env!("CARGO_PKG_VERSION"));
    let rendered = clap_mangen::Man::new(command).source(version).render(&mut page);
    rendered.map_err(|e| Error::Failed(format!("cannot make the page: {e}")))?;
    print(&page)
}

fn print(page: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(page).and_then(|()| stdout.flush());
    written.map_err(|e| crate::client::write_error("the output", &e))
}
