//! relabeld
pub mod catalogue;
pub mod cli;
mod client;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod engine;
pub mod export;
pub mod http;
pub mod job;
pub mod label;
pub mod labeller;
pub mod lines;
pub mod model;
pub mod os;
pub mod store;
pub mod when;
pub mod wire;
