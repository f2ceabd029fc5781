//! Mails that wait, and the links in them: used up and queued by the act that they belong to.

use common::{Email, MailId, UnixTime, UserId};

use super::{
    codec::{self, Link as Index, Number},
    intents::{end_all, insert_session, user},
    keys::{self, Kind},
    read,
    txn::{Txn, unreadable},
};
use crate::{
    domain::{
        Act, Credential, Event, Link, LinkState, Mail, Post, Purpose, TokenDigest, User,
        mail::{Claim, Spent},
    },
    store::{Ended, LINK_REMEMBERED, NewSession, Page, StoreError},
};

/// More than any queue is long.
const SCAN: usize = 1_000_000;

fn hex(digest: &TokenDigest) -> String {
    digest.0.iter().map(|b| format!("{b:02x}")).collect()
}

fn digest_of(text: &str) -> Option<TokenDigest> {
    let mut out = [0; 32];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(TokenDigest(out))
}

fn remove_link(tx: &mut Txn<'_>, link: &Link) {
    tx.delete(keys::mail_link(&link.digest));
    tx.delete(keys::mail_link_of(&link.user, link.purpose));
    tx.delete(keys::mail_link_expiry(link.expires_at.plus(LINK_REMEMBERED), &link.digest));
}

/// Uses up the link that the act is done by, and answers what it was. One that proves a mailbox stays as a used one, so that
/// it can be opened twice.
pub(super) fn spend(tx: &mut Txn<'_>, act: &Act) -> Result<Option<Link>, StoreError> {
    let Some(Spent { digest, purpose }) = act.link else { return Ok(None) };
    let link: Link = tx.get(&keys::mail_link(&digest))?.ok_or(StoreError::BadLink)?;
    let owner: Option<User> = tx.get(&keys::user(&link.user))?;
    if link.state(owner.as_ref(), purpose, act.at) != LinkState::Good {
        return Err(StoreError::BadLink);
    }
    match purpose {
        Purpose::VerifyEmail => {
            tx.put(keys::mail_link(&digest), &Link { is_used: true, claim: None, ..link.clone() })?;
        }
        Purpose::ResetPassword | Purpose::ConfirmChange | Purpose::VerifyChange | Purpose::DeleteUser => {
            remove_link(tx, &link);
        }
    }
    Ok(Some(link))
}

/// Queues the mail of the act.
pub(super) fn queue(tx: &mut Txn<'_>, act: &Act) -> Result<(), StoreError> {
    for Post { mail, link } in &act.post {
        tx.put(keys::mail(&mail.id), mail)?;
        tx.put(keys::mail_due(mail.next_try, &mail.id), &Number(1))?;
        let Some(link) = link else { continue };
        let newest = keys::mail_link_of(&link.user, link.purpose);
        if let Some(Index(older)) = tx.get(&newest)?
            && let Some(digest) = digest_of(&older)
            && let Some(older) = tx.get::<Link>(&keys::mail_link(&digest))?
        {
            remove_link(tx, &older);
        }
        tx.put(keys::mail_link(&link.digest), link)?;
        tx.put(newest, &Index(hex(&link.digest)))?;
        tx.put(keys::mail_link_expiry(link.expires_at.plus(LINK_REMEMBERED), &link.digest), &Number(1))?;
    }
    Ok(())
}

/// All links of a user, who is deleted.
pub(super) fn remove_links(tx: &mut Txn<'_>, user: &UserId) -> Result<(), StoreError> {
    for key in tx.keys_with(&keys::mail_links_of(user), SCAN)? {
        let Some(Index(digest)) = tx.get(&key)? else { continue };
        let link = digest_of(&digest).map(|digest| tx.get::<Link>(&keys::mail_link(&digest))).transpose()?.flatten();
        if let Some(link) = link {
            remove_link(tx, &link);
        }
        tx.delete(key);
    }
    Ok(())
}

fn put_credential(tx: &mut Txn<'_>, credential: Credential) -> Result<(), StoreError> {
    let key = keys::credential(&credential.user);
    let credential = match tx.get::<Credential>(&key)? {
        Some(old) => Credential { id: old.id, created_at: old.created_at, ..credential },
        None => credential,
    };
    tx.put(key, &credential)
}

pub(super) fn reset_password(
    tx: &mut Txn<'_>,
    credential: Credential,
    keep_sessions: bool,
    act: &Act,
    event: Event,
) -> Result<Ended, StoreError> {
    let owner = user(tx, &credential.user)?;
    put_credential(tx, credential)?;
    let ended = if keep_sessions && owner.email_verified { Ended::default() } else { end_all(tx, &owner.id, None)? };
    let epoch = owner.epoch + 1;
    let changed = User { epoch, password_change_required: false, updated_at: act.at, ..owner };
    tx.put(keys::user(&changed.id), &changed)?;
    tx.audit(act, &event.user(&changed.id).with("ended_sessions", &ended.sessions))?;
    Ok(ended)
}

