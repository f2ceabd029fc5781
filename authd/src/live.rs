//! What a reload replaces while requests are under way.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that is replaced as a whole. Who reads it takes the version of that moment and keeps it: a request sees one version
/// from its first check to its answer. Only [`crate::reload::Reloader`] replaces.
#[derive(Debug)]
pub struct Live<T>(RwLock<Arc<T>>);

impl<T> Live<T> {
    /// With its first version.
    pub fn new(value: Arc<T>) -> Self {
        Self(RwLock::new(value))
    }

    /// The version of this moment.
    pub fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next version.
    pub fn put(&self, value: Arc<T>) {
        // The former one, if nobody else has it, is dropped after the lock is given back.
        let former = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), value);
        drop(former);
    }
}
