//! Randomness, and the identifiers and tokens that are made of it.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::ports::Entropy;

/// The operating system's generator, through aws-lc.
#[derive(Default)]
pub struct SystemEntropy(SystemRandom);

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        #[allow(clippy::expect_used)]
        self.0.fill(buffer).expect("a machine without randomness cannot run an authentication service");
    }
}
