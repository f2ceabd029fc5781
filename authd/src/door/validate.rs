//! Checking a body field by field, with the texts of Better Auth's validator: all problems in one message, in the order of
//! the schema.

use common::{Email, SecretString, email::is_wire_syntax};
use serde_json::{Map, Value};

use super::Body;

/// The fields of a body, and what is wrong with them so far.
pub struct Fields<'a> {
    fields: Option<&'a Map<String, Value>>,
    problems: Vec<String>,
}

/// The word that Better Auth's messages have for the type of a value.
pub fn type_name(value: Option<&Value>) -> &'static str {
    match value {
        None => "undefined",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "boolean",
        Some(Value::Number(_)) => "number",
        Some(Value::String(_)) => "string",
        Some(Value::Array(_)) => "array",
        Some(Value::Object(_)) => "object",
    }
}

/// What JavaScript takes for true.
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => true,
    }
}

impl<'a> Fields<'a> {
    /// Of a body that must be an object.
    pub fn of(body: &'a Body) -> Self {
        Self::of_kinds(body, &["object"])
    }

    /// Of a body that may have any fields; Better Auth's validator has another word for it.
    pub fn of_record(body: &'a Body) -> Self {
        Self::of_kinds(body, &["record"])
    }

    /// Of a body that has certain fields and may have any others: two rules for Better Auth's validator.
    pub fn of_open_object(body: &'a Body) -> Self {
        Self::of_kinds(body, &["object", "record"])
    }

    fn of_kinds(body: &'a Body, kinds: &[&str]) -> Self {
        let value = match body {
            Body::Value(value) => Some(value),
            Body::Undefined => None,
        };
        match value {
            Some(Value::Object(fields)) => Self { fields: Some(fields), problems: vec![] },
            other => Self {
                fields: None,
                problems: kinds
                    .iter()
                    .map(|kind| format!("[body] Invalid input: expected {kind}, received {}", type_name(other)))
                    .collect(),
            },
        }
    }

    /// Of a body that may be absent; then every field is.
    pub fn of_optional(body: &'a Body) -> Self {
        match body {
            Body::Undefined => Self { fields: None, problems: vec![] },
            Body::Value(_) => Self::of(body),
        }
    }

