//! Names to sign in with (Better Auth's username plugin).

/// Why a text cannot be such a name. In the order in which it is looked for, as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsernameProblem {
    /// Too few characters.
    TooShort,
    /// Too many.
    TooLong,
    /// Others than letters, digits, `_` and `.`.
    Invalid,
}

/// The longest that any configuration may allow: it is part of a key on disk.
pub const MAX_USERNAME: usize = 64;

/// Which names may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsernameRules {
    /// Characters, at least.
    pub min_length: usize,
    /// Characters, at most.
    pub max_length: usize,
}

impl UsernameRules {
    /// The name as it is stored and compared: in lower case. Only ASCII is allowed, so that no two look alike.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub fn normalised(self, text: &str) -> Result<String, UsernameProblem> {
        // As JavaScript counts, for the sake of what is told.
        let length = text.encode_utf16().count();
        if length < self.min_length {
            Err(UsernameProblem::TooShort)
        } else if length > self.max_length {
            Err(UsernameProblem::TooLong)
        } else if text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) {
            Ok(text.to_ascii_lowercase())
        } else {
            Err(UsernameProblem::Invalid)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_letters_digits_dots_and_lines_in_any_case() {
        let rules = UsernameRules { min_length: 3, max_length: 30 };
        for (text, outcome) in [
            ("Ada_L.1", Ok("ada_l.1")),
            ("abc", Ok("abc")),
            ("...", Ok("...")),
            ("ab", Err(UsernameProblem::TooShort)),
            ("", Err(UsernameProblem::TooShort)),
            ("!", Err(UsernameProblem::TooShort)),
            ("has space", Err(UsernameProblem::Invalid)),
            (" ada", Err(UsernameProblem::Invalid)),
            ("a-b-c", Err(UsernameProblem::Invalid)),
            ("äbc", Err(UsernameProblem::Invalid)),
            ("\u{212a}elvin", Err(UsernameProblem::Invalid)),
            ("ada\0", Err(UsernameProblem::Invalid)),
            ("😀", Err(UsernameProblem::TooShort)),
            ("😀😀", Err(UsernameProblem::Invalid)),
        ] {
            assert_eq!(rules.normalised(text), outcome.map(str::to_owned), "{text:?}");
        }
        assert_eq!(rules.normalised(&"a".repeat(30)).map(|name| name.len()), Ok(30));
        assert_eq!(rules.normalised(&"a".repeat(31)), Err(UsernameProblem::TooLong));
    }
}
