//! The command line: what was typed becomes one call.

mod args;
mod command;
mod filter;
mod pages;
mod settings;
#[cfg(test)]
mod tests;
mod wish;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use self::args::{Catalogue, Relabel, Token};
use self::command::{Cli, Command, Global, When};
use self::settings::Settings;
use crate::client::{BreakOff, Color, Error, Options, Place, Session};
use crate::client::{backup, catalogue, import, items, jobs, publish, status, watch};
use crate::{daemon, demo, os};

/// Runs what the command line says; the exit code is its result.
pub fn run() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => finish(dispatch(cli)),
        Err(help_or_error) => {
            // A closed pipe again: the text had no reader.
            let _ = help_or_error.print();
            ExitCode::from(u8::try_from(help_or_error.exit_code()).unwrap_or(2))
        }
    }
}

fn finish(done: Result<(), Error>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    if !matches!(error, Error::Closed) {
        let _ = writeln!(std::io::stderr(), "relabeld: {error}");
    }
    if matches!(error, Error::Interrupted(_)) {
        // A shell's loop ends with us only when it is told what ended us.
        os::end_by_interrupt();
    }
    ExitCode::from(error.exit_code())
}

/// A Ctrl-C that breaks off what the main thread is at; it never gets to an end of its own then.
fn on_interrupt(act: BreakOff) -> io::Result<()> {
    os::on_interrupt(move || {
        act(|error| {
            let code = error.exit_code();
            finish(Err(error));
            std::process::exit(i32::from(code))
        });
    })
}

fn dispatch(Cli { global, command }: Cli) -> Result<(), Error> {
    let env = |name: &str| std::env::var_os(name);
    let data_dir = global.data_dir.clone();
    let options = global.options(env);
    let (json, quiet) = (options.json, options.quiet);
    let on = || Session::open(options);
    match command {
        Command::Serve(settings) => {
            let settings = settings.completed(data_dir.as_deref(), env);
            local(daemon::serve(settings.flags, settings.config))
        }
        Command::Check(settings) => {
            let settings = settings.completed(data_dir.as_deref(), env);
            local(daemon::check(settings.flags, settings.config, json))
        }
        Command::Restore { file } => {
            let settings = Settings::default().completed(data_dir.as_deref(), env);
            let telling = daemon::Telling { json, quiet };
            local(daemon::restore(settings.flags, settings.config, &file, telling))
        }
        Command::Demo(demo) => local(demo::run(demo.options())),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { command } => pages::manual(&command),

        Command::Import { files, strict } => import::run(&on()?, &files, strict),
        Command::Catalogue(Catalogue::Apply { file, dry_run: true, .. }) => catalogue::would_apply(&on()?, &file),
        Command::Catalogue(Catalogue::Apply { file, allow_remove, if_match, .. }) => {
            catalogue::apply(&on()?, &file, allow_remove, if_match)
        }
        Command::Catalogue(Catalogue::Show { revision }) => catalogue::show(&on()?, revision),
        Command::Catalogue(Catalogue::Test(phrase)) => catalogue::test(&on()?, phrase.body()),
        Command::Count(filter) => items::count_items(&on()?, filter.body()),
        Command::Publish(args) => {
            publish::publish(&on()?, args.source(), args.idempotency_key.as_deref(), args.how.watch)
        }
        Command::Relabel(Relabel::Conversation { id, watch }) => {
            publish::relabel(&on()?, "conversation", &id, None, watch)
        }
        Command::Relabel(Relabel::Note { id, version, watch }) => {
            publish::relabel(&on()?, "note", &id, Some(version), watch)
        }
        Command::Item(item) => items::show(&on()?, item.kind.as_str(), &item.id),
        Command::Mark(args) => items::mark(&on()?, args.item.kind.as_str(), &args.item.id, &args.mark()),
        Command::Erase { item, yes } => items::erase(&on()?, item.kind.as_str(), &item.id, yes),

        Command::Jobs { state, limit, cursor } => {
            let limit = limit.map(|n| n.to_string()).unwrap_or_default();
            let cursor = cursor.map(|n| n.to_string()).unwrap_or_default();
            let state = state.unwrap_or_default();
            jobs::list(&on()?, &[("state", &state), ("limit", &limit), ("cursor", &cursor)])
        }
        Command::Show(job) => jobs::show(&on()?, &job.id),
        Command::Watch(job) => watch::run(&on()?, &[job.id]),
        Command::Pause(job) => jobs::control(&on()?, &job.id, "pause"),
        Command::Resume(job) => jobs::control(&on()?, &job.id, "resume"),
        Command::Cancel(job) => jobs::control(&on()?, &job.id, "cancel"),
        Command::Retry(args) => publish::again(&on()?, &args.again.job.id, "retry", args.body(), args.again.how.watch),
        Command::Revert(args) => publish::again(&on()?, &args.job.id, "revert", args.body(), args.how.watch),
        Command::Apply(args) => publish::again(&on()?, &args.job.id, "apply", args.body(), args.how.watch),
        Command::Set { job, set } => jobs::set(&on()?, &job.id, set.body()),
        Command::Delete { job, yes } => jobs::delete(&on()?, &job.id, yes),
        Command::Items { job, which, download } => {
            jobs::download(&on()?, &job.id, "items", download.form(json), &which.query(), download.output.as_ref())
        }
        Command::Changes { job, change, before, download } => {
            let before = if before { "true" } else { "" };
            let query = [("change", change.as_deref().unwrap_or_default()), ("before", before)];
            jobs::download(&on()?, &job.id, "labels", download.form(json), &query, download.output.as_ref())
        }

        Command::Labels(args) => {
            let [from, until] = args.span.query();
            let (programs, topics) = (args.programs.join(","), args.topics.join(","));
            let since = args.since.map(|n| n.to_string()).unwrap_or_default();
            let query = [from, until, ("programs", &programs), ("topics", &topics), ("since", &since)];
            items::labels(&on()?, args.download.form(json), &query, args.download.output.as_ref())
        }
        Command::Topics(span) => items::topics(&on()?, &span.query()),
        Command::Status => status::show(&on()?),
        Command::Login { read } => status::login(&on()?, read),
        Command::Backup { file, force } => backup::run(&on()?, &file, force),
        Command::Token(Token::Rotate { name }) => status::rotate(&on()?, &name),
    }
}

/// What runs in this process fails in its own words.
fn local(done: anyhow::Result<()>) -> Result<(), Error> {
    done.map_err(|e| Error::Failed(format!("{e:#}")))
}

impl Global {
    /// Flags over the environment. A flag that says where the daemon is wins over a variable that says so otherwise.
    fn options(self, env: impl Fn(&str) -> Option<OsString>) -> Options {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        let url = || set("RELABELD_URL").filter(|_| self.data_dir.is_none());
        let place = Place {
            url: self.url.or_else(|| url().map(|url| url.to_string_lossy().into_owned())),
            token_file: self.token_file.or_else(|| path("RELABELD_TOKEN_FILE")),
            data_dir: self.data_dir.clone().or_else(|| path("RELABELD_DATA_DIR")),
        };
        let json = || set("RELABELD_JSON").is_some_and(|value| value != "0" && value != "false");
        let color = match self.color {
            When::Auto => Color::Auto,
            When::Always => Color::Always,
            When::Never => Color::Never,
        };
        let catch_interrupt = Some(os::catch_interrupt as _);
        let on_interrupt = Some(on_interrupt as _);
        Options { place, json: self.json || json(), color, quiet: self.quiet, catch_interrupt, on_interrupt }
    }
}
