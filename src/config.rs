//! The settings, in two steps: every source fills a [`Partial`], the higher one wins (flags, environment, file), and
//! [`Config::from`] makes of the sum a plain struct that is valid and complete.
//!
//! The table `keys!` is the only list of settings: file, environment, flags and manual read it, so they cannot drift.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::de::{DeTable, ValueDeserializer};

/// Read when it exists and `--config` names no other.
pub const CONFIG_FILE: &str = "/etc/relabeld/relabeld.toml";

const SYSTEM_DATA_DIR: &str = "/var/lib/relabeld";
const PREFIX: &str = "RELABELD_";
/// Those of the command line: they set nothing here, and are no mistakes either.
const CLIENT_VARIABLES: [&str; 4] = ["RELABELD_URL", "RELABELD_TOKEN_FILE", "RELABELD_JSON", "RELABELD_CONFIG"];
/// What `sun_path` holds, without its closing zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// One setting, as the manual and `--help` show it.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    /// Stands for the value, as in `--listen ADDR:PORT`.
    pub value: &'static str,
    pub help: &'static str,
}

macro_rules! keys {
    ($($key:ident: $type:ty, $value:literal, $help:literal;)*) => {
        /// Every setting there is.
        pub const KEYS: &[Key] = &[$(Key { name: stringify!($key), value: $value, help: $help }),*];

        /// What one source says; what it leaves open is none.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Partial { $(#[doc = $help] pub $key: Option<$type>,)* }

        impl Partial {
            /// This source's values, and where it has none, those of the lower one.
            pub fn over(self, lower: Partial) -> Partial {
                Partial { $($key: self.$key.or(lower.$key),)* }
            }

            /// One value from plain text, as flags and the environment hold it. The error has no place in it yet.
            pub fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
                match key {
                    $(stringify!($key) => {
                        self.$key = Some(<$type>::from_text(text).ok_or_else(|| wrong::<$type>(text))?);
                    })*
                    _ => return Err(unknown(key)),
                }
                Ok(())
            }

            fn set_toml(&mut self, key: &str, value: ValueDeserializer<'_>, shown: &str) -> Result<(), String> {
                match key {
                    $(stringify!($key) => {
                        self.$key = Some(<$type>::deserialize(value).map_err(|_| wrong::<$type>(shown))?);
                    })*
                    _ => return Err(unknown(key)),
                }
                Ok(())
            }
        }
    };
}

keys! {
    data_dir: PathBuf, "DIR", "Database, tokens, lock [default: $STATE_DIRECTORY, /var/lib/relabeld, ~/.local/state/relabeld]";
    listen: SocketAddr, "ADDR:PORT", "Where to serve HTTP; port 0 picks one [default: 127.0.0.1:8707]";
    socket: PathBuf, "PATH", "Serve on this Unix socket too; who may open it may do all";
    hosts: Vec<String>, "HOST,…", "Further names under which the daemon is reached";
    public_url: String, "URL", "The address in the browser, when a TLS proxy stands in front";
    workers: usize, "N", "Threads that analyse; 0 is one for each core [default: 0]";
    durability: Durability, "full|normal", "`normal` may lose the last moments at a power cut [default: full]";
    max_items_per_job: u64, "N", "A larger job is refused; 0 is no limit [default: 250000]";
    max_item_bytes: u64, "BYTES", "A longer import line is refused [default: 10485760]";
    max_attempts: u32, "N", "Tries of an item before it counts as failed [default: 3]";
    max_item_seconds: u32, "N", "An item in analysis for longer ends the daemon, whose next start runs it alone [default: 300]";
    retention_days: u32, "DAYS", "How long an ended job keeps its items and history [default: 90]";
    min_free_bytes: u64, "BYTES", "With less free disk, imports, publishes and backups are refused, and the queue waits [default: 268435456]";
    log: String, "FILTER", "error, warn, info, debug, trace, also by module [default: info]";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    Full,
    Normal,
}

