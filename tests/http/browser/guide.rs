//! The guide's snippets in the console of the page, by the cookie that the login link sets.

use serde_json::json;

use super::super::stocked;
use super::chromium::Browser;

#[test]
fn the_guides_snippets_work_in_the_pages_console() {
    let daemon = stocked();
    let link = daemon.ask("POST", "/api/v1/login").body("{}").send().expect(200);
    let mut browser = Browser::open();
    browser.go_to(link["url"].as_str().unwrap());
    let here = format!("http://{}", daemon.address);
    assert_eq!(browser.console("location.href"), format!("{here}/"), "the code is gone from the address");
    assert_eq!(browser.console("document.cookie"), "", "no script reads the session");

    let single = r#"
        const response = await fetch("/api/internal/pubsub/publish", {
            method: "POST",
            body: JSON.stringify({
                topic: "conversation_note_analysis",
                key: { conversation_fs_id: "fs-1", note_id: "", note_version: "" },
                data: {},
            }),
        });
        [response.status, await response.json()]"#;
    let single = browser.console(single);
    assert_eq!(single[0], 200, "{single}");
    assert_eq!(daemon.ended(single[1]["id"].as_str().unwrap())["labels"]["added"], 1);
    let note = browser.console(
        r#"await fetch("/api/internal/pubsub/publish", {method: "POST", body: JSON.stringify({topic: "conversation_note_analysis",
            key: {conversation_fs_id: "", note_id: "n-1", note_version: "3"}, data: {}})}).then((answer) => answer.status)"#,
    );
    assert_eq!(note, 200);
    let range = browser.console(
        r#"await fetch("/api/internal/labels/reanalysis?from=2026-11-01&until=2026-12-01&type=conversations", {method: "POST"})
            .then(async (answer) => [answer.status, await answer.json()])"#,
    );
    assert_eq!(range[0], 200, "{range}");
    daemon.ended(range[1]["id"].as_str().unwrap());
    let tick = r#"await fetch("/api/tick/runners", {method: "POST"}).then((answer) => answer.status)"#;
    assert_eq!(browser.console(tick), 200);

    // The page shows them by itself.
    let shown = r#"await new Promise((resolve) => {
        const look = () => {
            const rows = [...document.querySelectorAll('#jobs > li')].map((row) => row.innerText);
            const ended = rows.filter((row) => row.includes("completed"));
            ended.length === 3 ? resolve(rows.join("|")) : setTimeout(look, 20);
        };
        look();
    })"#;
    let rows = browser.console(shown);
    assert!(rows.as_str().unwrap().contains("no topics detected 1"), "{rows}");
    browser.assert_clean(&daemon);
}

#[test]
fn a_page_of_another_origin_publishes_nothing() {
    let (daemon, other) = (stocked(), stocked());
    let mut browser = Browser::open();
    // Signed in to both, and on the other's page: the same host, so that the cookie goes along, and another origin.
    for daemon in [&daemon, &other] {
        let link = daemon.ask("POST", "/api/v1/login").body("{}").send().expect(200);
        browser.events.clear();
        browser.go_to(link["url"].as_str().unwrap());
    }
    let body = r#"JSON.stringify({topic: "conversation_note_analysis", key: {conversation_fs_id: "fs-1"}})"#;
    let script = format!(
        r#"await fetch("http://{}/api/internal/pubsub/publish", {{method: "POST", mode: "no-cors", credentials: "include", body: {body}}})
            .then(() => "sent", () => "refused")"#,
        daemon.address
    );
    browser.console(&script);
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"], json!([]));
}
