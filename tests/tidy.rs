//! The habits of the house that a compiler does not keep. Each failure names the file and the rule.

#[path = "common/source.rs"]
#[allow(dead_code)]
mod source;

use std::path::{Path, PathBuf};

use source::{files, line_of, product, read, words};

/// Modules by floor: an import only points down.
const FLOORS: [&[&str]; 6] = [
    &["histogram", "model"],
    &["catalogue", "config", "job", "label", "lines", "os", "when", "wire"],
    &["labeller", "store"],
    &["engine", "export"],
    &["client", "http"],
    &["cli", "daemon", "demo", "main"],
];

/// Neighbours on one floor that may know each other, in this direction.
const NEIGHBOURS: [(&str, &str); 11] = [
    ("main", "cli"),
    ("main", "daemon"),
    ("cli", "daemon"),
    ("cli", "demo"),
    ("demo", "daemon"),
    ("config", "os"),
    ("config", "when"),
    ("label", "job"),
    ("lines", "when"),
    ("wire", "job"),
    ("wire", "when"),
];

/// Outside crates and the one place (a prefix below `src/`) that may name each.
const HOMES: [(&str, &[&str]); 15] = [
    ("rusqlite", &["store"]),
    ("r2d2", &["store"]),
    ("tiny_http", &["http"]),
    ("polling", &["http"]),
    ("prometheus", &["http"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("ureq", &["client"]),
    ("indicatif", &["client"]),
    ("console", &["client"]),
    ("signal_hook", &["os"]),
    ("sd_notify", &["os"]),
    ("rustix", &["os"]),
    ("memmap2", &["os"]),
];

const LINES_REPORTED: usize = 300;
const LINES_AT_MOST: usize = 600;

fn module_of(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap();
    below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The modules that code names after `crate::`, and after `relabeld::` as main does, with their lines.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for origin in ["crate", "relabeld"] {
        for at in words(code, origin) {
            let Some(rest) = code[at + origin.len()..].strip_prefix("::") else { continue };
            let heads: Vec<&str> = match rest.strip_prefix('{') {
                Some(group) => top_level(group),
                None => vec![rest],
            };
            let name = |head: &str| head.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.extend(heads.into_iter().map(|head| (line_of(code, at), name(head))));
        }
    }
    found
}

/// The members of a `{…}` group whose opening brace is gone, split at its own commas.
fn top_level(group: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                members.push(&group[from..at]);
                from = at + 1;
            }
            '}' if depth == 0 => {
                members.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    members.retain(|member| !member.trim().is_empty());
    members
}

#[track_caller]
fn assert_none(rule: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

/// Files of the product: what is only there for tests keeps no floors.
fn sources() -> Vec<(PathBuf, source::Source)> {
    let all: Vec<(PathBuf, String)> = files("src", "rs").into_iter().map(|path| (path.clone(), read(&path))).collect();
    let test_only: Vec<PathBuf> = all.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    let is_test =
        |path: &Path| test_only.iter().any(|test| path.starts_with(test) || path == test.with_extension("rs"));
    all.into_iter().filter(|(path, _)| !is_test(path)).map(|(path, text)| (path, product(&text))).collect()
}

/// The folders that `#[cfg(test)] mod name;` stands for; the file beside one has its name and `.rs`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => path.parent().unwrap().to_owned(),
        Some(stem) => path.with_file_name(stem),
    };
    let code = source::lex(text).code;
    let declared = code.match_indices("#[cfg(test)]").filter_map(|(at, mark)| {
        let name = code[at + mark.len()..].trim_start().strip_prefix("mod ")?.split_once([';', '{'])?;
        Some(folder.join(name.0.trim()))
    });
    declared.collect()
}

#[test]
fn an_import_only_points_down() {
    let mut faults = Vec::new();
    for (path, source) in sources() {
        let from = module_of(&path);
        if from == "lib" {
            continue;
        }
        let Some(floor) = floor_of(&from) else {
            faults.push(format!("{}: module {from} has no floor in tests/tidy.rs", path.display()));
            continue;
        };
        for (line, to) in imports(&source.code).into_iter().filter(|(_, to)| *to != from) {
            let place = format!("{}:{line}", path.display());
            match floor_of(&to) {
                None => faults.push(format!("{place}: {to} has no floor")),
                Some(other) if other < floor => {}
                Some(_) if NEIGHBOURS.contains(&(from.as_str(), to.as_str())) => {}
                Some(other) => faults.push(format!("{place}: {from} (floor {floor}) imports {to} (floor {other})")),
            }
        }
    }
    assert_none("an import only points down (src/lib.rs, the floors)", faults);
}

#[test]
fn each_outside_crate_has_one_home() {
    let mut faults = Vec::new();
    for (path, source) in sources() {
        let module = module_of(&path);
        for (name, homes) in HOMES.iter().filter(|(_, homes)| !homes.contains(&module.as_str())) {
            for at in words(&source.code, name).filter(|at| {
                let (before, after) = (&source.code[..*at], &source.code[at + name.len()..]);
                after.starts_with("::") || before.ends_with("use ")
            }) {
                let line = line_of(&source.code, at);
                faults.push(format!("{}:{line}: {name} has its home in {}", path.display(), homes.join(", ")));
            }
        }
    }
    assert_none("each outside crate has one home", faults);
}

#[test]
fn no_file_is_long() {
    let mut faults = Vec::new();
    for path in files("src", "rs").into_iter().chain(files("tests", "rs")).chain(files("benches", "rs")) {
        let lines = read(&path).lines().count();
        if lines > LINES_AT_MOST {
            faults.push(format!("{}: {lines} lines", path.display()));
        } else if lines > LINES_REPORTED {
            println!("{}: {lines} lines: split it by stage or noun when it grows", path.display());
        }
    }
    assert_none("a file has at most 600 lines", faults);
}

#[test]
fn no_name_says_nothing() {
    const EMPTY: [&str; 6] = ["manager", "helper", "util", "common", "data", "info"];
    let says_nothing = |name: &str| {
        let name = name.to_lowercase();
        EMPTY.iter().any(|word| name == *word || name == format!("{word}s"))
    };
    let mut faults = Vec::new();
    for path in files("src", "") {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let parts = path.iter().map(|part| part.to_str().unwrap()).chain([stem]);
        faults.extend(parts.filter(|part| says_nothing(part)).map(|part| format!("{}: {part}", path.display())));
    }
    for (path, source) in sources() {
        for keyword in ["struct", "enum", "trait", "type", "union"] {
            for at in words(&source.code, keyword) {
                let rest = source.code[at + keyword.len()..].trim_start();
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                // The words of a CamelCase name.
                let mut words: Vec<String> = Vec::new();
                for c in name.chars() {
                    match words.last_mut() {
                        Some(word) if !c.is_uppercase() => word.push(c),
                        _ => words.push(c.into()),
                    }
                }
                if words.iter().any(|word| says_nothing(word)) {
                    faults.push(format!("{}:{}: {name}", path.display(), line_of(&source.code, at)));
                }
            }
        }
    }
    assert_none("no file or type is called manager, helper, util, common, data or info", faults);
}

#[test]
fn nothing_in_the_product_gives_up() {
    const WAYS: [&str; 7] = [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "unreachable!", "dbg!"];
    let mut faults = Vec::new();
    for (path, source) in sources() {
        for way in WAYS {
            for (at, _) in source.code.match_indices(way) {
                // `catch_panic!` would be another word; a method is always one.
                if way.starts_with('.') || !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                    faults.push(format!("{}:{}: {way}", path.display(), line_of(&source.code, at)));
                }
            }
        }
    }
    assert_none("unwrap and its kin only in tests", faults);
}

