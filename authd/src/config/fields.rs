//! The application's own fields (Better Auth's `additionalFields`) as settings: `[user.fields.NAME]` and
//! `[session.fields.NAME]`, each a table of its own.

use std::{ops::Range, sync::Arc};

use toml::de::{DeTable, DeValue};

use super::{
    setting::{Fault, Setting, quoted},
    source::unknown,
};
use crate::domain::{
    Field, FieldProblem, FieldSet, FieldType, FieldValue, Session, User, field::Number, token::is_registered_claim,
};

/// The fields of users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFields(pub Arc<FieldSet>);

/// The fields of sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFields(pub Arc<FieldSet>);

/// What a setting of this kind is called in the manual.
pub(super) const KIND: &str = "a table for each field";

/// How many fields there may be.
const MAX_FIELDS: usize = 32;
/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// What the table of a field has.
const KEYS: [&str; 5] = ["type", "required", "default", "input", "returned"];

/// Names that mean something on the wire of a user: fields of Better Auth's and of its plugins, and members of the bodies that
/// set them.
const OF_USERS: &[&str] = &[
    "id",
    "name",
    "email",
    "emailVerified",
    "image",
    "createdAt",
    "updatedAt",
    "password",
    "newPassword",
    "callbackURL",
    "rememberMe",
    "mode",
    "token",
    "user",
    "userId",
    "role",
    "banned",
    "banReason",
    "banExpires",
    "username",
    "displayUsername",
    "twoFactorEnabled",
    "phoneNumber",
    "phoneNumberVerified",
    "isAnonymous",
    "lastLoginMethod",
];

/// The same of a session.
const OF_SESSIONS: &[&str] = &[
    "id",
    "token",
    "userId",
    "expiresAt",
    "createdAt",
    "updatedAt",
    "ipAddress",
    "userAgent",
    "impersonatedBy",
    "activeOrganizationId",
    "activeTeamId",
    "user",
    "session",
];

/// Whose fields they are: what is special about them.
struct Owner {
    taken: &'static [&'static str],
    /// Whether the fields are claims of JWTs, too.
    is_in_tokens: bool,
    most: usize,
    /// Whether somebody can give a value when the record is made.
    is_given: bool,
}

const USER: Owner = Owner { taken: OF_USERS, is_in_tokens: true, most: User::MAX_FIELD_BYTES, is_given: true };
const SESSION: Owner =
    Owner { taken: OF_SESSIONS, is_in_tokens: false, most: Session::MAX_FIELD_BYTES, is_given: false };

macro_rules! fields {
    ($type:ident, $owner:ident) => {
        impl Setting for $type {
            const KIND: &'static str = KIND;
            /// The same tables as TOML: `plan.type = "string"`.
            fn from_text(text: &str) -> Result<Self, String> {
                let table = DeTable::parse(text).map_err(|e| format!("it is not TOML: {}", e.message()))?;
                let first = |faults: Vec<Fault>| faults.into_iter().next().map_or_else(String::new, |f| f.to_string());
                $owner.read(table.get_ref()).map(|set| Self(Arc::new(set))).map_err(first)
            }
            fn read(value: &DeValue<'_>) -> Result<Self, Vec<Fault>> {
                match value {
                    DeValue::Table(table) => $owner.read(table).map(|set| Self(Arc::new(set))),
                    DeValue::String(text) => Self::from_text(text).map_err(|message| vec![Fault::whole(message)]),
                    other => Err(vec![Fault::whole(format!("expected {KIND}, found {}", other.type_str()))]),
                }
            }
            fn to_toml(&self) -> Option<String> {
                let fields: Vec<String> = self.0.0.iter().map(shown).collect();
                Some(if fields.is_empty() { "{}".into() } else { format!("{{ {} }}", fields.join(", ")) })
            }
        }
    };
}

fields!(UserFields, USER);
fields!(SessionFields, SESSION);

impl Owner {
    /// In the order in which they are written, which is the order on the wire.
    fn read(&self, table: &DeTable<'_>) -> Result<FieldSet, Vec<Fault>> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let (mut fields, mut faults) = (vec![], vec![]);
        for (name, value) in entries {
            let (at, name) = (name.span(), name.get_ref().as_ref());
            let mut one = Reading { name, at, faults: &mut faults };
            match value.get_ref() {
                DeValue::Table(content) => fields.extend(one.field(self, content)),
                _ => one.refuse(format!("this is a table of its own: write {name}.type = \"string\", and so on")),
            }
        }
        let set = FieldSet(fields);
        if set.0.len() > MAX_FIELDS {
            faults.push(Fault::whole(format!("there are {}, and may be {MAX_FIELDS}", set.0.len())));
        }
        let defaults = FieldSet(set.0.iter().filter(|field| field.default.is_some()).cloned().collect());
        let sizes = defaults.begin(crate::domain::GivenFields::default()).and_then(|all| all.check_size(self.most));
        if let Err(FieldProblem::TooLarge(most)) = sizes {
            faults.push(Fault::whole(format!("the defaults together have more than {most} bytes")));
        }
        if faults.is_empty() { Ok(set) } else { Err(faults) }
    }
}

