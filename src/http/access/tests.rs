use std::fs::Permissions;

use super::*;
use crate::os::tests::DIRECTORY_SYNC_FAILS;

const NOW: Millis = 1_700_000_000_000;

struct Bench {
    dir: tempfile::TempDir,
    access: Access,
}

fn private_dir() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn bench_with(hosts: &[&str], public_url: Option<&str>) -> Bench {
    let dir = private_dir();
    let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
    let access = Access::open(dir.path(), 8707, hosts, public_url).unwrap();
    Bench { dir, access }
}

fn bench() -> Bench {
    bench_with(&[], None)
}

impl Bench {
    fn token(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap().trim().to_owned()
    }

    fn with_token(&self, name: &str, asking: Asking<'_>) -> Result<Caller, u16> {
        let header = format!("Bearer {}", self.token(name));
        self.ask(Asking { authorization: Some(&header), ..asking })
    }

    fn ask(&self, asking: Asking<'_>) -> Result<Caller, u16> {
        self.access.check(&asking, NOW).map_err(|refusal| refusal.status)
    }

    fn caller(&self, name: &str) -> Caller {
        self.with_token(name, GET).unwrap()
    }

    /// The `Cookie` header of a new session.
    fn session(&self, by: &Caller, wanted: Right) -> String {
        let code = self.access.new_login(by, wanted, NOW).unwrap();
        format!("other=1; relabeld_8707={}", self.access.login(&code, NOW).unwrap().unwrap())
    }

    fn reads_at(&self, cookie: &str, now: Millis) -> bool {
        self.access.check(&Asking { cookie: Some(cookie), ..GET }, now).is_ok()
    }
}

const GET: Asking<'static> = Asking {
    method: "GET",
    path: "/api/v1/status",
    over_unix: false,
    host: Some("localhost:8707"),
    origin: None,
    authorization: None,
    cookie: None,
    changes: false,
};
const POST: Asking<'static> = Asking { method: "POST", path: "/api/v1/jobs", changes: true, ..GET };

