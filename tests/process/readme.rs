//! The README's transcripts, run as they stand: every `console` block under a `run` mark, line by line in one shell, against
//! a daemon of this test's own. Only the port is another one.

use std::{collections::VecDeque, path::Path};

use crate::host;

/// One command of a transcript and what it prints.
struct Command {
    line: String,
    expected: Vec<String>,
}

/// The blocks under a mark: the text of each.
fn blocks(readme: &str, mark: &str) -> Vec<String> {
    let mark = format!("<!-- {mark} -->\n```console\n");
    readme.split(&mark).skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

fn commands(block: &str) -> Vec<Command> {
    let mut found: Vec<Command> = vec![];
    for line in block.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(line), _) => found.push(Command { line: line.to_owned(), expected: vec![] }),
            (None, Some(command)) => command.expected.push(line.to_owned()),
            (None, None) => panic!("output before a command: {line}"),
        }
    }
    found
}

/// Whether a line is as expected, where `[..]` stands for anything, and runs of spaces for each other.
pub(crate) fn matches(expected: &str, line: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, line) = (squeeze(expected), squeeze(line));
    let mut parts: VecDeque<&str> = expected.split("[..]").collect();
    let first = parts.pop_front().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let Some(last) = parts.pop_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn a_wrong_line_is_seen() {
    assert!(matches("a  [..] c [..]", "a b c d"));
    assert!(matches("no pattern", "no   pattern"));
    assert!(matches("[..]", ""));
    for (expected, line) in [("a [..] c", "a b d"), ("abc", "abcd"), ("x[..]", "ax"), ("[..]x", "xa")] {
        assert!(!matches(expected, line), "{expected} / {line}");
    }
}

#[tokio::test]
async fn the_readmes_transcripts_are_true() {
    let host = host!();
    if !["/usr/bin/curl", "/usr/bin/python3"].iter().all(|program| Path::new(program).exists()) {
        tests::shared::skipped("curl and python3");
        return;
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let daemon = host.daemon().start().await;
    let port = daemon.address.port();
    let ours = |text: &str| text.replace(&format!("localhost:{port}"), "localhost:8000");

    let all: Vec<Command> = blocks(&readme, "run").iter().flat_map(|b| commands(b)).collect();
    assert!(all.len() >= 10, "{}", all.len());
    let separator = "--- next ---";
    let mut script = String::new();
    for command in &all {
        // Both streams, as a terminal shows them; words come after data, because each is written whole.
        let line = command.line.replace("localhost:8000", &format!("localhost:{port}"));
        script += &format!("{{ {line}\n}} 2>err; cat err; echo; echo '{separator}'\n");
    }
    let programs = host.authctl_program().parent().unwrap();
    let shell = host
        .run("bash")
        .args(["-c", &script])
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("AUTHCTL_SOCKET", &daemon.socket)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC");
    let printed = ours(&shell.end().await.out);
    let answers: Vec<&str> = printed.split(&format!("\n{separator}\n")).collect();
    assert_eq!(answers.len(), all.len() + 1, "{printed}");
    for (command, printed) in all.iter().zip(answers) {
        compare(&command.line, &command.expected.join("\n"), printed);
    }

    let card: Vec<Command> = blocks(&readme, "run: start").iter().flat_map(|b| commands(b)).collect();
    assert_eq!(card.len(), 1);
    let shown = ours(&daemon.stop().await.ok().out);
    compare("the start-up card", &card[0].expected.join("\n"), &shown);
}

fn compare(what: &str, expected: &str, printed: &str) {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let (expected, printed) = (lines(expected), lines(printed));
    let same = expected.len() == printed.len() && expected.iter().zip(&printed).all(|(e, p)| matches(e, p));
    assert!(same, "{what}\n--- README\n{}\n--- printed\n{}", expected.join("\n"), printed.join("\n"));
}