/// The settings as the daemon uses them: valid and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub socket: Option<PathBuf>,
    pub hosts: Vec<String>,
    /// Scheme and authority, without a slash at the end.
    pub public_url: Option<String>,
    pub workers: usize,
    pub durability: Durability,
    /// None is no limit.
    pub max_items_per_job: Option<u64>,
    pub max_item_bytes: u64,
    pub max_attempts: u32,
    pub max_item_seconds: u32,
    pub retention_days: u32,
    pub min_free_bytes: u64,
    pub log: String,
}

/// All sources put together: `flags` over `variables` over the file, which is `file` or else [`CONFIG_FILE`].
pub fn load(
    flags: Partial,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    file: Option<&Path>,
) -> Result<Config, String> {
    let file = match file {
        Some(path) => read(path)?,
        None if Path::new(CONFIG_FILE).exists() => read(Path::new(CONFIG_FILE))?,
        None => Partial::default(),
    };
    let mut sum = flags.over(Partial::from_env(variables)?).over(file);
    sum.data_dir = Some(data_dir(sum.data_dir, |name| std::env::var(name).ok())?);
    Config::from(sum)
}

fn read(path: &Path) -> Result<Partial, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    Partial::from_toml(&text, path)
}

impl Partial {
    pub fn from_toml(text: &str, path: &Path) -> Result<Partial, String> {
        let place = |span: Range<usize>| {
            let breaks = text.bytes().take(span.start).filter(|&byte| byte == b'\n').count();
            format!("{}:{}", path.display(), breaks + 1)
        };
        let table =
            DeTable::parse(text).map_err(|e| format!("{}: {}", place(e.span().unwrap_or_default()), e.message()))?;
        let mut found = Partial::default();
        for (key, value) in table.into_inner() {
            let shown = text.get(value.span()).unwrap_or_default().to_owned();
            found
                .set_toml(key.get_ref(), ValueDeserializer::from(value), &shown)
                .map_err(|e| format!("{}: {}: {e}", place(key.span()), key.get_ref()))?;
        }
        Ok(found)
    }

    /// Of all variables those that begin with `RELABELD_`. An empty one is as good as unset: that is how compose files
    /// and units leave a value open.
    pub fn from_env(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Partial, String> {
        let mut found = Partial::default();
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            if value.is_empty() || CLIENT_VARIABLES.contains(&name.as_ref()) {
                continue;
            }
            let value = value.to_str().ok_or_else(|| format!("environment: {name}: not UTF-8"))?;
            found.set(&key.to_ascii_lowercase(), value).map_err(|e| format!("environment: {name}: {e}"))?;
        }
        Ok(found)
    }
}

impl Config {
    /// Fills in the defaults and checks every value. `data_dir` must be settled before, see [`data_dir`].
    pub fn from(sum: Partial) -> Result<Config, String> {
        // Named one by one, so that a new key does not compile until it has its default and its check.
        let Partial {
            data_dir,
            listen,
            socket,
            hosts,
            public_url,
            workers,
            durability,
            max_items_per_job,
            max_item_bytes,
            max_attempts,
            max_item_seconds,
            retention_days,
            min_free_bytes,
            log,
        } = sum;
        Ok(Config {
            data_dir: data_dir.ok_or("data_dir: not set")?,
            listen: listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8707))),
            socket: socket.map(socket_path).transpose()?,
            hosts: hosts.unwrap_or_default().into_iter().map(host).collect::<Result<_, _>>()?,
            public_url: public_url.map(|url| origin(&url)).transpose()?,
            workers: match workers.unwrap_or(0) {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                n => within("workers", n, 1, 1024)?,
            },
            durability: durability.unwrap_or(Durability::Full),
            max_items_per_job: Some(max_items_per_job.unwrap_or(250_000)).filter(|&n| n > 0),
            max_item_bytes: within("max_item_bytes", max_item_bytes.unwrap_or(10 << 20), 1, 1 << 30)?,
            max_attempts: within("max_attempts", max_attempts.unwrap_or(3), 1, 100)?,
            max_item_seconds: within("max_item_seconds", max_item_seconds.unwrap_or(300), 1, 86_400)?,
            retention_days: within("retention_days", retention_days.unwrap_or(90), 0, 36_500)?,
            min_free_bytes: min_free_bytes.unwrap_or(256 << 20),
            log: log.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

fn within<T: PartialOrd + std::fmt::Display>(key: &str, value: T, least: T, most: T) -> Result<T, String> {
    if value < least || value > most {
        return Err(format!("{key}: must be from {least} to {most}, not {value}"));
    }
    Ok(value)
}

fn socket_path(path: PathBuf) -> Result<PathBuf, String> {
    match path.as_os_str().len() {
        1..=LONGEST_SOCKET_PATH => Ok(path),
        n => Err(format!("socket: a Unix socket's path has 1 to {LONGEST_SOCKET_PATH} bytes, not {n}")),
    }
}

/// `name` or `name:port`.
fn host(text: String) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if text.is_empty() || !text.chars().all(fits) {
        return Err(format!(
            "hosts: {text:?} is no host name; give names such as \"relabeld.example\" or \"box:8707\""
        ));
    }
    Ok(text.to_ascii_lowercase())
}

