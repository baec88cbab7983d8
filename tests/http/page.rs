//! What the page's files say of themselves to whoever asks for them; tests/page.rs has the page in a browser.

use super::stocked;

#[test]
fn scripts_without_a_session_get_a_problem_and_no_page() {
    let daemon = stocked();
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
