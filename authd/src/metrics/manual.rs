//! The list of all metrics as the manual has it, made from the table.

use std::{fmt::Write, path::Path};

use super::{FAMILIES, Kind};

const BEGIN: &str =
    "<!-- The list of metrics: made from the code. After a change: UPDATE=1 cargo test -p authd manual -->\n";
const END: &str = "<!-- End of the list of metrics. -->\n";

fn render() -> String {
    let mut out = "\n| metric | kind | labels | |\n|---|---|---|---|\n".to_owned();
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let help = family.help.split_whitespace().collect::<Vec<_>>().join(" ");
        let (name, kind, labels) = (family.name, family.kind.as_str(), labels.join(" "));
        let _ = writeln!(out, "| `{name}` | {kind} | {labels} | {help} |");
    }
    out + "\n"
}

#[test]
fn the_manuals_list_of_metrics_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/manual/src/logs-and-metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the list");
    let (list, after) = rest.split_once(END).expect("the list has an end");
    let made = render();
    if list != made && std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(list, made, "UPDATE=1 writes it anew");
}

/// The metrics that a text names.
fn named(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("authd_") || word.starts_with("process_")).collect()
}

fn is_known(name: &str) -> bool {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    FAMILIES.iter().any(|family| match family.kind {
        Kind::Histogram => of_histogram == Some(family.name),
        Kind::Counter | Kind::Gauge => family.name == name,
    })
}

#[test]
fn alert_rules_and_manual_name_only_metrics_and_runbooks_that_there_are() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let read = |path: &str| std::fs::read_to_string(packaging.join(path)).unwrap();
    let rules = read("prometheus/authd.rules.yml");
    let names = named(&rules);
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        assert!(is_known(name), "{name}");
    }
    let runbooks = read("manual/src/runbooks.md");
    let headings: Vec<String> =
        runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    let wanted: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("runbook: \"Runbooks: ")).collect();
    assert!(wanted.len() > 5, "{wanted:?}");
    for runbook in wanted {
        assert!(headings.contains(&runbook.trim_end_matches('"').to_owned()), "{runbook}");
    }
    for seeded in ["authd_no_such_thing", "authd_ready_total", "authd_hash_duration_seconds", "authd_ready_bucket"] {
        assert!(!is_known(seeded), "{seeded}");
    }
}
