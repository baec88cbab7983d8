//! What the command line says about itself: completions and manual pages.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::command::Cli;
use crate::client::Error;

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
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|e| Error::Failed(format!("cannot make the page: {e}")))?;
    print(&page)
}

fn print(page: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(page).and_then(|()| stdout.flush());
    written.map_err(|e| crate::client::write_error("the output", &e))
}
