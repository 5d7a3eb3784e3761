//! What is varied: `path=a..b:step`, `path=a..b`, `path=v1,v2,v3`.

use serde::{Deserialize, Serialize};

use crate::engine::Duration;

/// A path as `--set` takes it, and its values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Axis {
    /// The path.
    pub path: String,
    /// The values of a grid; of a range without step its two ends.
    pub values: Vec<String>,
    /// Whether it is a range without step, for points drawn at random.
    pub open: bool,
}

/// Why a text is no axis.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is nothing to vary: {why}; write PATH=FROM..TO:STEP, PATH=FROM..TO with --sample, or PATH=A,B,C")]
pub struct AxisError {
    text: String,
    why: String,
}

/// No axis has more values.
const VALUES_MAX: u64 = 10_000;

/// What stands in a range, in units of which there are whole numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit<'a> {
    /// Nanoseconds.
    Time,
    /// Millionths of the number before this text.
    Plain(&'a str),
}

impl Axis {
    /// Reads an axis.
    ///
    /// # Errors
    /// What is wrong with it, and what it could look like.
    pub fn parse(text: &str) -> Result<Self, AxisError> {
        let error = |why: &str| AxisError { text: text.to_string(), why: why.to_string() };
        let (path, range) = text.split_once('=').ok_or_else(|| error("there is no `=`"))?;
        let axis = |values, open| Ok(Self { path: path.to_string(), values, open });
        let Some((from, rest)) = range.split_once("..") else {
            let values: Vec<String> = range.split(',').map(|v| v.trim().to_string()).collect();
            return if values.iter().any(String::is_empty) {
                Err(error("a value is empty"))
            } else {
                axis(values, false)
            };
        };
        let (to, step) = rest.split_once(':').map_or((rest, None), |(to, step)| (to, Some(step)));
        let ((low, unit), (high, other)) =
            both(from, to).ok_or_else(|| error("its ends are not numbers of one unit"))?;
        if unit != other {
            return Err(error("its ends are not numbers of one unit"));
        }
        if high < low {
            return Err(error("it ends before it begins"));
        }
        let Some(step) = step else { return axis(vec![written(low, unit), written(high, unit)], true) };
        // A step may leave the unit out: `10%..50%:10`.
        let step = amount(step).filter(|(_, u)| *u == unit || *u == Unit::Plain("")).map(|(step, _)| step);
        match step.filter(|step| *step > 0) {
            None => Err(error("its step is no number above zero of the same unit")),
            Some(step) if (high - low) / step >= VALUES_MAX => Err(error("it has more than 10,000 values")),
            Some(step) => axis((0..=(high - low) / step).map(|n| written(low + n * step, unit)).collect(), false),
        }
    }

    /// What to give to `--set` for a value.
    #[must_use]
    pub fn set(&self, value: &str) -> String {
        format!("{}={value}", self.path)
    }

    /// The value at a share of the way between its first and its last one. Whole numbers stay whole; times are rounded to
    /// milliseconds, and to seconds if both ends are seconds.
    #[must_use]
    pub fn between(&self, share: f64) -> String {
        let (Some(first), Some(last)) = (self.values.first(), self.values.last()) else { return String::new() };
        if !self.open {
            let at = (share * self.values.len() as f64) as usize;
            return self.values[at.min(self.values.len() - 1)].clone();
        }
        let Some(((low, unit), (high, _))) = both(first, last) else { return first.clone() };
        let grain = [1_000_000_000, 1_000_000].into_iter().find(|g| low % g == 0 && high % g == 0).unwrap_or(1_000);
        let steps = (high - low) / grain + 1;
        let step = ((share * steps as f64) as u64).min(steps - 1);
        written(low + step * grain, unit)
    }
}

fn both<'a>(from: &'a str, to: &'a str) -> Option<((u64, Unit<'a>), (u64, Unit<'a>))> {
    let (mut from, to) = (amount(from)?, amount(to)?);
    // `0..30s` and `1..5%`: the unit of the end counts.
    if from.1 == Unit::Plain("") && to.1 != from.1 {
        from = match to.1 {
            Unit::Time if from.0 == 0 => (0, Unit::Time),
            Unit::Plain(_) => (from.0, to.1),
            Unit::Time => from,
        };
    }
    Some((from, to))
}

fn amount(text: &str) -> Option<(u64, Unit<'_>)> {
    let text = text.trim();
    if text.ends_with(|c: char| c.is_ascii_alphabetic())
        && let Ok(span) = text.parse::<Duration>()
    {
        return Some((span.as_nanos(), Unit::Time));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    (number < 1e12).then(|| ((number * 1e6).round() as u64, Unit::Plain(&text[end..])))
}

fn written(amount: u64, unit: Unit<'_>) -> String {
    match unit {
        Unit::Time => Duration::from_nanos(amount).to_string(),
        Unit::Plain(unit) if amount.is_multiple_of(1_000_000) => format!("{}{unit}", amount / 1_000_000),
        Unit::Plain(unit) => format!("{}{unit}", amount as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        Axis::parse(text).unwrap_or_else(|e| panic!("{e}")).values
    }

    #[test]
    fn ranges_and_lists() {
        assert_eq!(values("preStop=0s..15s:5s"), ["0s", "5s", "10s", "15s"]);
        assert_eq!(values("preStop=0..2s:500ms"), ["0s", "500ms", "1s", "1.5s", "2s"]);
        assert_eq!(values("replicas=2..5:1"), ["2", "3", "4", "5"]);
        assert_eq!(values("maxUnavailable=10%..50%:20"), ["10%", "30%", "50%"]);
        assert_eq!(values("spec.traffic[0].rate=0.5/s..2/s:0.5/s"), ["0.5/s", "1/s", "1.5/s", "2/s"]);
        assert_eq!(values("spec.latencyProfile=default,idle-lab"), ["default", "idle-lab"]);
        let open = Axis::parse("gracePeriod=30s..1m30s").unwrap();
        assert_eq!((open.open, open.values.as_slice()), (true, &["30s".to_string(), "1m30s".to_string()][..]));
        assert_eq!([open.between(0.0), open.between(0.999_999)], ["30s", "1m30s"]);
        assert_eq!(open.set("45s"), "gracePeriod=45s");
    }

    #[test]
    fn what_is_no_axis_is_refused_with_the_reason() {
        for (text, why) in [
            ("preStop", "no `=`"),
            ("preStop=5s..1s:1s", "ends before"),
            ("preStop=1s..5:1", "one unit"),
            ("preStop=a..b:1", "one unit"),
            ("preStop=1s..5s:0s", "step"),
            ("preStop=1s..5s:x", "step"),
            ("preStop=1,,2", "empty"),
            ("preStop=0s..1h:1ms", "10,000"),
        ] {
            let error = Axis::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