/// A path below the address is not served: the page's links and cookies start at `/`.
fn origin(url: &str) -> Result<String, String> {
    let bare = url.strip_suffix('/').unwrap_or(url).to_ascii_lowercase();
    let authority = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://"));
    match authority.map(|authority| host(authority.to_owned())) {
        Some(Ok(_)) => Ok(bare),
        _ => Err(format!("public_url: {url:?} must be http:// or https:// and a host, without user, path or query")),
    }
}

/// Where the data lies: what was said, else systemd's directory, else the system's if it is ours, else the user's.
pub fn data_dir(explicit: Option<PathBuf>, env: impl Fn(&str) -> Option<String>) -> Result<PathBuf, String> {
    choose_data_dir(explicit, env, Path::new(SYSTEM_DATA_DIR))
}

fn choose_data_dir(
    explicit: Option<PathBuf>,
    env: impl Fn(&str) -> Option<String>,
    system: &Path,
) -> Result<PathBuf, String> {
    if let Some(dir) = explicit {
        return if dir.as_os_str().is_empty() { Err("data_dir: must not be empty".to_owned()) } else { Ok(dir) };
    }
    // The base directory rules call a relative path invalid, to be ignored.
    let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let systemd = env("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(str::to_owned));
    if let Some(dir) = systemd.and_then(absolute) {
        return Ok(dir);
    }
    if crate::os::can_write_dir(system) {
        return Ok(system.to_path_buf());
    }
    let xdg = env("XDG_STATE_HOME").and_then(absolute);
    let state = xdg.or_else(|| Some(env("HOME").and_then(absolute)?.join(".local/state")));
    state.map(|dir| dir.join("relabeld")).ok_or_else(|| "no data directory: set --data-dir".to_owned())
}

/// A type of setting: how its text reads, and how to name its form to whoever got it wrong.
trait Value: DeserializeOwned {
    const FORM: &'static str;
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! parsed {
    ($($type:ty: $form:literal;)*) => {$(
        impl Value for $type {
            const FORM: &'static str = $form;
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

parsed! {
    u32: "a whole number";
    u64: "a whole number";
    usize: "a whole number";
    String: "a text";
    PathBuf: "a path";
    SocketAddr: "an IP address and a port, such as 127.0.0.1:8707";
}

impl Value for Vec<String> {
    const FORM: &'static str = "a list of texts";
    fn from_text(text: &str) -> Option<Self> {
        Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }
}

impl Value for Durability {
    const FORM: &'static str = "full or normal";
    fn from_text(text: &str) -> Option<Self> {
        [("full", Durability::Full), ("normal", Durability::Normal)]
            .into_iter()
            .find(|(name, _)| *name == text)
            .map(|d| d.1)
    }
}

fn wrong<T: Value>(shown: &str) -> String {
    format!("must be {}, not {shown}", T::FORM)
}

fn unknown(key: &str) -> String {
    let nearest = KEYS.iter().map(|known| known.name).min_by_key(|known| distance(key, known)).unwrap_or_default();
    format!("unknown setting; the nearest is {nearest}")
}

/// Letters to put in, take out or change until `a` is `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> Result<Partial, String> {
        Partial::from_toml(text, Path::new("r.toml"))
    }

    fn env(pairs: &[(&str, &str)]) -> Result<Partial, String> {
        Partial::from_env(pairs.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn config(text: &str) -> Result<Config, String> {
        Config::from(toml(text)?.over(toml("data_dir = '/d'")?))
    }

    #[test]
    fn a_higher_source_wins_key_by_key() {
        let file = toml("max_attempts = 4\nretention_days = 7\nworkers = 3").unwrap();
        let above = env(&[("RELABELD_MAX_ATTEMPTS", "5"), ("RELABELD_WORKERS", "2"), ("PATH", "/bin")]).unwrap();
        let mut flags = Partial::default();
        flags.set("workers", "1").unwrap();
        flags.set("data_dir", "/d").unwrap();
        let sum = Config::from(flags.over(above).over(file)).unwrap();
        assert_eq!((sum.workers, sum.max_attempts, sum.retention_days, sum.max_item_bytes), (1, 5, 7, 10_485_760));
    }

    #[test]
    fn what_nobody_says_has_the_promised_default() {
        let all = config("").unwrap();
        assert!(all.workers >= 1);
        assert_eq!(all.listen.to_string(), "127.0.0.1:8707");
        assert_eq!((all.durability, all.max_items_per_job), (Durability::Full, Some(250_000)));
        assert_eq!((all.max_attempts, all.retention_days, all.min_free_bytes), (3, 90, 268_435_456));
        assert_eq!((all.socket, all.public_url, all.hosts, all.log.as_str()), (None, None, vec![], "info"));
        assert_eq!(config("max_items_per_job = 0").unwrap().max_items_per_job, None);
        for key in KEYS.iter().filter(|key| key.help.contains("[default: ")) {
            let (_, default) = key.help.split_once("[default: ").unwrap();
            let default = default.trim_end_matches(']');
            if key.name != "data_dir" {
                let mut said = Partial { data_dir: Some("/d".into()), ..Partial::default() };
                said.set(key.name, default).unwrap();
                assert_eq!(Config::from(said), config(""), "the help of {}", key.name);
            }
        }
    }

    #[test]
    fn file_and_environment_read_every_key_alike() {
        let text = "data_dir = '/x'\nlisten = '[::1]:1'\nsocket = '/s'\nhosts = ['a', 'b:1']\npublic_url = 'https://p'\n\
            workers = 1\ndurability = 'normal'\nmax_items_per_job = 2\nmax_item_bytes = 3\nmax_attempts = 4\n\
            max_item_seconds = 7\nretention_days = 5\nmin_free_bytes = 6\nlog = 'warn'";
        let values =
            ["/x", "[::1]:1", "/s", "a, b:1", "https://p", "1", "normal", "2", "3", "4", "7", "5", "6", "warn"];
        let names: Vec<_> = KEYS.iter().map(|key| format!("RELABELD_{}", key.name.to_uppercase())).collect();
        let pairs: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
        assert_eq!(pairs.len(), KEYS.len());
        assert_eq!(toml(text), env(&pairs));
    }

    #[test]
    fn an_unknown_key_names_itself_its_place_and_the_nearest() {
        assert_eq!(
            toml("log = 'info'\nworker = 3").unwrap_err(),
            "r.toml:2: worker: unknown setting; the nearest is workers"
        );
        assert!(toml("[store]\nworkers = 3").unwrap_err().contains("store: unknown"));
        assert_eq!(
            env(&[("RELABELD_DATA_DIRECTORY", "/x")]).unwrap_err(),
            "environment: RELABELD_DATA_DIRECTORY: unknown setting; the nearest is data_dir"
        );
    }

    #[test]
    fn variables_of_the_client_and_empty_ones_set_nothing() {
        let all: Vec<_> = CLIENT_VARIABLES.iter().map(|name| (*name, "x")).chain([("RELABELD_LISTEN", "")]).collect();
        assert_eq!(env(&all), Ok(Partial::default()));
    }

    #[test]
    fn a_wrong_value_says_key_form_and_place() {
        assert_eq!(toml("\nworkers = 'four'").unwrap_err(), "r.toml:2: workers: must be a whole number, not 'four'");
        assert!(toml("max_attempts = -1").unwrap_err().contains("max_attempts: must be a whole number, not -1"));
        assert!(toml("hosts = 'a'").unwrap_err().contains("hosts: must be a list of texts"));
        assert!(toml("durability = 'FULL'").unwrap_err().contains("must be full or normal"));
        assert!(toml("listen = ").unwrap_err().starts_with("r.toml:1: "));
        let text = env(&[("RELABELD_LISTEN", "localhost")]).unwrap_err();
        assert_eq!(
            text,
            "environment: RELABELD_LISTEN: must be an IP address and a port, such as 127.0.0.1:8707, not localhost"
        );
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            let odd = Partial::from_env([("RELABELD_LOG".into(), OsString::from_vec(vec![0xff]))]);
            assert!(odd.unwrap_err().contains("RELABELD_LOG: not UTF-8"));
        }
    }

    #[test]
    fn values_are_checked() {
        for bad in [
            "workers = 5000",
            "max_attempts = 0",
            "max_item_bytes = 0",
            "hosts = ['http://x']",
            "hosts = ['']",
            "public_url = 'relabeld.example'",
            "public_url = 'https://u@x'",
            "public_url = 'https://x/y'",
            "socket = ''",
        ] {
            let key = bad.split(' ').next().unwrap();
            assert!(config(bad).is_err_and(|e| e.starts_with(key)), "{bad}");
        }
        assert!(config(&format!("socket = '/{}'", "s".repeat(107))).is_err());
        assert_eq!(config("public_url = 'https://R.example/'").unwrap().public_url.unwrap(), "https://r.example");
        assert_eq!(config("hosts = ['Box:80']").unwrap().hosts, ["box:80"]);
        assert!(Config::from(Partial::default()).is_err(), "data_dir is settled by whoever calls");
    }

    #[test]
    fn a_named_file_must_be_readable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        let flags = Partial { data_dir: Some("/d".into()), ..Partial::default() };
        assert!(load(flags.clone(), [], Some(&file)).unwrap_err().contains("c.toml"));
        fs::write(&file, "workers = 3").unwrap();
        assert_eq!(load(flags, [], Some(&file)).unwrap().workers, 3);
    }

    #[test]
    fn the_data_directory_is_the_first_that_applies() {
        let system = tempfile::tempdir().unwrap();
        let missing = system.path().join("missing");
        let choose = |explicit: Option<&str>, env: &[(&str, &str)], system: &Path| {
            let look = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            choose_data_dir(explicit.map(PathBuf::from), look, system)
        };
        let all = [("STATE_DIRECTORY", "/s/a:/s/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(choose(Some("here"), &all, system.path()).unwrap(), Path::new("here"));
        assert_eq!(choose(None, &all, system.path()).unwrap(), Path::new("/s/a"));
        assert_eq!(choose(None, &all[1..], system.path()).unwrap(), system.path());
        assert_eq!(choose(None, &all[1..], &missing).unwrap(), Path::new("/x/relabeld"));
        assert_eq!(choose(None, &all[2..], &missing).unwrap(), Path::new("/h/.local/state/relabeld"));
        assert_eq!(
            choose(None, &[("XDG_STATE_HOME", "x"), all[2]], &missing).unwrap(),
            Path::new("/h/.local/state/relabeld")
        );
        assert!(choose(None, &[], &missing).is_err());
        assert!(choose(Some(""), &all, &missing).is_err());
    }
}
