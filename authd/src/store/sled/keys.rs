//! How record keys are built: one byte for the kind, then ids as text. Ids are printable ASCII of any length, so a zero
//! byte ends one where something follows it; numbers are big-endian, so that their order is the order of the keys.

use common::{Email, FamilyId, ImportId, Kid, MailId, SessionId, UnixTime, UserId};

use crate::domain::{Purpose, TokenDigest};

/// What a key stands for. The bytes are on disk: append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Meta = 0x00,
    User = 0x01,
    UserByEmail = 0x02,
    Session = 0x03,
    SessionOfUser = 0x04,
    Audit = 0x05,
    Expiry = 0x06,
    SessionByToken = 0x07,
    Credential = 0x08,
    Family = 0x09,
    SigningKey = 0x0a,
    Secret = 0x0b,
    Act = 0x0c,
    ActExpiry = 0x0d,
    Places = 0x0e,
    Counter = 0x0f,
    UserByUsername = 0x10,
    Import = 0x18,
    ImportMember = 0x19,
    Imported = 0x1a,
    Mail = 0x20,
    MailDue = 0x21,
    MailLink = 0x22,
    MailLinkOfUser = 0x23,
    MailLinkExpiry = 0x24,
    Outbox = 0x28,
    OutboxWaiting = 0x29,
    OutboxDead = 0x2a,
}

pub(super) fn prefix(kind: Kind) -> Vec<u8> {
    vec![kind as u8]
}

fn key(kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + parts.iter().map(|p| p.len()).sum::<usize>());
    out.push(kind as u8);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

pub(super) fn meta(name: &str) -> Vec<u8> {
    key(Kind::Meta, &[name.as_bytes()])
}

pub(super) fn user(id: &UserId) -> Vec<u8> {
    key(Kind::User, &[id.as_str().as_bytes()])
}

pub(super) fn email(email: &Email) -> Vec<u8> {
    key(Kind::UserByEmail, &[email.as_str().as_bytes()])
}

pub(super) fn username(username: &str) -> Vec<u8> {
    key(Kind::UserByUsername, &[username.as_bytes()])
}

pub(super) fn credential(user: &UserId) -> Vec<u8> {
    key(Kind::Credential, &[user.as_str().as_bytes()])
}

/// From where a user signed in of late.
pub(super) fn places(user: &UserId) -> Vec<u8> {
    key(Kind::Places, &[user.as_str().as_bytes()])
}

/// A throttle's counter.
pub(super) fn counter(digest: &[u8; 16]) -> Vec<u8> {
    key(Kind::Counter, &[digest])
}

pub(super) fn session(id: &SessionId) -> Vec<u8> {
    key(Kind::Session, &[id.as_str().as_bytes()])
}

pub(super) fn token(digest: &TokenDigest) -> Vec<u8> {
    key(Kind::SessionByToken, &[&digest.0])
}

/// All sessions of a user, oldest first.
pub(super) fn sessions_of(user: &UserId) -> Vec<u8> {
    key(Kind::SessionOfUser, &[user.as_str().as_bytes(), &[0]])
}

pub(super) fn session_of(user: &UserId, created: UnixTime, id: &SessionId) -> Vec<u8> {
    key(
        Kind::SessionOfUser,
        &[user.as_str().as_bytes(), &[0], &created.as_millis().to_be_bytes(), id.as_str().as_bytes()],
    )
}

/// Where the session id begins in a key made by [`session_of`].
pub(super) fn session_id_in(key: &[u8]) -> Option<SessionId> {
    let user_end = key.iter().skip(1).position(|b| *b == 0)? + 1;
    std::str::from_utf8(key.get(user_end + 1 + 8..)?).ok()?.parse().ok()
}

pub(super) fn family(id: &FamilyId) -> Vec<u8> {
    key(Kind::Family, &[id.as_str().as_bytes()])
}

pub(super) fn signing_key(kid: &Kid) -> Vec<u8> {
    key(Kind::SigningKey, &[kid.as_str().as_bytes()])
}

pub(super) fn secret(purpose: &str, id: &str) -> Vec<u8> {
    key(Kind::Secret, &[purpose.as_bytes(), &[0], id.as_bytes()])
}

pub(super) fn audit(seq: u64) -> Vec<u8> {
    key(Kind::Audit, &[&seq.to_be_bytes()])
}

/// The number in a key made by [`audit`], or by one of those of the outbox.
pub(super) fn parse_audit(key: &[u8]) -> Option<u64> {
    key.get(1..)?.try_into().ok().map(u64::from_be_bytes)
}

/// When a session may be swept away.
pub(super) fn expiry(at: UnixTime, session: &SessionId) -> Vec<u8> {
    key(Kind::Expiry, &[&at.as_millis().to_be_bytes(), session.as_str().as_bytes()])
}

/// (when, which) of a key made by [`expiry`].
pub(super) fn parse_expiry(key: &[u8]) -> Option<(UnixTime, SessionId)> {
    let (at, id) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((UnixTime::from_millis(i64::from_be_bytes(*at)), std::str::from_utf8(id).ok()?.parse().ok()?))
}

/// An act with a name of its own.
pub(super) fn act(name: &str) -> Vec<u8> {
    key(Kind::Act, &[name.as_bytes()])
}

/// When the name of an act is forgotten.
pub(super) fn act_expiry(at: UnixTime, name: &str) -> Vec<u8> {
    key(Kind::ActExpiry, &[&at.as_millis().to_be_bytes(), name.as_bytes()])
}

/// (when, which) of a key made by [`act_expiry`].
pub(super) fn parse_act_expiry(key: &[u8]) -> Option<(UnixTime, &str)> {
    let (at, name) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((UnixTime::from_millis(i64::from_be_bytes(*at)), std::str::from_utf8(name).ok()?))
}

