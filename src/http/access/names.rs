//! Which hosts and origins are ours.

use std::net::{Ipv4Addr, SocketAddr};

use super::AccessError;

/// The names and origins that are the daemon's own.
pub(super) struct Names {
    port: u16,
    hosts: Vec<(String, Option<u16>)>,
    public: Option<Origin>,
    pub(super) public_https: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Origin {
    https: bool,
    name: String,
    port: u16,
}

impl Names {
    pub(super) fn new(port: u16, hosts: &[String], public_url: Option<&str>) -> Result<Names, AccessError> {
        let unservable = |text: &str| AccessError::UnservableName(text.to_owned());
        let hosts = hosts.iter().map(|host| authority(host).ok_or_else(|| unservable(host)));
        let public = public_url.map(|url| parse_origin(url.trim_end_matches('/')).ok_or_else(|| unservable(url)));
        let public = public.transpose()?;
        let public_https = public.as_ref().is_some_and(|origin| origin.https);
        Ok(Names { port, hosts: hosts.collect::<Result<_, _>>()?, public, public_https })
    }

    /// The port does not matter: whoever rebinds a name has to use a name of his own.
    pub(super) fn serve_host(&self, host: &str) -> bool {
        let Some((name, _)) = authority(host) else { return false };
        is_loopback(&name)
            || self.hosts.iter().any(|(served, _)| *served == name)
            || self.public.as_ref().is_some_and(|public| public.name == name)
    }

    /// Here the port matters: another service of this machine, or a page it serves, is another origin.
    pub(super) fn serve_origin(&self, origin: &str) -> bool {
        let Some(origin) = parse_origin(origin) else {
            return false;
        };
        let direct = !origin.https && origin.port == self.port;
        self.public.as_ref() == Some(&origin)
            || direct && is_loopback(&origin.name)
            || self
                .hosts
                .iter()
                .any(|(name, port)| *name == origin.name && port.map_or(direct, |port| port == origin.port))
    }
}

fn parse_origin(text: &str) -> Option<Origin> {
    let (scheme, rest) = text.split_once("://")?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let (name, port) = authority(rest)?;
    Some(Origin { https, name, port: port.unwrap_or(if https { 443 } else { 80 }) })
}

/// `name`, `name:port`, `[v6]` or `[v6]:port`; the name in lower case. Anything else, a user name say, is none.
fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let v6_end = text.starts_with('[').then(|| text.find(']')).flatten();
    let (name, rest) = text.split_at(v6_end.map_or_else(|| text.find(':').unwrap_or(text.len()), |end| end + 1));
    let fits = match v6_end {
        Some(_) => name.chars().all(|c| c.is_ascii_hexdigit() || "[]:.".contains(c)),
        None => !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    fits.then(|| (name.to_ascii_lowercase(), port))
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name == "[::1]" || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// Why `addr` must not be listened on, if it must not: beyond this machine somebody has to have named the daemon first.
pub fn listening_refused(addr: SocketAddr, hosts: &[String], public_url: Option<&str>) -> Option<String> {
    let named = !hosts.is_empty() || public_url.is_some();
    (!named && !addr.ip().to_canonical().is_loopback()).then(|| {
        format!(
            "will not listen on {addr}, which others can reach: set `public_url` or `hosts`, or listen on 127.0.0.1"
        )
    })
}
