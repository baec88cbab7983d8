//! The lines that a run ends with: what was wanted, what was reached.

/// One line of the table.
pub struct Line {
    pub what: String,
    pub goal: Goal,
    pub reached: f64,
    /// What `reached` was made of.
    pub figures: String,
}

#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Line {
    fn is_reached(&self) -> bool {
        match self.goal {
            Goal::AtLeast(least) => self.reached >= least,
            Goal::AtMost(most) => self.reached <= most,
        }
    }
}

pub fn print(lines: &[Line]) {
    let wide = |cell: &dyn Fn(&Line) -> String| lines.iter().map(|line| cell(line).chars().count()).max().unwrap_or(0);
    let (what, figures) = (wide(&|line| line.what.clone()), wide(&|line| line.figures.clone()));
    println!("{:what$}  {:>7}  {:>7}  {:5}  from", "", "goal", "reached", "");
    for line in lines {
        let goal = match line.goal {
            Goal::AtLeast(least) => format!("≥ {least}"),
            Goal::AtMost(most) => format!("≤ {most}"),
        };
        let verdict = if line.is_reached() { "" } else { "SHORT" };
        let row =
            format!("{:what$}  {goal:>7}  {:>7.2}  {verdict:5}  {:figures$}", line.what, line.reached, line.figures);
        println!("{}", row.trim_end());
    }
    let short = lines.iter().filter(|line| !line.is_reached()).count();
    match short {
        0 => println!("All {} reach their goals.", lines.len()),
        _ => println!("{short} of {} fall short of their goals.", lines.len()),
    }
}

/// The middle one, or the mean of the two in the middle; 0 of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let values = sorted(values);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => 0.0,
        (middle, 0) => (values[middle - 1] + values[middle]) / 2.0,
        (middle, _) => values[middle],
    }
}

/// What 99 of a hundred do not exceed; 0 of nothing.
pub fn p99(values: impl IntoIterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values.get((values.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: f64) -> String {
    let digits = format!("{n:.0}");
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `rate` items/s in thousands.
pub fn thousands(rate: f64) -> String {
    format!("{:.0},000/s", rate / 1000.0)
}