pub(super) fn verify_email(
    tx: &mut Txn<'_>,
    id: &UserId,
    link: Option<Link>,
    session: Option<&NewSession>,
    act: &Act,
    event: Event,
) -> Result<User, StoreError> {
    let owner = user(tx, id)?;
    let mut verified = User { email_verified: true, updated_at: act.at, ..owner };
    if let Some(Claim { credential, name }) = link.and_then(|link| link.claim) {
        put_credential(tx, credential)?;
        end_all(tx, id, None)?;
        verified = User { name, epoch: verified.epoch + 1, password_change_required: false, ..verified };
    }
    tx.put(keys::user(id), &verified)?;
    if let Some(session) = session {
        insert_session(tx, session, act)?;
    }
    tx.audit(act, &event.user(id))?;
    Ok(verified)
}

pub(super) fn change_email(
    tx: &mut Txn<'_>,
    id: &UserId,
    epoch: u64,
    from: &Email,
    to: &Email,
    act: &Act,
    event: Event,
) -> Result<User, StoreError> {
    let owner = user(tx, id)?;
    if owner.epoch != epoch || owner.email != *from {
        return Err(StoreError::Stale);
    }
    if tx.exists(&keys::email(to))? {
        return Err(StoreError::EmailTaken);
    }
    tx.delete(keys::email(from));
    tx.put(keys::email(to), &Index(id.to_string()))?;
    let changed = User { email: to.clone(), updated_at: act.at, ..owner };
    tx.put(keys::user(id), &changed)?;
    tx.audit(act, &event.user(id))?;
    Ok(changed)
}

pub(super) fn remove_mail(tx: &mut Txn<'_>, id: &MailId) -> Result<(), StoreError> {
    if let Some(mail) = tx.get::<Mail>(&keys::mail(id))? {
        tx.delete(keys::mail_due(mail.next_try, id));
        tx.delete(keys::mail(id));
    }
    Ok(())
}

pub(super) fn note_mail(tx: &mut Txn<'_>, mail: &Mail) -> Result<(), StoreError> {
    let Some(before) = tx.get::<Mail>(&keys::mail(&mail.id))? else { return Ok(()) };
    tx.delete(keys::mail_due(before.next_try, &mail.id));
    tx.put(keys::mail_due(mail.next_try, &mail.id), &Number(1))?;
    tx.put(keys::mail(&mail.id), mail)
}

pub(super) fn retry_mails(
    tx: &mut Txn<'_>,
    which: Option<&MailId>,
    act: &Act,
    event: Event,
) -> Result<u64, StoreError> {
    let keys = match which {
        Some(id) => vec![keys::mail(id)],
        None => tx.keys_with(&keys::prefix(Kind::Mail), SCAN)?,
    };
    let mut retried = 0u64;
    for key in keys {
        if let Some(mail) = tx.get::<Mail>(&key)?.filter(|mail| mail.attempts > 0) {
            note_mail(tx, &mail.again(act.at))?;
            retried += 1;
        }
    }
    if retried > 0 {
        tx.audit(act, &event.with("mails", &retried))?;
    }
    Ok(retried)
}

/// Removes links that expired a while ago.
pub(super) fn sweep(tx: &mut Txn<'_>, now: UnixTime, limit: usize) -> Result<u64, StoreError> {
    let mut swept = 0;
    for key in tx.keys_with(&keys::prefix(Kind::MailLinkExpiry), limit)? {
        let Some((at, digest)) = keys::parse_mail_link_expiry(&key) else {
            tx.delete(key);
            continue;
        };
        if at > now {
            break;
        }
        match tx.get::<Link>(&keys::mail_link(&digest))? {
            Some(link) => {
                remove_link(tx, &link);
                swept += 1;
            }
            None => tx.delete(key),
        }
    }
    Ok(swept)
}

/// The mails with which something is to be done.
pub(super) fn due(db: &sled::Db, now: UnixTime, limit: usize) -> Result<Vec<Mail>, StoreError> {
    let mut due = vec![];
    for key in db.scan_prefix(keys::prefix(Kind::MailDue)).keys().take(limit) {
        let key = key.map_err(|e| unreadable(&e))?;
        let Some((_, id)) = keys::parse_mail_due(&key).filter(|(at, _)| *at <= now) else { break };
        due.extend(read::<Mail>(db, &keys::mail(&id))?);
    }
    Ok(due)
}

/// A page of all mails.
pub(super) fn page(db: &sled::Db, after: Option<&str>, limit: usize) -> Result<Page<Mail>, StoreError> {
    let prefix = keys::prefix(Kind::Mail);
    let begin = match after {
        Some(after) => [&prefix[..], after.as_bytes(), &[0]].concat(),
        None => prefix.clone(),
    };
    let mut items: Vec<Mail> = vec![];
    for entry in db.range(begin..) {
        let (key, value) = entry.map_err(|e| unreadable(&e))?;
        if !key.starts_with(&prefix) {
            break;
        }
        if items.len() >= limit {
            let next = items.last().map(|mail| mail.id.to_string());
            return Ok(Page { items, next });
        }
        items.push(codec::decode(&key, &value)?);
    }
    Ok(Page { items, next: None })
}
