//! Better Auth's backend as one daemon. See the library for everything.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// It gives back what is freed: after ten thousand connections the memory of glibc's allocator stays with the process
/// (design: PERFORMANCE, section 6). How it is set stands in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    authd::run::main()
}
