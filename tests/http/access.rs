//! Who may call: tokens, the page's sessions, and the names that the daemon is served under.

use serde_json::{Value, json};

use super::daemon::{Ask, Daemon};
use super::{everything, rules, spanned, stocked};

/// A call of every kind that changes something, each of which would succeed.
fn changes(daemon: &Daemon) -> Vec<Ask> {
    let publish = json!({"topic": "conversation_note_analysis", "key": {"conversation_fs_id": "fs-1"}, "data": {}});
    vec![
        daemon.ask_openly("POST", "/api/v1/items").body(super::conversation("fs-1", &["other"])),
        daemon.ask_openly("DELETE", "/api/v1/items/note/n-1"),
        daemon.ask_openly("PUT", "/api/v1/catalogue?allow_remove=true").json(&json!({"topics": []})),
        daemon.ask_openly("POST", "/api/v1/jobs").json(&spanned(json!({}))),
        daemon.ask_openly("POST", "/api/internal/pubsub/publish").json(&publish),
        daemon.ask_openly("POST", "/api/internal/labels/reanalysis?from=2026-11-01&until=2026-12-01"),
        daemon.ask_openly("POST", "/api/tick/runners"),
        daemon.ask_openly("POST", "/api/v1/tokens/token.read/rotate"),
    ]
}

fn reads(daemon: &Daemon) -> Vec<Ask> {
    let gets = ["/api/v1/status", "/api/v1/jobs", "/api/v1/items/note/n-1", "/api/v1/labels.csv", "/", "/page/main.js"];
    let mut reads: Vec<Ask> = gets.iter().map(|target| daemon.ask_openly("GET", target)).collect();
    reads.push(daemon.ask_openly("POST", "/api/v1/count").json(&json!({})));
    reads.push(daemon.ask_openly("POST", "/api/v1/catalogue/test").json(&json!({"phrase": "money back"})));
    reads
}

fn bearing(ask: &Ask, token: &str) -> Ask {
    ask.clone().header("Authorization", &format!("Bearer {token}"))
}

#[test]
fn nothing_is_let_in_without_a_good_token() {
    let daemon = stocked();
    let before = everything(&daemon);
    let read = daemon.token("token.read");
    for ask in changes(&daemon).iter().chain(&reads(&daemon)) {
        let answer = ask.send();
        answer.expect_problem(401, "unauthorized", &["Bearer", "relabeld login"]);
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        for wrong in ["rl_wrong", "", &read[..read.len() - 1], &format!("{read}0")] {
            assert_eq!(bearing(ask, wrong).send().status, 401, "{wrong}");
        }
        let metrics = bearing(ask, &daemon.token("token.metrics")).send();
        metrics.expect_problem(403, "forbidden", &["token.metrics"]);
    }
    for ask in changes(&daemon) {
        bearing(&ask, &read).send().expect_problem(403, "forbidden", &["token.read", "may not", "`token`"]);
    }
    for ask in reads(&daemon) {
        assert_eq!(bearing(&ask, &read).send().status, 200);
    }
    assert_eq!(everything(&daemon), before);
    // What is not there is not told to strangers either.
    assert_eq!(daemon.ask_openly("GET", "/api/v1/nothing").send().status, 401);
    for open in ["/healthz", "/readyz"] {
        assert_eq!(daemon.ask_openly("GET", open).send().status, 200);
    }
}

#[test]
fn a_foreign_host_is_refused_whoever_asks() {
    let daemon = Daemon::with(&["--hosts", "labels.example"]);
    for host in ["evil.example", "evil.example:8707", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1"]
    {
        for target in ["/api/v1/status", "/healthz", "/", "/login/x"] {
            let answer = daemon.ask("GET", target).header("Host", host).send();
            answer.expect_problem(403, "forbidden", &["Host", host, "`hosts`"]);
        }
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]:8707", "LABELS.example:443"] {
        assert_eq!(daemon.ask("GET", "/api/v1/status").header("Host", host).send().status, 200, "{host}");
    }
}

/// The path of a login link, and the cookie that opening it gives.
fn log_in(daemon: &Daemon, wish: Value) -> (String, String) {
    let link = daemon.ask("POST", "/api/v1/login").json(&wish).send().expect(200);
    let url = link["url"].as_str().unwrap();
    let path = url.strip_prefix(&format!("http://{}", daemon.address)).unwrap().to_owned();
    let opened = daemon.ask_openly("GET", &path).send();
    assert_eq!((opened.status, opened.header("Location")), (303, Some("/")), "{}", opened.text());
    let set = opened.header("Set-Cookie").unwrap();
    let (cookie, attributes) = set.split_once(';').unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(attributes.contains(attribute), "{set}");
    }
    assert!(cookie.starts_with(&format!("relabeld_{}=", daemon.address.port())), "{set}");
    assert!(!set.contains(&daemon.token("token")), "a session is not the token");
    (path, cookie.to_owned())
}

#[test]
fn a_login_link_is_good_once() {
    let daemon = Daemon::start();
    let (path, cookie) = log_in(&daemon, json!({}));
    let again = daemon.ask_openly("GET", &path).send();
    again.expect_problem(401, "unauthorized", &["used already", "relabeld login"]);
    assert_eq!(again.header("Set-Cookie"), None);
    assert_eq!(daemon.ask_openly("GET", "/").header("Cookie", &cookie).send().status, 200);
    assert_eq!(daemon.ask_openly("GET", "/login/guessed").send().status, 401);
    let code = path.rsplit('/').next().unwrap();
    assert!(!daemon.log().contains(code), "the log holds no code");
}

