//! What was measured, and its spread.

use std::fmt;

/// One turn of one contender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// CPU time of the server's processes per request, in microseconds.
    pub(crate) cpu_micros: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    /// Connections that failed, and requests that timed out.
    pub(crate) broken: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} µs CPU per request, {:.0} requests/s", self.cpu_micros, self.per_second)
    }
}

/// All turns of one contender.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<Sample>);

impl Figures {
    pub(crate) fn add(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// The spread of one figure over all turns. `None` if there was none.
    pub(crate) fn spread(&self, figure: fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.0.iter().map(figure).collect())
    }

    pub(crate) fn broken(&self) -> u64 {
        self.0.iter().map(|sample| sample.broken).sum()
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some(Self { least, median: f64::midpoint(lower, upper), most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 10.0]);
        assert_eq!(spread, Some(Spread { least: 1.0, median: 3.5, most: 10.0 }));
    }

    #[test]
    fn the_median_of_an_odd_number_is_the_one_in_the_middle() {
        assert_eq!(Spread::of(vec![9.0, 2.0, 5.0]).map(|spread| spread.median), Some(5.0));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
