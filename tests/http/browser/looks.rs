//! The page as it looks: in light, in dark and on a phone, with axe-core looking for what shuts people out.
//!
//! `PAGE_SHOTS=DIR` keeps a picture of each view.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::super::{spanned, stocked};
use super::chromium::Browser;

/// Installed by `tests/run`.
fn axe() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}; tests/run installs it", file.display()))
}

fn keep_picture(page: &mut Browser, name: &str) {
    let Some(dir) = std::env::var_os("PAGE_SHOTS").map(PathBuf::from) else { return };
    let picture = page.tell("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}));
    let coded = dir.join(format!("{name}.base64"));
    std::fs::write(&coded, picture["data"].as_str().unwrap()).unwrap();
    let made = Command::new("base64").arg("-d").arg(&coded).output().unwrap();
    std::fs::write(dir.join(format!("{name}.png")), made.stdout).unwrap();
    std::fs::remove_file(coded).unwrap();
}

#[test]
fn every_view_is_for_everybody() {
    let axe = axe();
    let daemon = stocked();
    daemon.ended(&daemon.publish(&spanned(json!({"name": "First labelling"}))));
    let mut changed = super::super::rules();
    changed["topics"][0]["phrases"] = json!(["was calm"]);
    daemon.apply(&changed);
    daemon.ended(&daemon.publish(&spanned(json!({"name": "Mended", "dry_run": true, "keep_when_empty": false}))));
    daemon.publish(&spanned(json!({"max_per_second": 0.5, "name": "A slow one"})));
    daemon.publish(&spanned(json!({"publish": false, "name": "For Monday"})));
    changed["topics"][0]["strictness"] = json!(50);
    daemon.apply(&changed);
    let mut page = Browser::signed_in(&daemon, &json!({}));
    for (look, scheme, width) in [("light", "light", 1280), ("dark", "dark", 1280), ("phone", "light", 390)] {
        let scheme = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        page.tell("Emulation.setEmulatedMedia", json!({"features": scheme}));
        let size = json!({"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600});
        page.tell("Emulation.setDeviceMetricsOverride", size);
        for (name, hash, there) in [
            ("jobs", "#/jobs", "A slow one"),
            ("job", "#/jobs/1", "First labelling"),
            ("dry-run", "#/jobs/2", "conversation fs-1"),
            ("running", "#/jobs/3", "A slow one"),
            ("draft", "#/jobs/4", "For Monday"),
            ("publish", "#/publish?from=2026-11-01", "selected"),
            ("catalogue", "#/catalogue", "behind"),
            ("items", "#/item", "Kind"),
            ("item", "#/item/conversation/fs-1", "money back"),
            ("phrase", "#/phrase?phrase=money&from=2026-11-01", "2 blocks"),
        ] {
            page.view(hash);
            page.reads(there);
            assert_none_shut_out(&mut page, &axe, &format!("{name}, {look}"));
            keep_picture(&mut page, &format!("{name}-{look}"));
        }
        page.view("#/jobs/1");
        page.press("Revert");
        page.until("document.querySelector('dialog[open]')");
        assert_none_shut_out(&mut page, &axe, &format!("dialog, {look}"));
        keep_picture(&mut page, &format!("dialog-{look}"));
        page.press("Keep as it is");
    }
}

#[track_caller]
fn assert_none_shut_out(page: &mut Browser, axe: &str, what: &str) {
    // The browser's console is no part of the page's policy.
    page.console(&format!("if (!window.axe) {{ {axe} }}"));
    let found = page.console(
        "(await axe.run()).violations.map(({ id, nodes }) => [id, ...nodes.map((node) => `${node.html} ${node.failureSummary}`)])",
    );
    assert_eq!(found, Value::Array(vec![]), "{what}: {found:#}");
    let over = page.console("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(over, 0, "{what}: wider than the window");
}
