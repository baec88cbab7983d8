//! The page when the daemon is away, when it only lets one look, and when it does not let one in.

use serde_json::{Value, json};

use super::super::{spanned, stocked};
use super::chromium::Browser;
use crate::daemon::Daemon;

#[test]
fn a_daemon_that_dies_is_missed_and_found_again() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    let daemon = Daemon::on(&dir, &[]);
    let address = daemon.address.to_string();
    let mut page = Browser::signed_in(&daemon, &json!({}));
    page.until("document.querySelector('#banner').hidden");
    drop(daemon);
    page.until("!document.querySelector('#banner').hidden");
    page.reads("No answer from the daemon since");
    let daemon = Daemon::on(&dir, &["--listen", &address]);
    // By itself, and still signed in.
    page.until("document.querySelector('#banner').hidden");
    daemon.publish(&spanned(json!({"name": "after the fall"})));
    page.reads("after the fall");
    page.assert_at_home(&daemon);
    let complaints = page.heard("Log.entryAdded");
    assert!(
        complaints.iter().all(|entry| entry["entry"]["text"].as_str().unwrap().contains("net::ERR_")),
        "{complaints:?}"
    );
    assert_eq!(page.heard("Runtime.exceptionThrown"), Vec::<&Value>::new());

    // A token that is rotated ends the session, and the page says so.
    daemon.ask("POST", "/api/v1/tokens/token/rotate").send().expect(200);
    page.reads("Your session has ended");
}

#[test]
fn whoever_may_only_look_sees_no_button_that_changes_anything() {
    let daemon = stocked();
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    daemon.ended(&daemon.publish(&spanned(json!({"dry_run": true}))));
    daemon.publish(&spanned(json!({"publish": false})));
    let mut changed = super::super::rules();
    changed["topics"][0]["strictness"] = json!(50);
    daemon.apply(&changed);
    let before = super::super::everything(&daemon);
    let mut page = Browser::signed_in(&daemon, &json!({"read": true}));
    page.reads("looking only");
    for (hash, there) in [
        ("#/jobs", "Throughput"),
        ("#/jobs/1", "no topics detected"),
        ("#/jobs/2", "dry run"),
        ("#/jobs/3", "draft"),
        ("#/publish", "may only look"),
        ("#/catalogue", "behind"),
        ("#/item/conversation/fs-1", "Transcript t1"),
    ] {
        page.view(hash);
        page.reads(there);
        let found = page.console(
            "[...document.querySelectorAll('main button, main a.button, nav a, .add select')]
                .filter(hands.seen).map((node) => node.innerText).filter((text) => !/^\\d/.test(text))",
        );
        let harmless = ["Jobs", "Catalogue", "Items", "Phrases", "Show them"];
        let others = found.as_array().unwrap().iter().filter(|text| !harmless.contains(&text.as_str().unwrap()));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&Value>::new(), "{hash}");
    }
    assert_eq!(super::super::everything(&daemon), before);
    page.assert_clean(&daemon);
}

#[test]
fn whoever_is_not_signed_in_is_told_how() {
    let daemon = stocked();
    let mut browser = Browser::open();
    browser.go_to(&format!("http://{}/", daemon.address));
    browser.reads("Sign in to relabeld");
    browser.reads("relabeld login");
    // In the page's own looks, without a session.
    assert_eq!(browser.console("getComputedStyle(document.querySelector('.card')).borderRadius"), "10px");
    browser.events.clear();
    let link = daemon.ask("POST", "/api/v1/login").body("{}").send().expect(200);
    let link = link["url"].as_str().unwrap();
    browser.go_to(link);
    browser.reads("No job was published yet.");
    browser.press("Sign out");
    browser.reads("no session here");
    browser.events.clear();
    browser.go_to(link);
    browser.reads("used already");

    // Scripts get a problem.
    let plain = daemon.ask_openly("GET", "/").header("Accept", "*/*").send();
    plain.expect_problem(401, "unauthorized", &["relabeld login"]);
    assert_eq!(daemon.ask_openly("GET", "/api/v1/jobs").header("Accept", "text/html").send().status, 401);
    assert_eq!(daemon.ask_openly("GET", "/page/main.js").send().status, 401);
}

#[test]
fn the_policy_lets_nothing_in_from_elsewhere() {
    let daemon = stocked();
    let html = "text/html,application/xhtml+xml";
    for reply in [
        daemon.get("/"),
        daemon.get("/page/main.js"),
        daemon.get("/page/page.css"),
        daemon.ask_openly("GET", "/login/page.css").send(),
        daemon.ask_openly("GET", "/").header("Accept", html).send(),
        daemon.ask_openly("GET", "/login/used").header("Accept", html).send(),
    ] {
        let policy = reply.header("Content-Security-Policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
        assert_eq!(reply.header("X-Content-Type-Options"), Some("nosniff"));
        let text = reply.text();
        assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="), "{text}");
    }
    assert_eq!(daemon.get("/page/main.js").header("Content-Type"), Some("text/javascript; charset=utf-8"));
    daemon.get("/page/other.js").expect_problem(404, "not_found", &["no such file"]);
}
