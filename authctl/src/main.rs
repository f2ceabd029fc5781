//! The command line of authd. See the library for everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    authctl::main()
}