#[test]
fn the_first_start_makes_three_private_tokens_and_the_next_keeps_them() {
    let bench = bench();
    let tokens = TOKENS.map(|(name, _)| bench.token(name));
    assert!(tokens.iter().all(|token| token.starts_with("rl_") && token.len() == 3 + 64));
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
    for (name, _) in TOKENS {
        assert_eq!(fs::metadata(bench.dir.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_dir(bench.dir.path()).unwrap().count(), 3, "no drafts stay behind");
    Access::open(bench.dir.path(), 8707, vec![], None).unwrap();
    assert_eq!(TOKENS.map(|(name, _)| bench.token(name)), tokens);
}

#[test]
fn an_empty_or_exposed_token_or_directory_is_refused_by_name() {
    let refused = |name: &str, mode: u32, text: &str| {
        let dir = private_dir();
        let path = dir.path().join(name);
        if !name.is_empty() {
            fs::write(&path, text).unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Access::open(dir.path(), 8707, vec![], None).err().map(|e| e.to_string())
    };
    assert!(refused("token", 0o600, " \n").unwrap().contains("token holds no token"));
    assert!(refused("token", 0o600, "rl_x\nrl_y\n").unwrap().contains("token has more than one line"));
    let long = "x".repeat(10_000_000);
    assert!(refused("token.read", 0o600, &long).unwrap().contains("token.read is longer than 1024 bytes"));
    assert!(refused("token.read", 0o604, "rl_x").unwrap().contains("mode 604"));
    assert!(refused("token.metrics", 0o660, "rl_x").unwrap().contains("token.metrics"));
    assert!(refused("", 0o755, "").unwrap().contains("chmod 700"));
    assert_eq!(refused("token.metrics", 0o640, "rl_x"), None, "a group of the owner's choice may read");
}

#[test]
fn a_token_may_what_its_name_says() {
    let bench = bench();
    let metrics = Asking { path: "/metrics", ..GET };
    let deletes = Asking { method: "DELETE", ..GET };
    let table = [
        ("token", [Ok(()), Ok(()), Ok(()), Ok(())]),
        ("token.read", [Ok(()), Ok(()), Err(403), Err(403)]),
        ("token.metrics", [Ok(()), Err(403), Err(403), Err(403)]),
    ];
    for (name, expected) in table {
        let got = [metrics, GET, POST, deletes].map(|asking| bench.with_token(name, asking).map(|_| ()));
        assert_eq!(got, expected, "{name}");
        assert_eq!(bench.with_token(name, metrics).unwrap().name, name);
    }
    let header = format!("Bearer {}", bench.token("token.metrics"));
    let refusal = bench.access.check(&Asking { authorization: Some(&header), ..GET }, NOW).unwrap_err();
    assert!(refusal.detail.contains("`token.read`"), "{}", refusal.detail);
}

#[test]
fn only_the_whole_token_after_bearer_counts() {
    let bench = bench();
    let token = bench.token("token");
    for (header, expected) in [
        (format!("bEARER  {token} "), Ok(())),
        (format!("Bearer {}", &token[..token.len() - 1]), Err(401)),
        (format!("Bearer {token}0"), Err(401)),
        ("Bearer ".to_owned(), Err(401)),
        (format!("Basic {token}"), Err(401)),
        (token.clone(), Err(401)),
    ] {
        let got = bench.ask(Asking { authorization: Some(&header), ..POST }).map(|_| ());
        assert_eq!(got, expected, "{header}");
    }
    assert_eq!(bench.ask(GET), Err(401));
    let foreign = Asking { origin: Some("https://evil.example"), ..POST };
    assert!(bench.with_token("token", foreign).is_ok(), "no browser sends a token by itself");
}

#[test]
fn the_socket_may_all_and_little_is_open() {
    let bench = bench();
    assert_eq!(bench.ask(Asking { over_unix: true, host: None, ..POST }), Ok(Caller::SOCKET));
    for path in ["/healthz", "/readyz", "/login/0123"] {
        assert_eq!(bench.ask(Asking { path, ..GET }), Ok(Caller::ANYONE), "{path}");
        assert_eq!(bench.ask(Asking { path, ..POST }), Err(401), "{path} changes nothing");
        assert_eq!(bench.ask(Asking { path, host: Some("evil.example"), ..GET }), Err(403), "{path}");
    }
    for path in ["/", "/metrics", "/healthz/x", "/login", "/openapi.json"] {
        assert_eq!(bench.ask(Asking { path, ..GET }), Err(401), "{path}");
    }
}

#[test]
fn the_host_is_one_of_ours() {
    let bench = bench_with(&["Box.lan", "[fd00::1]:9"], Some("https://relabeld.example"));
    let status = |host| bench.ask(Asking { path: "/healthz", host, ..GET }).err();
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1:8707",
        "127.9.9.9",
        "[::1]",
        "[::1]:80",
        "box.lan:8707",
        "BOX.LAN",
        "[fd00::1]",
        "relabeld.example",
        "relabeld.example:443",
    ] {
        assert_eq!(status(Some(host)), None, "{host}");
    }
    for host in [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "x.localhost",
        "128.0.0.1",
        "::1",
        "[::2]",
        "localhost:",
        "localhost:+1",
        "localhost:99999",
        "a@localhost",
        "localhost/",
        "box.lan.",
        "127.1",
    ] {
        assert_eq!(status(Some(host)), Some(403), "{host}");
    }
    assert_eq!(status(None), Some(400));
}

#[test]
fn a_session_changes_things_only_from_our_own_page() {
    let bench = bench_with(&["box.lan", "proxy.lan:443"], Some("https://relabeld.example/"));
    let cookie = bench.session(&Caller::TERMINAL, Right::All);
    let with = |origin, asking| bench.ask(Asking { origin, cookie: Some(&cookie), ..asking }).map(|_| ());
    for origin in [
        "http://localhost:8707",
        "http://127.0.0.1:8707",
        "http://[::1]:8707",
        "http://box.lan:8707",
        "https://proxy.lan",
        "https://relabeld.example",
        "https://relabeld.example:443",
    ] {
        assert_eq!(with(Some(origin), POST), Ok(()), "{origin}");
        assert_eq!(with(Some(origin), GET), Ok(()), "{origin}");
    }
    for origin in [
        "null",
        "",
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:8707",
        "https://evil.example",
        "http://relabeld.example",
        "https://relabeld.example.evil.example",
        "http://box.lan",
        "file://",
        "http://localhost:8707/x",
        "http://evil@localhost:8707",
    ] {
        assert_eq!(with(Some(origin), POST), Err(403), "{origin}");
        assert_eq!(with(Some(origin), GET), Err(403), "{origin}");
    }
    assert_eq!(with(None, GET), Ok(()));
    assert_eq!(with(None, POST), Err(403));
}

#[test]
fn a_login_code_works_once_and_for_ten_minutes() {
    let Bench { access, .. } = bench();
    let code = access.new_login(&Caller::TERMINAL, Right::All, NOW).unwrap();
    let late = access.new_login(&Caller::TERMINAL, Right::All, NOW).unwrap();
    let session = access.login(&code, NOW + 10 * MINUTE - 1).unwrap().unwrap();
    assert!(session != code && session.len() == 64);
    assert_eq!(access.login(&code, NOW).unwrap(), None);
    assert_eq!(access.login(&late, NOW + 10 * MINUTE).unwrap(), None);
    assert_eq!(access.login("", NOW).unwrap(), None);

    let codes: Vec<_> = (0..17).map(|i| access.new_login(&Caller::TERMINAL, Right::All, NOW + i).unwrap()).collect();
    assert_eq!(access.login(&codes[0], NOW + 20).unwrap(), None, "the seventeenth made room for itself");
    assert!(access.login(&codes[1], NOW + 20).unwrap().is_some());
}

#[test]
fn a_session_has_at_most_the_right_of_who_opened_it() {
    let bench = bench();
    let own = Some("http://localhost:8707");
    for (by, wanted, read, change) in [
        ("token", Right::All, Ok(()), Ok(())),
        ("token", Right::Read, Ok(()), Err(403)),
        ("token.read", Right::All, Ok(()), Err(403)),
    ] {
        let cookie = bench.session(&bench.caller(by), wanted);
        let ask = |asking| bench.ask(Asking { cookie: Some(&cookie), origin: own, ..asking }).map(|_| ());
        assert_eq!((ask(GET), ask(POST)), (read, change), "{by} {wanted:?}");
    }
    let metrics = bench.with_token("token.metrics", Asking { path: "/metrics", ..GET }).unwrap();
    let code = bench.access.new_login(&metrics, Right::All, NOW).unwrap();
    assert_eq!(bench.access.login(&code, NOW).unwrap(), None);
}

#[test]
fn a_session_ends_by_idling_by_age_and_by_logout() {
    let bench = bench();
    let idle = bench.session(&Caller::TERMINAL, Right::Read);
    assert!(bench.reads_at(&idle, NOW + 12 * HOUR - 1));
    assert!(bench.reads_at(&idle, NOW + 24 * HOUR - 2), "the last use counts");
    assert!(!bench.reads_at(&idle, NOW + 36 * HOUR));

    let busy = bench.session(&Caller::TERMINAL, Right::Read);
    assert!((0..7 * 24).all(|hour| bench.reads_at(&busy, NOW + hour * HOUR)));
    assert!(!bench.reads_at(&busy, NOW + SESSION_LIFE));

    let left = bench.session(&Caller::TERMINAL, Right::Read);
    let twice = format!("relabeld_8707=stale; {left}");
    assert!(bench.reads_at(&twice, NOW), "a second cookie of the name shuts nobody out");
    assert!(!bench.reads_at(&left.replace("8707", "8708"), NOW));
    let clears = bench.access.logout(Some(&left), NOW);
    assert!(clears.starts_with("relabeld_8707=;") && clears.contains("Max-Age=0"), "{clears}");
    assert!(!bench.reads_at(&left, NOW));
}

#[test]
fn sessions_are_bounded_and_the_least_recently_used_goes() {
    let bench = bench();
    let first = bench.session(&Caller::TERMINAL, Right::Read);
    let second = bench.session(&Caller::TERMINAL, Right::Read);
    assert!(bench.reads_at(&first, NOW + 1));
    for _ in 0..255 {
        bench.session(&Caller::TERMINAL, Right::Read);
    }
    assert!(bench.reads_at(&first, NOW + 2) && !bench.reads_at(&second, NOW + 2));
}

#[test]
fn the_cookie_is_the_pages_alone() {
    let header = bench().access.set_cookie_header("v");
    assert_eq!(header, "relabeld_8707=v; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800");
    let behind_tls = bench_with(&[], Some("https://r.example")).access.set_cookie_header("v");
    assert!(behind_tls.ends_with("; Secure"));
}

#[test]
fn rotation_ends_the_old_token_and_all_it_opened() {
    let bench = bench();
    let (all, read) = (bench.caller("token"), bench.caller("token.read"));
    let old = format!("Bearer {}", bench.token("token"));
    let session = bench.session(&all, Right::Read);
    let from_session = bench.ask(Asking { cookie: Some(&session), ..GET }).unwrap();
    let heir = bench.session(&from_session, Right::Read);
    let others = bench.session(&read, Right::Read);
    let code = bench.access.new_login(&all, Right::All, NOW).unwrap();
    let ticket = bench.access.new_ticket(&all, "/x", NOW).unwrap();

    let fresh = bench.access.rotate("token").unwrap();
    assert_eq!(fresh, bench.token("token"));
    assert_eq!(bench.ask(Asking { authorization: Some(&old), ..GET }), Err(401));
    assert!(bench.with_token("token", POST).is_ok());
    assert!(!bench.reads_at(&session, NOW) && !bench.reads_at(&heir, NOW) && bench.reads_at(&others, NOW));
    assert_eq!(bench.access.login(&code, NOW).unwrap(), None);
    assert!(bench.access.redeem("/x", &ticket, NOW).is_none());

    assert!(bench.access.rotate("../token").unwrap_err().to_string().contains("token.metrics"));
    let reopened = Access::open(bench.dir.path(), 8707, vec![], None).unwrap();
    let header = format!("Bearer {fresh}");
    assert!(reopened.check(&Asking { authorization: Some(&header), ..POST }, NOW).is_ok());
}

#[test]
fn a_rotation_that_cannot_be_stored_changes_nothing() {
    let bench = bench();
    let header = format!("Bearer {}", bench.token("token"));
    fs::create_dir(bench.dir.path().join(".token.tmp")).unwrap();
    assert!(bench.access.rotate("token").is_err());
    assert!(bench.ask(Asking { authorization: Some(&header), ..POST }).is_ok());
}

#[test]
fn after_a_rotation_that_the_disk_does_not_confirm_the_token_in_the_file_works() {
    let bench = bench();
    let old = bench.token("token");
    let (session, other) = (bench.session(&bench.caller("token"), Right::All), bench.caller("token.read"));
    let other = bench.session(&other, Right::Read);
    DIRECTORY_SYNC_FAILS.set(true);
    let error = bench.access.rotate("token").unwrap_err().to_string();
    DIRECTORY_SYNC_FAILS.set(false);
    assert!(error.contains("the new token is in ") && error.contains("power cut"), "{error}");
    let stored = bench.token("token");
    assert_ne!(stored, old);
    let restarted = Access::open(bench.dir.path(), 8707, vec![], None).unwrap();
    for access in [&bench.access, &restarted] {
        let may = |token: &str| {
            let header = format!("Bearer {token}");
            access.check(&Asking { authorization: Some(&header), ..POST }, NOW).is_ok()
        };
        assert!(may(&stored) && !may(&old));
        assert!(access.check(&Asking { cookie: Some(&session), ..GET }, NOW).is_err());
    }
    assert!(bench.reads_at(&other, NOW));
}

#[test]
fn while_its_file_is_written_a_new_token_works_beside_the_old_one() {
    let bench = bench();
    let may =
        |token: &str| bench.ask(Asking { authorization: Some(&format!("Bearer {token}")), ..GET }).map(|c| c.name);
    bench.access.inside().incoming_token = Some((1, "rl_new".to_owned()));
    assert_eq!((may("rl_new"), may(&bench.token("token.read"))), (Ok("token.read"), Ok("token.read")));
    bench.access.inside().incoming_token = None;
    assert_eq!(may("rl_new"), Err(401));
}

#[test]
fn a_ticket_opens_its_path_for_ten_minutes() {
    let Bench { access, .. } = bench();
    let ticket = access.new_ticket(&Caller::SOCKET, "/a", NOW).unwrap();
    let opens = |path: &str, ticket: &str, now| access.redeem(path, ticket, now).map(|caller| caller.may);
    assert_eq!(opens("/a", &ticket, NOW + 6 * MINUTE), Some(Right::Read));
    assert_eq!(opens("/a", &ticket, NOW + 10 * MINUTE - 1), Some(Right::Read));
    assert_eq!((opens("/b", &ticket, NOW), opens("/a", "", NOW)), (None, None));
    assert_eq!(opens("/a", &ticket, NOW + 10 * MINUTE), None, "use does not prolong it");
    let first = access.new_ticket(&Caller::SOCKET, "/a", NOW).unwrap();
    let others = (0..1024).map(|_| access.new_ticket(&Caller::SOCKET, "/a", NOW + 1).unwrap());
    assert_eq!(others.count(), 1024);
    assert_eq!(opens("/a", &first, NOW + 2), None, "tickets are bounded");
}

#[test]
fn beyond_loopback_it_listens_only_under_a_name() {
    let refused = |addr: &str, hosts: &[String], url| listening_refused(addr.parse().unwrap(), hosts, url);
    for addr in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(refused(addr, &[], None), None, "{addr}");
    }
    for addr in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1"] {
        assert!(refused(addr, &[], None).is_some_and(|why| why.contains(addr)), "{addr}");
        assert_eq!(refused(addr, &["box.lan".to_owned()], None), None);
        assert_eq!(refused(addr, &[], Some("https://x")), None);
    }
    assert!(Access::open(Path::new("/"), 1, vec!["a b".to_owned()], None).is_err());
    assert!(Access::open(Path::new("/"), 1, vec![], Some("relabeld.example")).is_err());
}

