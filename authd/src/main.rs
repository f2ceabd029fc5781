//! Better Auth's backend as one daemon. See the library for everything.

use std::process::ExitCode;

fn main() -> ExitCode {
    authd::run::main()
}
