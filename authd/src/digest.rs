//! SHA-256, and comparison that takes the same time wherever the difference is (CR-06).

use aws_lc_rs::{constant_time, digest};

/// SHA-256.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}

/// Whether two secrets are the same, in time that depends on their length alone.
pub fn is_same_secret(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}
