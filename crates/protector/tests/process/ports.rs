//! Ports that nobody listens on.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which the system takes ports for outgoing connections.
const FIRST: u16 = 12_000;
const PER_PROCESS: u16 = 20;
const PROCESSES: u32 = 900;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A free port. Each process takes its own from another block, since tests run beside each other.
pub fn free_port() -> u16 {
    let block = u16::try_from(std::process::id() % PROCESSES).unwrap_or_default() * PER_PROCESS;
    for _ in 0..500 {
        let port = FIRST + block + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {} on is free", FIRST + block);
}
