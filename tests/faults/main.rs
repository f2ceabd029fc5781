//! The experiments that prove the whole: backups under load, a history of concurrent acts, races, rotations before an outside verifier, and
//! requests that break off (F-16, F-18, F-19, F-20, F-22), and kills while sled is exchanged (F-01). Each is short in every run and long with `AUTHD_TEST_LONG=1`; each prints
//! its figures and its seed, which `AUTHD_TEST_SEED` repeats; and each checker is seen to find a fault that was put there on
//! purpose. `./tests/run faults` runs them one by one.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests are tests
#![allow(clippy::print_stderr)] // the figures and the seed

mod aborted;
mod backups;
mod growth;
mod history;
mod races;
mod renewal;
mod rotations;
