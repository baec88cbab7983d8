//! relabeld
pub mod catalogue;
pub mod config;
pub mod engine;
pub mod job;
pub mod label;
pub mod labeller;
pub mod lines;
pub mod model;
pub mod os;
pub mod store;
pub mod when;
