//! How SQLite runs every statement of the store, as a golden file: `tests/plans.golden`.
//!
//! Every string literal of `src/store` that holds SQL is found in the source itself, so none can be forgotten; one that
//! cannot be explained fails. After a change that is wanted: `UPDATE_PLANS=1 cargo test --test plans`.

#[path = "common/source.rs"]
#[allow(dead_code)]
mod source;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use source::{files, product, read};

const GOLDEN: &str = "tests/plans.golden";

/// `check` reads everything by its nature: its file and its folder.
const EXEMPT: [&str; 2] = ["src/store/check.rs", "src/store/check"];

/// An upgrade reads tables of another time, and goes through all of them once. The statements of sums are put together
/// from a list of tables: each finds one row by its whole key, or belongs to `check`.
const PUT_TOGETHER: [&str; 3] = ["src/store/upgrade.rs", "src/store/sums.rs", "src/store/check/sums.rs"];

/// Tables that stay small whatever the number of items, jobs and tasks: they grow with the catalogue alone.
const SMALL: [&str; 10] =
    ["sqlite_master", "daemon", "program", "topic", "phrase", "shape", "revision", "ruleset", "held", "coverage"];

/// Partial indexes that hold only what is open or in flight: walking one whole costs what there is to do.
const IN_FLIGHT: [&str; 8] =
    ["job_deleted", "job_to_plan", "job_bulk", "job_live", "job_open", "chunk_leased", "task_suspect", "task_running"];

const VERBS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];

#[derive(Debug)]
struct Statement {
    path: PathBuf,
    line: usize,
    sql: String,
}

/// All statements of one file: its literals, with the constants of the file put in where they name them.
fn statements(path: &Path, text: &str) -> (Vec<Statement>, Vec<String>) {
    let source = product(text);
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut constants: BTreeMap<String, String> = BTreeMap::new();
    for literal in &source.literals {
        if let Some((_, declared)) = literal.before.rsplit_once("const ")
            && let Some((name, "&str =")) = declared.split_once(':').map(|(name, rest)| (name, rest.trim()))
        {
            constants.insert(name.trim().to_owned(), one_line(&literal.text));
        }
    }
    let mut statements = Vec::new();
    let mut faults = Vec::new();
    let mut used: Vec<&str> = Vec::new();
    for literal in &source.literals {
        let mut sql = one_line(&literal.text);
        for (name, text) in &constants {
            if sql.contains(&format!("{{{name}}}")) {
                used.push(name);
                sql = sql.replace(&format!("{{{name}}}"), text);
            }
        }
        if VERBS.iter().any(|verb| sql.starts_with(&format!("{verb} "))) {
            statements.push(Statement { path: path.to_owned(), line: literal.line, sql });
        }
    }
    // A piece of SQL that is neither a statement nor part of one would escape.
    for literal in &source.literals {
        let text = one_line(&literal.text);
        let holds_sql = VERBS.iter().take(4).any(|verb| source::words(&text, verb).next().is_some());
        let known = VERBS.iter().any(|verb| text.starts_with(&format!("{verb} ")))
            || used.iter().any(|name| constants[*name] == text);
        if holds_sql && !known {
            faults.push(format!("{}:{}: a piece of SQL that no statement holds: {text}", path.display(), literal.line));
        }
    }
    (statements, faults)
}

fn plan(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<(i64, i64, String)>> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    // Unbound parameters are NULL, as the planner does not look at them.
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        steps.push((row.get(0)?, row.get(1)?, row.get(3)?));
    }
    Ok(steps)
}

/// Why a step of a plan may not be; None where it may.
fn offence(step: &str) -> Option<&'static str> {
    if step.contains("TEMP B-TREE") {
        return Some("sorts in a temporary b-tree");
    }
    if step.contains("AUTOMATIC") {
        return Some("builds an index for one query");
    }
    let mut words = step.strip_prefix("SCAN ")?.split(' ');
    let table = words.next()?;
    let index = step.split(" INDEX ").nth(1).and_then(|rest| rest.split(' ').next());
    // The numbers that a statement is given are as many as it is asked for.
    let given = table == "CONSTANT" || table == "rarray";
    let fine = given || SMALL.contains(&table) || index.is_some_and(|index| IN_FLIGHT.contains(&index));
    (!fine).then_some("scans a table that grows")
}

