//! Sockets that systemd passes: they outlive the daemon.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use super::daemon::{BINARY, Daemon, refusal_of, unset};

/// A daemon that is to find `socket` as systemd passes one: its number is 3, and `LISTEN_PID` is the daemon's own.
fn passing(socket: OwnedFd) -> Command {
    let mut command = unset(Command::new("sh"));
    command.args(["-c", r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@""#, BINARY]);
    command.stdin(socket);
    command
}

fn status_over(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_unix_socket_outlives_the_daemon_and_its_callers_wait() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, path) = (scratch.path().join("data"), scratch.path().join("sock"));
    let socket = UnixListener::bind(&path).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let start =
        || Daemon::spawn(passing(socket.try_clone().unwrap().into()), &dir, &["--socket", path.to_str().unwrap()]);

    let first = start();
    assert!(status_over(&path).starts_with("HTTP/1.1 200"), "who may open it needs no token");
    assert!(first.log().contains("the setting `socket` is not used"), "{}", first.log());
    assert_eq!(first.stop(), Some(0));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "it was neither removed nor bound anew");

    let waiting = thread::spawn({
        let path = path.clone();
        move || status_over(&path)
    });
    let second = start();
    assert!(waiting.join().unwrap().starts_with("HTTP/1.1 200"), "who came in between was waited for");
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn a_tcp_port_takes_the_place_of_the_setting() {
    let scratch = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    // It could not start if it listened there too.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let flags = ["--listen", &taken.local_addr().unwrap().to_string()];
    let daemon = Daemon::spawn(passing(port.into()), &scratch.path().join("data"), &flags);
    assert_eq!(daemon.address, address, "the file `address` names it");
    assert_eq!(daemon.see("/api/v1/status")["address"], address.to_string());
}

#[track_caller]
fn assert_refused(socket: OwnedFd, flags: &[&str], words: &[&str]) {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = passing(socket);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(scratch.path().join("data")).args(flags);
    let (code, said) = refusal_of(command);
    assert_eq!(code, Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
}

#[test]
fn what_cannot_serve_is_refused_with_what_to_do() {
    let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
    assert_refused(everywhere.into(), &[], &["will not listen on 0.0.0.0", "hosts", "ListenStream="]);
    let scratch = tempfile::tempdir().unwrap();
    let datagrams = UnixDatagram::bind(scratch.path().join("d")).unwrap();
    assert_refused(datagrams.into(), &[], &["systemd", "ListenStream=", "Accept=no"]);
    let one_caller = UnixStream::pair().unwrap().0;
    assert_refused(one_caller.into(), &[], &["systemd", "Accept=no"]);
    let path = scratch.path().join("s");
    let for_all = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert_refused(for_all.into(), &[], &["everybody may open", "666", "SocketMode=0660"]);
    let name = format!("relabeld-{}", std::process::id());
    let without_mode = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    assert_refused(without_mode.into(), &[], &["everybody may open", "must be a path"]);
    let file = fs::File::open(BINARY).unwrap();
    assert_refused(file.into(), &[], &["the sockets of systemd"]);
}

#[test]
fn a_port_beyond_loopback_serves_where_a_name_was_given() {
    let scratch = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("0.0.0.0:0").unwrap();
    let daemon = Daemon::spawn(passing(port.into()), &scratch.path().join("data"), &["--hosts", "box"]);
    let status = daemon.ask("GET", "/api/v1/status").header("Host", "box").send();
    assert_eq!(status.status, 200);
}
