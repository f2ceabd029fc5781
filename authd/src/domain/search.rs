//! Which users an administrator asks for, and in which order (Better Auth's `/admin/list-users`).

use std::{cmp::Ordering, collections::BTreeSet};

use common::UnixTime;

use super::User;

/// A field of a user by which lists are filtered and sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserField {
    /// The id.
    Id,
    /// The display name.
    Name,
    /// The address.
    Email,
    /// Whether the address is proved.
    EmailVerified,
    /// The address of a picture.
    Image,
    /// When the account was made.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// The roles.
    Role,
    /// Whether there is a ban.
    Banned,
    /// Its reason.
    BanReason,
    /// Its end.
    BanExpires,
}

/// What stands in a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A point in time.
    Time(UnixTime),
    /// A text.
    Text(String),
}

impl UserField {
    const NAMES: [(&'static str, Self); 11] = [
        ("id", Self::Id),
        ("name", Self::Name),
        ("email", Self::Email),
        ("emailVerified", Self::EmailVerified),
        ("image", Self::Image),
        ("createdAt", Self::CreatedAt),
        ("updatedAt", Self::UpdatedAt),
        ("role", Self::Role),
        ("banned", Self::Banned),
        ("banReason", Self::BanReason),
        ("banExpires", Self::BanExpires),
    ];

    /// By its name on the wire. What clients do not see is no field.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    /// What stands in it.
    pub fn of(self, user: &User) -> Option<Value> {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let ban = user.ban.as_ref();
        match self {
            Self::Id => text(user.id.as_str()),
            Self::Name => text(&user.name),
            Self::Email => text(user.email.as_str()),
            Self::EmailVerified => Some(Value::Bool(user.email_verified)),
            Self::Image => user.image.clone().map(Value::Text),
            Self::CreatedAt => Some(Value::Time(user.created_at)),
            Self::UpdatedAt => Some(Value::Time(user.updated_at)),
            Self::Role => text(&user.role),
            Self::Banned => Some(Value::Bool(ban.is_some())),
            Self::BanReason => ban.and_then(|ban| ban.reason.clone()).map(Value::Text),
            Self::BanExpires => ban.and_then(|ban| ban.expires_at).map(Value::Time),
        }
    }

    /// A text of a query as a value of this field; `None` if nothing in the field could ever be compared with it.
    pub fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::EmailVerified | Self::Banned => text.parse().ok().map(Value::Bool),
            Self::CreatedAt | Self::UpdatedAt | Self::BanExpires => {
                let day = || format!("{text}T00:00:00Z").parse().ok();
                let millis = || text.parse().ok().map(UnixTime::from_millis);
                text.parse().ok().or_else(day).or_else(millis).map(Value::Time)
            }
            Self::Id | Self::Name | Self::Email | Self::Image | Self::Role | Self::BanReason => {
                Some(Value::Text(text.to_owned()))
            }
        }
    }
}

/// How a field is compared with what is asked for. Where it has no value, nothing holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is this.
    Is(Value),
    /// It is something else.
    IsNot(Value),
    /// It comes so before or behind this, or may be this (`true`).
    Compares(Ordering, bool, Value),
    /// It is one of these.
    In(Vec<Value>),
    /// It is none of these.
    NotIn(Vec<Value>),
    /// The text contains this, in lower case.
    Contains(String),
    /// The text begins with this, in lower case.
    StartsWith(String),
    /// The text ends with this, in lower case.
    EndsWith(String),
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The field.
    pub field: UserField,
    /// What must hold of it.
    pub test: Test,
}

impl Condition {
    /// Whether it holds of the user.
    pub fn holds(&self, user: &User) -> bool {
        let Some(found) = self.field.of(user) else { return false };
        let folded = || match &found {
            Value::Text(text) => Some(text.to_lowercase()),
            Value::Bool(_) | Value::Time(_) => None,
        };
        match &self.test {
            Test::Is(wanted) => found == *wanted,
            Test::IsNot(wanted) => found != *wanted,
            Test::Compares(side, or_equal, wanted) => {
                let order = found.cmp(wanted);
                order == *side || *or_equal && order == Ordering::Equal
            }
            Test::In(wanted) => wanted.contains(&found),
            Test::NotIn(unwanted) => !unwanted.contains(&found),
            Test::Contains(part) => folded().is_some_and(|text| text.contains(part)),
            Test::StartsWith(part) => folded().is_some_and(|text| text.starts_with(part)),
            Test::EndsWith(part) => folded().is_some_and(|text| text.ends_with(part)),
        }
    }
}

/// A part of a list of users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserSearch {
    /// All of these hold.
    pub conditions: Vec<Condition>,
    /// By which field it is sorted, and whether the last comes first; by address if absent.
    pub order: Option<(UserField, bool)>,
    /// How many to leave out at the beginning.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

/// Where a user stands in a list: no two stand at one place, because no two have one address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    field: Option<Value>,
    email: String,
}

impl UserSearch {
    /// Whether the user is in the list.
    pub fn holds(&self, user: &User) -> bool {
        self.conditions.iter().all(|condition| condition.holds(user))
    }

    /// Where the user stands, the last first if it is to be so.
    pub fn rank(&self, user: &User) -> Rank {
        let field = self.order.and_then(|(field, _)| field.of(user));
        Rank { field, email: user.email.to_string() }
    }

