//! The application's own fields of users and sessions (Better Auth's `additionalFields`): what may stand in them, who may
//! set them, who sees them.

use std::collections::{BTreeMap, BTreeSet};

use common::{Moment, text::is_forbidden_in_names};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A text.
    Text,
    /// A number, as JavaScript has them.
    Number,
    /// A truth value.
    Bool,
    /// A point in time.
    Date,
    /// A list of texts.
    Texts,
    /// A list of numbers.
    Numbers,
}

impl FieldType {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Text, Self::Number, Self::Bool, Self::Date, Self::Texts, Self::Numbers];

    /// Better Auth's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "number",
            Self::Bool => "boolean",
            Self::Date => "date",
            Self::Texts => "string[]",
            Self::Numbers => "number[]",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// A number that is one: not infinite, and not NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(f64);

impl Eq for Number {}

impl Number {
    /// `None` if it is none.
    pub fn new(number: f64) -> Option<Self> {
        // Zero has one sign, as in JSON.
        number.is_finite().then_some(Self(if number == 0.0 { 0.0 } else { number }))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// What stands in a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// A text.
    Text(String),
    /// A number.
    Number(Number),
    /// A truth value.
    Bool(bool),
    /// A point in time.
    Date(Moment),
    /// Texts.
    Texts(Vec<String>),
    /// Numbers.
    Numbers(Vec<Number>),
}

impl FieldValue {
    /// Of which type it is.
    pub const fn kind(&self) -> FieldType {
        match self {
            Self::Text(_) => FieldType::Text,
            Self::Number(_) => FieldType::Number,
            Self::Bool(_) => FieldType::Bool,
            Self::Date(_) => FieldType::Date,
            Self::Texts(_) => FieldType::Texts,
            Self::Numbers(_) => FieldType::Numbers,
        }
    }

    /// What it takes on disk, about.
    fn size(&self) -> usize {
        let text = |text: &String| text.len() + 2;
        match self {
            Self::Text(one) => text(one),
            Self::Bool(_) => 1,
            Self::Number(_) | Self::Date(_) => 10,
            Self::Texts(items) => 2 + items.iter().map(text).sum::<usize>(),
            Self::Numbers(items) => 2 + 8 * items.len(),
        }
    }

    /// Whether every text in it may stand there (HT-07): lines and tabs, but nothing else that a terminal or a log would act
    /// upon, or that is not seen.
    pub fn is_plain(&self) -> bool {
        let is_plain =
            |text: &String| !text.chars().any(|c| is_forbidden_in_names(c) && !matches!(c, '\n' | '\r' | '\t'));
        match self {
            Self::Text(one) => is_plain(one),
            Self::Texts(items) => items.iter().all(is_plain),
            Self::Number(_) | Self::Bool(_) | Self::Date(_) | Self::Numbers(_) => true,
        }
    }
}

/// A field as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name on the wire.
    pub name: String,
    /// What it holds.
    pub kind: FieldType,
    /// Whether it always has a value.
    pub is_required: bool,
    /// The value that it has from the beginning if nobody gives one.
    pub default: Option<FieldValue>,
    /// Whether clients may set it.
    pub is_input: bool,
    /// Whether clients see it.
    pub is_returned: bool,
}

/// What is to stand in fields, or be taken out of them, by name.
pub type FieldChanges = BTreeMap<String, Option<FieldValue>>;

/// What a request gave for the configured fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenFields {
    /// For those that clients may set.
    pub values: FieldChanges,
    /// Those that they may not, and to which something was given that JavaScript takes for true.
    pub forbidden: BTreeSet<String>,
}

/// Why what was given is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldProblem {
    /// The field must have a value.
    Missing(String),
    /// Clients may not set the field.
    NotAllowed(String),
    /// All fields together have more than so many bytes.
    TooLarge(usize),
}

/// The fields of users, or of sessions, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet(pub Vec<Field>);

impl FieldSet {
    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name == name)
    }

    /// What a new record begins with. As recorded of Better Auth: the fields in their order, the first problem counts; what
    /// clients may not set is replaced by its default without a word, and refused where it has none.
    ///
    /// # Errors
    /// `Missing`, `NotAllowed`.
    pub fn begin(&self, mut given: GivenFields) -> Result<FieldValues, FieldProblem> {
        let mut values = FieldValues::default();
        for field in &self.0 {
            let name = &field.name;
            if field.default.is_none() && given.forbidden.contains(name) {
                return Err(FieldProblem::NotAllowed(name.clone()));
            }
            let value = match given.values.remove(name) {
                Some(value) => value,
                None if field.is_required && field.default.is_none() => {
                    return Err(FieldProblem::Missing(name.clone()));
                }
                None => field.default.clone(),
            };
            values.0.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(values)
    }

    /// What is to change of a record. Here a default replaces nothing.
    ///
    /// # Errors
    /// `NotAllowed`.
    pub fn changes(&self, given: GivenFields) -> Result<FieldChanges, FieldProblem> {
        match self.0.iter().find(|field| given.forbidden.contains(&field.name)) {
            Some(field) => Err(FieldProblem::NotAllowed(field.name.clone())),
            None => Ok(given.values),
        }
    }
}

