//! Asking before what cannot be undone.

use std::io::{self, IsTerminal, Write};

use super::problem::Error;

/// Refuses where there is no terminal: the question would hang a script, or answer itself.
pub fn possible() -> Result<(), Error> {
    match io::stdin().is_terminal() && io::stderr().is_terminal() {
        true => Ok(()),
        false => Err(Error::Usage("this cannot be undone and there is no terminal to ask on; add --yes".to_owned())),
    }
}

/// Asks on the terminal; anything but a yes is a no.
pub fn confirmed(question: &str) -> Result<bool, Error> {
    possible()?;
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{question} [y/N] ").and_then(|()| io::stdin().read_line(&mut answer));
    asked.map_err(|e| Error::Failed(format!("cannot ask on the terminal: {e}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
