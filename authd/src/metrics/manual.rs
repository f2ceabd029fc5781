//! The list of all metrics as the manual has it, made from the table.

use std::{fmt::Write, path::Path};

use super::FAMILIES;

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
