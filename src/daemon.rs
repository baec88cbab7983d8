//! The daemon: opened, recovered, started, waited for, stopped, in that order and back.

mod log;
mod restore;
mod watchdog;

use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::log::{error, info, warn};
use anyhow::{Context as _, anyhow, bail};
use crossbeam_channel::{Receiver, Sender, bounded, select};

pub use self::restore::{Telling, restore};
use crate::config::{self, Config, Partial};
use crate::engine::{Compile, Engine, Settings};
use crate::http::access::{self, Access, listening_refused};
use crate::http::calls::Calls;
use crate::http::{Context, Endpoint, Listener};
use crate::labeller::{Labeller, panic_is_caught, phrases};
use crate::model::Catalogue;
use crate::os::reserve::Reserve;
use crate::os::systemd::{self, Passed};
use crate::os::{self, Lock};
use crate::store::{self, Contents, Durability, Store, check_directory, contents};
use crate::when;

use self::watchdog::Watchdog;

/// Requests under way at a stop may take this long.
const GRACE: Duration = Duration::from_secs(3);

/// Files that a daemon makes after its database is complete: where one is there, the data directory was used before.
const MARKERS: [&str; 6] = ["token", "token.read", "token.metrics", "sessions", "begun", "address"];

/// `relabeld serve`: runs until SIGTERM or SIGINT, or until the store cannot be relied on.
pub fn serve(flags: Partial, file: Option<PathBuf>) -> anyhow::Result<()> {
    let config = config::load(flags, std::env::vars_os(), file.as_deref()).map_err(|error| anyhow!(error))?;
    log::start(&config.log);
    end_on_panic();
    let signals = os::signals(os::Hangup::Noted).context("cannot listen for signals")?;
    let passed = systemd::passed_sockets().context("cannot use the sockets of systemd")?;
    let daemon = Daemon::start_on(config, passed)?;
    systemd::ready();
    if std::io::stderr().is_terminal()
        && let Some(url) = daemon.endpoint.login_url()
    {
        // To the terminal alone: a log would keep it.
        let _ = writeln!(std::io::stderr(), "Open {url} in a browser (good once, for 10 minutes).");
    }
    let outcome = daemon.wait(&signals);
    systemd::stopping();
    daemon.stop();
    outcome
}

/// A daemon that runs in this process.
pub struct Daemon {
    endpoint: Endpoint,
    engine: Arc<Engine>,
    store: Arc<Store>,
    failed: Receiver<String>,
    watchdog: Option<Watchdog>,
    address: String,
    data_dir: PathBuf,
    _lock: Lock,
}

impl Daemon {
    pub fn start(config: Config) -> anyhow::Result<Daemon> {
        Daemon::start_on(config, Vec::new())
    }

    /// What systemd passed takes the place of the settings `listen` and `socket`, each for its kind.
    fn start_on(config: Config, passed: Vec<Passed>) -> anyhow::Result<Daemon> {
        let data_dir = config.data_dir.clone();
        Daemon::start_in(config, passed).map_err(|error| match is_full(&error) {
            true => error.context(format!("cannot start: {}", os::describe_free(&data_dir))),
            false => error,
        })
    }

