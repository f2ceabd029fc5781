//! The configuration as text: the commented template, and what is in force.

use std::fmt::Write;

use super::{Config, Origin, SECTIONS, SETTINGS, fields};

/// The text of a setting without the brackets that rustdoc wants around what would be a link.
pub(super) fn plain(doc: &str) -> String {
    doc.replace("<http", "http").replace('>', "")
}

fn comment(out: &mut String, doc: &str) {
    for line in plain(doc).lines() {
        let _ = writeln!(out, "# {}", line.trim());
    }
}

/// A default as TOML.
pub(super) fn toml_of(default: &str, kind: &str) -> String {
    if kind == "a whole number" || kind == "true or false" {
        default.to_owned()
    } else if kind == "a list" {
        let items: Vec<String> = default.split(',').filter(|i| !i.is_empty()).map(|i| format!("\"{i}\"")).collect();
        format!("[{}]", items.join(", "))
    } else if kind == fields::KIND {
        "{}".to_owned()
    } else {
        format!("\"{default}\"")
    }
}

/// Every setting with its text, all commented out at their defaults but those that are given, and the one that must be set.
/// `given` has paths of settings with their values as TOML.
pub(super) fn template(given: &[(String, String)]) -> String {
    let mut out = String::from(
        "# The configuration of authd. What is commented out shows the default.\n\
         # `authd config check` finds all mistakes at once; `authd config show` says what is in force and why.\n",
    );
    for (section, doc) in SECTIONS {
        out.push('\n');
        comment(&mut out, doc);
        let _ = writeln!(out, "[{section}]");
        for setting in SETTINGS.iter().filter(|s| s.section == *section) {
            out.push('\n');
            comment(&mut out, setting.doc);
            let path = setting.path();
            let _ = match given.iter().find(|(name, _)| *name == path) {
                Some((_, value)) => writeln!(out, "{} = {value}", setting.name),
                None if path == "http.public_url" => writeln!(out, "public_url = \"https://auth.example.com\""),
                None => writeln!(out, "#{} = {}", setting.name, toml_of(setting.default, setting.kind)),
            };
        }
    }
    out
}

/// What is in force, as TOML; behind each setting that is not a default, where it came from.
pub(super) fn show(config: &Config) -> String {
    let mut out = format!("# {} mode", config.mode.as_str());
    if let Some(file) = &config.file {
        let _ = write!(out, ", {}", file.display());
    }
    out.push('\n');
    let values = config.settings.values();
    let mut section = "";
    for ((setting, value), origin) in SETTINGS.iter().zip(values).zip(&config.origins) {
        if setting.section != section {
            section = setting.section;
            let _ = writeln!(out, "\n[{section}]");
        }
        let line = value.map_or_else(|| format!("#{} =", setting.name), |v| format!("{} = {v}", setting.name));
        let _ = match origin {
            Origin::Default => writeln!(out, "{line}"),
            origin => writeln!(out, "{line}  # {origin}"),
        };
    }
    let _ = writeln!(out, "\n# places: data {}", config.places.data_dir.display());
    let _ = writeln!(out, "#         master key {}", config.places.master_key.display());
    let _ = writeln!(out, "#         admin socket {}", config.places.admin_socket.display());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, load};

    #[test]
    fn the_template_is_sound_and_says_what_the_defaults_are() {
        let template = template(&[]);
        assert!(!template.contains(['<', '>']), "{template}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        std::fs::write(&path, &template).unwrap();
        let flags = Flags { config: Some(path.clone()), ..Flags::default() };
        let commented = load(&flags, &[]).unwrap();
        // With every line in force it must mean the same: the defaults that it shows are the defaults.
        let in_force: String = template
            .lines()
            .map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(l))
            .fold(String::new(), |out, line| out + line + "\n");
        std::fs::write(&path, in_force).unwrap();
        let spelt_out = load(&flags, &[]).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(commented.settings.values(), spelt_out.settings.values());
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        std::fs::write(&path, "[http]\npublic_url = \"https://auth.example.com\"\nmounts = [\"/\"]\n").unwrap();
        let flags = Flags { config: Some(path.clone()), ..Flags::default() };
        let first = load(&flags, &[]).unwrap();
        assert!(show(&first).contains("mounts = [\"/\"]  # line 3"), "{}", show(&first));
        std::fs::write(&path, show(&first)).unwrap();
        let second = load(&flags, &[]).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(first.settings.values(), second.settings.values());
    }
}
