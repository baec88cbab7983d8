//! The API's description, `/openapi.json`: written by hand, and held to the table of calls by its tests.

use super::answer::Answer;
use super::asked::Asked;
use super::{Context, Handled};

const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`
pub fn show(_: &Context, asked: &mut Asked<'_>) -> Handled {
    asked.query.finish()?;
    Ok(Answer::Text { content_type: "application/json", body: DOCUMENT.to_owned(), headers: Vec::new() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::answer::TITLES;
    use super::super::routes;
    use super::DOCUMENT;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// The documented calls, each with a `*` for a parameter as in the table of calls.
    fn documented() -> BTreeSet<(String, String)> {
        let mut calls = BTreeSet::new();
        for (path, methods) in document()["paths"].as_object().unwrap() {
            let parts: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "*" } else { part }).collect();
            for method in methods.as_object().unwrap().keys() {
                calls.insert((method.to_uppercase(), parts.join("/")));
            }
        }
        calls
    }

    #[test]
    fn every_native_call_is_documented_and_no_other() {
        let native = |path: &str| path.starts_with("/api/v1/");
        let open = ["/healthz", "/readyz", "/openapi.json", "/metrics"];
        let calls = routes::calls().into_iter().filter(|(_, path)| native(path) || open.contains(&path.as_str()));
        let calls: BTreeSet<(String, String)> = calls.map(|(method, path)| (method.to_owned(), path)).collect();
        assert_eq!(documented(), calls);
    }

    #[test]
    fn every_code_is_documented_and_no_other() {
        let document = document();
        let codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array().unwrap();
        let codes: Vec<&str> = codes.iter().map(|code| code.as_str().unwrap()).collect();
        assert_eq!(codes, TITLES.map(|(code, _)| code));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|value| walk(value, found));
                }
                Value::Array(entries) => entries.iter().for_each(|value| walk(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut references = Vec::new();
        walk(&document, &mut references);
        assert!(references.len() > 300);
        for reference in &references {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
        // And nothing lies there that nobody refers to.
        for part in ["parameters", "responses", "schemas", "examples"] {
            for name in document["components"][part].as_object().unwrap().keys() {
                let reference = format!("#/components/{part}/{name}");
                assert!(references.contains(&reference.as_str()), "{reference}");
            }
        }
    }
}