    fn start_in(config: Config, passed: Vec<Passed>) -> anyhow::Result<Daemon> {
        // Before anything is made.
        refuse_to_be_reached(&config, &passed)?;
        let lock = os::lock(&config.data_dir)?;
        release_reserve_if_full(&config.data_dir);
        // Before the database is touched: a port in use must not cost a recovery.
        let (listeners, address) = open_doors(&config, passed)?;
        // Before SQLite makes a file there.
        access::refuse_open_directory(&config.data_dir)?;
        match contents(&config.data_dir, &MARKERS)? {
            Contents::Lost(why) => bail!(why),
            Contents::Database(Some(damage)) => {
                let copy = keep_damaged_log(&config.data_dir, when::now())?;
                error!("{damage}; the daemon starts without these commits, and keeps the log as {}", copy.display());
            }
            Contents::Database(None) | Contents::Nothing => {}
        }
        let durability = match config.durability {
            config::Durability::Full => Durability::Full,
            config::Durability::Normal => Durability::Normal,
        };
        let store = Arc::new(Store::open(&config.data_dir, durability)?);
        // After the database: a token file without a database means a lost database. A first start that fails before
        // the database exists must not leave token files.
        let access =
            Access::open(&config.data_dir, address.port(), config.hosts.clone(), config.public_url.as_deref())?;
        renew_revision(&store)?;
        let compile = by_phrases();
        let (failing, failed) = bounded(1);
        let engine = Arc::new(start_engine(&config, &store, &compile, failing)?);
        report_recovery(&engine);

        let data_dir = config.data_dir.clone();
        let base_url = config.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        let context = Context {
            config,
            store: Arc::clone(&store),
            engine: Arc::clone(&engine),
            compile,
            access,
            address: address.to_string(),
            base_url,
            calls: Calls::default(),
        };
        let endpoint = Endpoint::open(context, listeners).inspect_err(|_| {
            // What was begun ends, or the next start would suspect it.
            engine.stop();
            store.close();
        });
        let endpoint = endpoint.context("cannot serve HTTP")?;
        let address_file = data_dir.join("address");
        os::write_atomically(&address_file, address.to_string().as_bytes(), os::PRIVATE)
            // Clients would send their token to whoever listens there next.
            .inspect_err(|_| drop(std::fs::remove_file(&address_file)))
            .context("cannot write the file `address`")?;
        let watchdog = Watchdog::start(&store, endpoint.pulse()).context("cannot start the watchdog")?;
        info!("serving on {address}, data in {}", data_dir.display());
        Ok(Daemon { endpoint, engine, store, failed, watchdog, address: address.to_string(), data_dir, _lock: lock })
    }

    /// `ADDR:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn login_url(&self) -> Option<String> {
        self.endpoint.login_url()
    }

    /// Waits for a signal; an error where the engine gave up.
    pub fn wait(&self, signals: &Receiver<()>) -> anyhow::Result<()> {
        let why = select! {
            recv(signals) -> _ => {
                info!("stopping: what is being analysed ends, the rest goes back to the queue");
                return Ok(());
            }
            recv(self.failed) -> why => why,
            recv(self.store.failed()) -> why => why,
        };
        Err(anyhow!(why.unwrap_or_default()).context("stopped, because the database cannot be relied on"))
    }

    /// From the front to the back: no new requests, no new leases, what is in flight committed, the log folded in.
    pub fn stop(self) {
        self.endpoint.stop(GRACE);
        self.engine.stop();
        self.store.close();
        if let Some(watchdog) = self.watchdog {
            watchdog.stop();
        }
        if let Err(error) = std::fs::remove_file(self.data_dir.join("address")) {
            warn!("the file `address` stays: {error}");
        }
        info!("stopped");
    }
}

/// Copies the log before the start folds it into the database: what is left of the lost commits is only there.
fn keep_damaged_log(data_dir: &Path, now: i64) -> anyhow::Result<PathBuf> {
    let log = data_dir.join("relabeld.db").canonicalize()?.with_file_name("relabeld.db-wal");
    let copy = data_dir.join(format!("damaged-wal-{now}"));
    let copied = std::fs::File::open(&log).and_then(|mut from| {
        let mut to = os::create_private(&copy)?;
        std::io::copy(&mut from, &mut to)?;
        to.sync_all()
    });
    copied.with_context(|| format!("cannot copy the damaged {} to {}", log.display(), copy.display()))?;
    Ok(copy)
}

/// The cause is a disk without room.
fn is_full(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref() == Some(&store::Error::Full) || cause.downcast_ref().is_some_and(os::is_full))
}

/// A start needs some space, also on a disk that is full.
fn release_reserve_if_full(data_dir: &Path) {
    let Ok(reserve) = Reserve::of(data_dir) else { return };
    if os::free_bytes(data_dir).is_ok_and(|free| free < reserve.bytes()) && reserve.release_all() {
        warn!("the disk is full: the daemon freed {}/reserve in order to start", data_dir.display());
    }
}

