//! Hooks: what the application is asked before something happens, what its answer may say, and when it is not asked for a
//! while because it does not answer.

use common::{Span, UnixTime};

use super::token::is_registered_claim;

/// What the application is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Whether an account may be made, and what stands in the application's fields of it.
    SignUp,
    /// Whether a session may be opened for who has shown the right password.
    SignIn,
    /// What else a JWT says.
    Claims,
    /// Whether a new password may be one.
    Password,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::SignUp, Self::SignIn, Self::Claims, Self::Password];

    /// The name in the `type` of a call: append-only.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignUp => "sign_up.before",
            Self::SignIn => "sign_in.before",
            Self::Claims => "token.claims",
            Self::Password => "password.before",
        }
    }

    /// The hook of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.as_str() == name)
    }
}

/// How many failures in a row it takes until the application is left alone.
const TRIES: u32 = 5;
/// For how long; then one call is let through to see.
const REST: Span = Span::from_secs(10);

/// Leaves an application alone that does not answer, so that people are told at once instead of after the time-out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    rests_until: Option<UnixTime>,
}

impl Breaker {
    /// Whether a call may be made at `now`. The one that is let through after a rest is alone until it is known how it went,
    /// or for another rest.
    pub fn admits(&mut self, now: UnixTime) -> bool {
        match self.rests_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.rests_until = Some(now.plus(REST));
                true
            }
            None => true,
        }
    }

    /// It answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It did not, or not so that it could be understood.
    pub fn failed(&mut self, now: UnixTime) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= TRIES {
            self.rests_until = Some(now.plus(REST));
        }
    }

    /// Until when it is left alone, if it is.
    pub fn rests_until(&self, now: UnixTime) -> Option<UnixTime> {
        self.rests_until.filter(|until| now < *until)
    }
}

/// The longest code of a refusal.
const MAX_CODE: usize = 64;
/// The longest text of a refusal.
const MAX_MESSAGE_CHARS: usize = 300;

/// Whether the application may give this code with a refusal: of the form that all codes have.
pub fn is_code(code: &str) -> bool {
    let mut bytes = code.bytes();
    code.len() <= MAX_CODE
        && bytes.next().is_some_and(|b| b.is_ascii_uppercase())
        && bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether the application may give this text with a refusal.
pub fn is_message(message: &str) -> bool {
    !message.is_empty()
        && message.chars().count() <= MAX_MESSAGE_CHARS
        && !message.chars().any(common::text::is_forbidden_in_names)
}

/// How many claims may be added, and how many bytes they may have together as JSON.
pub const MAX_CLAIMS: usize = 32;
/// See [`MAX_CLAIMS`].
pub const MAX_CLAIMS_BYTES: usize = 2048;

/// Whether a claim of this name may be added.
pub fn is_free_claim(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_graphic()) && !is_registered_claim(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::REGISTERED_CLAIMS;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    #[test]
    fn a_breaker_opens_after_five_failures_in_a_row_and_tries_one_after_the_rest() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            assert!(breaker.admits(NOW));
            breaker.failed(NOW);
        }
        breaker.succeeded();
        for _ in 0..5 {
            assert!(breaker.admits(NOW));
            breaker.failed(NOW);
        }
        let last = UnixTime::from_millis(NOW.plus(REST).as_millis() - 1);
        assert!(!breaker.admits(NOW) && !breaker.admits(last));
        assert_eq!(breaker.rests_until(last), Some(NOW.plus(REST)));
        let after = NOW.plus(REST);
        assert_eq!((breaker.admits(after), breaker.admits(after)), (true, false), "one tries it");
        breaker.failed(after);
        assert!(!breaker.admits(after));
        let later = after.plus(REST);
        assert!(breaker.admits(later));
        breaker.succeeded();
        assert!(breaker.admits(later) && breaker.admits(later) && breaker.rests_until(later).is_none());
    }

    #[test]
    fn codes_and_texts_of_refusals_have_the_form_of_ours() {
        for good in ["NOT_INVITED", "E1", "X"] {
            assert!(is_code(good), "{good}");
        }
        let long = "A".repeat(65);
        for bad in ["", "not_invited", "_X", "1X", "A B", "A-B", "Ä", "A\n", long.as_str()] {
            assert!(!is_code(bad), "{bad:?}");
        }
        assert!(is_message("Nur für Mitglieder."));
        for bad in ["", "a\nb", "\u{1b}[2J", "\u{202e}x", "x".repeat(301).as_str()] {
            assert!(!is_message(bad), "{bad:?}");
        }
    }

    #[test]
    fn tk_14_registered_claims_and_ours_are_not_free() {
        for name in REGISTERED_CLAIMS.into_iter().chain(["", "a b", "ä"]) {
            assert!(!is_free_claim(name), "{name:?}");
        }
        assert!(is_free_claim("plan") && is_free_claim("https://example.com/plan"));
        assert!(Hook::ALL.iter().all(|hook| Hook::from_name(hook.as_str()) == Some(*hook)));
    }
}
