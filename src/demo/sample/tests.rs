use std::collections::HashSet;

use super::*;

const NOW: i64 = 1_793_527_200_000;

fn items(seed: u64, conversations: usize, notes: usize) -> Vec<Value> {
    let parse = |line: String| {
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    };
    lines(seed, conversations, notes, NOW).map(parse).collect()
}

fn transcripts(item: &Value) -> &[Value] {
    item["transcripts"].as_array().map_or(&[], Vec::as_slice)
}

fn blocks(transcript: &Value) -> &[Value] {
    transcript["blocks"].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"))
}

#[test]
fn the_seed_decides_and_the_number_of_items_does_not() {
    let make = |seed, n| lines(seed, n, n, NOW).collect::<Vec<_>>();
    assert_eq!(make(1, 100), make(1, 100));
    assert_ne!(make(1, 100), make(2, 100));
    assert_eq!(make(1, 100)[..50], make(1, 50)[..50]);
    assert_eq!(make(1, 0).len(), 0);
}

#[test]
fn every_line_is_a_valid_item_with_its_own_id_and_a_time_in_the_window() {
    let items = items(5, 3_000, 600);
    assert_eq!(items.len(), 3_600);
    let mut keys = HashSet::new();
    for item in &items {
        let kind = text(item, "kind");
        assert!(keys.insert((kind, text(item, "id"))), "{}", item["id"]);
        let at = match kind {
            "conversation" => {
                assert!(["voice", "chat", "email"].contains(&text(item, "media")));
                assert!(!transcripts(item).is_empty());
                for transcript in transcripts(item) {
                    text(transcript, "id");
                    assert!(!blocks(transcript).is_empty());
                    for block in blocks(transcript) {
                        assert!(["customer", "agent", "system"].contains(&text(block, "speaker")));
                        text(block, "text");
                    }
                }
                text(item, "started_at")
            }
            "note" => {
                assert!(item["version"].as_u64().is_some_and(|v| v >= 1));
                assert!(!text(item, "text").is_empty());
                text(item, "created_at")
            }
            other => panic!("kind {other}"),
        };
        let at = at.parse::<Timestamp>().unwrap().as_millisecond();
        assert!((NOW - WINDOW.cast_signed()..NOW).contains(&at));
    }
}

#[test]
fn voice_has_rising_times() {
    for item in items(6, 300, 0).iter().filter(|i| i["media"] == "voice") {
        for transcript in transcripts(item) {
            let times = blocks(transcript).iter().map(|b| b["at_ms"].as_u64().unwrap());
            assert!(times.is_sorted());
        }
    }
}

#[test]
fn the_odd_shapes_occur() {
    let items = items(7, 3_000, 600);
    let some = |what: &str, at_least: usize, test: &dyn Fn(&Value) -> bool| {
        let found = items.iter().filter(|i| test(i)).count();
        assert!(found >= at_least, "{what}: {found}");
    };
    let any_block = |item: &Value, test: &dyn Fn(&str) -> bool| {
        transcripts(item).iter().flat_map(blocks).any(|b| test(text(b, "text")))
    };
    some("empty block", 30, &|i| any_block(i, &str::is_empty));
    some("one-word block", 300, &|i| any_block(i, &|t| !t.is_empty() && !t.contains(' ')));
    some("curly apostrophe", 100, &|i| any_block(i, &|t| t.contains('\u{2019}')));
    some("markup", 20, &|i| any_block(i, &|t| t.contains("<p>") || t.contains("&nbsp;")));
    some("two transcripts", 100, &|i| transcripts(i).len() == 2);
    some("transferred", 40, &|i| {
        transcripts(i).len() == 2 && transcripts(i)[0]["program"] != transcripts(i)[1]["program"]
    });
    some("hundreds of blocks", 8, &|i| transcripts(i).iter().any(|t| blocks(t).len() > 250));
    some("three blocks at most", 60, &|i| transcripts(i).iter().any(|t| blocks(t).len() <= 3));
    for language in ["de", "es", "fr"] {
        some(language, 60, &|i| {
            transcripts(i).iter().any(|t| t["language"].as_str().is_some_and(|l| l.starts_with(language)))
        });
    }
    some("programs absent", 30, &|i| i["programs"].is_null());
    some("programs empty", 30, &|i| i["programs"] == json!([]));
    some("two programs", 100, &|i| i["programs"].as_array().is_some_and(|p| p.len() == 2));
    some("no topics", 50, &|i| i["programs"] == json!([SURVEYS]));
    some("several paragraphs", 200, &|i| {
        i["text"].as_str().is_some_and(|t| t.contains("\n\n") || t.contains("\r\n\r\n"))
    });
    some("later version", 100, &|i| i["version"].as_u64().is_some_and(|v| v > 1));
}

#[test]
fn conversations_do_not_look_cloned() {
    let items = items(8, 3_000, 0);
    let bodies: HashSet<String> = items
        .iter()
        .filter(|i| transcripts(i).iter().map(|t| blocks(t).len()).sum::<usize>() > 4)
        .map(|i| i["transcripts"].to_string())
        .collect();
    assert!(bodies.len() > 2_500, "{}", bodies.len());
}

#[test]
fn the_catalogue_is_about_the_programs_of_the_samples() {
    let catalogue: Value = serde_json::from_str(CATALOGUE).unwrap();
    let topics = catalogue["topics"].as_array().unwrap();
    let ids: HashSet<&str> = topics.iter().map(|t| text(t, "id")).collect();
    assert_eq!(ids.len(), topics.len());
    assert!((16..=20).contains(&topics.len()));
    let used: HashSet<&str> =
        topics.iter().flat_map(|t| t["programs"].as_array().unwrap()).map(|p| p.as_str().unwrap()).collect();
    assert!(PROGRAMS.iter().all(|p| used.contains(p)));
    assert!(!used.contains(SURVEYS));
    let named = catalogue["programs"].as_array().unwrap();
    let named: HashSet<&str> = named.iter().map(|p| text(p, "id")).collect();
    assert!(used.is_subset(&named) && named.contains(SURVEYS));
}
