//! The use cases. A use case is an async function that reads the clock once, loads, asks the domain, makes **one** call
//! that changes the store, and returns a value. Both doors call the same functions; where they differ in rules, the rules
//! are arguments.

pub mod accounts;
pub mod administration;
pub mod audit;
pub mod backups;
pub mod counts;
pub mod device;
pub mod email;
pub mod error;
pub mod events;
pub mod fields;
pub mod hooks;
pub mod impersonation;
pub mod imports;
pub mod keys;
pub mod mail;
pub mod maintenance;
pub mod master_key;
pub mod own;
pub mod passwords;
pub mod random;
pub mod reset;
pub mod service_tokens;
pub mod sessions;
pub mod store;
pub mod throttle;
pub mod tokens;
pub mod usernames;
pub mod users;

use std::{net::IpAddr, sync::Arc};

use common::{RequestId, Span, UnixTime};

pub use self::error::ServiceError;
use crate::{
    digest::sha256,
    domain::{
        Act, Actor, AdminRules, Algorithm, ClientDigest, FieldSet, Hook, KeyPolicy, Method, PasswordPolicy,
        SessionPolicy, UsernameRules, address, token::Expected, user::DEFAULT_ROLE,
    },
    ports::{Clock, Entropy, PasswordHasher, Secrets, TokenSigner, Vault},
    store::{Live, Store, Upkeep},
};

/// Everything that use cases work with.
pub struct Services {
    /// Where things are kept.
    pub store: Arc<dyn Store>,
    /// What keeps its files in order.
    pub upkeep: Arc<dyn Upkeep>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Password hashing.
    pub hasher: Arc<dyn PasswordHasher>,
    /// JWTs.
    pub signer: Arc<dyn TokenSigner>,
    /// The master key.
    pub vault: Arc<dyn Vault>,
    /// The keys that are not for signing tokens.
    pub secrets: Secrets,
    /// The configured rules.
    pub policy: Policy,
    /// Where mail goes, and what wakes who sends it.
    pub mail: Arc<mail::Room>,
    /// Backups.
    pub backups: Arc<backups::Room>,
    /// The application, where it is asked before something happens.
    pub hooks: Arc<hooks::Hooks>,
    /// The application, where it is told of what happened.
    pub events: Arc<events::Room>,
    /// Who has to wait.
    pub throttles: Arc<throttle::Throttles>,
    /// JWTs in Better Auth's shape that were made a moment ago.
    pub recent_jwts: Arc<tokens::RecentJwts>,
    /// JWTs that were found good, and need not be verified again.
    pub verified_tokens: Arc<tokens::VerifiedTokens>,
    /// How attempts ended.
    pub counts: Arc<counts::Counts>,
}

impl Services {
    /// The same ground under other rules.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        Self {
            store: self.store.clone(),
            upkeep: self.upkeep.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            hasher: self.hasher.clone(),
            signer: self.signer.clone(),
            vault: self.vault.clone(),
            secrets: self.secrets.clone(),
            policy,
            mail: self.mail.clone(),
            backups: self.backups.clone(),
            hooks: self.hooks.clone(),
            events: self.events.clone(),
            throttles: self.throttles.clone(),
            recent_jwts: self.recent_jwts.clone(),
            verified_tokens: self.verified_tokens.clone(),
            counts: self.counts.clone(),
        }
    }
}

