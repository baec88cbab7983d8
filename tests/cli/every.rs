//! Every command in turn: what people see, what scripts get, and what the worst that can be typed leads to.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::command::{asking, run};
use crate::daemon::{Daemon, relabeld};
use crate::{catalogue, file, labelled, notes};

/// A command as it is tried, beside a daemon of its own where job 1 has labelled two of three items and failed no other.
struct Try {
    line: &'static str,
    /// In what people see.
    shows: &'static [&'static str],
    /// Where in the document for scripts, and what there.
    gives: &'static [(&'static str, Literal)],
    /// The worst: what is typed, how it ends, and words of what is said.
    worst: &'static [(&'static str, i32, &'static str)],
}

/// What a `Value` cannot be in a constant.
enum Literal {
    Is(&'static str),
    Counts(i64),
    Null,
    There,
}

use Literal::{Counts, Is, Null, There};

const TRIES: &[Try] = &[
    Try {
        line: "status",
        shows: &["state               running", "items               3", "bulk lane           0 pending, 0 running"],
        gives: &[("/state", Is("running")), ("/queue/bulk/pending", Counts(0)), ("/caller/may", Is("all"))],
        worst: &[("status 7", 2, "unexpected argument '7'"), ("status --json=yes", 2, "--json")],
    },
    Try {
        line: "catalogue apply CATALOGUE",
        shows: &["revision 1", "nothing changed"],
        gives: &[("/revision", Counts(1)), ("/added", There)],
        worst: &[
            ("catalogue apply", 2, "<FILE>"),
            ("catalogue apply /nowhere", 1, "/nowhere"),
            ("catalogue apply DIR", 1, "directory"),
            ("catalogue apply ITEMS", 5, "kind: unknown field"),
            ("catalogue apply EMPTY", 1, "not JSON"),
            ("catalogue apply CATALOGUE --if-match x", 2, "not a whole number"),
        ],
    },
    Try {
        line: "catalogue show",
        shows: &["\"revision\": 1", "\"id\": \"refund\""],
        gives: &[("/revision", Counts(1)), ("/topics/0/id", Is("refund"))],
        worst: &[
            ("catalogue show --revision 99", 3, "revision 99"),
            ("catalogue show --revision -1", 2, "unexpected argument"),
            ("catalogue show --revision 99999999999999999999", 2, "not a whole number"),
        ],
    },
    Try {
        line: "catalogue test refund --from 2026-01-01",
        shows: &["SCORE  KIND", "100  note  n1"],
        gives: &[("/read", Counts(3)), ("/matches/0/score", Counts(100))],
        worst: &[
            ("catalogue test !!", 5, "phrase: holds no word"),
            ("catalogue test refund --strictness 0", 2, "1..=100"),
            ("catalogue test refund --from 2026", 5, "a year"),
            ("catalogue test refund --from 2026-01-02 --until 2026-01-01", 5, "not before until"),
            ("catalogue test refund --programs ,", 2, "--programs"),
        ],
    },
    Try {
        line: "item note n1",
        shows: &["item      note n1", "Asks for a refund.", "note            0  refund  rule  refund    100  1"],
        gives: &[("/id", Is("n1")), ("/labels/0/topic", Is("refund")), ("/labels/0/job", Is("1"))],
        worst: &[
            ("item letter n1", 2, "conversation or note"),
            ("item note N1", 3, "case-sensitive"),
            ("item note ../../etc/passwd", 3, "not found"),
            ("item note LONG", 3, "…"),
        ],
    },
    Try {
        line: "mark note n1 note 1 late is",
        shows: &["note n1: block 1 of note is late"],
        gives: &[("/marks/0/mark", Is("is")), ("/labels/1/source", Is("human"))],
        worst: &[
            ("mark note n1 note 99 late is", 5, "has no block 99"),
            ("mark note n1 note x late is", 2, "x"),
            ("mark note n1 note 1 nosuch is", 5, "nosuch"),
            ("mark note n1 note 1 late perhaps", 2, "is-not"),
            ("mark note no note 1 late is", 3, "not found"),
        ],
    },
    Try {
        line: "erase note n1 --yes",
        shows: &["note n1 is erased"],
        gives: &[],
        worst: &[("erase note n1", 2, "--yes"), ("erase note no --yes", 3, "not found"), ("erase note", 2, "<ID>")],
    },
    Try {
        line: "count --from 2026-01-01",
        shows: &["total", "kind     conversation      2"],
        gives: &[("/total", Counts(3)), ("/by_kind/note", Counts(1))],
        worst: &[
            ("count --from 2030-13-01", 5, "2030-13-01"),
            ("count --from 9999y", 5, "from"),
            ("count --types ,", 2, "--types"),
            ("count --programs LONG", 0, "none of program"),
        ],
    },
    Try {
        line: "publish --from 2026-01-01 --watch",
        shows: &["state               completed", "items               3: done 2, failed 1"],
        gives: &[("/counts/total", Counts(3)), ("/reasons/no_topics_detected", Counts(1)), ("/id", Is("2"))],
        worst: &[
            ("publish --from", 2, "--from"),
            ("publish --name LONG", 5, "at most 1000"),
            ("publish --priority 0", 2, "1..=100"),
            ("publish --max-per-second nan", 2, "a number above 0"),
            ("publish --max-per-second 1e-9", 5, "from 0.001"),
            ("publish --ids DIR", 1, "directory"),
            ("publish --ids CATALOGUE", 1, "kind"),
            ("publish --idempotency-key schlüssel", 2, "ASCII"),
        ],
    },
    Try {
        line: "relabel note n1 --version 3 --watch",
        shows: &["kind                single", "lane                live", "state               completed"],
        gives: &[("/lane", Is("live")), ("/outcomes/unchanged", Counts(1))],
        worst: &[
            ("relabel note n1", 2, "--version"),
            ("relabel note n1 --version 2", 5, "stored at version 3"),
            ("relabel note n1 --version x", 2, "not a whole number"),
            ("relabel conversation no", 3, "not found"),
            ("relabel letter x", 2, "letter"),
        ],
    },
    Try {
        line: "retry 1 --no-topics-detected --watch",
        shows: &["kind                retry", "made from job       1", "no_topics_detected 1"],
        gives: &[("/kind", Is("retry")), ("/parent_job", Is("1")), ("/counts/total", Counts(1))],
        worst: &[
            ("retry 99", 3, "`relabeld jobs`"),
            ("retry draft", 3, "draft"),
            ("retry 2", 5, "before it has ended"),
        ],
    },
    Try {
        line: "revert 1 --watch",
        shows: &["kind", "revert", "removed 2"],
        gives: &[("/kind", Is("revert")), ("/labels/removed", Counts(2)), ("/catalogue_revision", Null)],
        worst: &[
            ("revert 99", 3, "`relabeld jobs`"),
            ("revert 2", 5, "before it has ended"),
            ("revert 1 1", 2, "unexpected"),
        ],
    },
    Try {
        line: "apply 3 --watch",
        shows: &["made from job       3", "state               completed"],
        gives: &[("/parent_job", Is("3")), ("/dry_run", There)],
        worst: &[("apply 1", 5, "no dry run"), ("apply 99", 3, "`relabeld jobs`"), ("apply", 2, "<JOB>")],
    },
    Try {
        line: "jobs",
        shows: &["ID  STATE      KIND", "1   completed  range"],
        gives: &[("/jobs/3/id", Is("1")), ("/next_cursor", Null)],
        worst: &[
            ("jobs --limit 0", 2, "1..=1000"),
            ("jobs --cursor x", 2, "not a whole number"),
            ("jobs --state gone", 2, "completed_with_failures"),
        ],
    },
    Try {
        line: "show 1",
        shows: &["job                 1", "TOPIC   ADDED  REMOVED  UPDATED\nrefund      2        0        0"],
        gives: &[("/id", Is("1")), ("/labels/added", Counts(2)), ("/error", Null)],
        worst: &[
            ("show 0", 3, "job \"0\" not found"),
            ("show 99999999999999999999", 3, "not found"),
            ("show LONG", 3, "…"),
            ("show -- -1", 3, "not found"),
        ],
    },
    Try {
        line: "watch 1",
        shows: &["job                 1", "state               completed"],
        gives: &[("/state", Is("completed"))],
        worst: &[("watch 99", 3, "`relabeld jobs`"), ("watch", 2, "<JOB>"), ("watch 1 2", 2, "unexpected")],
    },
    Try {
        line: "pause 2",
        shows: &["job 2 is paused"],
        gives: &[("/state", Is("paused"))],
        worst: &[("pause 1", 5, "cannot be paused"), ("pause 99", 3, "not found"), ("pause --all", 2, "--all")],
    },
    Try {
        line: "resume 4",
        shows: &["job 4 is "],
        gives: &[("/id", Is("4"))],
        worst: &[("resume 1", 5, "cannot be resumed"), ("resume 99", 3, "not found")],
    },
    Try {
        line: "cancel 2",
        shows: &["job 2 is cancel"],
        gives: &[("/id", Is("2"))],
        worst: &[("cancel 1", 5, "cannot be cancelled"), ("cancel 99", 3, "not found")],
    },
    Try {
        line: "set 2 --priority 7 --max-per-second none --name mended",
        shows: &["job 2: name mended", "priority 7"],
        gives: &[("/priority", Counts(7)), ("/max_per_second", Null), ("/name", Is("mended"))],
        worst: &[
            ("set 2", 2, "--priority"),
            ("set 1 --priority 7", 5, "cannot be steered"),
            ("set 2 --name LONG", 5, "at most 1000"),
            ("set 99 --name x", 3, "not found"),
            ("set 2 --max-per-second -1", 2, "-1"),
        ],
    },
    Try {
        line: "delete 1 --yes",
        shows: &["job 1 is deleted"],
        gives: &[],
        worst: &[("delete 1", 2, "--yes"), ("delete 2 --yes", 5, "job 2"), ("delete 99 --yes", 3, "not found")],
    },
    Try {
        line: "topics",
        shows: &["TOPIC   NAME            ITEMS  BLOCKS", "billing  billing      3          0"],
        gives: &[("/topics/0/id", Is("refund")), ("/programs/0/items", Counts(3))],
        worst: &[("topics --from 2026-02-30", 5, "2026-02-30"), ("topics --from 2026", 5, "a year")],
    },
    Try {
        line: "items 1",
        shows: &["kind,id,version,state,outcome,reason,attempts,finished_at\n", "failed,,no_topics_detected,1,"],
        gives: &[("/0/state", There), ("/2/id", There)],
        worst: &[
            ("items 99", 3, "`relabeld jobs`"),
            ("items 1 --format xml", 2, "ndjson"),
            ("items 1 -o DIR", 1, "directory"),
            ("items 1 -o /nowhere/x", 1, "/nowhere/x"),
        ],
    },
    Try {
        line: "changes 1",
        shows: &["topic,change,phrase,score,start,end\n", "note,n1,3,note,0,refund,added,refund,100,11,17\n"],
        gives: &[("/0/change", Is("added")), ("/1/topic", Is("refund"))],
        worst: &[
            ("changes 1 --change some", 2, "updated"),
            ("changes 99", 3, "`relabeld jobs`"),
            ("changes 1 -o DIR", 1, "directory"),
        ],
    },
    Try {
        line: "labels",
        shows: &[
            "source,phrase,score,start,end,job,revision,at\n",
            "note,n1,3,note,0,refund,rule,refund,100,11,17,1,1,",
        ],
        gives: &[("/0/source", Is("rule")), ("/1/job", Is("1"))],
        worst: &[
            ("labels --since 0 --from 3d", 2, "cannot be used with"),
            ("labels --since x", 2, "not a whole number"),
            ("labels --topics ,", 2, "--topics"),
            ("labels --from 3 --until 2", 5, "from"),
        ],
    },
    Try {
        line: "backup NEW",
        shows: &["new.db: ", "KiB, sha256 "],
        gives: &[("/bytes", There), ("/sha256", There), ("/file", There)],
        worst: &[
            ("backup", 2, "<FILE>"),
            ("backup DIR", 2, "directory"),
            ("backup /nowhere/b.db", 1, "/nowhere/b.db"),
            ("backup CATALOGUE", 2, "--force"),
        ],
    },
    Try {
        line: "login",
        shows: &["http://127.0.0.1:", "/login/"],
        gives: &[("/url", There), ("/good_for_seconds", Counts(600))],
        worst: &[("login token", 2, "unexpected")],
    },
    Try {
        line: "token rotate token.read",
        shows: &["token.read is replaced"],
        gives: &[("/rotated", Is("token.read"))],
        worst: &[("token rotate", 2, "<NAME>"), ("token rotate admin", 2, "token.metrics"), ("token", 2, "rotate")],
    },
];

/// What needs no daemon; the same in either form, or with tests of their own beside this one.
const OTHERS: [&str; 8] = ["serve", "restore", "demo", "check", "import", "completions", "man", "help"];

/// Job 2 runs slowly, job 3 is a dry run that has ended, job 4 is paused.
fn with_jobs(line: &str) -> Daemon {
    let daemon = labelled();
    let needed = ["pause", "resume", "cancel", "set", "delete", "retry", "revert", "apply", "jobs"];
    if needed.iter().any(|word| line.starts_with(word)) {
        daemon.import(&notes(0..40).lines().map(str::to_owned).collect::<Vec<_>>());
        daemon.publish(&json!({"from": "2026-01-01", "max_per_second": 0.001}));
        daemon.publish(&json!({"from": "2026-01-01", "until": "2026-01-11", "dry_run": true}));
        daemon.ended("3");
        daemon.publish(&json!({"from": "2026-01-01", "max_per_second": 0.001}));
        daemon.ask("POST", "/api/v1/jobs/4/pause").send().expect(200);
    }
    daemon
}

/// The words of a line, with what the capitals stand for.
fn words(daemon: &Daemon, line: &str) -> Vec<String> {
    let stand_in = |word: &str| match word {
        "CATALOGUE" => file(daemon, "catalogue.json", catalogue().to_string()),
        "ITEMS" => file(daemon, "items.ndjson", crate::NOTE),
        "EMPTY" => file(daemon, "empty", ""),
        "NEW" => daemon.dir().with_file_name("new.db").to_str().unwrap().to_owned(),
        "DIR" => daemon.dir().to_str().unwrap().to_owned(),
        "LONG" => "x".repeat(2_000),
        word => word.to_owned(),
    };
    line.split(' ').map(stand_in).collect()
}

/// What a refused command must leave as it was; progress aside.
fn everything(daemon: &Daemon) -> Value {
    let jobs = daemon.see("/api/v1/jobs");
    let of = |name: &str| -> Value { jobs["jobs"].as_array().unwrap().iter().map(|job| job[name].clone()).collect() };
    json!([daemon.see("/api/v1/topics"), daemon.see("/api/v1/catalogue"), of("id"), of("name"), of("priority")])
}

#[test]
fn every_command_is_tried() {
    let leaves = |words: &[&str]| -> Vec<String> {
        let help = run(relabeld().args(words).arg("--help")).exits(0).out;
        let entries = help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
        entries.filter_map(|line| line.split_once(' ').map(|(name, _)| name.to_owned())).collect()
    };
    let is_name = |name: &String| name.bytes().all(|b| b.is_ascii_lowercase());
    let before_examples = |names: Vec<String>| names.into_iter().take_while(|name| name != "relabeld");
    let mut all = BTreeSet::new();
    for name in before_examples(leaves(&[])).filter(is_name) {
        match name.as_str() {
            "catalogue" | "token" => {
                let below = before_examples(leaves(&[&name])).filter(is_name).filter(|word| word != "help");
                all.extend(below.map(|word| format!("{name} {word}")));
            }
            _ => drop(all.insert(name)),
        }
    }
    let tried = TRIES.iter().map(|row| {
        let words: Vec<&str> = row.line.split(' ').collect();
        let two = matches!(words[0], "catalogue" | "token");
        words[..if two { 2 } else { 1 }].join(" ")
    });
    let tried: BTreeSet<String> = tried.chain(OTHERS.map(str::to_owned)).collect();
    assert_eq!(tried, all);
}

#[test]
fn people_see_a_table_and_scripts_get_a_document() {
    for row in TRIES {
        let daemon = with_jobs(row.line);
        run(asking(&daemon).args(words(&daemon, row.line))).exits(0).tells(row.shows);
        let daemon = with_jobs(row.line);
        let said = run(asking(&daemon).args(words(&daemon, row.line)).arg("--json")).exits(0);
        let document = said.json();
        for (place, wanted) in row.gives {
            let found = document.pointer(place);
            let right = match wanted {
                Is(text) => found == Some(&json!(text)),
                Counts(n) => found == Some(&json!(n)),
                Null => found == Some(&Value::Null),
                There => found.is_some(),
            };
            assert!(right, "{}: {place} is {found:?} in {document}", row.line);
        }
    }
}

#[test]
fn the_worst_input_is_refused_in_clear_words_and_changes_nothing() {
    for row in TRIES {
        let daemon = with_jobs(row.line);
        let before = everything(&daemon);
        for (line, code, why) in row.worst {
            let said = run(asking(&daemon).args(words(&daemon, line))).exits(*code).warns(&[why]);
            let said = if *code == 0 { said } else { said.without_data() };
            assert!(said.err.len() < 2_500 && !said.err.contains("panicked"), "{line}: {said:?}");
        }
        assert_eq!(everything(&daemon), before, "{}", row.line);
    }
}

#[test]
fn without_a_daemon_every_command_that_needs_one_exits_4() {
    let scratch = Daemon::start();
    let nowhere = scratch.dir().with_file_name("nowhere");
    for row in TRIES {
        let said = run(relabeld().args(words(&scratch, row.line)).arg("--data-dir").arg(&nowhere));
        said.exits(4).without_data().warns(&["relabeld: ", "`relabeld serve`"]);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    for command in ["show", "publish", "import", "serve"] {
        let bytes = OsStr::from_bytes(b"--name=\xff");
        run(relabeld().arg(command).arg(bytes)).exits(2).without_data();
    }
}
