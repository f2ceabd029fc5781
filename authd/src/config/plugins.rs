//! Settings of Better Auth's plugins as the rules that they stand for, and what is wrong with them.

use common::Span;

use super::{AdminPlugin, Settings, Username};
use crate::domain::{
    AdminRules, Field, FieldSet, FieldType, FieldValue, UsernameRules,
    permission::{MAX_ROLE_BYTES, is_role},
    user::MAX_REASON,
    username::MAX_USERNAME,
};

impl AdminPlugin {
    /// The rules; `None` while it is off.
    pub fn rules(&self) -> Option<AdminRules> {
        self.enabled.then(|| AdminRules {
            default_role: self.default_role.clone(),
            admin_roles: self.admin_roles.clone(),
            admin_user_ids: self.admin_user_ids.clone(),
            default_ban_reason: self.default_ban_reason.clone(),
            default_ban_expires_in: Some(self.default_ban_expires_in).filter(|span| *span != Span::ZERO),
            impersonation: self.impersonation_session_duration,
            banned_user_message: self.banned_user_message.clone(),
            allow_impersonating_admins: self.allow_impersonating_admins,
            roles: Some(self.roles.clone()).filter(|roles| !roles.is_empty()),
        })
    }
}

/// A field that clients see and do not set.
fn locked(name: &str, default: Option<FieldValue>) -> Field {
    let kind = default.as_ref().map_or(FieldType::Text, FieldValue::kind);
    Field { name: name.into(), kind, is_required: false, default, is_input: false, is_returned: true }
}

impl AdminPlugin {
    /// What the plugin keeps of users, as recorded: to set `banned` at sign-up is as good as not to, the others are refused.
    pub fn locked_fields(&self) -> FieldSet {
        let fields = || {
            let banned = locked("banned", Some(FieldValue::Bool(false)));
            vec![locked("role", None), banned, locked("banReason", None), locked("banExpires", None)]
        };
        FieldSet(if self.enabled { fields() } else { vec![] })
    }

    /// What the plugin keeps of sessions.
    pub fn locked_session_fields(&self) -> FieldSet {
        FieldSet(if self.enabled { vec![locked("impersonatedBy", None)] } else { vec![] })
    }
}

impl Username {
    /// The rules; `None` while it is off.
    pub fn rules(&self) -> Option<UsernameRules> {
        let (min_length, max_length) = (self.min_length as usize, self.max_length as usize);
        self.enabled.then_some(UsernameRules { min_length, max_length })
    }
}

/// The longest that somebody may act as another at a time.
const MAX_IMPERSONATION: Span = Span::from_hours(24);

/// What must not be.
pub(super) fn check(s: &Settings, refuse: &mut impl FnMut(&str, String)) {
    let admin = &s.admin_plugin;
    let names = [("admin_plugin.default_role", std::slice::from_ref(&admin.default_role))];
    for (key, roles) in names.into_iter().chain([("admin_plugin.admin_roles", admin.admin_roles.as_slice())]) {
        for role in roles {
            if !is_role(role) {
                let message = format!("'{role}' is no role: 1 to {MAX_ROLE_BYTES} printable characters, no comma");
                refuse(key, message);
            } else if !admin.roles.is_empty() && admin.roles.iter().all(|known| known.name != *role) {
                refuse(key, format!("'{role}' is none of admin_plugin.roles: add it there"));
            }
        }
    }
    let life = admin.impersonation_session_duration;
    if life < Span::from_secs(1) || life > MAX_IMPERSONATION {
        refuse("admin_plugin.impersonation_session_duration", format!("it must be between 1s and {MAX_IMPERSONATION}"));
    }
    let texts = [
        ("admin_plugin.default_ban_reason", &admin.default_ban_reason),
        ("admin_plugin.banned_user_message", &admin.banned_user_message),
    ];
    for (key, text) in texts {
        if text.trim().is_empty() {
            refuse(key, "it cannot be empty".into());
        }
    }
    if admin.default_ban_reason.chars().count() > MAX_REASON {
        refuse("admin_plugin.default_ban_reason", format!("it may have {MAX_REASON} characters"));
    }
    let mut names: Vec<&str> = admin.roles.iter().map(|role| role.name.as_str()).collect();
    names.sort_unstable();
    if let Some([twice, _]) = names.windows(2).find(|two| two[0] == two[1]) {
        refuse("admin_plugin.roles", format!("the role {twice} is there twice: write it once with all it may"));
    }
    let (least, most) = (s.username.min_length, s.username.max_length);
    if least < 1 || least > most {
        refuse("username.min_length", format!("it must be between 1 and username.max_length ({most})"));
    }
    if most as usize > MAX_USERNAME {
        refuse("username.max_length", format!("it must be at most {MAX_USERNAME}"));
    }
}
