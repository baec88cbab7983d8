//! The page as those who run jobs walk through it.

use serde_json::{Value, json};

use super::super::{conversation, note, spanned, stocked};
use super::chromium::Browser;
use crate::daemon::Daemon;

/// As [`stocked`], and forty conversations more.
fn crowded() -> Daemon {
    let daemon = stocked();
    let more: Vec<String> = (0..40).map(|n| conversation(&format!("more-{n}"), &["My money back, please"])).collect();
    daemon.import(&more);
    daemon
}

fn standing(daemon: &Daemon) -> usize {
    daemon.get("/api/v1/labels.ndjson").rows().len()
}

#[test]
fn a_job_is_counted_tried_applied_and_taken_back() {
    let daemon = crowded();
    let mut page = Browser::signed_in(&daemon, &json!({}));
    page.reads("No job was published yet.");
    page.press("Publish a job");
    // The count follows what is typed.
    page.write("from", "2026-11-01");
    page.write("until", "2026-12-01");
    page.reads("44\nitems selected");
    page.press("notes");
    page.reads("2\nitems selected");
    page.press("notes");
    page.reads("44\nitems selected");
    // What is wrong is said where it is.
    page.write("from", "soon");
    page.until("document.querySelector('[name=from][aria-invalid]')");
    let error = page.console("document.getElementById('field-from-error').innerText");
    assert!(error.as_str().unwrap().contains("soon"), "{error}");
    page.write("from", "2026-11-01");
    page.until("!document.querySelector('[aria-invalid]')");
    page.write("name", "<b>mended</b>");

    page.press("Dry run first");
    page.until("location.hash === '#/jobs/1'");
    page.reads("completed");
    page.reads("if applied");
    page.until("document.querySelectorAll('[aria-label=Differences] tbody tr').length === 43");
    page.until("document.querySelectorAll('[aria-label=\"Topics added and removed\"] tbody tr').length === 2");
    assert_eq!(standing(&daemon), 0, "a dry run writes nothing");
    let name = page.console("document.querySelector('h1').innerText");
    assert_eq!(name, "#1 <b>mended</b>", "a name is text");

    // It says what it will do, and does nothing when it is told not to.
    page.press("Apply");
    page.reads("43 labels added, 0 removed, 0 updated");
    page.press("Keep as it is");
    page.until("!document.querySelector('dialog')");
    assert_eq!(daemon.see("/api/v1/jobs")["jobs"].as_array().unwrap().len(), 1);
    page.press("Apply");
    page.until("document.querySelector('dialog[open]')");
    page.press("Apply");
    page.until("location.hash === '#/jobs/2'");
    page.reads("completed");
    page.reads("no topics detected");
    assert_eq!(standing(&daemon), 43);

    // The item that failed is listed by itself, with its reason, and leads to its text.
    page.until("document.querySelector('section[aria-label=Items] a[href=\"#/item/conversation/fs-2\"]')");
    page.press("43 changed");
    page.reads("Items: changed");
    page.until("document.querySelectorAll('section[aria-label=Items] tbody tr').length === 43");
    let csv = page.console(
        "await fetch([...document.querySelectorAll('.files a')].find((a) => a.innerText === 'Label changes (CSV)').href).then((a) => a.text())",
    );
    let csv = csv.as_str().unwrap();
    assert!(csv.starts_with("kind,id,version,transcript,block,topic,change,phrase"), "{csv}");
    assert_eq!(csv.lines().count(), 44);

    page.press("Revert");
    page.reads("takes back what this one did");
    page.press("Revert");
    page.until("location.hash === '#/jobs/3'");
    page.reads("completed");
    daemon.ended("3");
    assert_eq!(standing(&daemon), 0);
    page.press("Delete");
    page.press("Delete");
    page.until("location.hash === '#/jobs'");
    page.until("document.querySelectorAll('#jobs > li').length === 2");
    page.assert_clean_but(&daemon, &[404, 422]);
}

