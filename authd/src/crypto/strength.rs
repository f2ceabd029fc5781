//! How easily a password is guessed: zxcvbn, with the user's own words and an operator's list beside its own.

use std::{collections::HashSet, path::Path, sync::Arc};

use common::text::normalised_password;

use crate::domain::credential::is_own_word;

/// How much of a password is looked at. zxcvbn's work grows faster than the length (the worst of ten kinds of input, in a
/// release build: 24 characters 21 ms, 64 characters 200 ms), and what is not guessable within so many characters is not guessable.
const PREFIX_CHARS: usize = 24;

/// Which letters zxcvbn takes a character for (`L33T_TABLE` of its source).
const L33T: [(char, &str); 12] = [
    ('a', "4@"),
    ('b', "8"),
    ('c', "({[<"),
    ('e', "3"),
    ('g', "69"),
    ('i', "1!|"),
    ('l', "1|7"),
    ('o', "0"),
    ('s', "$5"),
    ('t', "+7"),
    ('x', "%"),
    ('z', "2"),
];

/// In how many ways a password may be read by such characters, and is: each is a search through all dictionaries. What comes
/// after so many is not looked at, and a password that begins so is none of those that people choose.
const MOST_READINGS: usize = 48;

/// No fewer readings than zxcvbn makes of a text.
fn readings(text: &str) -> usize {
    let letters_of = |c: char| L33T.iter().filter(|(_, written)| written.contains(c)).count();
    // A character that may be two letters is tried as both, and as each alone.
    let ways = |written: &str| written.chars().filter(|c| text.contains(*c)).map(letters_of).sum::<usize>();
    L33T.iter().map(|(_, written)| ways(written).max(1)).fold(1, usize::saturating_mul)
}

/// The part of a password that is judged: what zxcvbn does with it is bounded (TH-06).
fn judged(password: &str) -> String {
    let mut prefix = String::new();
    for c in password.chars().take(PREFIX_CHARS) {
        prefix.push(c);
        if readings(&prefix) > MOST_READINGS {
            prefix.pop();
            break;
        }
    }
    prefix
}

/// Guesses an attacker needs, and passwords that are refused whatever they look like.
#[derive(Clone, Default)]
pub struct Strength {
    refused: Arc<HashSet<String>>,
}

impl Strength {
    /// With an operator's own list: one password a line, in any case.
    ///
    /// # Errors
    /// The file cannot be read, or is not UTF-8.
    pub fn with_list(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let refused = text.lines().map(|line| line.trim().to_lowercase()).filter(|line| !line.is_empty()).collect();
        Ok(Self { refused: Arc::new(refused) })
    }

    /// About how many guesses find this password; 0 if it is on the list or one of the user's own words. What is judged is
    /// the form that is hashed: another spelling of a bad password is as bad (AU-05).
    pub fn guesses(&self, password: &str, own_words: &[String]) -> u64 {
        let password = normalised_password(password);
        let own_words: Vec<_> = own_words.iter().map(|word| normalised_password(word)).collect();
        let words: Vec<&str> = own_words.iter().map(|word| word.as_str()).collect();
        let listed = |text: &str| self.refused.contains(&text.to_lowercase());
        if listed(&password) || listed(password.trim()) || is_own_word(&password, words.iter().copied()) {
            return 0;
        }
        zxcvbn::zxcvbn(&judged(&password), &words).guesses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1_000_000;

    fn guesses(password: &str, words: &[&str]) -> u64 {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Strength::default().guesses(password, &words)
    }

    #[test]
    fn au_05_common_passwords_and_own_words_are_found_quickly() {
        for bad in ["password", "12345678", "qwertyuiop", "iloveyou1", "PASSWORD123"] {
            assert!(guesses(bad, &[]) < LIMIT, "{bad}");
        }
        assert!(guesses("lovelace1815", &["lovelace", "lovelace1815"]) < LIMIT);
    }

    #[test]
    fn au_03_what_is_merely_simple_is_taken() {
        for good in ["correct horse battery", "zyrtqpwmvbnk", "8305719264", "   spaces   and 😀   ", "Τὸ πράγμα γὰρ"]
        {
            assert!(guesses(good, &[]) >= LIMIT, "{good}");
        }
    }

    #[test]
    fn what_overflows_inside_zxcvbn_is_judged_all_the_same() {
        assert!(guesses(&"as".repeat(20), &[]) < LIMIT);
        for unit in ["as", "qwerty", "4@8({[<", "11/11/2011", "p4ssw0rd", "\u{1F600}", "ß"] {
            for n in 1..=60 {
                let password: String = unit.chars().cycle().take(n).collect();
                guesses(&password, &[&password]);
                guesses(&password, &[]);
            }
        }
    }

    #[test]
    fn th_06_no_password_is_read_in_more_ways_than_is_worth_the_work() {
        let worst = "4@8({[<369!1|7$50+%2x4@8";
        assert!(readings(worst) >= 576, "576 dictionaries were searched: {}", readings(worst));
        for odd in [worst, "1|71|71|71|7", "({[<({[<69696969", "!1|7$5+7({[<4@", "correct4@8({[<369!1|7$50+%2x"] {
            let judged = judged(odd);
            assert!(readings(&judged) <= 48, "{judged}");
            assert!(odd.starts_with(&judged));
        }
        assert!(guesses(worst, &[]) >= LIMIT, "and it is no common one");
        for usual in ["p4$$w0rd", "P@ssw0rd!2019", "1qaz2wsx3edc", "7|-|3 qu1ck", "correct horse battery 13579"] {
            assert_eq!(judged(usual), usual.chars().take(PREFIX_CHARS).collect::<String>(), "all of it is judged");
        }
    }

    #[test]
    fn a_very_long_password_costs_no_more_than_a_long_one() {
        assert!(guesses(&"aB3$".repeat(5000), &[]) > 0);
    }

    #[test]
    fn an_operators_list_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "Xk29!vmPq_\r\n\n").unwrap();
        let strength = Strength::with_list(&path).unwrap();
        assert_eq!(strength.guesses("xK29!VMpQ_", &[]), 0);
        assert!(strength.guesses("xk29!vmPq_7", &[]) > 0);
    }
}
