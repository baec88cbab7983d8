//! From a route to an HTTP client that takes it.

use std::net::SocketAddr;
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, TcpConnector};

use super::find::Route;
use super::unix::UnixConnector;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The client, and what its addresses begin with. On this machine the daemon is called by a loopback name, for that is
/// the Host it serves whatever it listens on.
pub fn dial(route: Route) -> (Agent, String) {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        // An http_proxy in the environment is not for the machine's own daemon, nor for its token.
        .proxy(None)
        .timeout_connect(Some(CONNECT_WITHIN))
        .user_agent(concat!("relabeld/", env!("CARGO_PKG_VERSION")))
        .build();
    match route {
        Route::Url(url) => (Agent::with_parts(config, TcpConnector::default(), DefaultResolver::default()), url),
        Route::Address(address) => (
            Agent::with_parts(config, TcpConnector::default(), Fixed(address)),
            format!("http://127.0.0.1:{}", address.port()),
        ),
        // The resolver's answer is not used; a socket has no address.
        Route::Socket(path) => {
            let nowhere = Fixed(SocketAddr::from(([127, 0, 0, 1], 0)));
            (Agent::with_parts(config, UnixConnector { path }, nowhere), "http://localhost".to_owned())
        }
    }
}

/// Resolves every name to the one address that a data directory gave.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolver for Fixed {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0);
        Ok(addresses)
    }
}
