//! From a path to a route: one `matchit` tree under one warp filter, whatever the number of routes.

use http::Method;

/// The methods that routes have. `http::Method` cannot stand in a constant table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Changes nothing.
    Get,
    /// Does something.
    Post,
    /// Removes something.
    Delete,
}

impl Verb {
    /// As requests have it.
    pub const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Delete => Method::DELETE,
        }
    }

    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A tree of paths, each with its methods. `R` is the door's own route type.
pub struct Router<R: 'static> {
    tree: matchit::Router<Vec<(Method, &'static R)>>,
}

/// What a path led to.
pub enum Found<R: 'static> {
    /// A route, and the values of its `{parameters}`, percent-decoded.
    Route(&'static R, Vec<(String, String)>),
    /// The path exists, with these methods.
    OtherMethods(Vec<Method>),
    /// No such path.
    Nothing,
}

impl<R> Default for Router<R> {
    fn default() -> Self {
        Self { tree: matchit::Router::new() }
    }
}

impl<R> Router<R> {
    /// Adds a route.
    ///
    /// # Panics
    /// If two routes are the same: a mistake in the table, found by the first test that builds it.
    pub fn insert(&mut self, method: Method, path: &str, route: &'static R) {
        if let Ok(found) = self.tree.at_mut(path)
            && found.params.is_empty() != path.contains('{')
        {
            assert!(!found.value.iter().any(|(m, _)| *m == method), "two routes for {method} {path}");
            found.value.push((method, route));
            return;
        }
        #[allow(clippy::expect_used)]
        self.tree.insert(path, vec![(method, route)]).expect("the paths of the table do not contradict each other");
    }

    /// Finds the route of a request.
    pub fn find(&self, method: &Method, path: &str) -> Found<R> {
        let Ok(found) = self.tree.at(path) else { return Found::Nothing };
        match found.value.iter().find(|(m, _)| m == method) {
            Some((_, route)) => {
                let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
                let params = found.params.iter().map(|(name, value)| (name.to_owned(), decode(value))).collect();
                Found::Route(route, params)
            }
            None => Found::OtherMethods(found.value.iter().map(|(m, _)| m.clone()).collect()),
        }
    }
}