/// A mail that waits.
pub(super) fn mail(id: &MailId) -> Vec<u8> {
    key(Kind::Mail, &[id.as_str().as_bytes()])
}

/// When something is to be done with a mail.
pub(super) fn mail_due(at: UnixTime, id: &MailId) -> Vec<u8> {
    key(Kind::MailDue, &[&at.as_millis().to_be_bytes(), id.as_str().as_bytes()])
}

/// (when, which) of a key made by [`mail_due`].
pub(super) fn parse_mail_due(key: &[u8]) -> Option<(UnixTime, MailId)> {
    let (at, id) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((UnixTime::from_millis(i64::from_be_bytes(*at)), std::str::from_utf8(id).ok()?.parse().ok()?))
}

/// A link in a mail.
pub(super) fn mail_link(digest: &TokenDigest) -> Vec<u8> {
    key(Kind::MailLink, &[&digest.0])
}

/// All links of a user.
pub(super) fn mail_links_of(user: &UserId) -> Vec<u8> {
    key(Kind::MailLinkOfUser, &[user.as_str().as_bytes(), &[0]])
}

/// The newest link of a user for this purpose: there is no other.
pub(super) fn mail_link_of(user: &UserId, purpose: Purpose) -> Vec<u8> {
    key(Kind::MailLinkOfUser, &[user.as_str().as_bytes(), &[0], purpose.as_str().as_bytes()])
}

/// When a link may be swept away.
pub(super) fn mail_link_expiry(at: UnixTime, digest: &TokenDigest) -> Vec<u8> {
    key(Kind::MailLinkExpiry, &[&at.as_millis().to_be_bytes(), &digest.0])
}

/// (when, which) of a key made by [`mail_link_expiry`].
pub(super) fn parse_mail_link_expiry(key: &[u8]) -> Option<(UnixTime, TokenDigest)> {
    let (at, digest) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((UnixTime::from_millis(i64::from_be_bytes(*at)), TokenDigest(digest.try_into().ok()?)))
}

/// An event.
pub(super) fn outbox(seq: u64) -> Vec<u8> {
    key(Kind::Outbox, &[&seq.to_be_bytes()])
}

/// How far an event is that the application is to be told.
pub(super) fn outbox_waiting(seq: u64) -> Vec<u8> {
    key(Kind::OutboxWaiting, &[&seq.to_be_bytes()])
}

/// Why an event was given up.
pub(super) fn outbox_dead(seq: u64) -> Vec<u8> {
    key(Kind::OutboxDead, &[&seq.to_be_bytes()])
}

/// What came in together from another server.
pub(super) fn import(id: &ImportId) -> Vec<u8> {
    key(Kind::Import, &[id.as_str().as_bytes()])
}

/// The accounts that came with an import.
pub(super) fn import_members(id: &ImportId) -> Vec<u8> {
    key(Kind::ImportMember, &[id.as_str().as_bytes(), &[0]])
}

pub(super) fn import_member(id: &ImportId, user: &UserId) -> Vec<u8> {
    key(Kind::ImportMember, &[id.as_str().as_bytes(), &[0], user.as_str().as_bytes()])
}

/// The user in a key made by [`import_member`].
pub(super) fn member_in(key: &[u8]) -> Option<UserId> {
    let end = key.iter().skip(1).position(|b| *b == 0)? + 1;
    std::str::from_utf8(key.get(end + 1..)?).ok()?.parse().ok()
}

/// The import that an account came with.
pub(super) fn imported(user: &UserId) -> Vec<u8> {
    key(Kind::Imported, &[user.as_str().as_bytes()])
}

/// What a record is, for the log: its kind, and its id where that is no personal data (LG-02).
pub(super) fn describe(key: &[u8]) -> String {
    let kind = match key.first() {
        Some(0x00) => "meta",
        Some(0x01) => "user",
        Some(0x02) => return "of the index of addresses".into(),
        Some(0x03) => "session",
        Some(0x04) => "session-of-user",
        Some(0x05) => "audit",
        Some(0x06) => "expiry",
        Some(0x07) => return "of the index of session tokens".into(),
        Some(0x08) => "credential",
        Some(0x09) => "family",
        Some(0x0a) => "signing-key",
        Some(0x0b) => "secret",
        Some(0x0c | 0x0d) => "act",
        Some(0x18..=0x1a) => "import",
        Some(0x10) => return "of the index of usernames".into(),
        Some(0x20) => "mail",
        Some(0x21) => return "of the index of due mails".into(),
        Some(0x22..=0x24) => return "of a link in a mail".into(),
        Some(0x28..=0x2a) => return format!("event {}", parse_audit(key).unwrap_or_default()),
        _ => "of an unknown kind",
    };
    format!("{kind} {}", common::text::printable(&String::from_utf8_lossy(&key[1.min(key.len())..])))
}

/// The text behind the kind byte.
pub(super) fn text(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(1..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_users_sessions_are_another_users() {
        let (ada, adam): (UserId, UserId) = ("ada".parse().unwrap(), "adam".parse().unwrap());
        let id: SessionId = "s".parse().unwrap();
        assert!(!session_of(&adam, UnixTime::EPOCH, &id).starts_with(&sessions_of(&ada)));
        assert_eq!(session_id_in(&session_of(&ada, UnixTime::from_secs(7), &id)), Some(id));
    }

    #[test]
    fn expiry_keys_sort_by_time() {
        let id: SessionId = "zzz".parse().unwrap();
        let (early, late) = (expiry(UnixTime::from_secs(9), &id), expiry(UnixTime::from_secs(10), &id));
        assert!(early < late);
        assert_eq!(parse_expiry(&early), Some((UnixTime::from_secs(9), id)));
    }
}
