//! Requests by route: a row for every line of a door's table, and one for what led to none of them. No label is ever made of what
//! a client sent.

use super::counter::{Counter, Distribution, Histogram, SECONDS};

/// The classes of status codes, as labels.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

struct Row {
    method: &'static str,
    route: &'static str,
    classes: [Counter; CLASSES.len()],
    seconds: Histogram,
}

/// See the module's text.
pub struct Requests {
    rows: Vec<Row>,
    /// Those that were told to come again later, because their client makes too many.
    pub throttled: Counter,
}

/// What is known of one route.
#[derive(Debug, Clone, PartialEq)]
pub struct OfRoute {
    /// Its method.
    pub method: &'static str,
    /// Its path in the table, without a mount.
    pub route: &'static str,
    /// How many answers of each class of [`CLASSES`].
    pub answers: [u64; CLASSES.len()],
    /// How long they took, in seconds.
    pub seconds: Distribution,
}

impl Requests {
    /// For these methods and paths.
    pub fn of(routes: impl Iterator<Item = (&'static str, &'static str)>) -> Self {
        let row = |(method, route)| Row {
            method,
            route,
            classes: std::array::from_fn(|_| Counter::default()),
            seconds: Histogram::new(SECONDS),
        };
        Self { rows: routes.chain([("any", "none")]).map(row).collect(), throttled: Counter::default() }
    }

    /// A request to the route with this number (`None`: to no route) was answered.
    pub fn answered(&self, route: Option<usize>, status: u16, seconds: f64) {
        let none = self.rows.len() - 1;
        let Some(row) = self.rows.get(route.unwrap_or(none).min(none)) else { return };
        if let Some(class) = row.classes.get(usize::from(status / 100).wrapping_sub(1)) {
            class.one();
        }
        row.seconds.observe(seconds);
    }

    /// The routes that were asked.
    pub fn read(&self) -> Vec<OfRoute> {
        let read = |row: &Row| OfRoute {
            method: row.method,
            route: row.route,
            answers: std::array::from_fn(|class| row.classes[class].get()),
            seconds: row.seconds.read(),
        };
        self.rows.iter().map(read).filter(|of| of.answers.iter().any(|count| *count > 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_nowhere_has_one_row_whatever_it_was() {
        let requests = Requests::of([("GET", "/a"), ("POST", "/b")].into_iter());
        requests.answered(Some(1), 204, 0.001);
        requests.answered(None, 404, 0.0);
        requests.answered(Some(99), 503, 0.0);
        requests.answered(Some(0), 0, 0.0);
        let read = requests.read();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].route, read[0].answers), ("/b", [0, 1, 0, 0, 0]));
        assert_eq!((read[1].route, read[1].answers), ("none", [0, 0, 0, 1, 1]));
    }
}
