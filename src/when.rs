//! Times as people and programs write them, to and from [`Millis`].
//!
//! All arithmetic is on civil UTC time and not on jiff's `Timestamp`, whose range ends a day short of the year 9999.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::{friendly, temporal};
use jiff::{SignedDuration, Span};
use serde_json::Value;

use crate::model::Millis;

/// 0000-01-01T00:00:00.000Z: RFC 3339 has no years before.
const EARLIEST: Millis = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z: nor any after.
const LATEST: Millis = 253_402_300_799_999;
/// From here on (and as far below zero) a bare number is milliseconds: as seconds it would be the year 5138.
const FIRST_IN_MILLIS: i64 = 100_000_000_000;

/// Of somebody who types a number: smaller ones (1970 to 1973) are spans or dates of which something was forgotten.
const FIRST_LIKELY: i64 = 100_000_000;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

static DATE_TIMES: temporal::DateTimeParser = temporal::DateTimeParser::new();
static SPANS: friendly::SpanParser = friendly::SpanParser::new();

const POINTS: &str = "RFC 3339 (2026-11-01T10:00:00Z), a date (2026-11-01), epoch seconds or milliseconds";
const OUT_OF_RANGE: &str = "beyond the years 0000 to 9999";

/// Reads a point in time, or a span back from `now` such as `30d`.
pub fn parse(text: &str, now: Millis) -> Result<Millis, String> {
    read(text, Some(now)).map_err(|why| {
        let shown: String = text.chars().take(40).collect();
        format!("{shown:?} is {why}; accepted are {POINTS}, or a span back from now (45s, 90m, 12h, 30d, 2w, 6mo, 1y)")
    })
}

/// As [`parse`], for what a request's JSON may hold.
pub fn from_json(value: &Value, now: Millis) -> Result<Millis, String> {
    match value {
        Value::String(text) => parse(text, now),
        other => point_from_json(other),
    }
}

/// A point in time in an item: no spans, and the error does not quote what it read, as it may be anything of an item.
pub fn point_from_json(value: &Value) -> Result<Millis, String> {
    let read = match value {
        Value::String(text) => read(text, None),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => from_whole(whole),
            None => number.as_f64().map_or(Err("not a number"), from_fraction),
        },
        _ => Err("neither a string nor a number"),
    };
    read.map_err(|why| format!("{why}; accepted are {POINTS}"))
}

/// With milliseconds and `Z`; a time beyond the years 0000 to 9999 is shown as the nearest within them.
pub fn rfc3339(at: Millis) -> String {
    let t = civil(at);
    let (year, month, day) = (t.year(), t.month(), t.day());
    let (hour, minute, second, milli) = (t.hour(), t.minute(), t.second(), t.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The system's clock.
pub fn now() -> Millis {
    let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(LATEST),
        // A machine without a battery may start before 1970; that must not stop the daemon.
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(EARLIEST, |ms| -ms),
    };
    millis.clamp(EARLIEST, LATEST)
}

/// Tells the forms apart by their shape, so that each error speaks of the form that was meant.
fn read(text: &str, now: Option<Millis>) -> Result<Millis, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Err("empty, not a time");
    }
    // Before dates: ISO 8601 would read the eight digits of some epochs as 20261101.
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if is_decimal(unsigned) {
        return match text.parse() {
            // As seconds it would be half an hour after 1970 began, and everything since.
            Ok(1900..=2999) if now.is_some() => {
                Err("a year rather than epoch seconds: write its first day, such as 2026-01-01")
            }
            Ok(1..FIRST_LIKELY) if now.is_some() => {
                Err("too small for epoch seconds that anybody means: 30 days back are 30d, a date is 2026-11-01")
            }
            Ok(whole) => from_whole(whole),
            Err(_) => text.parse().map_or(Err("not a number"), from_fraction),
        };
    }
    if is_dated(text) {
        return from_date_time(text);
    }
    let Ok(span) = SPANS.parse_span(text) else {
        return Err("not a time");
    };
    match now {
        None => Err("a span, which says nothing here"),
        // The sign would be a second way to say "back", or a way into the future.
        Some(_) if text.starts_with(['-', '+']) => Err("a span with a sign; a span always goes back from now"),
        Some(now) => back(now, span),
    }
}

fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the text begins like 2026-11-01.
fn is_dated(text: &str) -> bool {
    let is_digit = |at: &usize| text.as_bytes().get(*at).is_some_and(u8::is_ascii_digit);
    (0..4).all(|at| is_digit(&at)) && text.as_bytes().get(4) == Some(&b'-') && is_digit(&5)
}

fn from_whole(number: i64) -> Result<Millis, &'static str> {
    let is_seconds = number.unsigned_abs() < FIRST_IN_MILLIS.unsigned_abs();
    within(i128::from(number) * if is_seconds { 1000 } else { 1 })
}

fn from_fraction(number: f64) -> Result<Millis, &'static str> {
    // Rounded to microseconds first: a float of 0.123 may lie just below it, and would then lose its last millisecond.
    let micros = number * if number.abs() < FIRST_IN_MILLIS as f64 { 1e6 } else { 1e3 };
    // The cast saturates, and `within` refuses both ends; neither JSON nor digits make a NaN.
    within((micros.round() as i128).div_euclid(1000))
}

fn from_date_time(text: &str) -> Result<Millis, &'static str> {
    let text = with_nanoseconds(text);
    let pieces = DATE_TIMES.parse_pieces(text.as_bytes()).map_err(|_| "not a date and time that exists")?;
    if pieces.time_zone_annotation().is_some() {
        return Err("a time with the name of a zone; give its offset instead, such as +02:00");
    }
    let local = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    let offset = pieces.to_numeric_offset().map_or(0, |offset| offset.seconds());
    let nanos = local.duration_since(EPOCH).as_nanos() - i128::from(offset) * 1_000_000_000;
    within(nanos.div_euclid(1_000_000))
}

/// RFC 3339 has no bound on the digits of a second's fraction; the parser takes nine, of which three count here.
fn with_nanoseconds(text: &str) -> Cow<'_, str> {
    const DIGITS: usize = 9;
    let Some((whole, rest)) = text.split_once(['.', ',']) else { return text.into() };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match digits > DIGITS {
        true => format!("{whole}.{}{}", &rest[..DIGITS], &rest[digits..]).into(),
        false => text.into(),
    }
}

fn back(now: Millis, span: Span) -> Result<Millis, &'static str> {
    // `abs`, because jiff reads "30d ago" as a negative span.
    let then = civil(now).checked_sub(span.abs()).map_err(|_| OUT_OF_RANGE)?;
    within(then.duration_since(EPOCH).as_millis())
}

fn within(millis: i128) -> Result<Millis, &'static str> {
    match Millis::try_from(millis) {
        Ok(at) if (EARLIEST..=LATEST).contains(&at) => Ok(at),
        _ => Err(OUT_OF_RANGE),
    }
}

