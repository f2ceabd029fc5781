//! The application's own fields as clients give them.

use serde_json::Value;

use crate::{
    domain::{Field, FieldSet, FieldType, FieldValue, GivenFields},
    door::{Fields, is_truthy},
    service::fields,
};

/// What the body gives for the application's fields. What is no field of these is not looked at (HT-06).
pub(super) fn application(f: &mut Fields<'_>, set: &FieldSet) -> GivenFields {
    let mut given = GivenFields::default();
    for field in &set.0 {
        let Some(value) = f.get(&field.name) else { continue };
        if !field.is_input {
            // Of what may not be set it matters only whether it was meant.
            if is_truthy(value) {
                given.forbidden.insert(field.name.clone());
            }
        } else if value.is_null() && !field.is_required {
            given.values.insert(field.name.clone(), None);
        } else if let Some(value) = value_of(f, field, value) {
            given.values.insert(field.name.clone(), Some(value));
        }
    }
    given
}

fn value_of(f: &mut Fields<'_>, field: &Field, value: &Value) -> Option<FieldValue> {
    let name = &field.name;
    match fields::read(field.kind, value) {
        Some(found) if found.is_plain() => return Some(found),
        Some(_) => f.refuse(name, "Invalid text: it contains control characters or invisible ones"),
        None => match (field.kind, value) {
            (FieldType::Date, Value::String(_)) => f.refuse(name, "Invalid date"),
            (FieldType::Texts, Value::Array(items)) => item(f, name, items, "string", Value::is_string),
            (FieldType::Numbers, Value::Array(items)) => item(f, name, items, "number", Value::is_number),
            (FieldType::Texts | FieldType::Numbers, other) => f.expect(name, "array", Some(other)),
            (kind, other) => f.expect(name, kind.as_str(), Some(other)),
        },
    }
    None
}

/// The first item of a list that is of another type.
fn item(f: &mut Fields<'_>, name: &str, items: &[Value], what: &str, is_sound: fn(&Value) -> bool) {
    if let Some((at, item)) = items.iter().enumerate().find(|(_, item)| !is_sound(item)) {
        f.expect(&format!("{name}.{at}"), what, Some(item));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::door::Body;

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

    fn given(body: &Value) -> Result<GivenFields, String> {
        let body = Body::Value(body.clone());
        let mut fields = Fields::of_record(&body);
        let given = application(&mut fields, &set());
        fields.finish().map(|()| given)
    }

    #[test]
    fn values_are_read_by_their_types() {
        let sound = given(&json!({
            "string": "x", "number": 1.5, "boolean": false, "date": "2000-01-02", "strings": ["a"], "numbers": [1],
            "unknown": 1, "role": "admin",
        }))
        .unwrap();
        assert_eq!(sound.values.len(), 6);
        assert_eq!(sound.values["date"], Some(FieldValue::Date("2000-01-02T00:00:00Z".parse().unwrap())));
        assert_eq!(given(&json!({"string": null})).unwrap().values["string"], None);
        assert_eq!(given(&json!({})).unwrap(), GivenFields::default());
    }

    #[test]
    fn ht_06_of_what_may_not_be_set_only_the_wish_is_kept() {
        for (value, is_meant) in [(json!("x"), true), (json!({}), true), (json!(""), false), (json!(null), false)] {
            let given = given(&json!({"locked": value})).unwrap();
            assert_eq!((given.forbidden.contains("locked"), given.values.len()), (is_meant, 0));
        }
    }

    #[test]
    fn wrong_types_are_named_in_the_words_of_the_validator() {
        for (body, said) in [
            (json!({"string": 5}), "[body.string] Invalid input: expected string, received number"),
            (json!({"number": "5"}), "[body.number] Invalid input: expected number, received string"),
            (json!({"boolean": 1}), "[body.boolean] Invalid input: expected boolean, received number"),
            (json!({"boolean": null}), "[body.boolean] Invalid input: expected boolean, received null"),
            (json!({"date": 5}), "[body.date] Invalid input: expected date, received number"),
            (json!({"date": "soon"}), "[body.date] Invalid date"),
            (json!({"strings": "a"}), "[body.strings] Invalid input: expected array, received string"),
            (json!({"strings": ["a", 1]}), "[body.strings.1] Invalid input: expected string, received number"),
            (json!({"numbers": [null]}), "[body.numbers.0] Invalid input: expected number, received null"),
            (
                json!({"string": "\u{1b}[2J"}),
                "[body.string] Invalid text: it contains control characters or invisible ones",
            ),
            (
                json!({"number": {}, "string": []}),
                "[body.string] Invalid input: expected string, received array; [body.number] Invalid input: expected number, received object",
            ),
        ] {
            assert_eq!(given(&body).unwrap_err(), said);
        }
    }
}