    /// The value of a field, whatever it is.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.and_then(|fields| fields.get(name))
    }

    /// Adds the problem that a value is of another type.
    pub fn expect(&mut self, name: &str, what: &str, found: Option<&Value>) {
        // A body that is no object has one problem, not one for each field.
        if self.fields.is_some() {
            let found = type_name(found);
            self.problems.push(format!("[body.{name}] Invalid input: expected {what}, received {found}"));
        }
    }

    /// A text that must be there.
    pub fn string(&mut self, name: &str) -> &'a str {
        match self.get(name) {
            Some(Value::String(text)) => text,
            other => {
                self.expect(name, "string", other);
                ""
            }
        }
    }

    /// A text that may be absent.
    pub fn optional_string(&mut self, name: &str) -> Option<&'a str> {
        match self.get(name) {
            None => None,
            Some(Value::String(text)) => Some(text),
            other => {
                self.expect(name, "string", other);
                None
            }
        }
    }

    /// A text that may be absent, or `null` to take it away.
    pub fn optional_nullable_string(&mut self, name: &str) -> Option<Option<&'a str>> {
        match self.get(name) {
            Some(Value::Null) => Some(None),
            _ => self.optional_string(name).map(Some),
        }
    }

    /// Whether there is a value that JavaScript takes for true.
    pub fn is_truthy(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_truthy)
    }

    /// A truth value that may be absent.
    pub fn optional_bool(&mut self, name: &str) -> Option<bool> {
        match self.get(name) {
            None => None,
            Some(Value::Bool(value)) => Some(*value),
            other => {
                self.expect(name, "boolean", other);
                None
            }
        }
    }

    /// A text that must be there and have a character at least.
    pub fn non_empty(&mut self, name: &str) -> &'a str {
        let before = self.problems.len();
        let text = self.string(name);
        if text.is_empty() && self.problems.len() == before && self.fields.is_some() {
            self.problems.push(format!("[body.{name}] Too small: expected string to have >=1 characters"));
        }
        text
    }

    /// A password: as [`Fields::non_empty`], kept secret.
    pub fn password(&mut self, name: &str) -> SecretString {
        self.non_empty(name).into()
    }

    /// A text that is an e-mail address by the rules of the wire.
    pub fn email(&mut self, name: &str) -> Option<Email> {
        let before = self.problems.len();
        let text = self.string(name);
        if self.problems.len() > before || self.fields.is_none() {
            return None;
        }
        let email = if is_wire_syntax(text) { text.parse().ok() } else { None };
        if email.is_none() {
            self.problems.push(format!("[body.{name}] Invalid email address"));
        }
        email
    }

    /// A text that is an e-mail address in any spelling that has a canonical form: with white space around it, in capitals,
    /// with an international domain. For routes whose texts are ours.
    pub fn any_email(&mut self, name: &str) -> Option<Email> {
        let before = self.problems.len();
        let text = self.string(name);
        if self.problems.len() > before || self.fields.is_none() {
            return None;
        }
        let email = text.parse().ok();
        if email.is_none() {
            self.problems.push(format!("[body.{name}] Invalid email address"));
        }
        email
    }

    /// One of a few words, or absent.
    pub fn optional_choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.get(name)?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| value.as_str() == Some(word)) {
            return Some(*choice);
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.problems.push(format!("[body.{name}] Invalid option: expected one of {}", words.join("|")));
        None
    }

    /// What JavaScript makes a text of, whatever it is; it must be there.
    pub fn coerced(&mut self, name: &str) -> String {
        match self.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(scalar @ (Value::Null | Value::Bool(_) | Value::Number(_))) => scalar.to_string(),
            Some(Value::Array(_) | Value::Object(_)) => "[object]".into(),
            None => {
                self.expect(name, "nonoptional", None);
                String::new()
            }
        }
    }

    /// A number that may be absent.
    pub fn optional_number(&mut self, name: &str) -> Option<f64> {
        match self.get(name) {
            None => None,
            Some(Value::Number(number)) => number.as_f64(),
            other => {
                self.expect(name, "number", other);
                None
            }
        }
    }

    /// One text, or a list of texts, that may be absent.
    pub fn optional_texts(&mut self, name: &str) -> Option<Vec<String>> {
        let texts = match self.get(name)? {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        if texts.is_none() {
            self.refuse(name, "Invalid input");
        }
        texts
    }

    /// An object with any fields that may be absent.
    pub fn optional_record(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        match self.get(name) {
            None => None,
            Some(Value::Object(fields)) => Some(fields),
            other => {
                self.expect(name, "record", other);
                None
            }
        }
    }

    /// An object with any fields.
    pub fn required_record(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        if self.get(name).is_none() {
            self.expect(name, "record", None);
        }
        self.optional_record(name)
    }

    /// Whether something is wrong with the field already.
    pub fn has_problem(&self, name: &str) -> bool {
        let begin = format!("[body.{name}] ");
        self.problems.iter().any(|problem| problem.starts_with(&begin))
    }

    /// Whether the field is there, also as `null`.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a problem that another rule found.
    pub fn refuse(&mut self, name: &str, problem: &str) {
        self.problems.push(format!("[body.{name}] {problem}"));
    }

    /// The whole message, if anything is wrong.
    ///
    /// # Errors
    /// The message of a `VALIDATION_ERROR`.
    pub fn finish(self) -> Result<(), String> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sign_up(body: &Body) -> Result<(), String> {
        let mut fields = Fields::of(body);
        fields.string("name");
        fields.email("email");
        fields.non_empty("password");
        fields.optional_bool("rememberMe");
        fields.finish()
    }

    #[test]
    fn the_texts_are_those_of_the_real_server() {
        let refused = |value: Value| sign_up(&Body::Value(value)).unwrap_err();
        assert_eq!(
            refused(json!({})),
            "[body.name] Invalid input: expected string, received undefined; [body.email] Invalid input: expected string, received undefined; [body.password] Invalid input: expected string, received undefined"
        );
        assert_eq!(refused(json!([])), "[body] Invalid input: expected object, received array");
        assert_eq!(refused(json!(null)), "[body] Invalid input: expected object, received null");
        assert_eq!(sign_up(&Body::Undefined).unwrap_err(), "[body] Invalid input: expected object, received undefined");
        let with = |email: Value, password: Value, remember: Value| {
            refused(json!({"name": "", "email": email, "password": password, "rememberMe": remember}))
        };
        assert_eq!(with(json!("x"), json!("p"), json!(true)), "[body.email] Invalid email address");
        assert_eq!(
            with(json!("a@b.co"), json!(""), json!(true)),
            "[body.password] Too small: expected string to have >=1 characters"
        );
        assert_eq!(
            with(json!("a@b.co"), json!("p"), json!("yes")),
            "[body.rememberMe] Invalid input: expected boolean, received string"
        );
        assert_eq!(
            with(json!(["a@b.co"]), json!("p"), json!(true)),
            "[body.email] Invalid input: expected string, received array"
        );
    }
}
