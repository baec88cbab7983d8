//! Families of metrics in the text format of Prometheus, 0.0.4. The only home of the crate `prometheus`: what is counted
//! lies with those who count it, and becomes the crate's types when somebody asks.

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::histogram::Observed;

/// Of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Of what a histogram counts; its bounds and its sum are told in seconds, or as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Nanoseconds,
    Items,
}

/// Names and values of a series.
pub type Labels<'a> = Vec<(&'static str, &'a str)>;

/// What is told, family by family.
#[derive(Debug, Default)]
pub struct Families(Vec<MetricFamily>);

impl Families {
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [(Vec::new(), value)]);
    }

    pub fn counters<'a>(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (Labels<'a>, u64)>) {
        self.sums(name, help, series.into_iter().map(|(labels, value)| (labels, value as f64)));
    }

    /// Counters of what has no whole numbers.
    pub fn sums<'a>(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (Labels<'a>, f64)>) {
        let metrics = series.into_iter().map(|(labels, value)| {
            let mut counter = Counter::default();
            counter.set_value(value);
            let mut metric = labelled(labels);
            metric.set_counter(counter);
            metric
        });
        self.put(name, help, MetricType::COUNTER, metrics.collect());
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [(Vec::new(), value)]);
    }

    pub fn gauges<'a>(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = (Labels<'a>, f64)>) {
        let metrics = series.into_iter().map(|(labels, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = labelled(labels);
            metric.set_gauge(gauge);
            metric
        });
        self.put(name, help, MetricType::GAUGE, metrics.collect());
    }

    pub fn histogram(&mut self, name: &str, help: &str, unit: Unit, observed: Observed) {
        self.histograms(name, help, unit, [(Vec::new(), observed)]);
    }

    pub fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        series: impl IntoIterator<Item = (Labels<'a>, Observed)>,
    ) {
        let metrics = series.into_iter().map(|(labels, observed)| {
            let mut metric = labelled(labels);
            metric.set_histogram(of_crate(unit, &observed));
            metric
        });
        self.put(name, help, MetricType::HISTOGRAM, metrics.collect());
    }

    fn put(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        // A family without a series has nothing to say, and the encoder takes it for a mistake.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(format!("relabeld_{name}"));
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.0)
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pairs = labels.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

fn of_crate(unit: Unit, observed: &Observed) -> Histogram {
    let told = |value: u64| match unit {
        Unit::Nanoseconds => value as f64 / 1e9,
        Unit::Items => value as f64,
    };
    let buckets = observed.bounds.iter().zip(&observed.up_to).map(|(&bound, &count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(told(bound));
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(observed.up_to.last().copied().unwrap_or(0));
    histogram.set_sample_sum(told(observed.sum));
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_as_prometheus_reads_them() {
        let mut families = Families::default();
        families.gauges("items", "By program.", [(vec![("program", "a \"b\"\\\n")], 2.0)]);
        families.gauges("nothing", "Not there.", []);
        let observed = Observed { bounds: &[500_000_000], up_to: vec![1, 3], sum: 2_250_000_000 };
        families.histogram("wait_seconds", "How long.", Unit::Nanoseconds, observed);
        families.counter("done_total", "How many.", 7);
        let expected = r#"# HELP relabeld_items By program.
# TYPE relabeld_items gauge
relabeld_items{program="a \"b\"\\\n"} 2
# HELP relabeld_wait_seconds How long.
# TYPE relabeld_wait_seconds histogram
relabeld_wait_seconds_bucket{le="0.5"} 1
relabeld_wait_seconds_bucket{le="+Inf"} 3
relabeld_wait_seconds_sum 2.25
relabeld_wait_seconds_count 3
# HELP relabeld_done_total How many.
# TYPE relabeld_done_total counter
relabeld_done_total 7
"#;
        assert_eq!(families.text().unwrap(), expected);
    }
}
