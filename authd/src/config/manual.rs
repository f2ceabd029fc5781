//! The list of all settings as the manual has it, made from the same table as everything else.

use std::fmt::Write;

use super::{
    SECTIONS, SETTINGS,
    render::{plain, toml_of},
};

/// A section for every table, with a row for every setting.
pub(super) fn render() -> String {
    let one_line = |doc: &str| plain(doc).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let mut out = String::new();
    for (section, doc) in SECTIONS {
        let _ = writeln!(out, "### [{section}]\n\n{}\n", one_line(doc));
        out.push_str("| setting | default | what can be written | reload | |\n|---|---|---|---|---|\n");
        for s in SETTINGS.iter().filter(|s| s.section == *section) {
            let default = match (s.default, s.kind) {
                ("", kind) if kind != "a list" => "unset".to_owned(),
                (default, kind) => format!("`{}`", toml_of(default, kind)),
            };
            let reload = if s.is_live { "yes" } else { "restart" };
            let _ = writeln!(out, "| `{}` | {default} | {} | {reload} | {} |", s.name, s.kind, one_line(s.doc));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    const BEGIN: &str =
        "<!-- The list of settings: made from the code. After a change: UPDATE=1 cargo test -p authd manual -->\n";
    const END: &str = "<!-- End of the list of settings. -->\n";

    #[test]
    fn the_manuals_list_of_settings_is_that_of_the_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/manual/src/configuration.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the list");
        let (list, after) = rest.split_once(END).expect("the list has an end");
        let made = format!("\n{}", super::render());
        if list != made && std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
            return;
        }
        assert_eq!(list, made, "UPDATE=1 writes it anew");
    }
}
