//! The application's own fields as JSON.

use serde_json::{Map, Number, Value};

use super::ServiceError;
use crate::domain::{Field, FieldSet, FieldType, FieldValue, FieldValues, field};

/// Whole numbers up to this are exact, and are written without a fraction, as JavaScript does.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn number(number: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)] // whole, and in the range
    let whole = || Number::from(number as i64);
    if number.fract() == 0.0 && number.abs() < EXACT { whole().into() } else { number.into() }
}

fn json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Text(text) => text.as_str().into(),
        FieldValue::Number(n) => number(n.get()),
        FieldValue::Bool(is) => (*is).into(),
        FieldValue::Date(at) => at.to_string().into(),
        FieldValue::Texts(texts) => texts.as_slice().into(),
        FieldValue::Numbers(numbers) => numbers.iter().map(|n| number(n.get())).collect(),
    }
}

fn of<'a>(fields: impl Iterator<Item = &'a Field>, values: &FieldValues) -> Map<String, Value> {
    fields.map(|field| (field.name.clone(), values.get(field).map_or(Value::Null, json))).collect()
}

fn finite(value: &Value) -> Option<field::Number> {
    value.as_f64().and_then(field::Number::new)
}

/// The value, if it is of this type. A date is a text on the wire.
pub fn read(kind: FieldType, value: &Value) -> Option<FieldValue> {
    match kind {
        FieldType::Text => Some(FieldValue::Text(value.as_str()?.to_owned())),
        FieldType::Number => finite(value).map(FieldValue::Number),
        FieldType::Bool => value.as_bool().map(FieldValue::Bool),
        FieldType::Date => value.as_str()?.parse().ok().map(FieldValue::Date),
        FieldType::Texts => {
            let texts = value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(FieldValue::Texts)
        }
        FieldType::Numbers => {
            let numbers = value.as_array()?.iter().map(finite);
            numbers.collect::<Option<_>>().map(FieldValue::Numbers)
        }
    }
}

/// What clients see: every field that they may, `null` where it has no value.
pub fn shown(set: &FieldSet, values: &FieldValues) -> Map<String, Value> {
    of(set.0.iter().filter(|field| field.is_returned), values)
}

/// What operators see: every field.
pub fn all(set: &FieldSet, values: &FieldValues) -> Map<String, Value> {
    of(set.0.iter(), values)
}

/// Whether these values fit a record.
pub(super) fn check(values: &FieldValues, most: usize) -> Result<(), ServiceError> {
    values.check_size(most).map_err(ServiceError::Field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_javascript_writes_them() {
        let n = |n: f64| FieldValue::Number(field::Number::new(n).unwrap());
        for (value, written) in [
            (n(3.0), "3"),
            (n(-7.0), "-7"),
            (n(-0.0), "0"),
            (n(1.5), "1.5"),
            (n(9_007_199_254_740_991.0), "9007199254740991"),
            (n(1e300), "1e+300"),
            (FieldValue::Date("2000-01-02".parse().unwrap()), "\"2000-01-02T00:00:00.000Z\""),
            (FieldValue::Texts(vec!["a".into()]), "[\"a\"]"),
            (FieldValue::Bool(false), "false"),
        ] {
            assert_eq!(json(&value).to_string(), written);
        }
    }

    #[test]
    fn what_has_no_value_is_null_and_what_is_not_returned_is_absent() {
        let field = |name: &str, is_returned| Field {
            name: name.into(),
            kind: FieldType::Text,
            is_required: false,
            default: None,
            is_input: true,
            is_returned,
        };
        let set = FieldSet(vec![field("z", true), field("hidden", false), field("a", true)]);
        let text = |text: &str| FieldValue::Text(text.into());
        let values = FieldValues::from_pairs([
            ("a".into(), text("x")),
            ("hidden".into(), text("y")),
            ("gone".into(), text("w")),
        ]);
        let written = |map: Map<String, Value>| Value::Object(map).to_string();
        assert_eq!(written(shown(&set, &values)), r#"{"z":null,"a":"x"}"#);
        assert_eq!(written(all(&set, &values)), r#"{"z":null,"hidden":"y","a":"x"}"#);
    }
}
