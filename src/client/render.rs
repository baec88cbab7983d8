//! Where output goes, and the shapes that people read: tables as wide as the terminal, pairs of name and value.

use std::io::{self, IsTerminal, Write};

use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};

use super::call::Answer;
use super::problem::Error;
use super::view::indented;

/// A column is not squeezed below this; ids and states stay recognisable.
const NARROWEST: usize = 8;
const GAP: usize = 2;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// Data goes to stdout; everything said about it goes to stderr.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    pub json: bool,
    quiet: bool,
    pub paint: Paint,
}

impl Out {
    pub fn new(json: bool, quiet: bool, color: Color) -> Out {
        let on = match color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: present and not empty.
            Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Out { json, quiet, paint: Paint(on) }
    }

    /// Writes data followed by a line end.
    pub fn data(&self, text: &str) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        let done = writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush());
        done.map_err(|e| write_error("the output", &e))
    }

    /// The daemon's document for scripts, as it came; for people what `human` makes of it.
    pub fn answer(&self, answer: &Answer, human: impl FnOnce() -> String) -> Result<(), Error> {
        match self.json {
            true if answer.text.trim().is_empty() => self.data("{}"),
            true => self.data(&answer.text),
            false => self.data(&human()),
        }
    }

    /// The document itself for both, only easier on the eye for people.
    pub fn document(&self, answer: &Answer) -> Result<(), Error> {
        self.answer(answer, || indented(&answer.text))
    }

    /// Something worth knowing that is not data.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// What one may want to do next: for people, so not beside JSON.
    pub fn hint(&self, text: &str) {
        if self.hints() {
            self.note(text);
        }
    }

    pub fn hints(&self) -> bool {
        !self.json && !self.quiet
    }

    /// Whether a progress bar has somebody to look at it.
    pub fn bars(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// A failed write in the words of the command; a reader that went away is no failure.
pub fn write_error(what: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::Closed,
        _ => Error::Failed(format!("cannot write {what}: {error}")),
    }
}

/// The few colours in use, or none.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// A state of a job or task, coloured by what it means to the reader.
    pub fn state(self, state: &str) -> String {
        let code = match state {
            "completed" | "done" | "ready" => "32",
            "failed" | "quarantined" | "completed_with_failures" => "31",
            "paused" | "cancelled" | "cancelling" => "33",
            "running" | "planning" => "36",
            _ => return state.to_owned(),
        };
        self.with(code, state)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// Rows under heads. A head that begins with `>` makes a column of numbers, set to the right.
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(heads: &[&'static str]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.heads.len(), "a cell a column");
        self.rows.push(cells);
    }

    pub fn show(&self, paint: Paint) -> String {
        self.lines(terminal_width(), paint).join("\n")
    }

    fn lines(&self, room: Option<usize>, paint: Paint) -> Vec<String> {
        let names: Vec<&str> = self.heads.iter().map(|head| head.trim_start_matches('>')).collect();
        let mut widths: Vec<usize> = names.iter().map(|name| measure_text_width(name)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(cell));
            }
        }
        if let Some(room) = room {
            squeeze(&mut widths, room);
        }
        let heads: Vec<String> = names.iter().map(|name| paint.dim(name)).collect();
        std::iter::once(&heads).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, &width), head) in row.iter().zip(widths).zip(&self.heads) {
            let side = if head.starts_with('>') { Alignment::Right } else { Alignment::Left };
            if !line.is_empty() {
                line.push_str(&" ".repeat(GAP));
            }
            line.push_str(&pad_str(&truncate_str(cell, width, "…"), width, side, None));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Takes from the widest column, cell by cell, until the row fits: short columns are never cut for a long one.
fn squeeze(widths: &mut [usize], room: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(room);
    while over > 0 {
        match widths.iter_mut().max_by_key(|width| **width) {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            // Narrower than that and the terminal may wrap: cutting further would leave nothing to read.
            _ => return,
        }
        over -= 1;
    }
}

/// Names and values, one pair a line; pairs without a value are left out.
pub fn pairs(pairs: &[(&str, String)], paint: Paint) -> String {
    let shown = || pairs.iter().filter(|(_, value)| !value.is_empty() && value != "-");
    let width = shown().map(|(name, _)| measure_text_width(name)).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        format!("{}  {value}", paint.dim(&pad_str(name, width, Alignment::Left, None)))
    };
    shown().map(line).collect::<Vec<_>>().join("\n")
}

/// What COLUMNS says, else what the terminal does. None when stdout is none: what a file or pipe takes is never cut.
fn terminal_width() -> Option<usize> {
    let term = Term::stdout();
    if !term.is_term() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| Some(usize::from(term.size_checked()?.1))).filter(|&columns| columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", ">DONE", "NAME"]);
        table.row(vec!["1".into(), "12".into(), "日本語の長い名前のジョブです".into()]);
        table.row(vec!["22".into(), "1000".into(), "short".into()]);
        table
    }

    #[test]
    fn columns_line_up_with_wide_characters() {
        let lines = table().lines(None, Paint(false));
        assert_eq!(lines, ["ID  DONE  NAME", "1     12  日本語の長い名前のジョブです", "22  1000  short"]);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_only_the_widest_column_is_cut() {
        for paint in [Paint(false), Paint(true)] {
            let lines = table().lines(Some(25), paint);
            assert!(lines.iter().all(|line| measure_text_width(line) <= 25), "{lines:?}");
            assert!(lines[1].starts_with("1     12  日本語の"), "{lines:?}");
            assert!(lines[1].contains('…'), "{lines:?}");
        }
    }

    #[test]
    fn a_terminal_too_narrow_for_anything_does_not_loop() {
        assert_eq!(table().lines(Some(1), Paint(false)).len(), 3);
    }

    #[test]
    fn pairs_without_a_value_are_left_out() {
        let shown = pairs(&[("state", "running".into()), ("error", String::new()), ("id", "7".into())], Paint(false));
        assert_eq!(shown, "state  running\nid     7");
    }
}
