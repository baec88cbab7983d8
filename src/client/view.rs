//! Reading the daemon's JSON for people: fields as text that is safe to show, times, spans, numbers.
//!
//! Fields are read by pointer, not by type: a client must show the answer of a daemon that knows one field more.

use jiff::Timestamp;
use serde_json::Value;

use crate::wire::grouped;

/// Text without control characters: what an item says must not steer the terminal that shows it.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' => ' ',
            // Bidirectional overrides can make one id look like another.
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The field at `pointer` as one line of text; empty when it is null or absent.
pub fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(scalar).unwrap_or_default()
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        Value::Array(values) => values.iter().map(scalar).collect::<Vec<_>>().join(", "),
        // A list of topics may be their ids or the topics themselves.
        Value::Object(object) => match object.get("id") {
            Some(id) => scalar(id),
            None => clean(&value.to_string()),
        },
        other => other.to_string(),
    }
}

/// As [`text`], with a dash for nothing: the cells of a table must not look forgotten.
pub fn cell(value: &Value, pointer: &str) -> String {
    match text(value, pointer) {
        nothing if nothing.is_empty() => "-".to_owned(),
        text => text,
    }
}

/// A count; 0 when it is null, absent or no number.
pub fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// The elements of the array at `pointer`; none when it is absent.
pub fn rows<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The fields of the object at `pointer` as names and counts, largest first.
pub fn tallies(value: &Value, pointer: &str) -> Vec<(String, u64)> {
    let Some(object) = value.pointer(pointer).and_then(Value::as_object) else { return Vec::new() };
    let mut tallies: Vec<_> = object.iter().map(|(name, n)| (clean(name), n.as_u64().unwrap_or(0))).collect();
    tallies.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    tallies
}

/// `changed 120, unchanged 30`: the non-zero ones of [`tallies`].
pub fn tally_line(value: &Value, pointer: &str) -> String {
    let parts: Vec<_> = tallies(value, pointer)
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| format!("{name} {}", grouped(n)))
        .collect();
    parts.join(", ")
}

/// A time to the second, in UTC as everywhere else; as the daemon wrote it where it is no RFC 3339.
pub fn time(value: &Value, pointer: &str) -> String {
    let stamp = cell(value, pointer);
    match stamp.parse::<Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => stamp,
    }
}

/// A span in its two largest units: `2h 5m`, `48s`.
pub fn span(seconds: f64) -> String {
    // The cast saturates; a negative or absent span reads as nothing left.
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A number as it was meant: 200, not 200.0.
pub fn number(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_f64).map(|n| n.to_string()).unwrap_or_default()
}

/// How long ago something was, in its largest unit: `5m`.
pub fn age(value: &Value, pointer: &str, now: Timestamp) -> String {
    let stamp = cell(value, pointer);
    match stamp.parse::<Timestamp>() {
        // A clock that is a little behind the daemon's makes no negative age.
        Ok(at) => match now.as_second().saturating_sub(at.as_second()).max(0) {
            s @ 0..60 => format!("{s}s"),
            s @ 60..3_600 => format!("{}m", s / 60),
            s @ 3_600..172_800 => format!("{}h", s / 3_600),
            s => format!("{}d", s / 86_400),
        },
        Err(_) => stamp,
    }
}

/// A size in the largest binary unit that leaves a whole number before the point.
pub fn bytes(n: u64) -> String {
    indicatif::HumanBytes(n).to_string()
}

/// JSON with one field a line, in the order in which the daemon wrote it: what `catalogue show` prints is edited by
/// hand and kept in version control, so sorting the keys, as a parse and a print would, is not wanted.
pub fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let mut chars = json.chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match chars.next_if(|c| matches!(c, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        newline(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_from_items_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb c\u{fffd}d");
    }

    #[test]
    fn fields_become_short_text() {
        let job = json!({"id": "7", "counts": {"done": 1250000, "total": null}, "programs": ["a", {"id": "b"}],
            "outcomes": {"changed": 3, "unchanged": 0, "gone": 40}, "at": "2026-11-01T10:00:00.123Z"});
        assert_eq!(text(&job, "/programs"), "a, b");
        assert_eq!(cell(&job, "/counts/total"), "-");
        assert_eq!(tally_line(&job, "/outcomes"), "gone 40, changed 3");
        assert_eq!(time(&job, "/at"), "2026-11-01 10:00:00Z");
        assert_eq!(grouped(count(&job, "/counts/done")), "1,250,000");
        assert_eq!((span(59.6), span(7_500.0), span(-1.0)), ("1m 0s".into(), "2h 5m".into(), "0s".into()));
    }

    #[test]
    fn an_age_has_one_unit_and_is_never_negative() {
        let ages = |seconds: i64| {
            let now = "2026-11-01T10:00:00Z".parse::<Timestamp>().unwrap();
            let at = Timestamp::from_second(now.as_second() - seconds).unwrap();
            age(&json!({"at": at.to_string()}), "/at", now)
        };
        assert_eq!([-5, 59, 3_599, 86_400, 172_800].map(ages), ["0s", "59s", "59m", "24h", "2d"]);
    }

    #[test]
    fn indenting_keeps_order_and_strings() {
        let json = r#"{"z":[ ],"a":{"text":"a \"{b}\", \\"},"n":[1,2]}"#;
        let shown = indented(json);
        assert_eq!(
            shown,
            "{\n  \"z\": [],\n  \"a\": {\n    \"text\": \"a \\\"{b}\\\", \\\\\"\n  },\n  \"n\": [\n    1,\n    2\n  ]\n}"
        );
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), serde_json::from_str::<Value>(json).unwrap());
    }
}