/// The configured rules.
#[derive(Debug, Clone)]
pub struct Policy {
    /// New passwords.
    pub password: PasswordPolicy,
    /// Sessions.
    pub session: SessionPolicy,
    /// Signing keys.
    pub keys: KeyPolicy,
    /// The algorithm of new signing keys.
    pub algorithm: Algorithm,
    /// Issuer and audience of tokens.
    pub token: Expected,
    /// Whether use prolongs sessions.
    pub prolong_sessions: bool,
    /// How long access tokens live.
    pub token_life: Span,
    /// How long after its rotation a refresh token may be shown again.
    pub reuse_window: Span,
    /// Whether people can make accounts themselves.
    pub sign_up_enabled: bool,
    /// Whether a new account is signed in at once.
    pub auto_sign_in: bool,
    /// Whether a change of the password ends all other sessions unless the request says otherwise (AU-10).
    pub password_change_ends_sessions: bool,
    /// Whether users may delete their own accounts.
    pub self_delete: bool,
    /// The fields of users that plugins keep: clients see them, and set none of them.
    pub locked_fields: FieldSet,
    /// The fields of sessions that plugins keep.
    pub locked_session_fields: FieldSet,
    /// Better Auth's admin plugin; `None`: it is off.
    pub admin: Option<AdminRules>,
    /// Better Auth's username plugin; `None`: it is off.
    pub username: Option<UsernameRules>,
    /// Whether that takes a link by mail.
    pub delete_by_mail: bool,
    /// How long that link is good.
    pub delete_expires_in: Span,
    /// How long links that set a password are good.
    pub reset_expires_in: Span,
    /// Whether setting a password by a link ends all sessions.
    pub reset_ends_sessions: bool,
    /// The proof and change of addresses.
    pub email: email::EmailPolicy,
    /// Mails.
    pub mail: mail::MailPolicy,
    /// Hooks without whose answer things happen all the same.
    pub open_hooks: Vec<Hook>,
    /// Events.
    pub events: events::EventPolicy,
    /// How long audit records are kept; `None`: for ever.
    pub audit_retention: Option<Span>,
    /// The application's own fields of users.
    pub user_fields: Arc<FieldSet>,
    /// And those of sessions.
    pub session_fields: Arc<FieldSet>,
}

/// What the banned are told where nothing else is configured.
const BANNED: &str =
    "You have been banned from this application. Please contact support if you believe this is an error.";

impl Policy {
    /// The role of new accounts.
    pub fn default_role(&self) -> &str {
        self.admin.as_ref().map_or(DEFAULT_ROLE, |rules| &rules.default_role)
    }

    /// What the banned are told who know their password.
    pub fn banned(&self) -> ServiceError {
        ServiceError::Banned(self.admin.as_ref().map_or(BANNED, |rules| &rules.banned_user_message).to_owned())
    }

    /// The limits of sessions as they count for a use of one.
    pub fn session_in_use(&self) -> SessionPolicy {
        if self.prolong_sessions { self.session } else { self.session.without_prolonging() }
    }
}

/// Where a request came from: what sessions and audit events record of it.
#[derive(Debug, Clone, Default)]
pub struct Requester {
    /// The client's address, canonical.
    pub address: Option<IpAddr>,
    /// The same, in words.
    pub source: Option<String>,
    /// The client's `User-Agent`, cut to a sensible length.
    pub user_agent: String,
    /// Of this request.
    pub request_id: Option<RequestId>,
    /// What the browser shows of the accounts that signed in with it.
    pub device: device::Device,
}

impl Requester {
    /// What tells this client from others: its network and user agent.
    pub fn client(&self) -> ClientDigest {
        let network = self.address.map(|address| address::bucket(address).to_string());
        let text = format!("{}\n{}", network.unwrap_or_default(), self.user_agent);
        let mut digest = [0; 16];
        digest.copy_from_slice(&sha256(text.as_bytes())[..16]);
        ClientDigest(digest)
    }

    /// What is done in a session: by its user, or by the administrator who acts as the user.
    pub fn act_in(&self, live: &Live, now: UnixTime) -> Act {
        match &live.session.impersonation {
            Some(impersonation) => self.act(Actor::User(impersonation.by.clone()), Method::Impersonation, now),
            None => self.act(Actor::User(live.user.id.clone()), Method::Session, now),
        }
    }

    /// An act of `by`, known by `method`, at `now` by this request.
    pub fn act(&self, by: Actor, method: Method, now: UnixTime) -> Act {
        Act {
            by,
            method,
            at: now,
            request_id: self.request_id.clone(),
            source: self.source.clone(),
            reason: None,
            idempotency: None,
            link: None,
            post: vec![],
        }
    }
}
