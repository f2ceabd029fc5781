//! What happens by itself: expired sessions are swept away in small steps, keys are rotated when they are old.

use super::{ServiceError, Services, keys};

/// How many sessions one step removes: a larger one would hold up the writer.
const CHUNK: usize = 64;
/// How many steps one round makes.
const STEPS: usize = 200;

/// One round. Answers how many sessions were swept away.
///
/// # Errors
/// The store cannot write; the next round tries again.
pub async fn round(app: &Services) -> Result<u64, ServiceError> {
    let now = app.clock.now();
    let mut swept = 0;
    for _ in 0..STEPS {
        match app.store.sweep(now, CHUNK).await? {
            0 => break,
            n => swept += n,
        }
    }
    keys::tend(app).await?;
    Ok(swept)
}
