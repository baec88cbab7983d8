//! `relabeld publish --ids`: lists of items, good and bad.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::command::{asking, run, run_with, say};
use crate::{daemon, file, labelled};

#[test]
fn a_list_comes_as_csv_as_ndjson_and_from_stdin() {
    let daemon = labelled();
    let csv = "kind,id,version\nnote,n1,3\nconversation,\"fs 1/a\",\nconversation,nowhere,\nnote,n1,3\n";
    let ndjson = "\n{\"kind\":\"note\",\"id\":\"n1\",\"version\":3}\n{\"kind\":\"conversation\",\"id\":\"fs 1/a\"}\n{\"kind\":\"conversation\",\"id\":\"nowhere\"}";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(csv.as_bytes()).unwrap();
    let zipped = file(&daemon, "ids.gz", gzip.finish().unwrap());
    for name in [file(&daemon, "ids.csv", csv), file(&daemon, "ids", ndjson), zipped] {
        let said = run(asking(&daemon).args(["publish", "--watch", "--ids", &name])).exits(0);
        said.tells(&["kind                list", "items               3: done 3", "unchanged 2", "gone 1"]);
    }
    let said = run_with(asking(&daemon).args(["publish", "--watch", "--json", "--ids", "-"]), ndjson.as_bytes());
    assert_eq!(said.exits(0).json()["counts"]["total"], 3);
    // What relabeld exported selects the same.
    for line in ["items 1 --format csv", "items 1 --format ndjson"] {
        let export = say(&daemon, line).exits(0).out;
        let job =
            run_with(asking(&daemon).args(["publish", "--json", "--ids", "-"]), export.as_bytes()).exits(0).json();
        assert_eq!((&job["kind"], &job["counts"]["total"]), (&json!("list"), &json!(3)));
    }
}

#[test]
fn the_other_flags_are_for_lists_too() {
    let daemon = daemon();
    let ids = file(&daemon, "ids.csv", "kind,id\nnote,n1\nconversation,fs 1/a\n");
    let with = |more: &str| run(asking(&daemon).args(["publish", "--ids", &ids]).args(more.split(' ')));
    let mut key = asking(&daemon);
    key.args(["publish", "--json", "--ids", &ids, "--name", "a, b & c?", "--idempotency-key", "k"]);
    let named = run(&mut key).exits(0).json();
    assert_eq!(named["name"], "a, b & c?");
    assert_eq!(run(&mut key).exits(0).json()["id"], named["id"]);

    let job = with("--json --programs billing,sales --stale-only --keep-when-empty false --name 7 --priority 9")
        .exits(0)
        .json();
    let filter = &job["filter"];
    assert_eq!((&filter["programs"], &filter["stale_only"]), (&json!(["billing", "sales"]), &json!(true)));
    assert_eq!((&filter["keep_when_empty"], &job["name"]), (&json!(false), &json!("7")));
    assert_eq!((&filter["from"], &job["priority"]), (&json!(null), &json!(9)));
    let draft = with("--json --dry-run --draft --max-per-second 0.5 --split --description d").exits(0).json();
    assert_eq!((&draft["dry_run"], &draft["state"]), (&json!(true), &json!("draft")));
    assert_eq!((&draft["max_per_second"], &draft["description"]), (&json!(0.5), &json!("d")));
    for flag in ["--from 3d", "--until 3d", "--types notes", "--media voice", "--job 1"] {
        with(flag).exits(2).without_data().warns(&["'--ids <FILE>' cannot be used with", &flag[..6]]);
    }
    // A flag that is refused is not the file's fault.
    with("--max-per-second 0.0001").exits(5).without_data().warns(&["max_per_second: must be"]);
}

#[test]
fn a_bad_list_is_told_with_its_line_and_makes_no_job() {
    let daemon = daemon();
    let lists: [(&[u8], &str); 8] = [
        (b"kind,id\nnote,n1\nmail,n2\n", ":3: kind: must be conversation or note"),
        (b"id,type\nn1,note\n", ":1: must name the columns: kind,id"),
        (b"{\"kind\":\"note\",\"id\":\"n1\"}\n\n{\"kind\":\"note\"}\n", ":3: id: missing"),
        (b"{\"kind\":\"note\",", ":1: not JSON"),
        (b"", ":1: must name the columns"),
        (b"kind,id\n", ": the list names no item"),
        (b"kind,id\nnote,\xff\n", ": the list is not CSV"),
        (b"[\n{\"kind\":\"note\",\"id\":\"n1\"}\n]\n", ": a JSON array, where CSV or NDJSON is wanted"),
    ];
    for (list, why) in lists {
        let name = file(&daemon, "list", list);
        let said = run(asking(&daemon).args(["publish", "--watch", "--ids", &name])).exits(1).without_data();
        said.warns(&[&format!("relabeld: {name}{why}"), "no job was made"]);
    }
    let dir = daemon.dir().to_str().unwrap();
    for (name, why) in [("/nowhere/x", "No such file"), (dir, "is a directory")] {
        let said = run(asking(&daemon).args(["publish", "--ids", name])).exits(1).without_data();
        said.warns(&[&format!("cannot read {name}"), why, "no job was made"]);
    }
    assert_eq!(say(&daemon, "jobs --json").json()["jobs"], json!([]));
}
