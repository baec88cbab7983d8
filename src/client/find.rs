//! Finding the daemon: by `--url`, by `--data-dir`, or on the same machine by itself.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::problem::Error;
use crate::os::{TokenFault, token_file};

const SYSTEM_DIR: &str = "/var/lib/relabeld";
/// Where the package's socket unit listens, for people who may not read the data directory.
const SYSTEM_SOCKET: &str = "/run/relabeld/relabeld.sock";
const WHAT_TO_DO: &str =
    "start one with `relabeld serve`, or say where it is with --data-dir DIR, or --url URL and --token-file FILE";
/// Only used to choose among several directories of this machine, so it need not be long.
const PROBE: Duration = Duration::from_millis(500);

/// What the command line and the environment say about where the daemon is.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub url: Option<String>,
    pub token_file: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
}

/// How to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    Url(String),
    /// As written in a data directory.
    Address(SocketAddr),
    Socket(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub route: Route,
    pub token: Option<String>,
    /// For messages: how we came to look there.
    pub whence: String,
}

/// `env` looks up an environment variable; `alive` and `is_open` say whether somebody listens there and lets us in.
fn find_in(
    place: &Place,
    env: impl Fn(&str) -> Option<OsString>,
    alive: impl Fn(SocketAddr) -> bool,
    is_open: impl Fn(&Path) -> bool,
) -> Result<Found, Error> {
    if let Some(url) = &place.url {
        let route = parse_url(url)?;
        // Without --token-file or --data-dir no token is sent: one found on this machine is not for any host named.
        let token = match (&place.token_file, &place.data_dir) {
            (Some(file), _) => Some(read_token(file)?),
            (None, Some(dir)) => token_in(dir)?,
            (None, None) => None,
        };
        return Ok(Found { route, token, whence: url.clone() });
    }
    let dirs = match &place.data_dir {
        Some(dir) => vec![dir.clone()],
        None => directories(env),
    };
    let mut tried = Vec::new();
    let mut found = Vec::new();
    for dir in dirs {
        match read_address(&dir.join("address")) {
            Ok(address) => found.push((dir, address)),
            Err(why) => tried.push(format!("\n  {}: {why}", dir.join("address").display())),
        }
    }
    // A daemon that was killed leaves its address behind; that must not hide one that runs.
    let live = if found.len() > 1 { found.iter().position(|(_, address)| alive(*address)) } else { None };
    if found.is_empty() {
        // It asks for no token: who names one may mean to do less than all.
        let anywhere = place.data_dir.is_none() && place.token_file.is_none();
        if anywhere && is_open(Path::new(SYSTEM_SOCKET)) {
            let route = Route::Socket(PathBuf::from(SYSTEM_SOCKET));
            return Ok(Found { route, token: None, whence: format!("unix:{SYSTEM_SOCKET}") });
        }
        return Err(Error::Unreachable(format!("no daemon found; looked at{}\n{WHAT_TO_DO}", tried.concat())));
    }
    let (dir, address) = found.swap_remove(live.unwrap_or(0));
    let token = match &place.token_file {
        Some(file) => Some(read_token(file)?),
        None => token_in(&dir)?,
    };
    Ok(Found {
        route: Route::Address(address),
        token,
        whence: format!("{address}, as {} says", dir.join("address").display()),
    })
}

pub fn find(place: &Place) -> Result<Found, Error> {
    let alive = |address| TcpStream::connect_timeout(&address, PROBE).is_ok();
    find_in(place, |name| std::env::var_os(name), alive, |socket| UnixStream::connect(socket).is_ok())
}

/// The data directories of this machine, in the order in which the daemon chooses one.
fn directories(env: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    // The base directory rules call a relative path invalid, to be ignored; so does the daemon.
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    // systemd joins several with colons; the daemon's is the first.
    let systemd =
        env("STATE_DIRECTORY").and_then(|dirs| std::env::split_paths(&dirs).next()).filter(|dir| dir.is_absolute());
    let user = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let mut dirs: Vec<PathBuf> = systemd.into_iter().collect();
    dirs.push(PathBuf::from(SYSTEM_DIR));
    dirs.extend(user.map(|dir| dir.join("relabeld")));
    dirs
}

fn parse_url(url: &str) -> Result<Route, Error> {
    let bad = |why: &str| Error::Usage(format!("--url {url}: {why}; give http://HOST:PORT or unix:PATH"));
    if let Some(path) = url.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path {
            "" => Err(bad("no path")),
            path => Ok(Route::Socket(PathBuf::from(path))),
        };
    }
    match url.split_once("://") {
        Some(("http", rest)) if !rest.trim_matches('/').is_empty() => {
            Ok(Route::Url(url.trim_end_matches('/').to_owned()))
        }
        Some(("http", _)) => Err(bad("no host")),
        Some(("https", _)) => {
            Err(bad("this client speaks no TLS, use the daemon's own address or an ssh tunnel to it"))
        }
        Some(_) => Err(bad("unknown scheme")),
        None => Err(bad("no scheme")),
    }
}

fn read_address(file: &Path) -> Result<SocketAddr, String> {
    let text = fs::read_to_string(file).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied (it is readable by the daemon's user only)".to_owned(),
        _ => e.to_string(),
    })?;
    let mut address: SocketAddr = text.trim().parse().map_err(|_| "it holds no ADDRESS:PORT".to_owned())?;
    // A daemon that listens everywhere is reached over loopback.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}

