//! `authctl metrics`

use serde_json::{Value, json};

use super::Context;
use crate::{
    cli::Format,
    error::{Error, Exit},
    output::{self, Shape, inert, text},
};

const SHAPE: Shape = Shape {
    plural: "metrics",
    id: "name",
    columns: &[text("name", "NAME"), text("labels", "LABELS"), text("value", "VALUE")],
    record: &[],
};

/// A line of Prometheus' text: `name{label="value"} 1`. The word for what is no number is kept.
fn sample(line: &str) -> Option<Value> {
    let (name, value) = line.rsplit_once(' ')?;
    let (name, labels) = name.split_once('{').map_or((name, ""), |(name, rest)| (name, rest.trim_end_matches('}')));
    let value = value.parse::<f64>().map_or_else(|_| json!(value), |number| json!(number));
    Some(json!({"name": name, "labels": labels, "value": value}))
}

pub(super) async fn run(cx: &mut Context<'_>) -> Result<Exit, Error> {
    let page = cx.admin.text("/metrics").await?;
    if cx.global.output == Format::Table && cx.global.fields.is_empty() {
        write!(cx.io.out, "{}", inert(&page))?;
    } else {
        let samples = page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect();
        output::list(cx.io, &cx.global, &SHAPE, samples, false)?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_with_labels_and_a_number() {
        for (line, expected) in [
            ("a 1", json!({"name": "a", "labels": "", "value": 1.0})),
            ("a{b=\"c d\",e=\"f\"} 0.5", json!({"name": "a", "labels": "b=\"c d\",e=\"f\"", "value": 0.5})),
            ("a NaN", json!({"name": "a", "labels": "", "value": null})),
        ] {
            assert_eq!(sample(line), Some(expected), "{line}");
        }
        assert_eq!(sample(""), None);
    }
}
