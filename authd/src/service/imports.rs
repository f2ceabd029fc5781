//! Accounts that come from another server: what of them is kept, and what is found.
//!
//! The one who sends them may be wrong about anything, so every row is checked as if a stranger had sent it. What cannot be
//! kept is left out and counted; an account comes in whole or not at all.

mod fields;

use common::{
    Email, ImportId, UnixTime,
    import::{Finding, Findings, ImportAccount, ImportBatch, ImportFields, ImportPassword, ImportSession},
    text::{MAX_NAME_CHARS, is_forbidden_in_names, printable},
};

use super::{
    ServiceError, Services,
    passwords::{check_image, check_name},
    random,
    usernames::check_display,
    users::check_roles,
};
use crate::{
    domain::{
        Act, Ban, Credential, Event, EventKind, Fate, FieldSet, HashProblem, HashScheme, Import, Incoming,
        PasswordHash, Session, TokenDigest, User, address, user::MAX_REASON,
    },
    store::{self, Undone},
};

/// The longest stored hash, in bytes.
const MAX_HASH_BYTES: usize = 1024;
/// The longest `User-Agent`, in characters: as much as is kept of one that signs in here.
const MAX_AGENT_CHARS: usize = 512;
/// How many accounts one step of taking an import back deletes.
const UNDO_STEP: usize = 500;

/// Takes a batch in.
///
/// # Errors
/// The store does not take it.
pub async fn store(app: &Services, batch: ImportBatch, act: Act) -> Result<Findings, ServiceError> {
    // Done twice is as good as once, whatever name the act has.
    let act = Act { at: app.clock.now(), idempotency: None, ..act };
    let checked = check(app, batch, act.at);
    if checked.batch.accounts.is_empty() {
        return Ok(checked.findings);
    }
    let fates = app.store.import(checked.batch.clone(), act, Event::new(EventKind::UsersImported)).await?;
    Ok(checked.found(&fates))
}

/// What [`store()`] would do now.
///
/// # Errors
/// The store cannot be read.
pub async fn preview(app: &Services, batch: ImportBatch) -> Result<Findings, ServiceError> {
    let checked = check(app, batch, app.clock.now());
    let fates = app.store.preview_import(checked.batch.clone()).await?;
    Ok(checked.found(&fates))
}

/// A batch of which every row was looked at.
struct Checked {
    batch: store::ImportBatch,
    /// What was found of each account that may come in.
    notes: Vec<Findings>,
    /// What was found of the others.
    findings: Findings,
}

fn check(app: &Services, batch: ImportBatch, now: UnixTime) -> Checked {
    let batch_of = |accounts| store::ImportBatch { id: batch.import.clone(), source: batch.source.clone(), accounts };
    let mut checked = Checked { batch: batch_of(vec![]), notes: vec![], findings: Findings::default() };
    for account in batch.accounts {
        let mut notes = Findings::default();
        match incoming(app, account, now, &mut notes) {
            Ok(incoming) => {
                checked.batch.accounts.push(incoming);
                checked.notes.push(notes);
            }
            Err((finding, example)) => checked.findings.add(finding, &example),
        }
    }
    checked
}

impl Checked {
    /// Everything that was found, now that it is known what became of each account.
    fn found(self, fates: &[Fate]) -> Findings {
        let mut findings = self.findings;
        for ((incoming, notes), fate) in self.batch.accounts.iter().zip(&self.notes).zip(fates) {
            let finding = match fate {
                Fate::New { sessions, username } => {
                    let sent = incoming.sessions.len() as u64;
                    findings.merge(notes);
                    findings.add_many(Finding::Session, *sessions, &[]);
                    let email = [incoming.user.email.to_string()];
                    findings.add_many(Finding::SessionTaken, sent.saturating_sub(*sessions), &email);
                    findings.add_many(Finding::UsernameTaken, u64::from(!username), &email);
                    findings.add(Finding::User, "");
                    continue;
                }
                Fate::Done => Finding::UserDone,
                Fate::There => Finding::UserThere,
                Fate::IdTaken => Finding::IdTaken,
                Fate::EmailTaken => Finding::EmailTaken,
            };
            findings.add(finding, incoming.user.email.as_str());
        }
        findings
    }
}

