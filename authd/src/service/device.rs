//! Known devices (TH-02): a mark that a browser keeps after a sign-in, for a year. Who shows the mark of an account is
//! counted apart from strangers when a password is wrong, so that an attack on the account does not keep its owner out from
//! a network that is new. A mark signs nobody in, and one that is copied is worth ten guesses.
//!
//! A mark is a nonce, the second of the sign-in, and a MAC over both, the account and its epoch: it says nothing of the account
//! to who reads it, and a new password, a ban or the end of all sessions voids it. A browser keeps the marks of the last few
//! accounts that signed in with it.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Span, UnixTime};

use super::Services;
use crate::{digest::is_same_secret, domain::User, ports::Mac};

/// How long a browser is known after a sign-in.
pub const LIFE: Span = Span::from_days(365);
/// How many accounts a browser has marks of: of the last ones to sign in.
const MOST: usize = 4;
/// How many marks are looked at: a second cookie, which somebody planted, does not hide the first.
const LOOKED_AT: usize = 2 * MOST;

const NONCE: usize = 16;
const SECONDS: usize = 8;
const MAC: usize = 32;

/// What tells a device from the others of its owner: a number that is drawn when it is seen first.
pub type Nonce = [u8; NONCE];

#[derive(Clone, Copy)]
struct Mark {
    nonce: Nonce,
    at: UnixTime,
    mac: [u8; MAC],
}

impl Mark {
    fn new(by: &dyn Mac, user: &User, nonce: Nonce, at: UnixTime) -> Self {
        let parts: [&[u8]; 4] =
            [&nonce, &at.as_secs().to_be_bytes(), &user.epoch.to_be_bytes(), user.id.as_str().as_bytes()];
        Self { nonce, at, mac: by.mac(&parts) }
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE>()?;
        let (seconds, mac) = rest.split_first_chunk::<SECONDS>()?;
        Some(Self { nonce: *nonce, at: UnixTime::from_secs(i64::from_be_bytes(*seconds)), mac: mac.try_into().ok()? })
    }

    fn is_of(&self, by: &dyn Mac, user: &User, now: UnixTime) -> bool {
        let is_good = is_same_secret(&Self::new(by, user, self.nonce, self.at).mac, &self.mac);
        is_good && now < self.at.plus(LIFE)
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode([&self.nonce[..], &self.at.as_secs().to_be_bytes(), &self.mac].concat())
    }
}

/// The marks that a browser shows. What they are worth is known for one account at a time.
#[derive(Clone, Default)]
pub struct Device(Vec<Mark>);

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Device {
    /// From the values of the cookie. What is no mark is left out.
    pub fn read(values: &[&str]) -> Self {
        Self(
            values
                .iter()
                .flat_map(|value| value.split('.').take(MOST))
                .filter_map(Mark::read)
                .take(LOOKED_AT)
                .collect(),
        )
    }

    /// The device as the user's own, if the user signed in with it.
    pub fn of(&self, app: &Services, user: &User, now: UnixTime) -> Option<Nonce> {
        let by = &*app.secrets.device;
        self.0.iter().find(|mark| mark.is_of(by, user, now)).map(|mark| mark.nonce)
    }

    /// The cookie's value after the user has signed in. The device keeps its number, and with it what is counted of it.
    pub fn after_sign_in(&self, app: &Services, user: &User) -> String {
        let (by, now) = (&*app.secrets.device, app.clock.now());
        let nonce = self.of(app, user, now).unwrap_or_else(|| {
            let mut drawn = Nonce::default();
            app.entropy.fill(&mut drawn);
            drawn
        });
        let mut marks = vec![Mark::new(by, user, nonce, now).text()];
        marks.extend(self.0.iter().filter(|mark| !mark.is_of(by, user, now)).take(MOST - 1).map(Mark::text));
        marks.join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto::mac::HmacKey, domain::session::tests::user};

    const NOW: UnixTime = UnixTime::from_secs(1_000_000);

    #[test]
    fn th_02_a_mark_is_of_one_account_one_epoch_one_key_and_one_year() {
        let by = HmacKey::new(b"one key");
        let ada = user();
        let mark = Mark::read(&Mark::new(&by, &ada, [7; NONCE], NOW).text()).unwrap();
        assert!(mark.is_of(&by, &ada, NOW));
        assert!(
            mark.is_of(&by, &ada, NOW.plus(LIFE).minus(Span::from_millis(1))) && !mark.is_of(&by, &ada, NOW.plus(LIFE))
        );
        assert!(!mark.is_of(&HmacKey::new(b"another"), &ada, NOW));
        assert!(!mark.is_of(&by, &User { epoch: ada.epoch + 1, ..ada.clone() }, NOW));
        assert!(!mark.is_of(&by, &User { id: "another".parse().unwrap(), ..ada.clone() }, NOW));
        assert!(!Mark { nonce: [8; NONCE], ..mark }.is_of(&by, &ada, NOW));
        assert!(!Mark { at: NOW.plus(Span::from_secs(1)), ..mark }.is_of(&by, &ada, NOW), "its life is under the MAC");
    }

    #[test]
    fn th_02_no_mutation_of_a_mark_is_one_and_odd_values_are_none() {
        let by = HmacKey::new(b"one key");
        let ada = user();
        let text = Mark::new(&by, &ada, [7; NONCE], NOW).text();
        for i in 0..text.len() {
            for other in ["A", "B", "_", "", "=", "."] {
                let mutated = format!("{}{other}{}", &text[..i], &text[i + 1..]);
                let good = Device::read(&[&mutated]).0.iter().any(|mark| mark.is_of(&by, &ada, NOW));
                assert_eq!(good, mutated == text, "{mutated}");
            }
        }
        for odd in ["", ".", "....", "x", "ÿ", &"A".repeat(4096), &".".repeat(4096)] {
            assert!(Device::read(&[odd]).0.is_empty(), "{odd}");
        }
        let many = vec![text.as_str(); 100].join(".");
        assert_eq!(Device::read(&[&many, &many, &many]).0.len(), LOOKED_AT);
        assert_eq!(format!("{:?}", Device::read(&[&text])), "[redacted]");
    }
}
