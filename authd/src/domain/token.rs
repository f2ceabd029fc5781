//! Access tokens: which claims they carry and when they are taken (RFC 7519, RFC 9068, RFC 8725).

use common::{SessionId, Span, UnixTime, UserId};

use super::key::LEEWAY;

/// The `typ` of access tokens (RFC 9068 §2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// No token lives longer than this, whatever its claims say.
pub const MAX_TOKEN_LIFE: Span = Span::from_days(1);

/// Claims that the registries and authd give a meaning (RFC 7519 §4.1, RFC 8693, RFC 9068, RFC 7800): neither the
/// application's hook nor a field of users, which users may fill in, has such a name.
pub const REGISTERED_CLAIMS: [&str; 18] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "act",
    "may_act",
    "role",
    "roles",
    "scope",
    "client_id",
    "cnf",
    "azp",
    "auth_time",
    "amr",
];

/// Whether a claim of this name has a meaning of its own.
pub fn is_registered_claim(name: &str) -> bool {
    REGISTERED_CLAIMS.contains(&name)
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it.
    pub issuer: String,
    /// Whom it is about.
    pub subject: UserId,
    /// For whom it is.
    pub audience: Vec<String>,
    /// When it was issued, in seconds.
    pub issued_at: i64,
    /// From when it counts, in seconds.
    pub not_before: Option<i64>,
    /// When it no longer counts, in seconds.
    pub expires_at: i64,
    /// The session on which it depends.
    pub session: SessionId,
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenProblem {
    /// Not a compact JWS of ours by its form; the text says what is wrong.
    Malformed(&'static str),
    /// A JWT of another kind.
    WrongType,
    /// No key by its `kid`.
    UnknownKey,
    /// The key was revoked.
    KeyRevoked,
    /// The key has left the key set, or does not verify yet.
    KeyNotActive,
    /// `alg` is not the key's.
    WrongAlgorithm,
    /// The signature does not fit.
    BadSignature,
    /// A required claim is absent or of the wrong JSON type; its name.
    BadClaim(&'static str),
    /// `iss` is somebody else.
    WrongIssuer,
    /// `aud` is somebody else.
    WrongAudience,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// `exp` is reached.
    Expired,
    /// `exp` is further from `iat` than any token of ours.
    LivesTooLong,
}

impl TokenProblem {
    /// For people.
    pub fn describe(self) -> String {
        match self {
            Self::Malformed(what) => format!("not a well-formed token: {what}"),
            Self::WrongType => "a token of another kind".into(),
            Self::UnknownKey => "no key with its kid".into(),
            Self::KeyRevoked => "its key was revoked".into(),
            Self::KeyNotActive => "its key is not in the key set now".into(),
            Self::WrongAlgorithm => "its alg is not the algorithm of its key".into(),
            Self::BadSignature => "the signature does not fit".into(),
            Self::BadClaim(name) => format!("the claim {name} is absent or of the wrong type"),
            Self::WrongIssuer => "issued by somebody else".into(),
            Self::WrongAudience => "meant for somebody else".into(),
            Self::NotYetValid => "not valid yet".into(),
            Self::Expired => "expired".into(),
            Self::LivesTooLong => "its life is longer than that of any token issued here".into(),
        }
    }
}

/// What a token must say to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Exactly this issuer.
    pub issuer: String,
    /// One of these audiences.
    pub audience: Vec<String>,
}

impl Claims {
    /// Whether the token is meant for us and counts at `now`. `exp` is reached in the very second it names
    /// (RFC 7519 §4.1.4), with no leeway, because issuer and verifier are one; `nbf` and `iat` get [`LEEWAY`].
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self, expected: &Expected, now: UnixTime) -> Result<(), TokenProblem> {
        let now = now.as_secs();
        let leeway = LEEWAY.as_secs().cast_signed();
        if self.issuer != expected.issuer {
            return Err(TokenProblem::WrongIssuer);
        }
        if !self.audience.iter().any(|aud| expected.audience.contains(aud)) {
            return Err(TokenProblem::WrongAudience);
        }
        if self.issued_at < 0 || self.issued_at > now.saturating_add(leeway) {
            return Err(TokenProblem::NotYetValid);
        }
        if self.not_before.is_some_and(|nbf| nbf > now.saturating_add(leeway)) {
            return Err(TokenProblem::NotYetValid);
        }
        if self.expires_at.saturating_sub(self.issued_at) > MAX_TOKEN_LIFE.as_secs().cast_signed() {
            return Err(TokenProblem::LivesTooLong);
        }
        if now >= self.expires_at { Err(TokenProblem::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            issuer: "https://auth.example".into(),
            subject: "u1".parse().unwrap(),
            audience: vec!["https://auth.example".into()],
            issued_at: 1000,
            not_before: Some(1000),
            expires_at: 1900,
            session: "s1".parse().unwrap(),
        }
    }

    fn expected() -> Expected {
        Expected { issuer: "https://auth.example".into(), audience: vec!["https://auth.example".into(), "api".into()] }
    }

    fn at(claims: &Claims, secs: i64) -> Result<(), TokenProblem> {
        claims.check(&expected(), UnixTime::from_secs(secs))
    }

    #[test]
    fn tk_04_a_token_expires_in_the_second_that_it_names() {
        assert_eq!(at(&claims(), 1899), Ok(()));
        assert_eq!(at(&claims(), 1900), Err(TokenProblem::Expired));
        assert_eq!(at(&claims(), 940), Ok(()), "sixty seconds of leeway for iat and nbf");
        assert_eq!(at(&claims(), 939), Err(TokenProblem::NotYetValid));
    }

    #[test]
    fn tk_04_a_life_of_more_than_a_day_is_refused() {
        let day = MAX_TOKEN_LIFE.as_secs().cast_signed();
        assert_eq!(at(&Claims { expires_at: 1000 + day, ..claims() }, 1500), Ok(()));
        assert_eq!(at(&Claims { expires_at: 1001 + day, ..claims() }, 1500), Err(TokenProblem::LivesTooLong));
        assert_eq!(at(&Claims { expires_at: i64::MAX, ..claims() }, 1500), Err(TokenProblem::LivesTooLong));
        assert_eq!(at(&Claims { issued_at: -1, ..claims() }, 1500), Err(TokenProblem::NotYetValid));
    }

    #[test]
    fn tk_05_issuer_and_audience_are_compared_exactly() {
        for issuer in
            ["https://auth.example/", "https://auth.example#x", "http://auth.example", "", "HTTPS://auth.example"]
        {
            assert_eq!(
                at(&Claims { issuer: issuer.into(), ..claims() }, 1500),
                Err(TokenProblem::WrongIssuer),
                "{issuer}"
            );
        }
        for aud in [vec![], vec!["other"], vec!["https://auth.example.evil.example"], vec!["https://auth.example\0"]] {
            let audience = aud.iter().map(ToString::to_string).collect();
            assert_eq!(at(&Claims { audience, ..claims() }, 1500), Err(TokenProblem::WrongAudience), "{aud:?}");
        }
        assert_eq!(at(&Claims { audience: vec!["x".into(), "api".into()], ..claims() }, 1500), Ok(()));
    }
}
