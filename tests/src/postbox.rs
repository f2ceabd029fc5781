//! Mail as the tests see it: handed over to nobody, and looked at.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use authd::ports::{Letter, Mailer, MailerError};

/// A mail server that keeps what it is given, or refuses it.
#[derive(Default)]
pub struct Postbox {
    state: Mutex<(Vec<Letter>, Option<MailerError>, usize)>,
}

impl Postbox {
    fn state(&self) -> MutexGuard<'_, (Vec<Letter>, Option<MailerError>, usize)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has come since this was asked.
    pub fn take(&self) -> Vec<Letter> {
        std::mem::take(&mut self.state().0)
    }

    /// From now on it refuses, or takes.
    pub fn refuse(&self, with: Option<MailerError>) {
        self.state().1 = with;
    }

    /// How often somebody tried.
    pub fn tries(&self) -> usize {
        self.state().2
    }
}

#[async_trait]
impl Mailer for Postbox {
    async fn send(&self, letter: &Letter) -> Result<(), MailerError> {
        let mut state = self.state();
        state.2 += 1;
        if let Some(error) = &state.1 {
            return Err(error.clone());
        }
        state.0.push(letter.clone());
        Ok(())
    }

    fn describe(&self) -> String {
        "postbox".into()
    }
}
