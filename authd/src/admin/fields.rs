//! The application's own fields as operators give them.

use serde_json::{Map, Value};

use super::{AdminApp, AdminError, AdminReq};
use crate::{
    domain::{Field, FieldType, FieldValue, GivenFields, Role},
    door::type_name,
    service::fields,
};

/// What an operator gives for the fields of a user. What users may not set themselves may mean power in some application, as a
/// role does, and is for the same operators.
///
/// # Errors
/// `ValidationError`, `Forbidden`.
pub(super) fn of_user(app: &AdminApp, req: &AdminReq, given: &Map<String, Value>) -> Result<GivenFields, AdminError> {
    let set = &app.services.policy.user_fields;
    let mut values = GivenFields::default();
    for (name, value) in given {
        let field = set.get(name).ok_or_else(|| {
            AdminError::validation(format!("there is no field '{name}'")).fix("see [user.fields]: authd config show")
        })?;
        if !field.is_input {
            req.require(
                Role::Admin,
                &format!("{} {}, with a field that users may not set", req.head.method, req.route),
            )?;
        }
        values.values.insert(name.clone(), read(field, value).map_err(AdminError::validation)?);
    }
    Ok(values)
}

/// Its JSON, or the text that somebody typed, in a list with commas between the items.
fn read(field: &Field, value: &Value) -> Result<Option<FieldValue>, String> {
    let typed = match (field.kind, value) {
        (FieldType::Number | FieldType::Bool, Value::String(text)) => serde_json::from_str(text).ok(),
        (FieldType::Texts, Value::String(text)) => Some(text.split(',').map(str::trim).collect()),
        (FieldType::Numbers, Value::String(text)) => serde_json::from_str(&format!("[{text}]")).ok(),
        _ => None,
    };
    let value = typed.as_ref().unwrap_or(value);
    if value.is_null() && !field.is_required {
        return Ok(None);
    }
    match fields::read(field.kind, value) {
        Some(found) if found.is_plain() => Ok(Some(found)),
        Some(_) => Err(format!("{}: it contains control characters or invisible ones", field.name)),
        None => Err(format!("{}: expected {}, found {}", field.name, field.kind.as_str(), type_name(Some(value)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::FieldSet;

    fn set() -> FieldSet {
        let field = |kind: FieldType| Field {
            name: kind.as_str().replace("[]", "s"),
            kind,
            is_required: kind == FieldType::Bool,
            default: None,
            is_input: true,
            is_returned: true,
        };
        let mut fields: Vec<Field> = FieldType::ALL.into_iter().map(field).collect();
        fields.push(Field { name: "locked".into(), is_input: false, ..field(FieldType::Text) });
        FieldSet(fields)
    }

    #[test]
    fn operators_may_type_every_value() {
        let set = set();
        let of = |name: &str, value: Value| read(set.get(name).unwrap(), &value);
        let texts = FieldValue::Texts(vec!["a".into(), "b".into()]);
        assert_eq!(of("strings", json!("a, b")), Ok(Some(texts.clone())));
        assert_eq!(of("strings", json!(["a", "b"])), Ok(Some(texts)));
        assert_eq!(of("string", json!("5")), Ok(Some(FieldValue::Text("5".into()))));
        assert_eq!(of("number", json!("5")), of("number", json!(5)));
        assert_eq!(of("numbers", json!("1,2")), of("numbers", json!([1, 2])));
        assert_eq!(of("boolean", json!("true")), Ok(Some(FieldValue::Bool(true))));
        assert_eq!(of("number", Value::Null), Ok(None));
        assert_eq!(of("boolean", json!("yes")), Err("boolean: expected boolean, found string".into()));
        assert!(of("boolean", Value::Null).is_err() && of("date", json!("soon")).is_err());
    }
}