fn civil(at: Millis) -> DateTime {
    // Cannot fail once clamped; the fallback is there so that no reader has to believe it.
    EPOCH.checked_add(SignedDuration::from_millis(at.clamp(EARLIEST, LATEST))).unwrap_or(Date::MAX.at(0, 0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// 2026-03-31T12:00:00Z: a day that February has not.
    const NOW: Millis = 1_774_958_400_000;

    fn shown(text: &str) -> String {
        parse(text, NOW).map_or_else(|error| format!("error: {error}"), rfc3339)
    }

    #[test]
    fn reads_every_form() {
        for (text, expected) in [
            ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00.000Z"),
            ("2026-11-01t10:00:00.1239z", "2026-11-01T10:00:00.123Z"),
            ("2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00.000Z"),
            ("2026-11-01T10:00:00-00:30", "2026-11-01T10:30:00.000Z"),
            ("2026-11-01 10:00", "2026-11-01T10:00:00.000Z"),
            ("2026-12-31T23:59:60Z", "2026-12-31T23:59:59.000Z"),
            ("2026-11-01T10:00:00.123456789Z", "2026-11-01T10:00:00.123Z"),
            ("2026-11-01T10:00:00.1239999999999999999999Z", "2026-11-01T10:00:00.123Z"),
            ("2026-11-01 10:00:00,0009999999+02:00", "2026-11-01T08:00:00.000Z"),
            ("1969-12-31T23:59:59.99999999999", "1969-12-31T23:59:59.999Z"),
            (" 2026-11-01 ", "2026-11-01T00:00:00.000Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("0", "1970-01-01T00:00:00.000Z"),
            ("-1.5", "1969-12-31T23:59:58.500Z"),
            ("1774958400", "2026-03-31T12:00:00.000Z"),
            ("1774958400.1239", "2026-03-31T12:00:00.123Z"),
            ("1774958400001", "2026-03-31T12:00:00.001Z"),
            ("99999999999", "5138-11-16T09:46:39.000Z"),
            ("100000000000", "1973-03-03T09:46:40.000Z"),
            ("-100000000000", "1966-10-31T14:13:20.000Z"),
            ("45s", "2026-03-31T11:59:15.000Z"),
            ("90m", "2026-03-31T10:30:00.000Z"),
            ("12h", "2026-03-31T00:00:00.000Z"),
            ("30d", "2026-03-01T12:00:00.000Z"),
            ("2w", "2026-03-17T12:00:00.000Z"),
            ("1mo", "2026-02-28T12:00:00.000Z"),
            ("6mo", "2025-09-30T12:00:00.000Z"),
            ("1y", "2025-03-31T12:00:00.000Z"),
            ("1d12h", "2026-03-30T00:00:00.000Z"),
            ("30d ago", "2026-03-01T12:00:00.000Z"),
            ("0000-01-01", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
            // What is shown can be typed back.
            assert_eq!(shown(expected), expected);
        }
    }

    #[test]
    fn says_what_was_wrong_and_what_is_accepted() {
        let huge = "9".repeat(400);
        for (text, reason) in [
            ("", "empty"),
            ("yesterday", "not a time"),
            ("30 parsecs", "not a time"),
            ("2026-02-30", "not a date and time that exists"),
            ("2026-13-01T00:00:00Z", "not a date and time that exists"),
            ("2026-11-01T25:00:00Z", "not a date and time that exists"),
            ("2026-11-01T10:00:00.Z", "not a date and time that exists"),
            ("2026-11-01T10:00:00.1234567890.1Z", "not a date and time that exists"),
            ("2026-11-01T10:00:00.1234567890é", "not a date and time that exists"),
            ("2026-11-01T10:00:00Zebra", "not a date and time that exists"),
            ("2026-11-01T10:00:00+02:00[Europe/Paris]", "name of a zone"),
            ("0000-01-01T00:00:00+01:00", "beyond the years"),
            ("9999-12-31T23:59:59-01:00", "beyond the years"),
            ("9223372036854775807", "beyond the years"),
            ("-9223372036854775808", "beyond the years"),
            (&huge, "beyond the years"),
            ("9000y", "beyond the years"),
            ("99999999999999999999y", "not a time"),
            ("-30d", "with a sign"),
            ("2026", "a year rather than epoch seconds"),
            ("30", "30 days back are 30d"),
            ("20261101", "a date is 2026-11-01"),
            ("1.2.3", "not a time"),
            ("\u{661}d", "not a time"),
        ] {
            let result = shown(text);
            assert!(result.contains(reason) && result.contains("RFC 3339") && result.contains("30d"), "{result}");
        }
    }

    #[test]
    fn json_may_hold_strings_and_numbers() {
        assert_eq!(from_json(&json!("30d"), NOW), Ok(NOW - 30 * 86_400_000));
        assert_eq!(from_json(&json!(1_774_958_400), NOW), Ok(NOW));
        assert_eq!(from_json(&json!(1_774_958_400.25), NOW), Ok(NOW + 250));
        assert_eq!(from_json(&json!(NOW), 0), Ok(NOW));
        for bad in [json!(null), json!(true), json!([]), json!(u64::MAX), json!(1e300), json!("x")] {
            assert!(from_json(&bad, NOW).is_err(), "{bad}");
        }
        assert!(point_from_json(&json!("30d")).unwrap_err().contains("a span"));
        assert!(!point_from_json(&json!("secret")).unwrap_err().contains("secret"));
    }

    #[test]
    fn shows_any_number_without_panic() {
        assert_eq!(rfc3339(i64::MIN), "0000-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert!(now() > NOW - 1_000_000_000_000);
    }
}
