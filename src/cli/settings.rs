//! The daemon's settings as flags: made from the one table of settings, so that a new one is a flag by itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{KEYS, Key, Partial};

/// It is a global flag too, which finds the daemon for the other commands.
const DATA_DIR: &str = "data_dir";
const CONFIG: &str = "config";
const HEADING: &str = "Settings";

/// What the flags of `serve` and `check` say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    pub flags: Partial,
    pub config: Option<PathBuf>,
}

impl Settings {
    /// With the global flag and the variable that belong to them. The other variables are the configuration's to read.
    pub fn completed(mut self, data_dir: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Settings {
        self.flags.data_dir = data_dir.map(Path::to_owned);
        let named = || env("RELABELD_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        self.config = self.config.or_else(named);
        self
    }
}

fn flags() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| key.name != DATA_DIR)
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("TOML with the same names, underlines for dashes [default: /etc/relabeld/relabeld.toml if it exists]")
            .help_heading(HEADING);
        flags().fold(command, |command, key| command.arg(flag(key))).arg(config)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Settings::augment_args(command)
    }
}

fn flag(key: &'static Key) -> Arg {
    // The table's own parser decides, so that flag, file and variable take the same values; here it only checks.
    let check = move |text: &str| Partial::default().set(key.name, text).map(|()| text.to_owned());
    Arg::new(key.name)
        .long(key.name.replace('_', "-"))
        .value_name(key.value)
        .value_parser(check)
        .help(key.help)
        .help_heading(HEADING)
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Settings, clap::Error> {
        let mut settings = Settings::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in flags() {
            if let Some(text) = matches.get_one::<String>(key.name) {
                self.flags.set(key.name, text).map_err(|e| clap::Error::raw(ErrorKind::ValueValidation, e))?;
            }
        }
        self.config = matches.get_one::<PathBuf>(CONFIG).cloned();
        Ok(())
    }
}
