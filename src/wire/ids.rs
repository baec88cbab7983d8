//! The items that a job names one by one: as JSON, as CSV, as NDJSON. What relabeld exports is such a list.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Fields, check_name, kind_from, shorten, version_from};
use crate::model::Kind;

/// Spreadsheets write one before the first word.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One item that a job names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ItemKey {
    pub kind: Kind,
    pub id: String,
    /// Of a note: only at this version.
    pub version: Option<i64>,
}

/// The body of a request for a job. A list may be long: it is read key by key, and never stands there as JSON values.
#[derive(Debug, Default)]
pub struct JobBody {
    /// All but `ids`.
    pub fields: Map<String, Value>,
    pub ids: Option<Vec<ItemKey>>,
}

/// Why a body came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is not JSON at all.
    Broken(String),
    /// It says what cannot be.
    Wrong(String),
}

impl JobBody {
    /// From a JSON object; nothing but white space is an empty one.
    pub fn from_json(bytes: &[u8]) -> Result<JobBody, Unread> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(JobBody::default());
        }
        serde_json::from_slice(bytes).map_err(|error| {
            // serde_json says where in the text; of a wrong entry its own place says more.
            let text = error.to_string();
            match error.is_data() {
                true => Unread::Wrong(text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned()),
                false => Unread::Broken(format!("the body is not JSON: {text}")),
            }
        })
    }
}

impl<'de> Deserialize<'de> for JobBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JobBody, D::Error> {
        struct Body;

        impl<'de> Visitor<'de> for Body {
            type Value = JobBody;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a body that is a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JobBody, A::Error> {
                let mut body = JobBody::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "ids" {
                        body.ids = map.next_value::<Option<Keys>>()?.map(|keys| keys.0);
                    } else {
                        body.fields.insert(name, map.next_value()?);
                    }
                }
                Ok(body)
            }
        }

        deserializer.deserialize_map(Body)
    }
}

/// `ids`.
struct Keys(Vec<ItemKey>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Keys;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("ids as an array of {kind, id, version}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some(entry) = entries.next_element::<Value>()? {
                    let key =
                        key_from(entry).map_err(|error| A::Error::custom(format!("ids[{}].{error}", keys.len())))?;
                    keys.push(key);
                }
                if keys.is_empty() {
                    return Err(A::Error::custom("ids: is empty"));
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

fn key_from(entry: Value) -> Result<ItemKey, String> {
    let mut fields = Fields::of(entry)?;
    let key = key_of(&mut fields)?;
    fields.finish()?;
    Ok(key)
}

fn key_of(fields: &mut Fields) -> Result<ItemKey, String> {
    let kind = fields.text("kind")?.ok_or("kind: missing")?;
    let id = fields.text("id")?.unwrap_or_default();
    let version = version_from(fields.take("version"), "version")?;
    checked(&kind, id, version)
}

fn checked(kind: &str, id: String, version: Option<i64>) -> Result<ItemKey, String> {
    let kind = kind_from(kind).ok_or_else(|| format!("kind: must be conversation or note, not {:?}", shorten(kind)))?;
    if id.is_empty() {
        return Err("id: missing".into());
    }
    check_name(&id, "id")?;
    if kind == Kind::Conversation && version.is_some() {
        return Err("version: conversations have none".into());
    }
    Ok(ItemKey { kind, id, version })
}

/// A list as NDJSON: an object a line with `kind`, `id` and, for notes, `version`. Other fields are of no concern.
pub fn keys_from_ndjson(bytes: &[u8]) -> Result<Vec<ItemKey>, String> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| format!("line {number}: not JSON at column {}", error.column()))?;
        let key = Fields::of(value).and_then(|mut fields| key_of(&mut fields));
        keys.push(key.map_err(|error| format!("line {number}: {error}"))?);
    }
    not_empty(keys)
}

