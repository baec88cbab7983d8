//! The guide's snippets in a real browser's console, on the daemon's page, by the cookie that the login link sets.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::stocked;

/// Chromium without a window, told what to do over its pipe (the DevTools protocol: JSON, each ended by a zero byte).
struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    sent: i64,
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn open() -> Browser {
        let profile = tempfile::tempdir().unwrap();
        // It reads from descriptor 3 and writes to 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null"#, "sh"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--window-size=1280,800", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Browser { child, to, from, session: None, sent: 0, events: Vec::new(), _profile: profile };
        let target = browser.tell("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.tell("Target.attachToTarget", attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.tell(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn hear(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "chromium is installed and stays open");
        serde_json::from_slice(&message).unwrap()
    }

    /// The result of a command; events that come before it are kept.
    #[track_caller]
    fn tell(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut command = json!({"id": self.sent, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        write!(self.to, "{command}\0").unwrap();
        loop {
            let message = self.hear();
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn go_to(&mut self, url: &str) {
        let went = self.tell("Page.navigate", json!({"url": url}));
        assert!(went["errorText"].is_null(), "{went}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.hear();
            self.events.push(event);
        }
    }

    /// What the console answers to this; a promise is waited for.
    #[track_caller]
    fn console(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "awaitPromise": true, "returnByValue": true, "replMode": true});
        let answer = self.tell("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    fn heard(&self, method: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["method"] == method).map(|event| &event["params"]).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
            const rows = [...document.querySelectorAll('#jobs tr')].map((row) => row.innerText);
            const ended = rows.filter((row) => row.includes("completed"));
            ended.length === 3 ? resolve(rows.join("|")) : setTimeout(look, 20);
        };
        look();
    })"#;
    let rows = browser.console(shown);
    assert!(rows.as_str().unwrap().contains("no topics detected 1"), "{rows}");
    if let Some(file) = std::env::var_os("SCREENSHOT_BASE64") {
        let picture = browser.tell("Page.captureScreenshot", json!({"format": "png"}));
        std::fs::write(file, picture["data"].as_str().unwrap()).unwrap();
    }

    for complaint in ["Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"] {
        assert_eq!(browser.heard(complaint), Vec::<&Value>::new(), "{complaint}");
    }
    let urls: Vec<&str> = browser
        .heard("Network.requestWillBeSent")
        .iter()
        .map(|sent| sent["request"]["url"].as_str().unwrap())
        .collect();
    assert!(urls.len() > 5, "{urls:?}");
    for url in urls {
        assert!(url.starts_with(&format!("{here}/")) || url == "about:blank" || url == "data:,", "asked {url}");
    }
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
