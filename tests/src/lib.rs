//! The harness of the black-box tests: a whole daemon in this process, on a free port, with a clock that the test sets, and
//! clients that speak through its public doors only.

pub mod application;
pub mod authority;
pub mod client;
pub mod ctl;
pub mod dice;
pub mod faulty;
pub mod pages;
pub mod postbox;
pub mod process;
pub mod server;
pub mod shared;
pub mod smtp;

pub use self::{
    application::Application,
    authority::Authority,
    client::{Client, Response},
    dice::{Dice, size},
    postbox::Postbox,
    server::{Server, TestClock},
};

/// What the tests sign up with.
pub const PASSWORD: &str = "correct horse battery";
