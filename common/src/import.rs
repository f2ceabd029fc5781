//! JSON bodies of imports on the admin door: accounts that another server had, in batches.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ImportId, SecretString, UnixTime};

/// The most accounts of one batch.
pub const MAX_ACCOUNTS: usize = 500;
/// The largest body of a batch, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;
/// The most sessions of one account: the newest are sent.
pub const MAX_SESSIONS: usize = 100;
/// How many examples of a finding are kept.
pub const MAX_EXAMPLES: usize = 3;

/// An account with its password and its sessions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportAccount {
    /// Kept as it is; authd makes one where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// The address.
    pub email: String,
    /// Display name.
    #[serde(default)]
    pub name: String,
    /// Whether the owner has proved the mailbox.
    #[serde(default)]
    pub email_verified: bool,
    /// Address of a picture.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
    /// Better Auth's role text; `user` if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<String>,
    /// The name to sign in with, as it is typed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// The same as its owner spells it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub display_username: Option<String>,
    /// The application's own fields, as the other server stored them.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub fields: Map<String, Value>,
    /// Whether nobody may sign in to it.
    #[serde(default)]
    pub banned: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ban_reason: Option<String>,
    /// Until when; absent is for good.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ban_expires: Option<UnixTime>,
    /// When it was made; now if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_at: Option<UnixTime>,
    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated_at: Option<UnixTime>,
    /// Its password.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<ImportPassword>,
    /// Its sessions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sessions: Vec<ImportSession>,
}

/// A password as another server stored it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportPassword {
    /// The id of Better Auth's account row.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// The hash.
    pub hash: SecretString,
    /// When it was first set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_at: Option<UnixTime>,
    /// When it last changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated_at: Option<UnixTime>,
}

/// A session as another server stored it. Its token is not among it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportSession {
    /// Its id.
    pub id: String,
    /// SHA-256 of its token, in hexadecimal digits.
    pub token_sha256: String,
    /// When the user signed in.
    pub created_at: UnixTime,
    /// When it was last prolonged.
    pub updated_at: UnixTime,
    /// When it ends unless it is used before.
    pub expires_at: UnixTime,
    /// The client's address at sign-in.
    #[serde(default)]
    pub ip_address: String,
    /// The client's `User-Agent` at sign-in.
    #[serde(default)]
    pub user_agent: String,
    /// Whether an administrator was signed in as the user.
    #[serde(default)]
    pub impersonated: bool,
    /// The application's own fields, as the other server stored them.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub fields: Map<String, Value>,
}

/// `GET /v1/imports/fields`: what there is room for besides what every account has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportFields {
    /// The application's own fields of users, by name.
    pub user: Vec<String>,
    /// The application's own fields of sessions, by name.
    pub session: Vec<String>,
    /// Whether users have names to sign in with.
    pub usernames: bool,
}

/// `POST /v1/imports`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportBatch {
    /// Names what is imported: the same rows have the same name, so that an import which broke off goes on.
    pub import: ImportId,
    /// From what: `better-auth` or `users`.
    pub source: String,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// The accounts.
    pub accounts: Vec<ImportAccount>,
}

macro_rules! findings {
    ($( $group:literal { $( $variant:ident = $name:literal, $text:literal; )+ } )+) => {
        /// What is found of the rows of an import. Append-only.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Finding { $( $( #[doc = $text] #[serde(rename = $name)] $variant, )+ )+ }

        impl Finding {
            /// All, in the order in which people read them.
            pub const ALL: &'static [Self] = &[ $( $( Self::$variant, )+ )+ ];

            /// The name in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $( $( Self::$variant => $name, )+ )+ }
            }

            /// Among which it stands in a table.
            pub const fn group(self) -> &'static str {
                match self { $( $( Self::$variant => $group, )+ )+ }
            }

            /// For people.
            pub const fn describe(self) -> &'static str {
                match self { $( $( Self::$variant => $text, )+ )+ }
            }
        }
    };
}