/// The account as it may come in; or why not, and which one it is.
fn incoming(
    app: &Services,
    account: ImportAccount,
    now: UnixTime,
    notes: &mut Findings,
) -> Result<Incoming, (Finding, String)> {
    let ImportAccount { id, email, name, email_verified, image, role, .. } = &account;
    let named = id.is_some();
    let id = match id {
        Some(id) => id.parse().map_err(|_| (Finding::IdInvalid, email.clone()))?,
        None => random::user_id(&*app.entropy),
    };
    let address: Email = email.parse().map_err(|_| (Finding::EmailInvalid, email.clone()))?;
    let created_at = account.created_at.unwrap_or(now).min(now);
    let (username, display_username) = usernames(app, &account, notes);
    let user = User {
        id,
        email: address,
        email_verified: *email_verified,
        name: kept_name(name, email, notes),
        image: kept(image.as_ref(), email, (Finding::ImageLeftOut, notes), |image| check_image(image).is_ok()),
        username,
        display_username,
        fields: fields::taken(&app.policy.user_fields, &account.fields, User::MAX_FIELD_BYTES, email, notes),
        role: kept(role.as_ref(), email, (Finding::RoleLeftOut, notes), |role| check_roles(app, role).is_ok())
            .unwrap_or_else(|| app.policy.default_role().to_owned()),
        ban: ban(&account, now, notes),
        password_change_required: false,
        epoch: 0,
        created_at,
        updated_at: account.updated_at.unwrap_or(created_at).clamp(created_at, now),
    };
    let credential = account.password.and_then(|password| credential(app, &user, password, notes));
    let sessions = sessions(app, &user, account.sessions, now, notes);
    Ok(Incoming { user, named, credential, sessions })
}

/// The value, if there is one and it may be kept.
fn kept(
    value: Option<&String>,
    email: &str,
    (finding, notes): (Finding, &mut Findings),
    may: impl FnOnce(&str) -> bool,
) -> Option<String> {
    let value = value.filter(|value| !value.is_empty())?;
    if may(value) {
        return Some(value.clone());
    }
    notes.add(finding, email);
    None
}

/// The name to sign in with and its spelling, where the plugin is on.
fn usernames(app: &Services, account: &ImportAccount, notes: &mut Findings) -> (Option<String>, Option<String>) {
    let (Some(rules), Some(typed)) = (app.policy.username, account.username.as_deref().filter(|name| !name.is_empty()))
    else {
        return (None, None);
    };
    let Ok(username) = rules.normalised(typed) else {
        notes.add(Finding::UsernameLeftOut, &account.email);
        return (None, None);
    };
    let display = account.display_username.clone().filter(|display| check_display(display).is_ok());
    (Some(username), display.or_else(|| Some(typed.to_owned())))
}

fn kept_name(name: &str, email: &str, notes: &mut Findings) -> String {
    if check_name(name).is_ok() {
        return name.to_owned();
    }
    notes.add(Finding::NameChanged, email);
    name.chars().filter(|c| !is_forbidden_in_names(*c)).take(MAX_NAME_CHARS).collect()
}

fn ban(account: &ImportAccount, now: UnixTime, notes: &mut Findings) -> Option<Ban> {
    if !account.banned || account.ban_expires.is_some_and(|end| end <= now) {
        return None;
    }
    let reason = account.ban_reason.as_deref().filter(|reason| !reason.is_empty()).map(printable);
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > MAX_REASON) {
        notes.add(Finding::BanReasonCut, &account.email);
    }
    let reason = reason.map(|reason| reason.chars().take(MAX_REASON).collect());
    Some(Ban { reason, expires_at: account.ban_expires })
}

fn credential(app: &Services, user: &User, password: ImportPassword, notes: &mut Findings) -> Option<Credential> {
    let text = password.hash.expose();
    let hash = PasswordHash::new(text);
    let judged = if text.len() > MAX_HASH_BYTES { Err(HashProblem::Unknown) } else { hash.judge() };
    let finding = match judged {
        Ok(HashScheme::Argon2id) => Finding::Argon2id,
        Ok(HashScheme::Argon2i) => Finding::Argon2i,
        Ok(HashScheme::Argon2d) => Finding::Argon2d,
        Ok(HashScheme::BetterAuthScrypt | HashScheme::Scrypt) => Finding::Scrypt,
        Ok(HashScheme::Bcrypt) => Finding::Bcrypt,
        Ok(HashScheme::Pbkdf2Sha256) => Finding::Pbkdf2Sha256,
        Ok(HashScheme::Pbkdf2Sha512) => Finding::Pbkdf2Sha512,
        Ok(HashScheme::FirebaseScrypt) => Finding::FirebaseScrypt,
        Ok(HashScheme::Unknown) | Err(HashProblem::Unknown) => Finding::HashUnknown,
        Err(HashProblem::TooCostly) => Finding::HashTooCostly,
    };
    if matches!(finding, Finding::HashUnknown | Finding::HashTooCostly) {
        notes.add(finding, user.email.as_str());
        return None;
    }
    notes.add(finding, "");
    let created_at = password.created_at.map_or(user.created_at, |at| at.min(user.updated_at.max(user.created_at)));
    Some(Credential {
        id: password.id.and_then(|id| id.parse().ok()).unwrap_or_else(|| random::account_id(&*app.entropy)),
        user: user.id.clone(),
        hash,
        created_at,
        updated_at: password.updated_at.unwrap_or(created_at).max(created_at),
    })
}

