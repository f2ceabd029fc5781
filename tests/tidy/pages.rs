//! The pages that people read: every block of code in them is looked at by a test, and what ARCHITECTURE.md points to is there.

use std::path::Path;

use tests::pages::{Block, all_blocks, blocks, pages};

use super::root;

/// What `tests/process/manual.rs` runs or checks wherever it stands.
const CHECKED: &[&str] = &["sh", "console", "toml", "json"];
/// Code: a mark names the test that runs or compiles it.
const CODE: &[&str] = &["js", "jsx", "ts", "tsx", "vue", "svelte", "python", "rust", "go"];
/// What is no code of ours: output, texts, and other programs' files.
const OTHER: &[&str] = &["text", "caddyfile", "html", "ini", "nginx", "yaml"];

/// The tests that may be named, each as its path and its text.
fn tests_of_pages() -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["node_modules", ".venv", "snapshots"].contains(&name.as_str()) {
                    walk(&path, out);
                }
            } else if [".rs", ".mjs", ".ts", ".sh", ".py"].iter().any(|end| name.ends_with(end)) {
                let at = path.strip_prefix(root()).unwrap().display().to_string();
                out.push((at, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut out = vec![];
    for folder in ["tests", "packaging/npm/better-auth-authd/test"] {
        walk(&root().join(folder), &mut out);
    }
    out
}

/// What is wrong with a block. A mark is `run by PATH`, with more words if the test wants them, or `KIND: …` for a test that looks
/// for marks of this kind; in both cases that test names the page.
fn fault(block: &Block, tests: &[(String, String)]) -> Option<String> {
    let Block { place, language, mark, .. } = block;
    let page = place.rsplit('/').next().unwrap_or(place).split(':').next().unwrap_or_default();
    let language = language.as_str();
    if CODE.contains(&language) {
        let names = |path: &str, text: &str| match mark.strip_prefix("run by ") {
            Some(named) => named.split([' ', ':']).next() == Some(path),
            None => mark.split_once(':').is_some_and(|(kind, _)| text.contains(&format!("<!-- {kind}: "))),
        };
        let is_run = tests.iter().any(|(path, text)| names(path, text) && text.contains(page));
        return (!is_run).then(|| format!("{place}: no test runs this {language} ('{mark}'): <!-- run by tests/… -->"));
    }
    let known = CHECKED.contains(&language) || OTHER.contains(&language);
    (!known).then(|| format!("{place}: a block of '{language}': say what it is, or `text`"))
}

#[test]
fn every_block_of_code_that_people_read_is_looked_at_by_a_test() {
    let tests = tests_of_pages();
    let all = all_blocks();
    assert!(all.len() > 60, "{}", all.len());
    let faults: Vec<String> = all.iter().filter_map(|block| fault(block, &tests)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_rule_of_blocks_finds_seeded_faults() {
    let tests = [("tests/a.rs".to_owned(), "mail.md, page.md, <!-- mark: {name} -->".to_owned())];
    let faults = |text: &str| blocks("x/page.md", text).iter().filter(|block| fault(block, &tests).is_some()).count();
    for bad in [
        "```\nplain\n```\n",
        "```cobol\n```\n",
        "```ts\ncode\n```\n",
        "<!-- run by tests/b.rs -->\n```ts\ncode\n```\n",
        "<!-- marked: one -->\n```ts\ncode\n```\n",
        "<!-- run by tests/a.rs -->\n\n```ts\ncode\n```\n",
        "- item\n\n  ```go\n  code\n  ```\n",
    ] {
        assert_eq!(faults(bad), 1, "{bad}");
    }
    for good in [
        "```sh\n```\n```text\n```\n",
        "<!-- run by tests/a.rs: one -->\n```ts\ncode\n```\n",
        "- item\n\n  <!-- mark: one -->\n  ```go\n  code\n  ```\n",
    ] {
        assert_eq!(faults(good), 0, "{good}");
    }
    let other = blocks("x/other.md", "<!-- run by tests/a.rs -->\n```ts\ncode\n```\n");
    assert!(fault(&other[0], &tests).is_some(), "a test that does not know the page");
    assert_eq!(blocks("x", "1. a\n   ```sh\n   one\n     two\n   ```\n")[0].text, "one\n  two\n");
}

/// What a page points to in the code: `file.rs`, `folder/`, and `file.rs::name`, which a file declares.
fn pointers(text: &str) -> Vec<(String, Vec<String>)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |path: &str| {
        [".rs", ".mjs", ".md", "/"].iter().any(|end| path.ends_with(end)) && !path.contains([' ', '<', '…', '*'])
    };
    let parts = quoted.map(|quoted| {
        let mut parts = quoted.split("::").map(str::to_owned);
        (parts.next().unwrap_or_default(), parts.collect())
    });
    parts.filter(|(path, _): &(String, Vec<String>)| is_path(path)).collect()
}

/// Files and folders of the repository with what is in them; folders end with a slash.
fn everything() -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            if path.is_dir() {
                if !["target", "node_modules", "dist", ".venv"].iter().any(|left_out| path.ends_with(left_out)) {
                    out.push((format!("/{name}/"), String::new()));
                    walk(&path, out);
                }
            } else {
                let is_code = path.extension().is_some_and(|end| end == "rs");
                let text = if is_code { std::fs::read_to_string(&path).unwrap() } else { String::new() };
                out.push((format!("/{name}"), text));
            }
        }
    }
    let mut out = vec![];
    for folder in ["authd", "authctl", "common", "tests", "packaging"] {
        out.push((format!("/{folder}/"), String::new()));
        walk(&root().join(folder), &mut out);
    }
    out
}

