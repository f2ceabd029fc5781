//! What a person may put into a text field, and how foreign text is made safe to show.

/// The longest display name, in code points.
pub const MAX_NAME_CHARS: usize = 256;

/// Whether `c` may not stand in a name: a control character, or a mark that changes the direction of what follows
/// (CWE-150; the "Trojan Source" set of Unicode TR 9 and the invisible separators).
pub fn is_forbidden_in_names(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// The text with everything a terminal or a log could act upon written as an escape (`\u{1b}`), so that one value stays
/// one piece of one line.
pub fn printable(text: &str) -> String {
    if !text.chars().any(is_forbidden_in_names) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_forbidden_in_names(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_direction_marks_become_visible() {
        assert_eq!(printable("a\x1b[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(printable("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(printable("Zoë 👩‍💻"), "Zoë 👩‍💻");
    }
}
