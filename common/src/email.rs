//! E-mail addresses in one canonical form.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use unicode_normalization::UnicodeNormalization;

/// The longest address, in bytes of its canonical form (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const MAX_EMAIL_BYTES: usize = 254;

/// A valid address in canonical form: trimmed, Unicode NFC, lower case, the domain in ASCII (IDNA, strict rules).
///
/// Every look-up, uniqueness check, throttle and ban uses this form and nothing else, so that one address can never own
/// two accounts. The syntax is the one that Better Auth's server accepts: no quotes, no IP literals, an ASCII local part.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(Arc<str>);

/// Why a text is no e-mail address. One word for the many ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid e-mail address")]
pub struct InvalidEmail;

impl Email {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// The address with most of its local part hidden, for places where a stranger's typing may not be shown in full.
    pub fn masked(&self) -> String {
        match self.0.rsplit_once('@') {
            Some((local, domain)) => format!("{}***@{domain}", local.chars().next().unwrap_or('*')),
            None => "***".to_owned(),
        }
    }
}

/// Whether `text` is an address by the rules of Better Auth's server, on the text as sent: local part of letters, digits
/// and `_'+-.` without a dot first, last or doubled and not ending in an apostrophe; labels of letters, digits and `-`;
/// a last label of two letters or more.
pub fn is_wire_syntax(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let local_ok = !local.is_empty()
        && local.bytes().all(|b| b.is_ascii_alphanumeric() || b"_'+-.".contains(&b))
        && !local.starts_with('.')
        && !local.ends_with(['.', '\''])
        && !local.contains("..");
    let labels: Vec<&str> = domain.split('.').collect();
    let label_ok = |label: &&str| {
        label.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last_ok = labels.last().is_some_and(|l| l.len() >= 2 && l.bytes().all(|b| b.is_ascii_alphabetic()));
    local_ok && labels.len() >= 2 && labels[..labels.len() - 1].iter().all(label_ok) && last_ok
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        if text.len() > 4 * MAX_EMAIL_BYTES {
            return Err(InvalidEmail);
        }
        let text: String = text.trim().nfc().collect();
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        // IDNA only where it has something to do: for plain ASCII lower-casing is the whole of it.
        let domain = if domain.is_ascii() && !domain.to_ascii_lowercase().contains("xn--") {
            domain.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(domain).map_err(|_| InvalidEmail)?
        };
        let canonical = format!("{}@{domain}", local.to_ascii_lowercase());
        // A top-level domain may itself be international (`xn--p1ai`); the wire syntax knows letters only.
        let syntax = match canonical.rsplit_once('.') {
            Some((rest, tld)) if tld.starts_with("xn--") && tld.len() > 4 => is_wire_syntax(&format!("{rest}.xn")),
            _ => is_wire_syntax(&canonical),
        };
        let labels_ok = domain.split('.').all(|l| l.len() <= 63 && !l.ends_with('-'));
        if syntax && labels_ok && local.len() <= 64 && canonical.len() <= MAX_EMAIL_BYTES {
            Ok(Self(canonical.into()))
        } else {
            Err(InvalidEmail)
        }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Addresses are personal data: debug output shows the masked form.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.masked())
    }
}

impl Serialize for Email {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn variants_of_one_address_are_one_address() {
        let one: Email = "ada@example.com".parse().unwrap();
        for variant in ["Ada@Example.com", " ada@example.com ", "ADA@EXAMPLE.COM", "ada@EXAMPLE.com\t"] {
            assert_eq!(variant.parse::<Email>(), Ok(one.clone()), "{variant:?}");
        }
        let idn: Email = "ada@bücher.example".parse().unwrap();
        assert_eq!(idn.as_str(), "ada@xn--bcher-kva.example");
        assert_eq!("ada@BÜCHER.example".parse::<Email>(), Ok(idn.clone()));
        assert_eq!("ada@bu\u{308}cher.example".parse::<Email>(), Ok(idn.clone()));
        assert_eq!("ada@xn--bcher-kva.example".parse::<Email>(), Ok(idn));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@example.c",
            "ada@example.c0m",
            ".ada@example.com",
            "ada.@example.com",
            "a..b@example.com",
            "ada'@example.com",
            "\"ada\"@example.com",
            "ada@[127.0.0.1]",
            "ada@exa mple.com",
            "ada@-example.com",
            "ada@example..com",
            "ada@b@example.com",
            "adä@example.com",
            "ada@example.com\r\nBcc: x@example.com",
            "ada@example.com,b@example.com",
            "ada@example.com\0",
            "ada@xn--a.example",
            "ada@example-.com",
        ] {
            assert_eq!(bad.parse::<Email>(), Err(InvalidEmail), "{bad:?}");
        }
        assert!(format!("{}@example.com", "a".repeat(65)).parse::<Email>().is_err());
        assert!(format!("a@{}.com", "b".repeat(64)).parse::<Email>().is_err());
    }

    #[test]
    fn debug_output_hides_the_address() {
        let email: Email = "ada@example.com".parse().unwrap();
        assert_eq!(format!("{email:?}"), "Email(a***@example.com)");
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(text in "\\PC{0,80}") {
            if let Ok(email) = text.parse::<Email>() {
                prop_assert_eq!(email.as_str().parse::<Email>(), Ok(email));
            }
        }
    }
}