/// The strongest token that we may read. None is no error here: the daemon's refusal says what was needed.
fn token_in(dir: &Path) -> Result<Option<String>, Error> {
    for name in ["token", "token.read"] {
        match token_file::open(&dir.join(name)).and_then(token_file::read) {
            Err(TokenFault::Unreadable(e))
                if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => {}
            read => return read.map(Some).map_err(|fault| faulty(&dir.join(name), &fault)),
        }
    }
    Ok(None)
}

fn read_token(file: &Path) -> Result<String, Error> {
    token_file::open(file).and_then(token_file::read).map_err(|fault| faulty(file, &fault))
}

fn faulty(file: &Path, fault: &TokenFault) -> Error {
    Error::Failed(format!("the token file {} {fault}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(address: &str, token: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("address"), address).unwrap();
        fs::write(dir.path().join("token"), token).unwrap();
        dir
    }

    fn at(dir: &Path) -> Place {
        Place { data_dir: Some(dir.to_owned()), ..Place::default() }
    }

    const NO_ENV: fn(&str) -> Option<OsString> = |_| None;
    const NO_SOCKET: fn(&Path) -> bool = |_| false;

    #[test]
    fn a_data_directory_gives_address_and_token() {
        let dir = directory("0.0.0.0:8123\n", "abc\n");
        let found = find_in(&at(dir.path()), NO_ENV, |_| true, NO_SOCKET).unwrap();
        assert_eq!(found.route, Route::Address("127.0.0.1:8123".parse().unwrap()));
        assert_eq!(found.token.as_deref(), Some("abc"));
        fs::rename(dir.path().join("token"), dir.path().join("token.read")).unwrap();
        assert_eq!(find_in(&at(dir.path()), NO_ENV, |_| true, NO_SOCKET).unwrap().token.as_deref(), Some("abc"));
    }

    #[test]
    fn a_url_gets_no_token_that_was_not_named() {
        let dir = directory("127.0.0.1:1", "secret");
        let mut place = Place { url: Some("http://example.org:8707/".into()), ..Place::default() };
        let env = |name: &str| (name == "STATE_DIRECTORY").then(|| dir.path().as_os_str().to_owned());
        let found = find_in(&place, env, |_| true, NO_SOCKET).unwrap();
        assert_eq!((found.route, found.token), (Route::Url("http://example.org:8707".into()), None));
        place.token_file = Some(dir.path().join("token"));
        assert_eq!(find_in(&place, env, |_| true, NO_SOCKET).unwrap().token.as_deref(), Some("secret"));
    }

    #[test]
    fn one_that_runs_is_preferred_to_one_that_died() {
        let (dead, user) = (directory("127.0.0.1:1", "a"), tempfile::tempdir().unwrap());
        let live = user.path().join("relabeld");
        fs::create_dir(&live).unwrap();
        fs::write(live.join("address"), "127.0.0.1:2").unwrap();
        let env = |name: &str| match name {
            "STATE_DIRECTORY" => Some(dead.path().as_os_str().to_owned()),
            "XDG_STATE_HOME" => Some(user.path().as_os_str().to_owned()),
            _ => None,
        };
        let found = |alive: fn(SocketAddr) -> bool| find_in(&Place::default(), env, alive, NO_SOCKET).unwrap().route;
        assert_eq!(found(|a| a.port() == 2), Route::Address("127.0.0.1:2".parse().unwrap()));
        assert_eq!(found(|_| false), Route::Address("127.0.0.1:1".parse().unwrap()));
    }

    #[test]
    fn the_socket_of_the_service_is_for_who_may_not_read_its_directory() {
        let find = |place: Place| find_in(&place, NO_ENV, |_| true, |socket| socket == Path::new(SYSTEM_SOCKET));
        let nowhere = |dir: Option<PathBuf>| find(Place { data_dir: dir, ..Place::default() });
        let found = nowhere(None).unwrap();
        assert_eq!((found.route, found.token), (Route::Socket(SYSTEM_SOCKET.into()), None));
        let named = tempfile::tempdir().unwrap();
        assert_eq!(nowhere(Some(named.path().to_owned())).unwrap_err().exit_code(), 4, "another daemon was meant");
        let less = Place { token_file: Some(named.path().join("token.read")), ..Place::default() };
        assert_eq!(find(less).unwrap_err().exit_code(), 4, "the socket would let them do all");
    }

    #[test]
    fn finding_none_says_where_it_looked_and_exits_4() {
        let dir = tempfile::tempdir().unwrap();
        let error = find_in(&at(dir.path()), NO_ENV, |_| true, NO_SOCKET).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        let shown = error.to_string();
        assert!(
            shown.contains(&dir.path().join("address").display().to_string()) && shown.contains("relabeld serve"),
            "{shown}"
        );
    }

    #[test]
    fn urls_that_cannot_work_are_usage_errors() {
        for url in ["https://x", "x:1", "http://", "unix:", "ftp://x"] {
            assert_eq!(parse_url(url).unwrap_err().exit_code(), 2, "{url}");
        }
        assert_eq!(parse_url("unix:/run/r.sock").unwrap(), Route::Socket("/run/r.sock".into()));
    }

    #[test]
    fn a_token_that_would_break_the_request_is_refused() {
        let dir = directory("127.0.0.1:1", "a\r\nX: y");
        assert_eq!(find_in(&at(dir.path()), NO_ENV, |_| true, NO_SOCKET).unwrap_err().exit_code(), 1);
    }
}
