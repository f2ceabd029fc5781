//! The manual and the README, looked at as a whole: configurations are some that authd takes, JSON is JSON, commands are ones
//! that there are, and transcripts under a `run` mark are true. The runbooks, which need a host in trouble, are run by
//! `runbooks.rs`, and the README's start by `readme.rs`.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use clap::{CommandFactory, error::ErrorKind};
use tests::{
    pages::{Block, all_blocks, blocks, pages},
    process::{Host, Run},
};

use crate::{host, readme::play};

/// The blocks of all pages in this language.
fn of_language(language: &str) -> Vec<Block> {
    let found: Vec<Block> = all_blocks().into_iter().filter(|block| block.language == language).collect();
    assert!(!found.is_empty(), "{language}");
    found
}

/// A JSON value, or one in each line.
fn is_json(text: &str) -> bool {
    let is_value = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
    is_value(text) || text.lines().all(is_value)
}

#[test]
fn what_the_manual_calls_json_is_json() {
    for block in of_language("json") {
        assert!(is_json(&block.text), "{}\n{}", block.place, block.text);
    }
    assert!(is_json("{\"a\":1}\n{\"b\":2}\n"));
    assert!(!is_json("{\"a\":…}"));
    assert!(!is_json("{\"a\":1,}"));
}

/// What the configurations of the manual name: files of secrets, and folders.
fn make_what_is_named(host: &Host, text: &str) {
    for named in text.split('"').skip(1).step_by(2) {
        let Some(name) = named.strip_prefix("/etc/authd/") else { continue };
        let path = host.path("etc").join(name);
        if path.exists() {
            continue;
        }
        if name.contains('.') {
            // A secret for calls, whose form is given, serves wherever one is asked for.
            fs::write(&path, "whsec_kV8sQ2mZr1xT7bNw4JcYp0LhGd6FuEoA9iRySvXtQ4E=\n").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        } else {
            fs::create_dir(path).unwrap();
        }
    }
}

fn config_check(host: &Host, text: &str) -> Run {
    make_what_is_named(host, text);
    // A day that is always near enough.
    let soon = common::UnixTime::from_secs(seconds_since_1970() + 30 * 24 * 3600).to_string();
    let soon = soon.split('T').next().unwrap_or_default();
    let text = text.replace("/etc/authd", &host.path("etc").display().to_string()).replace("2026-12-31", soon);
    let file = host.path("page.toml");
    fs::write(&file, &text).unwrap();
    let check = host.authd().args(["config", "check"]).flag("--config", file);
    let check = check.env("AUTHD_KEYS__MASTER_KEY_FILE", host.path("etc/master.key"));
    if text.contains("public_url") { check } else { check.env("AUTHD_HTTP__PUBLIC_URL", "https://auth.example.com") }
}

fn seconds_since_1970() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

#[tokio::test]
async fn every_configuration_in_the_manual_is_one_that_authd_takes() {
    let host = host!();
    let init = host.authd().args(["init", "--public-url", "https://auth.example.com"]);
    init.flag("--dir", host.path("etc")).flag("--data-dir", host.data()).end().await.ok();
    let is_no_file = |block: &&Block| !["run by ", "file: "].iter().any(|mark| block.mark.starts_with(mark));
    for block in of_language("toml").iter().filter(is_no_file) {
        let found = config_check(&host, &block.text).end().await;
        assert_eq!(found.exit, 0, "{}\n{}\n{}", block.place, block.text, found.err);
    }
    // Seen to find a mistake.
    assert_eq!(config_check(&host, "[http]\nlisten_at = \"127.0.0.1:8000\"\n").end().await.exit, 78);
}

/// The lines that a shell is given: all of a script, and what follows `$ ` in a transcript.
fn script(block: &Block) -> String {
    if block.language == "sh" {
        return block.text.clone();
    }
    block.text.lines().filter_map(|line| line.strip_prefix("$ ")).map(|line| format!("{line}\n")).collect()
}

