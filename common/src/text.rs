//! What a person may put into a text field, and how foreign text is made safe to show.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// The longest display name, in code points.
pub const MAX_NAME_CHARS: usize = 256;

/// Whether `c` may not stand in a name: a control character, a mark that changes the direction of what follows (CWE-150; the
/// "Trojan Source" set of Unicode TR 9), or one that is not seen, so that two names look alike or one says more than is read.
/// The two joiners are allowed, which Persian, Indic scripts and emoji need, and so are variation selectors.
pub fn is_forbidden_in_names(c: char) -> bool {
    c.is_control() || changes_direction(c) || is_invisible(c)
}

fn changes_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Separators of lines, soft hyphen, joiners that join nothing, fillers of Hangul, the empty
/// pattern of Braille, marks of annotations and music, what everybody may give a meaning of their own (private use), tags,
/// further variation selectors.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{00ad}'
            | '\u{034f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{e0000}'..='\u{10ffff}'
    )
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

/// A size for people: `512 B`, `12.3 MiB`.
pub fn bytes(size: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| size >= *unit) {
        // Tenths in whole numbers; the remainder is below the unit.
        Some((name, unit)) => format!("{}.{} {name}", size / unit, size % unit * 10 / unit),
        None => format!("{size} B"),
    }
}

/// A password as it is compared and hashed: NFKC, the one documented transformation (AU-04), the same as Better Auth's.
pub fn normalised_password(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.nfkc().collect())
}

/// Whether the text is an absolute https URL, with nothing in it that a page, a terminal or a log would act upon.
pub fn is_https_url(text: &str) -> bool {
    let safe = |c: char| !c.is_whitespace() && !is_forbidden_in_names(c) && !matches!(c, '"' | '<' | '>' | '`' | '\\');
    let rest = text.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://")).map(|_| &text[8..]);
    let named = rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '['));
    named && text.chars().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ht_07_pictures_have_https_urls() {
        for good in ["https://example.com/a.png", "HTTPS://bücher.example/ü?x=1#y", "https://[::1]/x"] {
            assert!(is_https_url(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///x",
            "http://example.com/a.png",
            "javascript:alert(1)",
            "//example.com/x",
            "data:image/png;base64,AAAA",
            "https://example.com/a b",
            "https://example.com/\u{202e}gpj",
            "https://example.com/\u{9b}31m",
            "https://example.com/\"onerror=",
            "https://?x",
            "ééé",
        ] {
            assert!(!is_https_url(bad), "{bad}");
        }
    }

    #[test]
    fn escapes_and_direction_marks_become_visible() {
        assert_eq!(printable("a\x1b[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(printable("x\u{202e}y"), "x\\u{202e}y");
        for invisible in ['\u{200b}', '\u{ad}', '\u{2060}', '\u{180e}', '\u{3164}', '\u{fff9}', '\u{e0041}'] {
            assert_eq!(printable(&format!("x{invisible}y")), format!("x{}y", invisible.escape_unicode()));
        }
        assert_eq!(printable("می‌خواهم क्‍ष ☂\u{fe0f}"), "می‌خواهم क्‍ष ☂\u{fe0f}", "what scripts need stays");
        assert_eq!(printable("Zoë 👩‍💻"), "Zoë 👩‍💻");
    }

    #[test]
    fn sizes_are_for_people() {
        let shown =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_600_000, "1.5 MiB"), (u64::MAX, "17179869183.9 GiB")];
        for (size, text) in shown {
            assert_eq!(bytes(size), text);
        }
    }
}