#[test]
fn no_path_of_this_machine() {
    // Put together here, so that this file does not hold them.
    let here = source::root().display().to_string();
    let paths = [here, ["", "work", ""].join("/"), ["", "root", ""].join("/")];
    let mut faults = Vec::new();
    let top = ["Cargo.toml", "README.md", "schema.sql", "rustfmt.toml"].map(PathBuf::from);
    let folders = ["src", "tests", "benches", "packaging", ".ci"];
    for path in folders.iter().flat_map(|folder| files(folder, "")).chain(top) {
        let Ok(bytes) = std::fs::read(source::root().join(&path)) else { continue };
        for (no, line) in (1..).zip(String::from_utf8_lossy(&bytes).lines()) {
            let found = paths.iter().filter(|wrong| line.contains(wrong.as_str()));
            faults.extend(found.map(|wrong| format!("{}:{no}: {wrong}", path.display())));
        }
    }
    assert_none("no absolute path of this machine", faults);
}

#[test]
fn the_schema_of_a_new_database_is_schema_sql() {
    let dir = tempfile::tempdir().unwrap();
    let store = relabeld::store::Store::open(dir.path(), relabeld::store::Durability::Full).unwrap();
    store.close();
    let listing = |connection: &rusqlite::Connection| -> Vec<(String, String)> {
        let mut all =
            connection.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name, sql").unwrap();
        all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(|row| row.unwrap()).collect()
    };
    let by_hand = rusqlite::Connection::open_in_memory().unwrap();
    by_hand.execute_batch(&read(Path::new("schema.sql"))).unwrap();
    let made = rusqlite::Connection::open(dir.path().join("relabeld.db")).unwrap();
    assert_eq!(listing(&made), listing(&by_hand));
}

/// What the rules above rely on: they must be able to see.
#[test]
fn the_lexer_tells_code_from_the_rest() {
    let text = r##"
        //! crate::store in a comment
        /* crate::a /* nested */ crate::b */
        use crate::{job::{A, B}, model, os};
        const SQL: &str = "SELECT 'x' -- \" crate::lines
            FROM t";
        fn f<'a>(x: &'a str) { let q = '"'; let n = '\''; g(r#"crate::when "quoted""#); crate::label::h(x.unwrap()) }
        #[cfg(test)]
        mod tests { fn t() { crate::cli::x().unwrap(); "SELECT 2"; } }
        fn last() { panic!() }
    "##;
    let source = product(text);
    let mut modules: Vec<String> = imports(&source.code).into_iter().map(|(_, name)| name).collect();
    modules.sort();
    assert_eq!(modules, ["job", "label", "model", "os"]);
    let literals: Vec<&str> = source.literals.iter().map(|literal| literal.text.as_str()).collect();
    assert_eq!(literals.len(), 2, "{literals:?}");
    assert!(literals[0].starts_with("SELECT 'x' -- \" crate::lines") && literals[1] == "crate::when \"quoted\"");
    assert!(source.literals[0].before.trim_end().ends_with("const SQL: &str ="), "{:?}", source.literals[0].before);
    assert_eq!(source.code.matches(".unwrap()").count(), 1);
    assert!(source.code.contains("panic!"));
    assert_eq!(source.code.matches('\n').count(), text.matches('\n').count());
}