/// A field that is being read.
struct Reading<'r> {
    name: &'r str,
    at: Range<usize>,
    faults: &'r mut Vec<Fault>,
}

impl Reading<'_> {
    fn refuse(&mut self, message: String) {
        self.faults.push(Fault { path: self.name.to_owned(), at: Some(self.at.clone()), message });
    }

    fn refuse_key(&mut self, key: &str, at: Range<usize>, message: String) {
        self.faults.push(Fault { path: format!("{}.{key}", self.name), at: Some(at), message });
    }

    fn field(&mut self, owner: &Owner, content: &DeTable<'_>) -> Option<Field> {
        let before = self.faults.len();
        self.name(owner);
        for key in content.keys().filter(|key| !KEYS.contains(&key.get_ref().as_ref())) {
            self.refuse_key(key.get_ref(), key.span(), unknown(key.get_ref(), "setting", KEYS.into_iter()));
        }
        let is_required = self.flag(content, "required");
        let is_input = self.flag(content, "input");
        let is_returned = self.flag(content, "returned");
        let kind = self.kind(content)?;
        let default = content.get("default").and_then(|value| match default(kind, value.get_ref()) {
            Ok(found) => Some(found),
            Err(message) => {
                self.refuse_key("default", value.span(), message);
                None
            }
        });
        if is_required && default.is_none() && !owner.is_given && !content.contains_key("default") {
            self.refuse("nobody gives it a value when a session begins: write a default, or required = false".into());
        }
        let name = self.name.to_owned();
        (self.faults.len() == before).then_some(Field { name, kind, is_required, default, is_input, is_returned })
    }

    fn name(&mut self, owner: &Owner) {
        let name = self.name;
        if owner.taken.contains(&name) {
            self.refuse(format!("'{name}' means something already: take another name"));
        } else if owner.is_in_tokens && is_registered_claim(name) {
            self.refuse(format!("'{name}' is a claim of tokens with a meaning of its own: take another name"));
        } else if !name.starts_with(|c: char| c.is_ascii_alphabetic())
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            || name.len() > MAX_NAME_BYTES
        {
            self.refuse(format!("a name has 1 to {MAX_NAME_BYTES} letters, digits and _, the first of them a letter"));
        }
    }

    fn kind(&mut self, content: &DeTable<'_>) -> Option<FieldType> {
        let names = || FieldType::ALL.map(FieldType::as_str).join(", ");
        let Some(value) = content.get("type") else {
            self.refuse(format!("it needs a type: one of {}", names()));
            return None;
        };
        let kind = value.get_ref().as_str().and_then(FieldType::from_name);
        if kind.is_none() {
            self.refuse_key("type", value.span(), format!("this is none of {}", names()));
        }
        kind
    }

    /// A truth value; true unless it is written otherwise.
    fn flag(&mut self, content: &DeTable<'_>, key: &str) -> bool {
        let Some(value) = content.get(key) else { return true };
        bool::from_toml(value.get_ref()).unwrap_or_else(|message| {
            self.refuse_key(key, value.span(), message);
            true
        })
    }
}

fn text(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &DeValue<'_>) -> Option<Number> {
    let plain = |text: &str| text.replace('_', "").parse().ok();
    let found = match value {
        #[allow(clippy::cast_precision_loss)] // as JavaScript does
        DeValue::Integer(n) => i64::from_str_radix(&n.as_str().replace('_', ""), n.radix()).ok().map(|n| n as f64),
        DeValue::Float(n) => plain(n.as_str()),
        _ => None,
    };
    found.and_then(Number::new)
}

fn default(kind: FieldType, value: &DeValue<'_>) -> Result<FieldValue, String> {
    let items = || value.as_array().map(|items| items.iter().map(toml::Spanned::get_ref));
    let found = match kind {
        FieldType::Text => text(value).map(FieldValue::Text),
        FieldType::Number => number(value).map(FieldValue::Number),
        FieldType::Bool => value.as_bool().map(FieldValue::Bool),
        FieldType::Date => {
            let written = value.as_datetime().map(ToString::to_string).or_else(|| text(value));
            written.and_then(|text| text.parse().ok()).map(FieldValue::Date)
        }
        FieldType::Texts => items().and_then(|all| all.map(text).collect::<Option<_>>()).map(FieldValue::Texts),
        FieldType::Numbers => items().and_then(|all| all.map(number).collect::<Option<_>>()).map(FieldValue::Numbers),
    };
    match found {
        Some(found) if found.is_plain() => Ok(found),
        Some(_) => Err("it has control characters or invisible ones".into()),
        None => Err(format!("this is no {}", kind.as_str())),
    }
}