findings! {
    "new" {
        User = "user", "accounts";
        Session = "session", "sessions: who has their cookie stays signed in";
    }
    "there" {
        UserDone = "user_done", "accounts of this import, done before";
        UserThere = "user_there", "accounts that authd has, with the same id and address: left as they are";
    }
    "password" {
        Argon2id = "argon2id", "argon2id";
        Argon2i = "argon2i", "argon2i";
        Argon2d = "argon2d", "argon2d";
        Scrypt = "scrypt", "scrypt";
        Bcrypt = "bcrypt", "bcrypt";
        Pbkdf2Sha256 = "pbkdf2-sha256", "PBKDF2 with SHA-256";
        Pbkdf2Sha512 = "pbkdf2-sha512", "PBKDF2 with SHA-512";
        FirebaseScrypt = "firebase-scrypt", "Firebase scrypt";
        HashUnknown = "hash_unknown", "hashes of an unknown form: accounts without a password";
        HashTooCostly = "hash_too_costly", "hashes that take too long or too much memory: accounts without a password";
        SocialOnly = "social_only", "accounts with social sign-in only, which authd does not have: without a password";
        NoPassword = "no_password", "other accounts without a password";
    }
    "conflict" {
        EmailTaken = "email_taken", "accounts whose address another account has: not imported";
        IdTaken = "id_taken", "accounts whose id an account with another address has: not imported";
        Duplicate = "duplicate", "accounts whose id or address stands in the source before: not imported";
        UsernameTaken = "username_taken", "usernames that another account has: accounts without one";
        SessionTaken = "session_taken", "sessions whose id or token another session has: not imported";
    }
    "unusable" {
        EmailInvalid = "email_invalid", "accounts whose address is none: not imported";
        IdInvalid = "id_invalid", "accounts whose id is none: not imported";
        RowInvalid = "row_invalid", "lines that are no JSON object: not imported";
        SessionExpired = "session_expired", "sessions that have expired";
        SessionInvalid = "session_invalid", "sessions without a sound id or token";
        SessionOfBanned = "session_of_banned", "sessions of banned accounts";
        SessionImpersonated = "session_impersonated", "sessions of administrators as somebody else";
        SessionSurplus = "session_surplus", "sessions beyond the newest that a user may have";
        SessionOrphan = "session_orphan", "sessions of no account";
        AccountOrphan = "account_orphan", "ways to sign in to no account";
    }
    "changed" {
        NameChanged = "name_changed", "names with control or invisible characters, or too long: without them";
        ImageLeftOut = "image_left_out", "pictures without an https address: left out";
        RoleLeftOut = "role_left_out", "roles that are none: user instead";
        UsernameLeftOut = "username_left_out", "usernames that are none here: accounts without one";
        FieldLeftOut = "field_left_out", "values of fields that are of another type, or too long: left out";
        BanReasonCut = "ban_reason_cut", "reasons of bans that are too long: cut";
    }
    "left out" {
        SocialAccount = "social_account", "ways to sign in by another service";
        SecondFactor = "second_factor", "accounts with a second factor, which authd does not ask for: the password alone is enough";
        Column = "column", "columns";
        Table = "table", "tables with rows";
    }
}

/// How often something was found, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Found {
    /// How often.
    pub count: u64,
    /// The first few, for people.
    #[serde(default)]
    pub examples: Vec<String>,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Findings(pub BTreeMap<Finding, Found>);

impl Findings {
    /// One more.
    pub fn add(&mut self, finding: Finding, example: &str) {
        self.add_many(finding, 1, &[example.to_owned()]);
    }

    /// Several more.
    pub fn add_many(&mut self, finding: Finding, count: u64, examples: &[String]) {
        if count == 0 {
            return;
        }
        let found = self.0.entry(finding).or_default();
        found.count += count;
        let room = MAX_EXAMPLES.saturating_sub(found.examples.len());
        found.examples.extend(examples.iter().filter(|example| !example.is_empty()).take(room).cloned());
    }

    /// Those of another batch too.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(finding, found)| self.add_many(*finding, found.count, &found.examples));
    }

    /// How often.
    pub fn count(&self, finding: Finding) -> u64 {
        self.0.get(&finding).map_or(0, |found| found.count)
    }
}

/// What became of a batch, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// What was found.
    pub findings: Findings,
    /// Whether nothing was done because only a preview was asked for.
    #[serde(default)]
    pub dry_run: bool,
}

/// An import as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportView {
    /// Names it.
    pub id: ImportId,
    /// From what.
    pub source: String,
    /// The accounts that came with it and are still there.
    pub users: u64,
    /// The passwords that came with it.
    pub passwords: u64,
    /// The sessions that came with it.
    pub sessions: u64,
    /// When its first batch was stored.
    pub began_at: UnixTime,
    /// When its last batch was stored.
    pub changed_at: UnixTime,
}

/// `POST /v1/imports/{import}/undo`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UndoImport {
    /// Only say what it is about.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a step of taking an import back did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportUndone {
    /// As it was before the step.
    pub import: ImportView,
    /// Accounts that were deleted.
    pub users: u64,
    /// Sessions that ended.
    pub sessions: u64,
    /// Accounts that are left: ask again.
    pub left: u64,
    /// Whether nothing was done because only a preview was asked for.
    #[serde(default)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn findings_have_names_of_their_own_and_read_back() {
        let mut seen = HashSet::new();
        for finding in Finding::ALL {
            assert!(seen.insert(finding.as_str()), "{finding:?} twice");
            let json = serde_json::to_string(finding).unwrap();
            assert_eq!(json, format!("\"{}\"", finding.as_str()));
            assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), *finding);
        }
        assert!(Finding::ALL.is_sorted());
    }

    #[test]
    fn findings_are_counted_and_keep_a_few_examples() {
        let mut all = Findings::default();
        for n in 0..5 {
            all.add(Finding::EmailTaken, &format!("{n}@example.com"));
        }
        all.add(Finding::Session, "");
        let mut twice = all.clone();
        twice.merge(&all);
        assert_eq!(twice.count(Finding::EmailTaken), 10);
        assert_eq!(twice.0[&Finding::EmailTaken].examples, ["0@example.com", "1@example.com", "2@example.com"]);
        assert_eq!(twice.0[&Finding::Session], Found { count: 2, examples: vec![] });
        let json = serde_json::to_string(&twice).unwrap();
        assert_eq!(serde_json::from_str::<Findings>(&json).unwrap(), twice);
    }
}