#[test]
fn a_restart_signs_nobody_out_who_was_in() {
    let bench = bench();
    let restarted = |bench: &Bench| Access::open(bench.dir.path(), 8707, vec![], None).unwrap();
    let reads =
        |access: &Access, cookie: &str| access.check(&Asking { cookie: Some(cookie), ..GET }, NOW).map(|c| c.may);
    let (all, read) =
        (bench.session(&bench.caller("token"), Right::All), bench.session(&bench.caller("token.read"), Right::All));
    let file = bench.dir.path().join("sessions");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let after = restarted(&bench);
    assert_eq!((reads(&after, &all), reads(&after, &read)), (Ok(Right::All), Ok(Right::Read)));

    // What was ended stays ended.
    after.logout(Some(&all), NOW);
    let after = restarted(&bench);
    assert!(reads(&after, &all).is_err() && reads(&after, &read).is_ok());

    // A token that was replaced while the daemon was down takes its sessions with it.
    fs::remove_file(bench.dir.path().join("token.read")).unwrap();
    assert!(reads(&restarted(&bench), &read).is_err());

    // A file that others may have read, or that is no list, is left aside.
    let read = bench_with(&[], None);
    let cookie = read.session(&read.caller("token"), Right::All);
    let file = read.dir.path().join("sessions");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert!(reads(&restarted(&read), &cookie).is_err());
    fs::write(&file, "[{").unwrap();
    assert!(reads(&restarted(&read), &cookie).is_err());
}