#[test]
fn a_running_job_is_paused_resumed_and_steered() {
    let daemon = crowded();
    let id = daemon.publish(&spanned(json!({"max_per_second": 4})));
    let mut page = Browser::signed_in(&daemon, &json!({}));
    page.until("document.querySelector('#jobs > li .pill.busy')");
    page.view(&format!("#/jobs/{id}"));
    page.until("document.querySelectorAll('.charts polygon').length > 1");
    page.reads("left");

    page.press("Pause");
    page.reads("No further item is taken");
    page.press("Pause");
    page.until("document.querySelector('.head .pill').innerText === 'paused'");
    assert_eq!(daemon.see(&format!("/api/v1/jobs/{id}"))["state"], "paused");
    // Focus stays where it was while the page goes on looking.
    page.console("document.querySelector('.actions [data-key=steer]').focus()");
    page.console("await new Promise((then) => setTimeout(then, 1500))");
    assert_eq!(page.console("document.activeElement.dataset.key"), "steer");
    page.press("Resume");
    page.press("Resume");
    page.until("document.querySelector('.head .pill').innerText === 'running'");

    page.press("Priority and speed");
    page.write("priority", "500");
    page.press("Set");
    page.until("document.querySelector('dialog :invalid')");
    page.write("priority", "90");
    page.write("max_per_second", "100000");
    page.press("Set");
    page.until("document.querySelector('.head .pill').innerText === 'completed'");
    let job = daemon.ended(&id);
    assert_eq!((&job["priority"], &job["max_per_second"]), (&json!(90), &json!(100_000.0)));
    page.assert_clean(&daemon);
}

#[test]
fn an_item_shows_its_phrases_as_text_and_takes_marks() {
    let daemon = stocked();
    // Beyond the first plane a code point is two of JavaScript's units; and what looks like markup is text.
    let hostile = "😀 <img src=x onerror=alert(1)> I want my money back 😀";
    daemon.import(&[conversation("a/b ä#1", &[hostile]), note("n-3", 1, "First.\n\n \nAsked for her money back.")]);
    let id = daemon.publish(&spanned(json!({})));
    daemon.ended(&id);
    let mut page = Browser::signed_in(&daemon, &json!({}));
    page.view("#/item/conversation/a%2Fb%20%C3%A4%231");
    page.until("document.querySelector('mark')?.innerText === 'money back'");
    assert_eq!(page.console("document.querySelector('.text').innerText"), hostile);

    page.press("is not: Refund");
    page.reads("marked: is not");
    page.until("!document.querySelector('mark')");
    let shown = daemon.see("/api/v1/items/conversation/a%2Fb%20%C3%A4%231");
    assert_eq!((&shown["marks"][0]["mark"], &shown["labels"]), (&json!("is_not"), &json!([])));
    page.press("withdraw: Refund");
    page.reads_not("marked");
    page.until("document.querySelector('.add select').value === ''");
    page.console("{ const s = document.querySelector('.add select'); s.value = 'late'; s.onchange({ target: s }); }");
    page.reads("by a person");
    page.press("Read again");
    page.press("Read again");
    page.until("location.hash.startsWith('#/jobs/')");
    page.reads("ahead of all (live)");

    page.view("#/item/note/n-3");
    page.until("document.querySelectorAll('.block').length === 2");
    page.until("document.querySelector('.block:nth-child(2) mark')?.innerText === 'money back'");

    page.view("#/phrase");
    page.write("from", "2026-11-01");
    page.write("phrase", "parcel");
    page.until("document.querySelector('.blocks mark')?.innerText === 'parcel'");
    page.write("strictness", "0");
    page.until("document.querySelector('[name=strictness][aria-invalid]')");
    page.assert_clean_but(&daemon, &[404, 422]);
}

#[test]
fn what_lags_behind_is_one_press_away() {
    let daemon = stocked();
    daemon.ended(&daemon.publish(&spanned(json!({}))));
    let mut rules = super::super::rules();
    rules["topics"][0]["phrases"] = json!(["money back", "calm"]);
    let mut page = Browser::signed_in(&daemon, &json!({}));
    page.view("#/catalogue");
    page.reads("up to date");
    daemon.apply(&rules);
    page.reads("4 behind");
    page.press("Relabel what lags behind");
    page.reads("4\nitems selected");
    page.press("Publish…");
    page.reads("4 items will be read by the rules of revision 2");
    page.press("Publish");
    page.until("location.hash === '#/jobs/2'");
    page.reads("completed");
    let job: Value = daemon.ended("2");
    assert_eq!(job["filter"]["stale_only"], true);
    page.view("#/catalogue");
    page.reads("up to date");
    page.assert_clean(&daemon);
}
