//! The list of `publish --ids FILE`: CSV with a head, or NDJSON; what relabeld exported is such a list.

use std::collections::BTreeSet;
use std::io::{BufRead, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::batch::{lines, open};
use super::problem::Error;

/// An item's key, and a note's version where the list has one. Other columns are of no concern here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Id {
    kind: String,
    id: String,
    #[serde(default)]
    version: Option<i64>,
}

/// The ids as a job's request wants them, each once, in the order of the list.
pub fn read(file: &Path) -> Result<Value, Error> {
    let failed = |why: String| Error::Failed(format!("{}: {why}", file.display()));
    let (input, _) = open(file).map_err(|e| failed(e.to_string()))?;
    let ids = lines(input).map_err(|e| failed(e.to_string())).and_then(|lines| parse(lines).map_err(failed))?;
    match ids.is_empty() {
        true => Err(failed("there is no id in it".to_owned())),
        false => Ok(Value::Array(ids.iter().map(Id::json).collect())),
    }
}

impl Id {
    fn json(&self) -> Value {
        match self.version {
            Some(version) => json!({"kind": self.kind, "id": self.id, "version": version}),
            None => json!({"kind": self.kind, "id": self.id}),
        }
    }
}

fn parse(mut input: impl BufRead) -> Result<Vec<Id>, String> {
    let ndjson = loop {
        match input.fill_buf().map_err(|e| e.to_string())? {
            [] => return Ok(Vec::new()),
            [first, ..] if first.is_ascii_whitespace() => input.consume(1),
            [first, ..] => break *first == b'{',
        }
    };
    let ids = if ndjson { parse_ndjson(input)? } else { parse_csv(input)? };
    // Collapsed here too: the changes of a job name an item once a label.
    let mut seen = BTreeSet::new();
    Ok(ids.into_iter().filter(|id| seen.insert(id.clone())).collect())
}

fn parse_ndjson(input: impl BufRead) -> Result<Vec<Id>, String> {
    let mut ids = Vec::new();
    for (i, line) in input.lines().enumerate() {
        let line = line.map_err(|e| format!("line {}: {e}", i + 1))?;
        if !line.trim().is_empty() {
            ids.push(serde_json::from_str(&line).map_err(|e| format!("line {}: {e}", i + 1))?);
        }
    }
    Ok(ids)
}

fn parse_csv(input: impl Read) -> Result<Vec<Id>, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(input);
    let heads = reader.headers().map_err(|e| e.to_string())?.clone();
    for needed in ["kind", "id"] {
        if !heads.iter().any(|head| head.trim_start_matches('\u{feff}') == needed) {
            return Err(format!(
                "its first line has no column {needed:?}; expected are kind,id and, for notes, version"
            ));
        }
    }
    // Spreadsheets write a byte-order mark before the first name.
    let heads: csv::StringRecord = heads.iter().map(|head| head.trim_start_matches('\u{feff}')).collect();
    reader.set_headers(heads);
    reader.deserialize().map(|row| row.map_err(|e| e.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(input: &str) -> Result<Vec<(String, Option<i64>)>, String> {
        parse(input.as_bytes())
            .map(|ids| ids.into_iter().map(|id| (format!("{} {}", id.kind, id.id), id.version)).collect())
    }

    #[test]
    fn exports_are_read_back_and_duplicates_collapse() {
        let csv = "kind,id,version,state\nnote,\"n,1\",3,done\nconversation,c1,,done\nnote,\"n,1\",3,done\n";
        let expected = vec![("note n,1".to_owned(), Some(3)), ("conversation c1".to_owned(), None)];
        assert_eq!(keys(csv).unwrap(), expected);
        assert_eq!(keys(&format!("\u{feff}{csv}")).unwrap(), expected);
        let ndjson = "\n{\"kind\":\"note\",\"id\":\"n,1\",\"version\":3,\"topic\":\"x\"}\n\n{\"kind\":\"conversation\",\"id\":\"c1\",\"version\":null}\n";
        assert_eq!(keys(ndjson).unwrap(), expected);
    }

    #[test]
    fn what_is_no_list_is_told_with_its_line() {
        assert!(keys("a,b\n1,2\n").unwrap_err().contains("kind"));
        assert!(keys("{\"kind\":\"note\",\"id\":\"a\"}\n{]\n").unwrap_err().starts_with("line 2"));
        assert!(keys("kind,id,version\nnote,a,x\n").unwrap_err().contains("line: 2"));
        assert_eq!(keys(" \n").unwrap(), []);
    }
}