/// A list as CSV, whose first line names the columns: `kind`, `id` and, for notes, `version`. Others are of no concern.
pub fn keys_from_csv(bytes: &[u8]) -> Result<Vec<ItemKey>, String> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).flexible(true).from_reader(bytes);
    let heads = reader.headers().map_err(|error| format!("line 1: {error}"))?.clone();
    let column = |name: &str| heads.iter().position(|head| head == name);
    let (Some(kind), Some(id)) = (column("kind"), column("id")) else {
        return Err("line 1: must name the columns: kind,id and, for notes, version".into());
    };
    let version = column("version");
    let mut keys = Vec::new();
    let mut row = csv::StringRecord::new();
    loop {
        let more = reader.read_record(&mut row).map_err(|error| format!("the list is not CSV: {error}"))?;
        if !more {
            return not_empty(keys);
        }
        let line = row.position().map_or(0, csv::Position::line);
        let field = |at: usize| row.get(at).unwrap_or_default();
        let version = version.map(|at| Value::from(field(at)));
        let key = version_from(version, "version").and_then(|version| checked(field(kind), field(id).into(), version));
        keys.push(key.map_err(|error| format!("line {line}: {error}"))?);
    }
}

fn not_empty(keys: Vec<ItemKey>) -> Result<Vec<ItemKey>, String> {
    if keys.is_empty() { Err("the list names no item".into()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: Kind, id: &str, version: Option<i64>) -> ItemKey {
        ItemKey { kind, id: id.into(), version }
    }

    #[test]
    fn a_list_reads_the_same_in_every_form() {
        let expected = [key(Kind::Note, "n,1", Some(3)), key(Kind::Conversation, "c1", None)];
        let csv = "kind,id,version,state\r\nnote,\"n,1\",3,done\r\nconversation,c1,,done\r\n";
        assert_eq!(keys_from_csv(csv.as_bytes()).unwrap(), expected);
        assert_eq!(keys_from_csv(format!("\u{feff}{csv}").as_bytes()).unwrap(), expected);
        let ndjson = "\n{\"kind\":\"notes\",\"id\":\"n,1\",\"version\":\"3\",\"topic\":\"x\"}\n\n{\"kind\":\"conversation\",\"id\":\"c1\",\"version\":null}";
        assert_eq!(keys_from_ndjson(ndjson.as_bytes()).unwrap(), expected);
        assert_eq!(keys_from_ndjson(format!("\u{feff}{ndjson}").as_bytes()).unwrap(), expected);
        let json = r#" {"kind":"list","ids":[{"kind":"note","id":"n,1","version":3},{"kind":"conversation","id":"c1"}],"name":"x"}"#;
        let body = JobBody::from_json(json.as_bytes()).unwrap();
        assert_eq!(body.ids.unwrap(), expected);
        assert_eq!(body.fields.keys().collect::<Vec<_>>(), ["kind", "name"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (csv, expected) in [
            ("", "line 1: must name the columns"),
            ("a,b\n1,2\n", "line 1: must name the columns"),
            ("kind,id\n", "the list names no item"),
            ("kind,id\nnote,a\nmail,b\n", "line 3: kind: must be conversation or note"),
            ("kind,id\nnote\n", "line 2: id: missing"),
            ("kind,id,version\nnote,a,x\n", "line 2: version: must be a whole number"),
            ("kind,id,version\nconversation,a,1\n", "line 2: version: conversations have none"),
            (&format!("kind,id\nnote,{}\n", "x".repeat(513)), "line 2: id: longer than 512 bytes: it has 513"),
        ] {
            let error = keys_from_csv(csv.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{csv:?}: {error}");
        }
        assert!(
            keys_from_ndjson(b"{\"kind\":\"note\",\"id\":\"a\"}\n{]\n").unwrap_err().starts_with("line 2: not JSON")
        );
        assert_eq!(keys_from_ndjson(b" \n"), Err("the list names no item".into()));
        for (json, expected) in [
            (r#"{"ids":[]}"#, "ids: is empty"),
            (r#"{"ids":[{"kind":"note","id":"a"},{"kind":"x","id":"b"}]}"#, "ids[1].kind: must be"),
            (r#"{"ids":[{"kind":"note","id":"a","colour":1}]}"#, "ids[0].colour: no such field"),
            (r#"{"ids":"all"}"#, "invalid type: string \"all\", expected ids as an array"),
            (r#"[1]"#, "invalid type: sequence, expected a body that is a JSON object"),
        ] {
            match JobBody::from_json(json.as_bytes()) {
                Err(Unread::Wrong(error)) => assert!(error.starts_with(expected), "{json}: {error}"),
                other => panic!("{json}: {other:?}"),
            }
        }
        assert!(matches!(JobBody::from_json(b"{"), Err(Unread::Broken(_))));
        assert!(JobBody::from_json(b" \n").unwrap().ids.is_none());
    }
}