/// The simple commands of a script, each as its words. Good enough for a manual: quotes, comments, lines that go on, and
/// what stands between the commands of a line.
fn simple_commands(script: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = vec![vec![]];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let script = script.replace("\\\n", " ");
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        let separates = quote.is_none() && "|&;()<>\n".contains(c);
        if separates || quote.is_none() && c.is_whitespace() {
            found.last_mut().unwrap().extend(word.take());
            if separates {
                found.push(vec![]);
            }
            continue;
        }
        match (quote, c) {
            (None, '#') if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    found.last_mut().unwrap().extend(word);
    found.retain(|words| !words.is_empty());
    found
}

/// What is wrong with a call of one of the programs; `None` also for other programs.
fn misuse(words: &[String]) -> Option<String> {
    // `sudo`, and variables that stand before a command.
    let is_before = |word: &&String| {
        word.as_str() == "sudo"
            || word
                .split('=')
                .next()
                .is_some_and(|name| word.contains('=') && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let words: Vec<&String> = words.iter().skip_while(is_before).collect();
    let command = match words.first()?.as_str() {
        "authctl" => authctl::Cli::command(),
        "authd" => authd::cli::Cli::command(),
        _ => return None,
    };
    let wrong = command.try_get_matches_from(words).err()?;
    let is_help = matches!(wrong.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    (!is_help).then(|| wrong.to_string())
}

#[test]
fn every_command_in_the_manual_is_one_that_there_is() {
    let mut seen = 0;
    for block in of_language("sh").into_iter().chain(of_language("console")) {
        for words in simple_commands(&script(&block)) {
            seen += usize::from(words.iter().any(|word| word == "authctl" || word == "authd"));
            assert_eq!(misuse(&words), None, "{}: {words:?}", block.place);
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn the_rule_of_commands_finds_seeded_faults() {
    let faults = |text: &str| simple_commands(text).iter().filter(|words| misuse(words).is_some()).count();
    for bad in [
        "authctl user lst",
        "sudo authctl status --colour",
        "printf %s x | authctl token verfy",
        "A=1 authd --confg x",
        "x=$(authctl keys show)",
        "authctl status; authctl user create \\\n  --emial a",
    ] {
        assert_eq!(faults(bad), 1, "{bad}");
    }
    for good in [
        "authctl user list -o id # authctl nonsense",
        "echo 'authctl nonsense'",
        "authctl user disable a@example.com --yes --reason 'it is | so' > out",
        "sudo -u authd ls; cat <authd.toml",
    ] {
        assert_eq!(faults(good), 0, "{good}");
    }
    assert_eq!(simple_commands("a 'b c'd \"e\\\"f\" | g \\\n h")[..], [vec!["a", "b cd", "e\"f"], vec!["g", "h"]]);
}

#[tokio::test]
async fn a_shell_can_read_every_command_in_the_manual() {
    let host = host!();
    for block in of_language("sh").into_iter().chain(of_language("console")) {
        let read = host.run("bash").args(["-n"]).input(&script(&block)).end().await;
        assert_eq!((read.exit, read.err.as_str()), (0, ""), "{}", block.place);
    }
    assert_ne!(host.run("bash").args(["-n"]).input("echo 'no end\n").end().await.exit, 0);
}

#[tokio::test]
async fn the_manuals_transcripts_are_true() {
    if !["/usr/bin/curl", "/usr/bin/python3"].iter().all(|program| Path::new(program).exists()) {
        tests::shared::skipped("curl and python3");
        return;
    }
    let mut played = vec![];
    for (page, text) in
        pages().iter().filter(|(page, _)| page.starts_with("packaging/manual/") && !page.ends_with("/runbooks.md"))
    {
        let name = page.rsplit('/').next().unwrap();
        let blocks = blocks(page, text);
        let transcripts: Vec<&Block> = blocks.iter().filter(|b| b.language == "console" && b.mark == "run").collect();
        if transcripts.is_empty() {
            continue;
        }
        let host = host!();
        for block in &blocks {
            if let Some(file) = block.mark.strip_prefix("file: ") {
                fs::write(host.path(file), &block.text).unwrap();
            }
        }
        let daemon = host.daemon().start().await;
        let texts: Vec<&str> = transcripts.iter().map(|block| block.text.as_str()).collect();
        play(&host, &daemon, page, &texts).await;
        daemon.stop().await.ok();
        played.push(name.to_owned());
    }
    for page in ["moving.md", "plain-endpoints.md", "start-frontend.md"] {
        assert!(played.iter().any(|name| name == page), "{page}: {played:?}");
    }
}

#[tokio::test]
async fn the_manuals_scripts_run() {
    let mut run = 0;
    for block in of_language("sh").iter().filter(|block| block.mark == "run") {
        let host = host!();
        let daemon = host.daemon().start().await;
        for dir in ["nginx", "caddy"] {
            fs::create_dir(host.path(dir)).unwrap();
        }
        // Where an installed authd has these things.
        let script = block
            .text
            .replace("sudo ", "")
            .replace("/etc/authd/master.key", &host.master_key().display().to_string())
            .replace("/etc/", &format!("{}/", host.path("").display()))
            .replace("/run/authd/admin.sock", &host.socket().display().to_string());
        let programs = host.authctl_program().parent().unwrap();
        let shell = host.run("bash").args(["-e", "-o", "pipefail", "-c", &script]);
        let shell = shell.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        let end = shell.env("AUTHCTL_SOCKET", &daemon.socket).end().await;
        assert_eq!(end.exit, 0, "{}\n{end:?}", block.place);
        daemon.stop().await.ok();
        run += 1;
    }
    assert!(run >= 4, "{run}");
}