fn fresh() -> (tempfile::TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    relabeld::store::Store::open(dir.path(), relabeld::store::Durability::Normal).unwrap().close();
    let connection = Connection::open(dir.path().join("relabeld.db")).unwrap();
    rusqlite::vtab::array::load_module(&connection).unwrap();
    // What it answers does not matter to a plan.
    connection.create_scalar_function("row_sum", -1, FunctionFlags::SQLITE_DETERMINISTIC, |_| Ok(0)).unwrap();
    (dir, connection)
}

#[test]
fn every_statement_runs_as_it_is_known_to() {
    let (_dir, connection) = fresh();
    let mut faults = Vec::new();
    let mut golden = String::new();
    for path in
        files("src/store", "rs").into_iter().filter(|path| PUT_TOGETHER.iter().all(|file| path != Path::new(file)))
    {
        let (statements, pieces) = statements(&path, &read(&path));
        faults.extend(pieces);
        if !statements.is_empty() {
            writeln!(golden, "## {}\n", path.display()).unwrap();
        }
        for Statement { path, line, sql } in statements {
            writeln!(golden, "{sql}").unwrap();
            let steps = match plan(&connection, &sql) {
                Ok(steps) => steps,
                Err(error) => {
                    faults.push(format!("{}:{line}: cannot be explained: {error}\n    {sql}", path.display()));
                    continue;
                }
            };
            let mut depths: BTreeMap<i64, usize> = BTreeMap::new();
            for (id, parent, step) in steps {
                let depth = depths.get(&parent).map_or(1, |depth| depth + 1);
                depths.insert(id, depth);
                writeln!(golden, "{}{step}", "    ".repeat(depth)).unwrap();
                let exempt = EXEMPT.iter().any(|file| path.starts_with(file));
                if let Some(why) = offence(&step).filter(|_| !exempt) {
                    faults.push(format!("{}:{line}: {why}: {step}\n    {sql}", path.display()));
                }
            }
            golden.push('\n');
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(golden.matches("SEARCH").count() > 50, "the statements were not found");

    let path = source::root().join(GOLDEN);
    if std::env::var_os("UPDATE_PLANS").is_some() {
        std::fs::write(&path, &golden).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let (new, old): (Vec<&str>, Vec<&str>) = (golden.lines().collect(), known.lines().collect());
    let differs = new
        .iter()
        .zip(&old)
        .position(|(new, old)| new != old)
        .or((new.len() != old.len()).then_some(new.len().min(old.len())));
    if let Some(at) = differs {
        let show =
            |lines: &[&str]| lines.iter().skip(at.saturating_sub(3)).take(8).copied().collect::<Vec<_>>().join("\n");
        panic!(
            "{GOLDEN}:{}: plans differ (UPDATE_PLANS=1 writes them anew)\n-- known\n{}\n-- now\n{}",
            at + 1,
            show(&old),
            show(&new)
        );
    }
}

/// The rules above must be able to fail.
#[test]
fn offences_are_seen() {
    let (_dir, connection) = fresh();
    let worst = |sql: &str| plan(&connection, sql).unwrap().iter().find_map(|(_, _, step)| offence(step));
    assert_eq!(worst("SELECT no FROM item WHERE edition = 3"), Some("scans a table that grows"));
    assert_eq!(worst("SELECT no FROM item WHERE at > 1 ORDER BY shape"), Some("sorts in a temporary b-tree"));
    assert_eq!(worst("SELECT count(*) FROM item"), Some("scans a table that grows"));
    assert_eq!(worst("SELECT id FROM topic"), None);
    assert_eq!(worst("SELECT id FROM item WHERE no = 3"), None);

    let text = r#"const PART: &str = "a, b"; const LOST: &str = "x FROM y WHERE (SELECT 1)";
        fn f() { q(&format!("SELECT {PART} FROM t")); }
        #[cfg(test)] mod tests { fn t() { q("DELETE FROM t"); } }"#;
    let (statements, faults) = statements(Path::new("x.rs"), text);
    assert_eq!(statements.iter().map(|s| s.sql.as_str()).collect::<Vec<_>>(), ["SELECT a, b FROM t"]);
    assert_eq!(faults.len(), 1, "{faults:?}");
}
