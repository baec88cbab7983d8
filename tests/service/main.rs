//! The daemon as a service of a machine: what systemd lends it, how it is packaged, and what stands before it.

#[path = "../common/daemon.rs"]
mod daemon;
mod journal;
mod life;
mod machine;
mod manual;
mod nginx;
mod settings;
mod sockets;
mod units;
mod watchdog;
