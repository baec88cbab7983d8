//! A request as a handler sees it: path, query and body, each read with a bound and a clear error.

use std::borrow::Cow;
use std::io::Read;

use serde_json::Value;

use super::access::Caller;
use super::answer::Problem;
use crate::model::Millis;
use crate::wire::{Fields, shorten};

pub struct Asked<'a> {
    /// The parts of the path that stand for something: an id, a state.
    pub parts: Vec<String>,
    pub query: Query,
    pub body: &'a mut dyn Read,
    pub caller: Caller,
    pub cookie: Option<String>,
    pub if_match: Option<String>,
    pub content_encoding: Option<String>,
    pub content_type: Option<String>,
    pub idempotency_key: Option<String>,
    /// A GET of which only the head is wanted.
    pub head: bool,
    pub now: Millis,
}

impl Asked<'_> {
    /// The whole body, at most `limit` bytes of it.
    pub fn bytes(&mut self, limit: u64) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        let body: &mut dyn Read = &mut *self.body;
        body.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Problem::bad_request(format!("the body ended early: {error}")))?;
        if bytes.len() as u64 > limit {
            return Err(Problem::new(413, "too_large", format!("the body is longer than {limit} bytes")));
        }
        Ok(bytes)
    }

    /// The body as JSON, whatever its type is said to be; none is null.
    pub fn json(&mut self, limit: u64) -> Result<Value, Problem> {
        let bytes = self.bytes(limit)?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))
    }

    pub fn fields(&mut self, limit: u64) -> Result<Fields, Problem> {
        Fields::of(self.json(limit)?).map_err(Problem::invalid)
    }

    /// The number of a job in the path.
    pub fn job(&self) -> Result<i64, Problem> {
        let id = &self.parts[0];
        // `parse` alone would take a sign as well.
        let number = id.parse().ok().filter(|number| *number > 0 && !id.starts_with('+'));
        number.ok_or_else(|| Problem::not_found(format!("job {:?} not found", shorten(id))))
    }
}

/// Query parameters, taken one by one: what is left at the end is not known, and is an error.
#[derive(Debug, Default)]
pub struct Query {
    /// As it was sent.
    text: String,
    left: Vec<(String, String)>,
    taken: Vec<&'static str>,
}

impl Query {
    pub fn parse(query: &str) -> Query {
        let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
        let left = form_urlencoded::parse(query.as_bytes()).map(owned).collect();
        Query { text: query.to_owned(), left, taken: Vec::new() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parameter, left where it is.
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.left.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The parameter, unless it is absent or empty.
    pub fn take(&mut self, name: &'static str) -> Option<String> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// The parameter, empty or not. Given twice, it is an error when the rest is finished.
    pub fn given(&mut self, name: &'static str) -> Option<String> {
        self.taken.push(name);
        let at = self.left.iter().position(|(given, _)| given == name)?;
        Some(self.left.remove(at).1)
    }

    /// A list, comma by comma.
    pub fn list(&mut self, name: &'static str) -> Vec<String> {
        let list = self.take(name).unwrap_or_default();
        list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }

    pub fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        match self.given(name).as_deref() {
            None | Some("false" | "0") => Ok(false),
            // As in `?strict`.
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(Problem::invalid(format!("{name}: must be true or false"))),
        }
    }

    pub fn number(&mut self, name: &'static str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number >= 0);
        number.map(Some).ok_or_else(|| Problem::invalid(format!("{name}: must be a whole number from 0 on")))
    }

    pub fn time(&mut self, name: &'static str, now: Millis) -> Result<Option<Millis>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        crate::when::parse(&text, now).map(Some).map_err(|error| Problem::invalid(format!("{name}: {error}")))
    }

    /// All parameters as the fields of a JSON body, for bodies that are no JSON.
    pub fn into_fields(self) -> Result<serde_json::Map<String, Value>, Problem> {
        let mut fields = serde_json::Map::new();
        for (name, text) in self.left {
            let value = match name.as_str() {
                "name" | "description" => Value::from(text),
                "programs" => text.split(',').map(str::trim).collect(),
                // A number, true or false; else a word.
                _ => serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text)),
            };
            if fields.contains_key(&name) {
                return Err(Problem::invalid(format!("{name}: given twice")));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }

    /// Nothing may be left.
    pub fn finish(&mut self) -> Result<(), Problem> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let name: String = name.chars().take(60).collect();
        if self.taken.contains(&name.as_str()) {
            return Err(Problem::invalid(format!("{name}: given twice")));
        }
        let known = match self.taken[..] {
            [] => "this call takes none".to_owned(),
            _ => format!("there are {}", self.taken.join(", ")),
        };
        Err(Problem::invalid(format!("{name}: no such query parameter; {known}")))
    }
}

/// A part of a path, percent-decoded; None where it is not UTF-8.
pub fn decode(part: &str) -> Option<String> {
    percent_encoding::percent_decode_str(part).decode_utf8().ok().map(Cow::into_owned)
}