/// The field as a part of an inline table; what is at its default is left out.
fn shown(field: &Field) -> String {
    let mut parts = vec![format!("type = {}", quoted(field.kind.as_str()))];
    if let Some(default) = &field.default {
        parts.push(format!("default = {}", shown_value(default)));
    }
    for (key, is) in [("required", field.is_required), ("input", field.is_input), ("returned", field.is_returned)] {
        if !is {
            parts.push(format!("{key} = false"));
        }
    }
    format!("{} = {{ {} }}", field.name, parts.join(", "))
}

fn shown_value(value: &FieldValue) -> String {
    // With a fraction or an exponent: a whole number of TOML has 64 bits.
    let number = |n: &Number| format!("{:?}", n.get());
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match value {
        FieldValue::Text(text) => quoted(text),
        FieldValue::Number(n) => number(n),
        FieldValue::Bool(is) => is.to_string(),
        FieldValue::Date(at) => quoted(at),
        FieldValue::Texts(texts) => list(texts.iter().map(quoted).collect()),
        FieldValue::Numbers(numbers) => list(numbers.iter().map(number).collect()),
    }
}

/// The fields that only an operator can give a value, and that must have one: what is worth a look.
pub(super) fn only_by_operators(set: &FieldSet) -> Vec<&str> {
    let is_such = |field: &&Field| field.is_required && !field.is_input && field.default.is_none();
    set.0.iter().filter(is_such).map(|field| field.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags, Problem, load};
    use crate::domain::token::REGISTERED_CLAIMS;

    fn read(file: &str) -> Result<Config, Vec<Problem>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authd.toml");
        std::fs::write(&path, file).unwrap();
        load(&Flags { config: Some(path), ..Flags::default() }, &[])
    }

    fn problems(file: &str) -> Vec<String> {
        read(file).err().into_iter().flatten().map(|problem| problem.to_string()).collect()
    }

    const SOUND: &str = "[user.fields.zone]\ntype = \"string\"\ndefault = \"UTC\"\n\
        [user.fields.level]\ntype = \"number\"\nrequired = false\ndefault = 3\n\
        [user.fields.vip]\ntype = \"boolean\"\ndefault = false\ninput = false\n\
        [user.fields.born]\ntype = \"date\"\nrequired = false\nreturned = false\ndefault = 1815-12-10\n\
        [user.fields.tags]\ntype = \"string[]\"\ndefault = [\"a\", \"b \\\"c\\\"\"]\n\
        [user.fields.scores]\ntype = \"number[]\"\ndefault = [1, -2.5, 1e300]\n\
        [session]\nexpires_in = \"7d\"\n[session.fields.theme]\ntype = \"string\"\nrequired = false\n";

    #[test]
    fn fields_are_read_in_their_order_and_what_is_shown_reads_back() {
        let config = read(SOUND).unwrap_or_else(|p| panic!("{p:?}"));
        let fields = &config.settings.user.fields;
        let names: Vec<&str> = fields.0.0.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["zone", "level", "vip", "born", "tags", "scores"]);
        let [zone, level, vip, born, ..] = fields.0.0.as_slice() else { panic!() };
        assert!(zone.is_required && zone.is_input && zone.is_returned, "as Better Auth's defaults");
        assert!(!level.is_required && !vip.is_input && !born.is_returned);
        assert_eq!(born.default, Some(FieldValue::Date("1815-12-10".parse().unwrap())));
        assert_eq!(UserFields::from_text(&format!("x = {}", fields.to_toml().unwrap())).ok(), None);
        let shown = config.show();
        assert!(shown.contains("fields = { zone = { type = \"string\", default = \"UTC\" }, level = "), "{shown}");
        let again = read(&shown).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(again.settings.user.fields, *fields);
        assert_eq!(again.settings.session.fields, config.settings.session.fields);
        assert!(config.settings.differing(&again.settings).is_empty());
    }

    #[test]
    fn a_variable_has_the_same_tables() {
        let env = [
            (
                "AUTHD_USER__FIELDS".to_owned(),
                "plan.type = \"string\"\nlevel = { type = \"number\", required = false }".to_owned(),
            ),
            ("HOME".into(), "/nonexistent".into()),
        ];
        let config = load(&Flags::default(), &env).unwrap_or_else(|p| panic!("{p:?}"));
        assert_eq!(config.settings.user.fields.0.0.len(), 2);
        let wrong = [
            ("AUTHD_USER__FIELDS".to_owned(), "role.type = \"string\"".to_owned()),
            ("HOME".into(), "/nonexistent".into()),
        ];
        let problems = load(&Flags::default(), &wrong).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "user.fields (AUTHD_USER__FIELDS): role: 'role' means something already: take another name"
        );
    }

    #[test]
    fn op_01_every_problem_has_its_line() {
        let cases = [
            ("[user.fields.role]\ntype = \"string\"", "user.fields.role (line 1): 'role' means something already"),
            ("[user.fields.sid]\ntype = \"string\"", "user.fields.sid (line 1): 'sid' is a claim of tokens with a"),
            (
                "[session.fields.impersonatedBy]\ntype = \"string\"\nrequired = false",
                "session.fields.impersonatedBy (line 1): 'imp",
            ),
            ("[user.fields.\"a b\"]\ntype = \"string\"", "user.fields.a b (line 1): a name has 1 to 64 letters"),
            ("[user.fields._a]\ntype = \"string\"", "user.fields._a (line 1): a name has"),
            (
                "[user.fields.plan]\nrequired = true",
                "user.fields.plan (line 1): it needs a type: one of string, number",
            ),
            ("[user.fields.plan]\ntype = \"json\"", "user.fields.plan.type (line 2): this is none of string, number"),
            (
                "[user.fields.plan]\ntype = \"string\"\ntipe = 1",
                "user.fields.plan.tipe (line 3): there is no such setting; did you mean 'type'",
            ),
            (
                "[user.fields.plan]\ntype = \"string\"\nrequired = 1",
                "user.fields.plan.required (line 3): expected true or false",
            ),
            (
                "[user.fields.plan]\ntype = \"number\"\ndefault = \"3\"",
                "user.fields.plan.default (line 3): this is no number",
            ),
            (
                "[user.fields.plan]\ntype = \"number\"\ndefault = inf",
                "user.fields.plan.default (line 3): this is no number",
            ),
            (
                "[user.fields.plan]\ntype = \"string\"\ndefault = \"a\\u001b\"",
                "user.fields.plan.default (line 3): it has control",
            ),
            ("[session.fields.theme]\ntype = \"string\"", "session.fields.theme (line 1): nobody gives it a value"),
            ("[user]\nfields = 5", "user.fields (line 2): expected a table for each field, found integer"),
            ("[user]\nfields.plan = \"string\"", "user.fields.plan (line 2): this is a table of its own"),
        ];
        for (file, said) in cases {
            let found = problems(file);
            assert!(found.len() == 1 && found[0].starts_with(said), "{file}: {found:?}");
        }
        let two = problems("[user.fields.role]\ntype = \"json\"\n[user.fields.ok]\ntype = \"x\"");
        assert_eq!(two.len(), 3, "{two:?}");
        assert!(two[2].contains("user.fields.ok.type (line 4)"), "{two:?}");
    }

    #[test]
    fn tk_14_no_field_of_users_has_the_name_of_a_registered_claim() {
        let field = |of: &str, name: &str| format!("[{of}.fields.{name}]\ntype = \"string\"\nrequired = false");
        for name in REGISTERED_CLAIMS {
            let found = problems(&field("user", name));
            assert!(found.len() == 1 && found[0].starts_with(&format!("user.fields.{name} (line 1)")), "{found:?}");
        }
        // Those of sessions are in no token.
        assert_eq!(problems(&field("session", "scope")), Vec::<String>::new());
        assert_eq!(problems(&field("user", "plan")), Vec::<String>::new());
    }

    #[test]
    fn fields_are_few_and_their_defaults_fit() {
        let many: String = (0..33).map(|n| format!("[user.fields.f{n}]\ntype = \"string\"\n")).collect();
        assert!(problems(&many)[0].starts_with("user.fields (line 1): there are 33, and may be 32"));
        let large = format!("[user.fields.a]\ntype = \"string\"\ndefault = \"{}\"\n", "x".repeat(1024));
        assert!(problems(&large)[0].contains("the defaults together have more than 1024 bytes"));
    }

    #[test]
    fn what_only_operators_can_give_is_worth_a_look() {
        let config = read("[user.fields.team]\ntype = \"string\"\ninput = false").unwrap();
        assert!(config.advice.iter().any(|advice| advice.contains("user.fields.team")), "{:?}", config.advice);
    }
}
