//! The table of requirements and the tests that show them: `tests/REQUIREMENTS.md`. Tests cite ids in their names
//! (`th_01_…`); what no test shows has its reason here. `UPDATE=1` writes the table anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{root, sources};

/// What no test of this repository shows, and why.
const NOT_YET: &[(&str, &str)] = &[
    ("CR-10", "a should; compaction is not there yet"),
    ("DP-03", "a should; mutated requests and property tests stand in (HT-08, F-21), fuzz targets are not there yet"),
    ("DP-04", "there are no releases yet"),
    ("F-21", "100,000 mutated requests are HT-08's test; a million is for the load tests"),
    ("F-06", "with the load tests"),
    ("F-09", "with the load tests"),
    ("F-10", "with the load tests"),
    ("F-11", "with the load tests"),
    ("F-12", "with the load tests"),
    ("F-17", "with the load tests"),
    ("F-23", "a measurement, not a test: see the benches"),
    ("F-25", "a soak is no test of every run"),
    ("F-26", "with the host tests"),
    ("OP-02", "shown by tests/packaging/systemd.sh: systemd-analyze, and the daemon at work in that sandbox"),
];

const FOLDERS: &[&str] = &[
    "authd/src",
    "authctl/src",
    "common/src",
    "tests/http",
    "tests/admin",
    "tests/cli",
    "tests/process",
    "tests/faults",
    "tests/tidy",
];

/// The ids in the name of a test: at its beginning, and after `_and_`.
fn cited(name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in name.split("_and_") {
        let words: Vec<&str> = part.splitn(3, '_').collect();
        if let [area, number, ..] = words[..]
            && matches!(area.len(), 1 | 2)
            && number.len() == 2
            && number.bytes().all(|b| b.is_ascii_digit())
        {
            found.insert(format!("{}-{number}", area.to_uppercase()));
        }
    }
    found
}

/// Every test that cites an id, by id: `file::name`.
fn citations() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in FOLDERS {
        for (file, text) in sources(folder) {
            for line in text.lines() {
                let Some((_, rest)) = line.trim_start().split_once("fn ") else { continue };
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                for id in cited(name) {
                    found.entry(id).or_default().insert(format!("{file}::{name}"));
                }
            }
        }
    }
    found
}

fn table(required: &BTreeMap<String, String>) -> String {
    let citations = citations();
    let mut text = String::from(
        "# Requirements and their tests\n\nMade by `tests/tidy` from the names of the tests; `UPDATE=1 cargo test -p tests --test tidy` writes it anew.\n\n| id | what | shown by |\n|---|---|---|\n",
    );
    for (id, what) in required {
        let shown = match citations.get(id) {
            Some(tests) => tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join("<br>"),
            None => {
                let why = NOT_YET.iter().find(|(not_yet, _)| not_yet == id).map_or("", |(_, why)| why);
                format!("*{why}*")
            }
        };
        let _ = writeln!(text, "| {id} | {what} | {shown} |");
    }
    text
}

/// The ids of the requirements, with the beginning of their text.
fn required() -> Option<BTreeMap<String, String>> {
    let path = tests::shared::path("SECURITY-REQUIREMENTS.md")?;
    let text = std::fs::read_to_string(path).unwrap();
    let entry = |line: &str| {
        let (id, what) = line.strip_prefix("- **")?.split_once("**")?;
        let what = what.trim_start_matches([':', ' ']);
        let short: String = what.chars().take_while(|c| !matches!(c, ';' | ':' | '.' | '[')).collect();
        Some((id.to_owned(), short.trim().replace('|', "/")))
    };
    Some(text.lines().filter_map(entry).filter(|(id, _)| id.contains('-')).collect())
}

#[test]
fn every_requirement_has_a_test_or_a_reason() {
    let Some(required) = required() else { return };
    assert!(required.len() > 100, "{}", required.len());
    let citations = citations();
    let mut problems = vec![];
    for id in required.keys() {
        let reason = NOT_YET.iter().any(|(not_yet, _)| not_yet == id);
        match (citations.contains_key(id), reason) {
            (false, false) => problems.push(format!("{id} has neither a test nor a reason")),
            (true, true) => problems.push(format!("{id} has a test by now, and a reason why not")),
            _ => {}
        }
    }
    // Experiments (F-…) are in a table of their own there.
    for id in citations.keys().filter(|id| !id.starts_with("F-") && !required.contains_key(*id)) {
        problems.push(format!("{id} is cited, and there is no such requirement: {:?}", citations[id]));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));

    let (path, wanted) = (root().join("tests/REQUIREMENTS.md"), table(&required));
    if std::env::var("UPDATE").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &wanted).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == wanted, "tests/REQUIREMENTS.md is not up to date: run with UPDATE=1");
}

#[test]
fn ids_are_read_from_the_names_of_tests() {
    let ids = |name| cited(name).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(ids("th_01_one_account"), "TH-01");
    assert_eq!(ids("au_02_lengths_and_au_04_spelling"), "AU-02 AU-04");
    assert_eq!(ids("tk_01_and_tk_02_none"), "TK-01 TK-02");
    assert_eq!(ids("f_07_a_clock"), "F-07");
    assert_eq!(ids("a_name_is_looked_for"), "");
    assert_eq!(ids("of_2_tests"), "");
}
