//! The application's own fields of another server's rows: as adapters write them, flags as 0 and 1, times as numbers, lists as
//! texts.

use common::{
    Moment,
    import::{Finding, Findings},
};
use serde_json::{Map, Value};

use crate::{
    domain::{FieldSet, FieldType, FieldValue, FieldValues},
    service::fields,
};

/// Numbers from here on are milliseconds, those below seconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// What the fields begin with: what was given, where it is of the field's type; otherwise the default.
pub(super) fn taken(
    set: &FieldSet,
    given: &Map<String, Value>,
    most: usize,
    whose: &str,
    notes: &mut Findings,
) -> FieldValues {
    let mut values = vec![];
    for field in &set.0 {
        let given = given.get(&field.name).filter(|value| !value.is_null());
        let value = given.and_then(|value| read(field.kind, value).filter(FieldValue::is_plain));
        if given.is_some() && value.is_none() {
            notes.add(Finding::FieldLeftOut, whose);
        }
        values.extend(value.or_else(|| field.default.clone()).map(|value| (field.name.clone(), value)));
    }
    let values = FieldValues::from_pairs(values);
    if values.check_size(most).is_err() {
        notes.add(Finding::FieldLeftOut, whose);
        return FieldValues::default();
    }
    values
}

fn read(kind: FieldType, value: &Value) -> Option<FieldValue> {
    if let Some(value) = fields::read(kind, value) {
        return Some(value);
    }
    let parsed = || value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    match kind {
        FieldType::Text => match value {
            Value::Number(_) | Value::Bool(_) => Some(FieldValue::Text(value.to_string())),
            _ => None,
        },
        FieldType::Bool => match parsed().as_ref().unwrap_or(value) {
            Value::Bool(is) => Some(FieldValue::Bool(*is)),
            Value::Number(n) if n.as_i64() == Some(0) => Some(FieldValue::Bool(false)),
            Value::Number(n) if n.as_i64() == Some(1) => Some(FieldValue::Bool(true)),
            _ => None,
        },
        FieldType::Date => {
            let n = value.as_i64().or_else(|| parsed()?.as_i64())?;
            let millis = if n.abs() >= MILLISECONDS_FROM { n } else { n.checked_mul(1000)? };
            Moment::from_millis(millis).map(FieldValue::Date)
        }
        FieldType::Number | FieldType::Texts | FieldType::Numbers => fields::read(kind, &parsed()?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Field;

    fn field(name: &str, kind: FieldType, default: Option<FieldValue>) -> Field {
        Field { name: name.into(), kind, is_required: true, default, is_input: false, is_returned: true }
    }

    #[test]
    fn values_are_read_as_the_usual_adapters_write_them() {
        let text = |text: &str| Some(FieldValue::Text(text.into()));
        let day = Some(FieldValue::Date("2000-01-02".parse().unwrap()));
        let list = Some(FieldValue::Texts(vec!["a".into(), "b".into()]));
        for (kind, value, read_as) in [
            (FieldType::Text, json!("x"), text("x")),
            (FieldType::Text, json!(5), text("5")),
            (FieldType::Text, json!(["x"]), None),
            (FieldType::Bool, json!(1), Some(FieldValue::Bool(true))),
            (FieldType::Bool, json!("0"), Some(FieldValue::Bool(false))),
            (FieldType::Bool, json!(2), None),
            (FieldType::Date, json!("2000-01-02T00:00:00.000Z"), day.clone()),
            (FieldType::Date, json!(946_771_200), day.clone()),
            (FieldType::Date, json!("946771200000"), day),
            (FieldType::Date, json!("soon"), None),
            (FieldType::Texts, json!(["a", "b"]), list.clone()),
            (FieldType::Texts, json!("[\"a\",\"b\"]"), list),
            (FieldType::Texts, json!("a,b"), None),
            (FieldType::Number, json!("1.5"), fields::read(FieldType::Number, &json!(1.5))),
        ] {
            assert_eq!(read(kind, &value), read_as, "{kind:?} {value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_counted_and_defaults_stand_for_what_is_absent() {
        let set = FieldSet(vec![
            field("plan", FieldType::Text, Some(FieldValue::Text("free".into()))),
            field("age", FieldType::Number, None),
            field("bio", FieldType::Text, None),
        ]);
        let given = json!({"age": "old", "bio": "x\u{9b}", "other": "y"});
        let mut notes = Findings::default();
        let values = taken(&set, given.as_object().unwrap(), 100, "ada", &mut notes);
        assert_eq!(values.iter().collect::<Vec<_>>(), [("plan", &FieldValue::Text("free".into()))]);
        assert_eq!(notes.count(Finding::FieldLeftOut), 2);
        let given = json!({"bio": "x".repeat(200)});
        assert_eq!(taken(&set, given.as_object().unwrap(), 100, "ada", &mut notes), FieldValues::default());
        assert_eq!(notes.count(Finding::FieldLeftOut), 3);
    }
}