/// What stands in the fields of a record. Values of fields that are not configured any more stay, and are not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldValues(BTreeMap<String, FieldValue>);

impl FieldValues {
    /// From a record.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, FieldValue)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// By name, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// What stands in the field. What another type was configured for before counts as nothing.
    pub fn get(&self, field: &Field) -> Option<&FieldValue> {
        self.0.get(&field.name).filter(|value| value.kind() == field.kind)
    }

    /// These values after the changes.
    #[must_use]
    pub fn changed(&self, changes: &FieldChanges) -> Self {
        let mut values = self.0.clone();
        for (name, value) in changes {
            match value {
                Some(value) => values.insert(name.clone(), value.clone()),
                None => values.remove(name),
            };
        }
        Self(values)
    }

    /// Whether all of it fits a record.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn check_size(&self, most: usize) -> Result<(), FieldProblem> {
        let size: usize = self.0.iter().map(|(name, value)| name.len() + 2 + value.size()).sum();
        if size > most { Err(FieldProblem::TooLarge(most)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: FieldType) -> Field {
        Field { name: name.into(), kind, is_required: false, default: None, is_input: true, is_returned: true }
    }

    fn text(text: &str) -> FieldValue {
        FieldValue::Text(text.into())
    }

    fn set() -> FieldSet {
        let must = Field { is_required: true, ..field("must", FieldType::Text) };
        let plan = Field { default: Some(text("free")), ..field("plan", FieldType::Text) };
        let vip = Field { default: Some(text("no")), is_input: false, ..field("vip", FieldType::Text) };
        let locked = Field { is_input: false, ..field("locked", FieldType::Text) };
        FieldSet(vec![must, plan, vip, locked, field("note", FieldType::Text)])
    }

    fn given(values: &[(&str, Option<FieldValue>)], forbidden: &[&str]) -> GivenFields {
        GivenFields {
            values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            forbidden: forbidden.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn pairs(values: &FieldValues) -> Vec<(&str, &FieldValue)> {
        values.iter().collect()
    }

    #[test]
    fn a_new_record_begins_with_what_was_given_and_the_defaults() {
        let all = set().begin(given(&[("must", Some(text("x"))), ("note", None)], &["vip"])).unwrap();
        let free = text("free");
        let (no, x) = (text("no"), text("x"));
        assert_eq!(pairs(&all), [("must", &x), ("plan", &free), ("vip", &no)]);
        let cleared = set().begin(given(&[("must", Some(text("x"))), ("plan", None)], &[])).unwrap();
        assert_eq!(pairs(&cleared), [("must", &x), ("vip", &no)], "null is a value, and no default takes its place");
    }

    #[test]
    fn the_first_problem_in_the_order_of_the_fields_counts() {
        assert_eq!(set().begin(given(&[], &["locked"])), Err(FieldProblem::Missing("must".into())));
        let with = given(&[("must", Some(text("")))], &["vip", "locked"]);
        assert_eq!(set().begin(with), Err(FieldProblem::NotAllowed("locked".into())));
    }

    #[test]
    fn ht_06_what_clients_may_not_set_does_not_change() {
        for name in ["vip", "locked"] {
            let tried = set().changes(given(&[("note", Some(text("x")))], &[name]));
            assert_eq!(tried, Err(FieldProblem::NotAllowed(name.into())));
        }
        let changes = set().changes(given(&[("note", Some(text("x"))), ("plan", None)], &[])).unwrap();
        let before = FieldValues::from_pairs([("plan".into(), text("pro")), ("gone".into(), text("y"))]);
        let after = before.changed(&changes);
        let (x, y) = (text("x"), text("y"));
        assert_eq!(pairs(&after), [("gone", &y), ("note", &x)], "what nobody named stays");
    }

    #[test]
    fn a_value_of_another_type_counts_as_nothing() {
        let values = FieldValues::from_pairs([("note".into(), FieldValue::Bool(true))]);
        assert_eq!(values.get(&field("note", FieldType::Text)), None);
        assert_eq!(values.get(&field("note", FieldType::Bool)), Some(&FieldValue::Bool(true)));
    }

    #[test]
    fn all_fields_together_have_a_limit() {
        let values = |len: usize| FieldValues::from_pairs([("note".into(), FieldValue::Text("x".repeat(len)))]);
        assert_eq!(values(92).check_size(100), Ok(()));
        assert_eq!(values(93).check_size(100), Err(FieldProblem::TooLarge(100)));
    }

    #[test]
    fn ht_07_texts_have_lines_and_nothing_that_acts() {
        for (text, is_plain) in
            [("one\r\n\ttwo", true), ("שלום 👩‍👩‍👧", true), ("a\u{1b}[2J", false), ("a\u{202e}b", false)]
        {
            assert_eq!(FieldValue::Text(text.into()).is_plain(), is_plain, "{text:?}");
            assert_eq!(FieldValue::Texts(vec![String::new(), text.into()]).is_plain(), is_plain, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        assert!(Number::new(f64::NAN).is_none() && Number::new(f64::INFINITY).is_none());
        assert!(Number::new(-0.0).unwrap().get().is_sign_positive());
        assert_eq!(FieldType::from_name("number[]"), Some(FieldType::Numbers));
        assert_eq!(FieldType::from_name("json"), None);
    }
}