/// The sessions that go on living, oldest first.
fn sessions(
    app: &Services,
    user: &User,
    sent: Vec<ImportSession>,
    now: UnixTime,
    notes: &mut Findings,
) -> Vec<Session> {
    let email = user.email.as_str();
    let mut kept: Vec<Session> = vec![];
    for session in sent {
        let finding = if session.impersonated {
            Finding::SessionImpersonated
        } else if user.active_ban(now).is_some() {
            Finding::SessionOfBanned
        } else if session.expires_at <= now {
            Finding::SessionExpired
        } else if let Some(session) = taken_over(app, user, &session, now, notes) {
            kept.push(session);
            continue;
        } else {
            Finding::SessionInvalid
        };
        notes.add(finding, email);
    }
    kept.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let surplus = kept.len().saturating_sub(app.policy.session.max_per_user);
    notes.add_many(Finding::SessionSurplus, surplus as u64, &[email.to_owned()]);
    kept.split_off(surplus)
}

/// A session goes on as long as the server before has promised, and is prolonged from there by the rules of this one: it ends
/// at the latest when its absolute limit is reached, counted from the sign-in, or that promise.
fn taken_over(
    app: &Services,
    user: &User,
    session: &ImportSession,
    now: UnixTime,
    notes: &mut Findings,
) -> Option<Session> {
    let policy = &app.policy.session;
    let (created_at, updated_at) = (session.created_at.min(now), session.updated_at.min(now));
    let promised = session.expires_at.min(now.plus(policy.absolute));
    let life = session.expires_at.since(updated_at.max(created_at));
    let own = fields::taken(
        &app.policy.session_fields,
        &session.fields,
        Session::MAX_FIELD_BYTES,
        user.email.as_str(),
        notes,
    );
    let ip_address = address::parse(&session.ip_address).map(address::canonical);
    Some(Session {
        id: session.id.parse().ok()?,
        user: user.id.clone(),
        digest: TokenDigest(digest(&session.token_sha256)?),
        created_at,
        updated_at,
        expires_at: promised,
        absolute_expires_at: created_at.plus(policy.absolute).max(promised),
        // Better Auth does not store it. What is not to be remembered has a day.
        remember: life > policy.unremembered || policy.expires_in <= policy.unremembered,
        ip_address: ip_address.map_or_else(String::new, |address| address.to_string()),
        user_agent: printable(&session.user_agent.chars().take(MAX_AGENT_CHARS).collect::<String>()),
        // Whether by a password or another service is not in the row.
        methods: vec![],
        family: None,
        fields: own,
        impersonation: None,
    })
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; 32];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

/// What there is room for besides what every account has.
pub fn room(app: &Services) -> ImportFields {
    let names = |set: &FieldSet| set.0.iter().map(|field| field.name.clone()).collect();
    ImportFields {
        user: names(&app.policy.user_fields),
        session: names(&app.policy.session_fields),
        usernames: app.policy.username.is_some(),
    }
}

/// All imports, the newest first.
///
/// # Errors
/// The store cannot be read.
pub async fn list(app: &Services) -> Result<Vec<Import>, ServiceError> {
    let mut found = app.store.imports().await?;
    found.sort_by(|a, b| (b.began_at, &b.id).cmp(&(a.began_at, &a.id)));
    Ok(found)
}

/// The import, if there is one by this id.
///
/// # Errors
/// The store cannot be read.
pub async fn find(app: &Services, id: &ImportId) -> Result<Option<Import>, ServiceError> {
    Ok(app.store.imports().await?.into_iter().find(|import| import.id == *id))
}

/// One step of taking an import back: deletes accounts that came with it, whatever became of them since. With the last of
/// them it is forgotten.
///
/// # Errors
/// The store does not do it.
pub async fn undo(app: &Services, id: ImportId, act: Act) -> Result<Option<Undone>, ServiceError> {
    // Each step is another one, whatever name the act has.
    let act = Act { at: app.clock.now(), idempotency: None, ..act };
    Ok(app.store.undo_import(id, UNDO_STEP, act, Event::new(EventKind::ImportUndone)).await?)
}
