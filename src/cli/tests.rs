//! What is typed, and what it means.

use clap::{CommandFactory, Parser};
use serde_json::{Map, Value, json};

use super::command::{Cli, Command};
use super::pages::GROUPS;
use super::settings::Settings;
use crate::client::publish::Source;
use crate::config::Partial;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("relabeld").chain(line.split_whitespace()))
}

fn body(line: &str) -> Value {
    match parse(line).unwrap().command {
        Command::Publish(args) => Value::Object(args.body()),
        Command::Count(filter) => Value::Object(filter.body()),
        Command::Retry(args) => Value::Object(args.body()),
        Command::Revert(args) => Value::Object(args.body()),
        Command::Apply(args) => Value::Object(args.body()),
        Command::Set { set, .. } => Value::Object(set.body()),
        other => panic!("{other:?} has no body"),
    }
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_first_page_of_help_has_every_command_once() {
    let mut shown: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
    shown.sort_unstable();
    let mut command = Cli::command();
    command.build();
    let mut all: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    all.sort_unstable();
    assert_eq!(shown, all);
}

#[test]
fn global_flags_stand_anywhere() {
    for line in
        ["--json -q --data-dir /d show 7", "show --json -q 7 --data-dir /d", "show 7 --data-dir=/d --quiet --json"]
    {
        let global = parse(line).unwrap().global;
        assert!(global.json && global.quiet && global.data_dir.as_deref() == Some("/d".as_ref()), "{line}");
    }
    assert_eq!(parse("catalogue show --url unix:/s").unwrap().global.url.as_deref(), Some("unix:/s"));
}

#[test]
fn what_cannot_be_meant_exits_2() {
    for line in [
        "nothing",
        "show",
        "import",
        "item letter 7",
        "relabel note n",
        "mark note n note 0 t maybe",
        "mark note n note -1 t is",
        "items 7 --format xml",
        "changes 7 --change some",
        "publish --max-per-second fast",
        "publish --max-per-second 0",
        "publish --keep-when-empty perhaps",
        "publish --max-per-second none",
        "publish --priority 0",
        "publish --priority 101",
        "publish --ids f --from 3d",
        "publish --ids f --until 3d",
        "publish --ids f --types notes",
        "publish --ids f --media voice",
        "publish --job 3 --ids f",
        "publish --job 3 --from 3d",
        "publish --job 3 --programs a",
        "publish --job 3 --name x",
        "publish --job 3 --draft",
        "publish --draft --watch",
        "retry",
        "retry 7 --from 3d",
        "revert 7 --no-topics-detected",
        "revert 7 --draft --watch",
        "apply 7 --dry-run",
        "set 7",
        "set 7 --max-per-second 0",
        "set 7 --max-per-second fast",
        "set 7 --priority none",
        "set --priority 3",
        "delete",
        "labels --since 3 --from 3d",
        "jobs --state done",
        "jobs --limit 0",
        "token rotate admin",
        "catalogue test p --strictness 101",
        "catalogue test p --limit 0",
        "serve --workers many",
        "serve --listen localhost",
        "serve --data-dir= --workers 1",
        "jobs --color sometimes",
    ] {
        assert_eq!(parse(line).map(|cli| cli.command).unwrap_err().exit_code(), 2, "{line}");
    }
    assert_eq!(parse("--help").unwrap_err().exit_code(), 0);
    assert_eq!(parse("--version").unwrap_err().exit_code(), 0);
}

#[test]
fn lists_are_comma_separated_or_repeated_and_nothing_unsaid_is_sent() {
    assert_eq!(body("publish"), json!({}));
    assert_eq!(
        body(
            "publish --from 30d --types notes --programs a,b --programs c --stale-only --keep-when-empty false --split"
        ),
        json!({"from": "30d", "types": ["notes"], "programs": ["a", "b", "c"], "stale_only": true,
            "keep_when_empty": false, "split": true})
    );
    assert_eq!(
        body("publish --priority 3 --max-per-second 5 --name x --description y"),
        json!({"priority": 3, "max_per_second": 5, "name": "x", "description": "y"})
    );
    assert_eq!(body("publish --max-per-second 0.5"), json!({"max_per_second": 0.5}));
    assert_eq!(body("count --media voice --until 2026-01-01"), json!({"media": ["voice"], "until": "2026-01-01"}));
}

#[test]
fn what_is_made_of_another_job_says_only_what_was_said() {
    assert_eq!(body("publish --dry-run --draft"), json!({"dry_run": true, "publish": false}));
    for line in ["retry 7", "revert 7", "apply 7"] {
        assert_eq!(body(line), json!({}));
        let said = json!({"name": "x", "priority": 3, "max_per_second": 0.5, "publish": false});
        assert_eq!(body(&format!("{line} --name x --priority 3 --max-per-second 0.5 --draft")), said);
    }
    assert_eq!(body("retry 7 --no-topics-detected --dry-run"), json!({"no_topics_detected": true, "dry_run": true}));
    assert_eq!(body("revert 7 --dry-run"), json!({"dry_run": true}));
    assert_eq!(body("set 7 --max-per-second 50 --priority 9"), json!({"max_per_second": 50, "priority": 9}));
    assert_eq!(body("set 7 --max-per-second none --name="), json!({"max_per_second": null, "name": null}));
}

#[test]
fn a_job_is_made_of_a_range_a_list_or_a_draft() {
    let source = |line: &str| match parse(line).unwrap().command {
        Command::Publish(args) => args.source(),
        other => panic!("{other:?} makes no job"),
    };
    assert_eq!(source("publish"), Source::Range(Map::new()));
    let body = json!({"programs": ["a"], "dry_run": true}).as_object().unwrap().clone();
    assert_eq!(source("publish --ids - --programs a --dry-run"), Source::List("-".into(), body));
    assert_eq!(source("publish --job 7 --watch"), Source::Draft("7".into()));
}

#[test]
fn every_setting_is_a_flag_of_serve() {
    let line =
        "serve --listen 127.0.0.1:0 --hosts a,b --durability normal --min-free-bytes 1 --config /c --data-dir /d";
    let Cli { global, command: Command::Serve(settings) } = parse(line).unwrap() else { panic!("not serve") };
    let Settings { flags, config } = settings.completed(global.data_dir.as_deref(), |_| Some("/other".into()));
    let mut expected = Partial::default();
    let said = [
        ("listen", "127.0.0.1:0"),
        ("hosts", "a,b"),
        ("durability", "normal"),
        ("min_free_bytes", "1"),
        ("data_dir", "/d"),
    ];
    said.iter().for_each(|(key, text)| expected.set(key, text).unwrap());
    assert_eq!((flags, config), (expected, Some("/c".into())));
    let from_env = Settings::default().completed(None, |_| Some("/other".into()));
    assert_eq!(from_env.config, Some("/other".into()));
}

#[test]
fn a_flag_wins_over_the_environment() {
    let env = |name: &str| match name {
        "RELABELD_URL" => Some("http://env".into()),
        "RELABELD_JSON" => Some("1".into()),
        "RELABELD_TOKEN_FILE" => Some("".into()),
        _ => None,
    };
    let options = |line: &str| parse(line).unwrap().global.options(env);
    assert_eq!(options("status").place.url.as_deref(), Some("http://env"));
    assert!(options("status").json && options("status").place.token_file.is_none());
    assert_eq!(options("status --url http://flag").place.url.as_deref(), Some("http://flag"));
    assert_eq!(options("status --data-dir /d").place.url, None);
}

#[test]
fn ids_are_not_empty() {
    for words in [["show", ""].as_slice(), &["item", "note", ""], &["relabel", "conversation", ""]] {
        let line = std::iter::once("relabeld").chain(words.iter().copied());
        assert_eq!(Cli::try_parse_from(line).unwrap_err().exit_code(), 2, "{words:?}");
    }
}

/// Who reads only the list of flags must understand each.
#[test]
fn everything_that_can_be_typed_is_explained() {
    fn look(command: &clap::Command, path: &str, faults: &mut Vec<String>) {
        let name = format!("{path} {}", command.get_name());
        if command.get_about().is_none() {
            faults.push(name.clone());
        }
        let mute = command.get_arguments().filter(|arg| arg.get_help().is_none());
        faults.extend(mute.map(|arg| format!("{name} {}", arg.get_id())));
        command.get_subcommands().for_each(|sub| look(sub, &name, faults));
    }
    let mut faults = Vec::new();
    look(&Cli::command(), "", &mut faults);
    assert_eq!(faults, Vec::<String>::new());
}
