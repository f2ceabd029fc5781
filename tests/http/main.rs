//! The public door, from outside.

mod basics;