/// The built-in labeller, for every revision.
fn by_phrases() -> Arc<Compile> {
    // Nobody is to run that one unawares.
    #[cfg(feature = "faults")]
    warn!("built with the feature `faults`: an item's text can make this daemon fail, hang or end");
    Arc::new(|catalogue: &Catalogue| -> Arc<dyn Labeller> {
        let labeller = phrases::Phrases::compile(catalogue);
        #[cfg(feature = "faults")]
        let labeller = crate::labeller::faults::Faults::around(labeller);
        Arc::new(labeller)
    })
}

fn start_engine(
    config: &Config,
    store: &Arc<Store>,
    compile: &Arc<Compile>,
    failing: Sender<String>,
) -> anyhow::Result<Engine> {
    let settings = Settings {
        data_dir: config.data_dir.clone(),
        workers: config.workers,
        max_attempts: config.max_attempts,
        max_item_time: Duration::from_secs(config.max_item_seconds.into()),
        retention: i64::from(config.retention_days) * 86_400_000,
        min_free_bytes: config.min_free_bytes,
        clock: when::now,
    };
    Engine::start(Arc::clone(store), settings, Arc::clone(compile), failing)
}

/// A newer labeller reads otherwise: the same catalogue becomes a new revision, and items count as not read by it.
fn renew_revision(store: &Store) -> anyhow::Result<()> {
    let current = store.revision(None)?;
    if current.revision > 0 && current.labeller != phrases::VERSION {
        let applied = store.apply_catalogue(current.catalogue, phrases::VERSION, false, None, when::now())?;
        info!("the labeller is now {}: the catalogue is revision {} under it", phrases::VERSION, applied.revision);
    }
    Ok(())
}

fn report_recovery(engine: &Engine) {
    let recovered = engine.recovered();
    if recovered.leases_given_back > 0 || recovered.suspects > 0 {
        warn!(
            "the last run ended in mid-work: leases given back: {}; items that will be run alone: {}; quarantined: {}",
            recovered.leases_given_back, recovered.suspects, recovered.quarantined
        );
    }
}

/// An error where others than this machine could call, unless the settings say by which name.
fn refuse_to_be_reached(config: &Config, passed: &[Passed]) -> anyhow::Result<()> {
    let refused = |addr| listening_refused(addr, &config.hosts, config.public_url.as_deref());
    let mut by_systemd = false;
    for socket in passed {
        if let Passed::Tcp(tcp) = socket {
            by_systemd = true;
            if let Some(refused) = refused(tcp.local_addr()?) {
                bail!("{refused} (the port is systemd's: ListenStream= of the socket unit)");
            }
        }
    }
    match refused(config.listen).filter(|_| !by_systemd) {
        Some(refused) => bail!(refused),
        None => Ok(()),
    }
}

/// Where callers come in, and the address of the first TCP door: that of systemd, where it passed one.
fn open_doors(config: &Config, passed: Vec<Passed>) -> anyhow::Result<(Vec<Listener>, SocketAddr)> {
    let (mut address, mut over_unix) = (None, false);
    let mut listeners = Vec::with_capacity(passed.len() + 2);
    for socket in passed {
        listeners.push(match socket {
            Passed::Tcp(tcp) => {
                let local = tcp.local_addr()?;
                info!("systemd listens on {local}; the setting `listen` is not used");
                address.get_or_insert(local);
                Listener::Tcp(tcp)
            }
            // Its file is systemd's: it is neither replaced nor removed here.
            Passed::Unix(socket) => {
                refuse_if_open_to_all(&socket)?;
                info!("systemd listens on {:?}; the setting `socket` is not used", socket.local_addr()?);
                over_unix = true;
                Listener::Unix(socket)
            }
        });
    }
    let address = match address {
        Some(address) => address,
        None => {
            let tcp = TcpListener::bind(config.listen).with_context(|| {
                format!(
                    "cannot listen on {} (choose another with --listen ADDR:PORT; port 0 is any free one)",
                    config.listen
                )
            })?;
            let address = tcp.local_addr()?;
            listeners.push(Listener::Tcp(tcp));
            address
        }
    };
    if let Some(socket) = config.socket.as_deref().filter(|_| !over_unix) {
        listeners.push(Listener::Unix(listen_unix(socket)?));
    }
    Ok((listeners, address))
}

