//! The chart of README: items a second and memory of a first job, over its size.
//!
//! Text is text. Colours follow the reader's scheme (`prefers-color-scheme`); the ground is its own, so that it can be read
//! on a page that follows another.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::report::{Line, grouped, thousands};
use crate::stock::{Drained, Stock};

const SIZES: [usize; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
/// Of both panels' plots: top, height, width.
const TOP: f64 = 64.0;
const TALL: f64 = 180.0;
const WIDE: f64 = 290.0;

/// One half of the chart.
struct Panel<'a> {
    title: &'a str,
    left: f64,
    class: &'a str,
    points: Vec<(usize, f64)>,
    show: fn(f64) -> String,
}

pub fn run(stock: &Stock) -> anyhow::Result<Vec<Line>> {
    let mut points = Vec::new();
    let depth = stock.sizes.depth;
    for items in SIZES.into_iter().filter(|&items| items < depth).chain([depth]) {
        points.push((items, stock.drained(items)?));
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match stock.named {
        true => top.join("packaging/speed.svg"),
        false => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("speed.svg"),
    };
    path.parent().map(fs::create_dir_all).transpose()?;
    fs::write(&path, draw(&points))?;
    eprintln!("  drawn in {}", path.strip_prefix(top).unwrap_or(&path).display());
    Ok(Vec::new())
}

fn draw(points: &[(usize, Drained)]) -> String {
    let of = |figure: fn(&Drained) -> f64| points.iter().map(|(items, drained)| (*items, figure(drained))).collect();
    let panels = [
        Panel { title: "items a second", left: 30.0, class: "speed", points: of(|one| one.rate), show: thousands },
        Panel {
            title: "memory at most (RssAnon)",
            left: 400.0,
            class: "memory",
            points: of(|one| one.peak_mb),
            show: |mb| format!("{mb:.0} MB"),
        },
    ];
    let said: Vec<String> = points
        .iter()
        .map(|(items, one)| format!("{} items: {}, {:.0} MB", grouped(*items as f64), thousands(one.rate), one.peak_mb))
        .collect();
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title desc">
<title id="title">Speed and memory of a job by its size</title>
<desc id="desc">{}</desc>
<style>
text {{ font: 13px system-ui, sans-serif; fill: #57606a; text-anchor: middle }}
.ground {{ fill: #ffffff }}
.title {{ font-weight: 600; text-anchor: start }}
.axis {{ stroke: #8b949e; stroke-opacity: .6 }}
polyline {{ fill: none; stroke-width: 2 }}
.speed {{ stroke: #0969da; fill: #0969da }} .memory {{ stroke: #bc4c00; fill: #bc4c00 }}
@media (prefers-color-scheme: dark) {{
  text {{ fill: #c9d1d9 }} .ground {{ fill: #0d1117 }}
  .speed {{ stroke: #58a6ff; fill: #58a6ff }} .memory {{ stroke: #f0883e; fill: #f0883e }}
}}
</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>
"##,
        said.join("; ")
    );
    panels.iter().for_each(|panel| panel.draw(&mut svg));
    svg.push_str("</svg>\n");
    svg
}

impl Panel<'_> {
    /// From zero up, so that flat looks flat.
    fn draw(&self, svg: &mut String) {
        let highest = self.points.iter().map(|point| point.1).fold(1.0, f64::max) * 1.2;
        let x = |at: usize| self.left + WIDE * (at as f64 + 0.5) / self.points.len() as f64;
        let y = |value: f64| TOP + TALL * (1.0 - value / highest);
        let (left, bottom, middle) = (self.left, TOP + TALL, self.left + WIDE / 2.0);
        let places: Vec<String> =
            self.points.iter().enumerate().map(|(at, point)| format!("{:.1},{:.1}", x(at), y(point.1))).collect();
        let class = self.class;
        // Writing to a String cannot fail.
        let _ = writeln!(svg, r#"<text class="title" x="{left}" y="32">{}</text>"#, self.title);
        let _ = writeln!(svg, r#"<path class="axis" d="M{left} {bottom}h{WIDE}"/>"#);
        let _ = writeln!(svg, r#"<polyline class="{class}" style="fill: none" points="{}"/>"#, places.join(" "));
        for (at, (items, value)) in self.points.iter().enumerate() {
            let (x, y) = (x(at), y(*value));
            let _ = writeln!(svg, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="4"/>"#);
            let _ = writeln!(svg, r#"<text x="{x:.1}" y="{:.1}">{}</text>"#, y - 12.0, (self.show)(*value));
            let _ = writeln!(svg, r#"<text x="{x:.1}" y="{:.1}">{}</text>"#, bottom + 20.0, grouped(*items as f64));
        }
        let _ = writeln!(svg, r#"<text x="{middle}" y="{:.1}">items of the job</text>"#, bottom + 42.0);
    }
}
