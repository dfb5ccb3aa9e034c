//! The runtime of the services.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// The stack of each thread, in bytes. A call goes from the connection down to the database's driver in one piece; frames of
/// debug builds are large.
const STACK: usize = 8 << 20;

/// A runtime with a thread for each core.
///
/// # Errors
/// Of the operating system.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
}