fn declares(code: &str, name: &str) -> bool {
    let words = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "union"];
    words.iter().any(|word| {
        let start = format!("{word} {name}");
        let ends = |at: usize| !code[at + start.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        code.match_indices(&start).any(|(at, _)| ends(at))
    })
}

/// Where the paths of a line begin: at the root or below `authd/src/`; in a row about a folder or a file, there too.
fn bases(line: &str, everything: &[(String, String)]) -> Vec<String> {
    let mut bases = vec!["/".to_owned(), "/authd/src/".to_owned()];
    let about = if line.starts_with("| `") { line.split(" | ").next().unwrap_or_default() } else { "" };
    for (path, _) in pointers(about) {
        let folder = path.rfind('/').map_or("", |end| &path[..=end]);
        let folders = ["/", "/authd/src/"].map(|base| format!("{base}{folder}"));
        bases.extend(folders.into_iter().filter(|folder| everything.iter().any(|(file, _)| file == folder)));
    }
    bases
}

fn dangling(text: &str, everything: &[(String, String)]) -> Vec<String> {
    let mut missing = vec![];
    for line in text.lines() {
        let bases = bases(line, everything);
        let is_there = |(path, names): &(String, Vec<String>)| {
            let paths: Vec<String> = bases.iter().map(|base| format!("{base}{path}")).collect();
            let mut files = everything.iter().filter(|(file, _)| paths.contains(file));
            files.any(|(_, code)| names.iter().all(|name| declares(code, name)))
        };
        missing.extend(pointers(line).into_iter().filter(|pointer| !is_there(pointer)));
    }
    missing.into_iter().map(|(path, names)| format!("{path} {}", names.join("::"))).collect()
}

#[test]
fn what_the_map_of_the_code_points_to_is_there() {
    let everything = everything();
    let map = pages().into_iter().find(|(page, _)| page == "ARCHITECTURE.md").unwrap().1;
    assert!(pointers(&map).len() > 100, "{}", pointers(&map).len());
    assert_eq!(dangling(&map, &everything), Vec::<String>::new());
    // Seen to find what is not there.
    let seeded = "`service/accounts.rs::sign_inn` `service/account.rs` `no/` `http/mod.rs::dispatch` `store/mod.rs::Store::nothing`";
    assert_eq!(dangling(seeded, &everything).len(), 4);
    // A part of a path is none, but in a row about its folder.
    assert_eq!(dangling("`log/record.rs` `sled/opening.rs`", &everything).len(), 2);
    assert_eq!(dangling("| `authd/src/store/sled/` | `log/record.rs` |", &everything), Vec::<String>::new());
}

#[test]
fn every_question_to_the_map_has_an_answer_that_points_into_the_code() {
    let map = pages().into_iter().find(|(page, _)| page == "ARCHITECTURE.md").unwrap().1;
    let table = map.split("\n## Where is …\n").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && line.contains('?')).collect();
    assert!(rows.len() >= 25, "{}", rows.len());
    let lost: Vec<&&str> = rows.iter().filter(|row| pointers(row).is_empty()).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
