//! relabeld keeps the topics of conversations and notes right when the rules for them change: a durable queue in one
//! SQLite file, a thread pool that drains it, and a local HTTP endpoint where jobs are published and watched.
//!
//! # The flow
//!
//! ```text
//!  CLI / HTTP ──publish──► job row
//!                            │ plan      freeze the keys of a page of items as chunk rows + the job's cursor, one transaction
//!                            ▼
//!                        chunk rows
//!                            │ lease     epoch + lease number, one transaction; only what the channel has room for
//!                            ▼
//!              bounded channels ─► workers: labeller.analyse(item) ─► bounded channels, one per lane
//!                                                                       │ commit   gather a few; labels, history,
//!                                                                       ▼          results, counters, lease: one transaction, fenced
//!                                labels · history · jobs ──► export: page, CSV, NDJSON, CLI
//! ```
//!
//! Five words name it everywhere: *plan, lease, analyse, commit, export*. All writes go through one thread
//! (`store/writer.rs`), which commits what is waiting together and answers only then.
//!
//! # The floors: an import only points down
//!
//! | floor | modules |
//! |---|---|
//! | 5 | `main`, [`cli`], [`daemon`], [`demo`] |
//! | 4 | [`http`] (over everything below), `client` (over [`wire`] and the models alone) |
//! | 3 | [`engine`], [`export`] |
//! | 2 | [`store`], [`labeller`]: neither knows the other |
//! | 1 | [`config`], [`os`], [`wire`], [`when`], [`lines`], [`catalogue`], [`label`], [`job`] |
//! | 0 | [`model`], [`histogram`]: no I/O |
//!
//! `tests/tidy.rs` holds them, and that each outside crate has one home.
//!
//! # Invariants
//!
//! 1. What was answered is on the disk: a reply is sent after the COMMIT that holds its change.
//! 2. `total = pending + running + done + failed + quarantined + cancelled` on every job at every commit, once its list
//!    is whole (a CHECK of `schema.sql`); `running` is what is leased.
//! 3. A task takes effect once: labels, history, result and counters are one transaction, fenced by (epoch, lease); an
//!    outcome that comes under any other lease changes nothing.
//! 4. Labels of old text are never written: a reading is committed onto the edition of the item that was read, or the
//!    item is read again. What stood of the item counts as read in that transaction where nobody has touched it since
//!    (`store::touched`), and is otherwise looked up there.
//! 5. The labels that a job leaves depend on items, rules, marks and labels before it alone: not on threads, order or
//!    crashes.
//! 6. No job adds, removes or hides a mark, and a human label gives way to none.
//! 7. A job reads by the revision it was published under; where a newer one has read already, it keeps its hands off.
//! 8. After a death only what was being analysed is suspect. It runs alone; only who was alone in flight is charged.
//! 9. A block never loses all its topics to a job, unless a new one is found there or the job says
//!    `keep_when_empty: false`.
//! 10. A dry run writes nothing but its own results; what it counts is what the job that applies it does, where the items
//!     and their labels are the same.
//! 11. A revert puts an item back exactly (labels, provenance, freshness) or leaves it whole: text, labels that were
//!     touched and marks must be as the job left them.
//! 12. A job moves only along the arrows of `JobState::may_become`; what people may do in which state is
//!     `Action::in_state`, and all else is refused and changes nothing.
//! 13. What an unended job needs is never pruned, a change's number never given twice, and who follows the feed from
//!     before a pruned change is told.
//! 14. A backup is of one moment, with all that was answered before it was asked for; restored, its bulk jobs wait, and
//!     the feed's numbers leap.
//! 15. Counters are rows changed in the transaction that changes what they count; `relabeld check` recounts them all.
//!
//! # Where to begin
//!
//! `schema.sql` is the map of the data, [`job`] has the transition tables, `label::apply` is the rule of what a reading
//! changes, `store/commit.rs` is where it becomes so.

pub mod histogram;
pub mod model;

pub mod job;
pub mod label;

pub mod catalogue;
pub mod lines;
pub mod when;
pub mod wire;

pub mod config;
pub mod os;

pub mod labeller;
pub mod store;

pub mod engine;
pub mod export;

mod client;
pub mod http;

pub mod cli;
pub mod daemon;
pub mod demo;
