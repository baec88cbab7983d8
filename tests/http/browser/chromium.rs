//! Chromium, driven over its pipe.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::daemon::Daemon;

/// Chromium without a window, told what to do over its pipe (the DevTools protocol: JSON, each ended by a zero byte).
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    sent: i64,
    pub events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub fn open() -> Browser {
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
        browser.tell("Page.addScriptToEvaluateOnNewDocument", json!({"source": include_str!("hands.js")}));
        browser
    }

    /// A browser that opened the link that `relabeld login` prints.
    pub fn signed_in(daemon: &Daemon, wish: &Value) -> Browser {
        let link = daemon.ask("POST", "/api/v1/login").json(wish).send().expect(200);
        let mut browser = Browser::open();
        browser.go_to(link["url"].as_str().unwrap());
        browser.until("document.querySelector('main h1')");
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
    pub fn tell(&mut self, method: &str, params: Value) -> Value {
        let answer = self.try_to_tell(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn try_to_tell(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut command = json!({"id": self.sent, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        write!(self.to, "{command}\0").unwrap();
        loop {
            let message = self.hear();
            if message["id"] == self.sent {
                return message;
            }
            self.events.push(message);
        }
    }

    pub fn go_to(&mut self, url: &str) {
        let went = self.tell("Page.navigate", json!({"url": url}));
        assert!(went["errorText"].is_null(), "{went}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.hear();
            self.events.push(event);
        }
    }

    /// What the console answers to this; a promise is waited for.
    #[track_caller]
    pub fn console(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "awaitPromise": true, "returnByValue": true, "replMode": true});
        let mut answer = self.try_to_tell("Runtime.evaluate", asked.clone());
        // A page that was left while it was asked; the next one can be asked the same.
        for _ in 0..10 {
            if answer["error"].is_null() {
                break;
            }
            answer = self.try_to_tell("Runtime.evaluate", asked.clone());
        }
        assert!(answer["error"].is_null(), "{script}: {answer}");
        let answer = answer["result"].clone();
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Opens a view of the page that is there.
    #[track_caller]
    pub fn view(&mut self, hash: &str) {
        self.console(&format!("location.hash = {hash:?}"));
        self.until("document.querySelector('main h1')");
    }

    /// What this comes to, once it comes to anything.
    #[track_caller]
    pub fn until(&mut self, expression: &str) -> Value {
        let found = self.console(&format!("await hands.until(() => {expression})"));
        assert!(found["never"].is_null(), "{expression} never came: {}", found["page"].as_str().unwrap_or_default());
        found["value"].clone()
    }

    /// Presses what has this text, or this label, once it is there: in the dialog if one is open.
    #[track_caller]
    pub fn press(&mut self, text: &str) {
        self.until(&format!("hands.press({text:?})"));
    }

    /// Types into the field with this name, in the place of what stands there.
    #[track_caller]
    pub fn write(&mut self, name: &str, text: &str) {
        self.until(&format!("hands.take({name:?})"));
        self.tell("Input.insertText", json!({"text": text}));
    }

    /// Waits until the page shows this text.
    #[track_caller]
    pub fn reads(&mut self, text: &str) {
        self.until(&format!("document.body.innerText.includes({text:?})"));
    }

    #[track_caller]
    pub fn reads_not(&mut self, text: &str) {
        self.until(&format!("!document.body.innerText.includes({text:?})"));
    }

    /// Nothing was complained of, and nothing asked of another host.
    #[track_caller]
    pub fn assert_clean(&self, daemon: &Daemon) {
        for complaint in ["Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"] {
            assert_eq!(self.heard(complaint), Vec::<&Value>::new(), "{complaint}");
        }
        self.assert_at_home(daemon);
    }

    /// As [`Browser::assert_clean`], but for answers of these statuses, which the browser's own log has too.
    #[track_caller]
    pub fn assert_clean_but(&mut self, daemon: &Daemon, statuses: &[u16]) {
        let refused = |text: &str| statuses.iter().any(|status| text.contains(&format!("status of {status}")));
        self.events.retain(|event| !event["params"]["entry"]["text"].as_str().is_some_and(refused));
        self.assert_clean(daemon);
    }

    #[track_caller]
    pub fn assert_at_home(&self, daemon: &Daemon) {
        let here = format!("http://{}/", daemon.address);
        let sent = self.heard("Network.requestWillBeSent");
        let urls: Vec<&str> = sent.iter().map(|sent| sent["request"]["url"].as_str().unwrap()).collect();
        assert!(urls.len() > 5, "{urls:?}");
        for url in urls {
            assert!(url.starts_with(&here) || url == "about:blank" || url == "data:,", "asked {url}");
        }
    }

    pub fn heard(&self, method: &str) -> Vec<&Value> {
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
