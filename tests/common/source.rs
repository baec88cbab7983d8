//! Reading the project's own source: a lexer that knows just enough of Rust to tell code from comments and strings.

use std::path::{Path, PathBuf};

/// A string literal of a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// From 1.
    pub line: usize,
    /// As the program sees it: escapes undone.
    pub text: String,
    /// The code before it on its logical line, such as `const NAME: &str = `.
    pub before: String,
}

#[derive(Debug, Default)]
pub struct Source {
    /// The file with the insides of comments and of strings blanked out; lines stay where they were.
    pub code: String,
    pub literals: Vec<Literal>,
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `dir`, sorted, as paths relative to the project.
pub fn files(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(dir)];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if extension.is_empty() || entry.extension().is_some_and(|e| e == extension) {
                found.push(entry.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file as what is compiled into the product: without comments, and without what is `#[cfg(test)]`.
pub fn product(text: &str) -> Source {
    let Source { code, literals } = lex(text);
    let mut code = code.into_bytes();
    let mut blanked: Vec<std::ops::Range<usize>> = Vec::new();
    let mut from = 0;
    while let Some(at) = find(&code[from..], b"#[cfg(test)]").map(|at| at + from) {
        let mut end = at;
        let mut depth = 0;
        while end < code.len() {
            match code[end] {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            end += 1;
            if depth == 0 && matches!(code[end - 1], b'}' | b';') {
                break;
            }
        }
        let line = |at: usize| code[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        blanked.push(line(at)..line(end) + 1);
        code[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        from = end;
    }
    let literals = literals.into_iter().filter(|literal| !blanked.iter().any(|lines| lines.contains(&literal.line)));
    Source { code: String::from_utf8(code).unwrap(), literals: literals.collect() }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

pub fn lex(text: &str) -> Source {
    let chars: Vec<char> = text.chars().collect();
    let mut source = Source::default();
    let mut at = 0;
    let mut line = 1;
    // Where the code since the last `;`, `{` or `}` begins.
    let mut statement = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let starts = |text: &str| text.chars().zip(rest).filter(|(a, b)| a == *b).count() == text.chars().count();
        let (length, literal) = if starts("//") {
            (rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()), None)
        } else if starts("/*") {
            (block_comment(rest), None)
        } else if let Some((length, text)) = string(rest, chars[..at].last().copied()) {
            (length, Some(text))
        } else if rest[0] == '\'' && rest.get(1) == Some(&'\\') {
            (3 + rest[3..].iter().position(|c| *c == '\'').unwrap() + 1 - 1, None)
        } else if rest[0] == '\'' && rest.get(2) == Some(&'\'') {
            (3, None)
        } else {
            source.code.push(rest[0]);
            match rest[0] {
                '\n' => line += 1,
                ';' | '{' | '}' => statement = source.code.len(),
                _ => {}
            }
            at += 1;
            continue;
        };
        if let Some(text) = literal {
            let before = source.code[statement..].trim_start().to_owned();
            source.literals.push(Literal { line, text, before });
            source.code.push('"');
        }
        for c in &rest[..length] {
            line += usize::from(*c == '\n');
            source.code.push(if *c == '\n' { '\n' } else { ' ' });
        }
        at += length;
    }
    source
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length and text of the string literal that begins here, if one does.
fn string(rest: &[char], before: Option<char>) -> Option<(usize, String)> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let prefix = rest.iter().take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    if prefix > 0 && (in_word || prefix > 2) {
        return None;
    }
    if prefix > 0 && rest[prefix - 1] == 'r' {
        let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
        if rest.get(prefix + hashes) != Some(&'"') {
            return None;
        }
        let body = prefix + hashes + 1;
        let mut end = body;
        while !(rest[end] == '"' && rest[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes) {
            end += 1;
        }
        return Some((end + 1 + hashes, rest[body..end].iter().collect()));
    }
    if rest.get(prefix) != Some(&'"') {
        return None;
    }
    let mut text = String::new();
    let mut at = prefix + 1;
    while rest[at] != '"' {
        if rest[at] != '\\' {
            text.push(rest[at]);
            at += 1;
            continue;
        }
        match rest[at + 1] {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            '\n' => {
                at += 2;
                while rest[at].is_whitespace() {
                    at += 1;
                }
                continue;
            }
            // Unicode and byte escapes matter to nobody here.
            other => text.push(other),
        }
        at += 2;
    }
    Some((at + 1, text))
}

/// The places of a word in code: not as part of a longer one.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(is_part) && !code[*at + word.len()..].starts_with(is_part))
}

pub fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}