/// Who may open it may do all, so it is not for everybody on this machine: systemd's own default mode is 666.
fn refuse_if_open_to_all(socket: &UnixListener) -> anyhow::Result<()> {
    let address = socket.local_addr()?;
    let Some(path) = address.as_pathname() else {
        bail!(
            "systemd listens on {address:?}, which everybody may open: ListenStream= of the socket unit must be a path"
        );
    };
    // One that cannot be seen from here (another root, a name that is gone) is as its unit says.
    match std::fs::metadata(path) {
        Ok(about) if about.permissions().mode() & 0o002 != 0 => bail!(
            "everybody may open {} (mode {:03o}), and who may open it may do all: set SocketMode=0660 in the socket unit",
            path.display(),
            about.permissions().mode() & 0o777
        ),
        _ => Ok(()),
    }
}

fn listen_unix(path: &Path) -> anyhow::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    // A socket that an earlier run left is in the way; anything else is not ours to remove.
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        std::fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    Ok(listener)
}

/// `relabeld check`: config and database, with the daemon stopped. With `json` what it finds is one document. Nothing in
/// the data directory is written.
pub fn check(flags: Partial, file: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let config = config::load(flags, std::env::vars_os(), file.as_deref()).map_err(|error| anyhow!(error))?;
    if let Some(refused) = listening_refused(config.listen, &config.hosts, config.public_url.as_deref()) {
        bail!(refused);
    }
    if !config.data_dir.is_dir() {
        bail!("there is no data directory {}: --data-dir names one", config.data_dir.display());
    }
    let mut out = std::io::stdout();
    if !json {
        writeln!(out, "config: ok")?;
    }
    let faults = faults_in(&config.data_dir)?;
    if json {
        // No database is null: a daemon that was never started has none.
        let database = faults.as_ref().map(|faults| if faults.is_empty() { "ok" } else { "faulty" });
        let found = faults.as_deref().unwrap_or_default();
        writeln!(out, "{}", serde_json::json!({"config": "ok", "database": database, "faults": found}))?;
    }
    match faults.as_deref() {
        _ if json => {}
        None => writeln!(out, "database: there is none in {}", config.data_dir.display())?,
        Some([]) => writeln!(out, "database: ok")?,
        Some(faults) => faults.iter().try_for_each(|fault| writeln!(out, "{fault}"))?,
    }
    match faults.map_or(0, |faults| faults.len()) {
        0 => Ok(()),
        n => bail!("{n} fault(s) in {}", config.data_dir.display()),
    }
}

/// What is wrong with the database; None where there is none and never was.
fn faults_in(data_dir: &Path) -> anyhow::Result<Option<Vec<String>>> {
    let _lock = os::lock_if_there(data_dir).context("cannot check the database")?;
    Ok(match contents(data_dir, &MARKERS)? {
        Contents::Nothing => None,
        Contents::Lost(why) => Some(vec![why]),
        Contents::Database(_) => Some(check_directory(data_dir)?),
    })
}

/// A panic in a thread of ours ends the process, so that a new start recovers; a labeller's is its item's error, and one
/// of tiny_http's threads, which have no names, is mended by the endpoint.
fn end_on_panic() {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        // A message that was put together may quote what it stumbled over, and that may be an item's text.
        let why = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("its message is withheld");
        error!("panic{place}: {why}\n{}", std::backtrace::Backtrace::capture());
        if std::thread::current().name().is_some() && !panic_is_caught() {
            error!("a thread panicked: the process ends");
            std::process::exit(101);
        }
    }));
}