#[test]
fn looking_at_a_login_link_does_not_use_it_up() {
    let daemon = Daemon::start();
    let link = daemon.ask("POST", "/api/v1/login").json(&json!({})).send().expect(200);
    let (_, code) = link["url"].as_str().unwrap().split_once("/login/").unwrap();
    let path = format!("/login/{code}");
    for method in ["HEAD", "POST", "OPTIONS"] {
        let looked = daemon.ask_openly(method, &path).send();
        assert_eq!((looked.status, looked.header("Set-Cookie")), (405, None), "{method}");
    }
    let opened = daemon.ask_openly("GET", &path).send();
    assert_eq!(opened.status, 303, "{}", opened.text());
    assert!(opened.header("Set-Cookie").is_some());
}

#[test]
fn a_cookie_changes_things_from_the_daemons_own_page_alone() {
    let daemon = stocked();
    let (_, cookie) = log_in(&daemon, json!({}));
    let before = everything(&daemon);
    let port = daemon.address.port();
    let foreign = [
        "https://evil.example".to_owned(),
        "null".to_owned(),
        // Another service of this machine, and the same name over another scheme.
        format!("http://127.0.0.1:{}", port ^ 1),
        format!("https://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}.evil.example"),
        String::new(),
    ];
    for ask in changes(&daemon) {
        let ask = ask.header("Cookie", &cookie);
        ask.send().expect_problem(403, "forbidden", &["public_url"]);
        for origin in &foreign {
            assert_eq!(ask.clone().header("Origin", origin).send().status, 403, "{origin}");
        }
    }
    for ask in reads(&daemon) {
        let ask = ask.header("Cookie", &cookie);
        assert_eq!(ask.send().status, 200);
        assert_eq!(ask.header("Origin", "https://evil.example").send().status, 403);
    }
    assert_eq!(everything(&daemon), before);
    for origin in [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")] {
        let tick = daemon.ask_openly("POST", "/api/tick/runners").header("Cookie", &cookie);
        assert_eq!(tick.header("Origin", &origin).send().status, 200, "{origin}");
    }
}

#[test]
fn a_login_to_read_only_reads() {
    let daemon = stocked();
    let before = everything(&daemon);
    let origin = format!("http://{}", daemon.address);
    let (_, cookie) = log_in(&daemon, json!({"read": true}));
    for ask in changes(&daemon) {
        let answer = ask.header("Cookie", &cookie).header("Origin", &origin).send();
        answer.expect_problem(403, "forbidden", &["`token`"]);
    }
    for ask in reads(&daemon) {
        assert_eq!(ask.header("Cookie", &cookie).send().status, 200);
    }
    // Nor does a login by the token that reads give more than that.
    let by_reader = daemon.ask_openly("POST", "/api/v1/login").body("{}");
    let link = bearing(&by_reader, &daemon.token("token.read")).send().expect(200);
    let path = link["url"].as_str().unwrap().split_once("/login/").unwrap().1.to_owned();
    let opened = daemon.ask_openly("GET", &format!("/login/{path}")).send();
    let cookie = opened.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let tick = daemon.ask_openly("POST", "/api/tick/runners").header("Cookie", &cookie).header("Origin", &origin);
    assert_eq!(tick.send().status, 403);
    assert_eq!(everything(&daemon), before);
}

#[test]
fn a_rotated_token_and_its_sessions_are_over_at_once() {
    let daemon = Daemon::start();
    let old = daemon.token("token");
    let (_, cookie) = log_in(&daemon, json!({}));
    daemon.ask("POST", "/api/v1/tokens/token/rotate").send().expect(200);
    assert_ne!(daemon.token("token"), old);
    let status = daemon.ask_openly("GET", "/api/v1/status");
    assert_eq!(bearing(&status, &old).send().status, 401);
    assert_eq!(status.header("Cookie", &cookie).send().status, 401);
    daemon.see("/api/v1/status");
    daemon.ask("POST", "/api/v1/tokens/password/rotate").send().expect_problem(404, "not_found", &["password"]);
}

#[test]
fn logging_out_ends_the_session() {
    let daemon = Daemon::start();
    let (_, cookie) = log_in(&daemon, json!({}));
    let origin = format!("http://{}", daemon.address);
    let out = daemon.ask_openly("POST", "/api/v1/logout").header("Cookie", &cookie).header("Origin", &origin).send();
    assert_eq!(out.status, 204);
    assert!(out.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(daemon.ask_openly("GET", "/").header("Cookie", &cookie).send().status, 401);
}

#[test]
fn whoever_may_open_the_socket_may_do_all() {
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::tempdir().unwrap();
    let socket = scratch.path().join("s");
    let daemon = Daemon::with(&["--socket", socket.to_str().unwrap()]);
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let body = rules().to_string();
    write!(stream, "PUT /api/v1/catalogue HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(daemon.see("/api/v1/catalogue")["revision"], 1);
    // Nobody comes in by TCP with the socket's word.
    let forged = daemon.ask_openly("GET", "/api/v1/status").header("X-Relabeld-Via", "unix").send();
    assert_eq!(forged.status, 401);
}
