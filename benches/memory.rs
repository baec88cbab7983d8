//! The most anonymous memory that the process of a job held, over a job's usual size and over the deepest.

use crate::report::{Goal, Line, grouped};
use crate::stock::Stock;

const MOST_MB: f64 = 64.0;
/// What may pass for the same.
const SAME: f64 = 1.1;

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let (items, depth) = (stock.sizes.items, stock.sizes.depth);
    let (usual, deep) = (stock.drained(items)?.peak_mb, stock.drained(depth)?.peak_mb);
    let line = |items: usize, peak: f64| Line {
        what: format!("memory: MB (RssAnon) at most, draining {}", grouped(items as f64)),
        goal: Goal::AtMost(MOST_MB),
        reached: peak,
        figures: String::new(),
    };
    let same = Line {
        what: "memory: the same, of each other".into(),
        goal: Goal::AtMost(SAME),
        reached: deep / usual,
        figures: format!("{deep:.0} of {usual:.0} MB"),
    };
    Ok(vec![line(items, usual), line(depth, deep), same])
}
