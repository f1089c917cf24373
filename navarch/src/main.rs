//! The one binary: `navarch serve` runs the server roles, everything else is a user command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Objects come and go in waves, in many sizes and on several threads; this allocator gives the memory of a wave back, where the
/// system's keeps it in pieces.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    navarch::with_plugins(|_| {})
}