    /// Whether the last comes first.
    pub fn is_descending(&self) -> bool {
        self.order.is_some_and(|(_, descending)| descending)
    }

    /// Whether `a` comes before `b`.
    pub fn comes_before(&self, a: &Rank, b: &Rank) -> bool {
        if self.is_descending() { a > b } else { a < b }
    }

    /// The address that all users in the list must have, if they can only have one.
    pub fn only_email(&self) -> Option<&str> {
        self.conditions.iter().find_map(|condition| match (condition.field, &condition.test) {
            (UserField::Email, Test::Is(Value::Text(email))) => Some(email.as_str()),
            _ => None,
        })
    }

    /// What the addresses of all users in the list begin with.
    pub fn email_prefix(&self) -> &str {
        let prefix = self.conditions.iter().find_map(|condition| match (condition.field, &condition.test) {
            (UserField::Email, Test::StartsWith(prefix)) => Some(prefix.as_str()),
            _ => None,
        });
        prefix.unwrap_or_default()
    }

    /// Whether the list is in the order of addresses.
    pub fn is_by_email(&self) -> bool {
        self.order.is_none_or(|(field, _)| field == UserField::Email)
    }
}

/// The first ranks of a list, of which only so many are kept however long it is.
pub struct First<'a> {
    search: &'a UserSearch,
    most: usize,
    kept: BTreeSet<Rank>,
}

impl<'a> First<'a> {
    /// None yet.
    pub fn new(search: &'a UserSearch, most: usize) -> Self {
        Self { search, most, kept: BTreeSet::new() }
    }

    /// One more rank; the one that stands behind all others goes if there are too many.
    pub fn add(&mut self, rank: Rank) {
        let is_descending = self.search.is_descending();
        if self.kept.len() >= self.most {
            let last = if is_descending { self.kept.first() } else { self.kept.last() };
            if last.is_none_or(|last| !self.search.comes_before(&rank, last)) {
                return;
            }
        }
        self.kept.insert(rank);
        if self.kept.len() > self.most {
            if is_descending {
                self.kept.pop_first()
            } else {
                self.kept.pop_last()
            };
        }
    }

    /// They, in the order of the list.
    pub fn into_ranks(self) -> Vec<Rank> {
        let is_descending = self.search.is_descending();
        let mut ranks: Vec<Rank> = self.kept.into_iter().collect();
        if is_descending {
            ranks.reverse();
        }
        ranks
    }
}

impl Rank {
    /// Whose rank it is.
    pub fn email(&self) -> &str {
        &self.email
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Ban, session::tests::user};

    fn holds(field: &str, test: impl Fn(UserField) -> Option<Test>, user: &User) -> bool {
        let field = UserField::from_name(field).unwrap();
        test(field).is_some_and(|test| Condition { field, test }.holds(user))
    }

    #[test]
    fn a_field_is_compared_by_its_kind() {
        let ban = Ban { reason: None, expires_at: Some(UnixTime::from_secs(100)) };
        let ada = User { name: "Ada".into(), ban: Some(ban), created_at: UnixTime::from_secs(50), ..user() };
        let is = |text: &'static str| move |field: UserField| field.read(text).map(Test::Is);
        let isnt = |text: &'static str| move |field: UserField| field.read(text).map(Test::IsNot);
        let before = |text: &'static str| {
            move |field: UserField| field.read(text).map(|value| Test::Compares(Ordering::Less, false, value))
        };
        for (field, outcome, expected) in [
            ("name", holds("name", is("Ada"), &ada), true),
            ("name in another case", holds("name", is("ada"), &ada), false),
            ("banned", holds("banned", is("true"), &ada), true),
            ("banned is no number", holds("banned", is("1"), &ada), false),
            ("nor is it not one", holds("banned", isnt("1"), &ada), false),
            ("the time in its text form", holds("createdAt", is("1970-01-01T00:00:50.000Z"), &ada), true),
            ("in milliseconds", holds("createdAt", is("50000"), &ada), true),
            ("before a day", holds("createdAt", before("1970-01-02"), &ada), true),
            ("not before itself", holds("createdAt", before("50000"), &ada), false),
            ("no value is nothing", holds("banReason", isnt("x"), &ada), false),
            ("no value is not empty", holds("image", is(""), &ada), false),
            ("case is nothing to a part", holds("name", |_| Some(Test::Contains("da".into())), &ada), true),
            ("a time has no parts", holds("createdAt", |_| Some(Test::Contains("1".into())), &ada), false),
        ] {
            assert_eq!(outcome, expected, "{field}");
        }
        for hidden in ["password", "epoch", "", "ID"] {
            assert_eq!(UserField::from_name(hidden), None);
        }
    }

    #[test]
    fn only_the_first_are_kept_and_they_are_the_first() {
        let people: Vec<User> = (0..50_u8)
            .map(|n| User { name: format!("{}", n % 7), email: format!("u{n}@example.com").parse().unwrap(), ..user() })
            .collect();
        for descending in [false, true] {
            let search = UserSearch { order: Some((UserField::Name, descending)), ..UserSearch::default() };
            let mut first = First::new(&search, 10);
            people.iter().for_each(|user| first.add(search.rank(user)));
            let mut all: Vec<Rank> = people.iter().map(|user| search.rank(user)).collect();
            all.sort();
            if descending {
                all.reverse();
            }
            assert_eq!(first.into_ranks(), all[..10]);
        }
    }
}
