//! Instants and spans of simulated time, in whole nanoseconds.
//!
//! Both types are a `u64`: 584 years, exactly. All operators *saturate* at zero and at `MAX`, so `Duration::MAX` can
//! stand for "forever" and no arithmetic on time can panic; use the `checked_` methods where an overflow must be told.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};
use std::str::FromStr;

use serde::{Serialize, Serializer};

const NANOS_PER_MICRO: u64 = 1_000;
const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SEC: u64 = 1_000_000_000;
const NANOS_PER_MINUTE: u64 = 60 * NANOS_PER_SEC;
const NANOS_PER_HOUR: u64 = 60 * NANOS_PER_MINUTE;

/// An instant: nanoseconds since the start of the simulation.
///
/// Prints as seconds with three decimals, rounded down to the millisecond: `12.345s`. Serializes as a number of
/// seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The start of the simulation.
    pub const ZERO: Time = Time(0);
    /// The last instant there is, about 584 years after the start; stands for "never".
    pub const MAX: Time = Time(u64::MAX);

    /// The instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The instant `millis` milliseconds after the start; saturates at [`Time::MAX`].
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis.saturating_mul(NANOS_PER_MILLI))
    }

    /// The instant `secs` seconds after the start; saturates at [`Time::MAX`].
    pub const fn from_secs(secs: u64) -> Time {
        Time(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start; the nearest `f64`, exact to the nanosecond for the first 104 days.
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// How long before `self` was `earlier`; zero if it was not before.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// The instant `span` later, or `None` if that is after [`Time::MAX`].
    pub const fn checked_add(self, span: Duration) -> Option<Time> {
        match self.0.checked_add(span.0) {
            Some(nanos) => Some(Time(nanos)),
            None => None,
        }
    }

    /// The instant `span` later, at most [`Time::MAX`]. The same as `self + span`.
    pub const fn saturating_add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(span.0))
    }

    /// The last whole second at or before `self`: what is left of an instant in a timestamp without sub-seconds.
    pub const fn truncate_to_second(self) -> Time {
        Time(self.0 - self.0 % NANOS_PER_SEC)
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, span: Duration) -> Time {
        self.saturating_add(span)
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One `pad` of a whole string, so that a width given by the caller applies.
        f.pad(&format!("{}.{:03}s", self.0 / NANOS_PER_SEC, self.0 % NANOS_PER_SEC / NANOS_PER_MILLI))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_secs_f64())
    }
}

/// A span of time: nanoseconds, never negative.
///
/// Prints and parses as Go's `time.Duration` does (`1m30s`, `500ms`), which is how Kubernetes and Prometheus
/// configuration writes durations. Serializes as a number of seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);
    /// The longest span there is, about 584 years; stands for "forever".
    pub const MAX: Duration = Duration(u64::MAX);

    /// A span of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Duration {
        Duration(nanos)
    }

    /// A span of `micros` microseconds; saturates at [`Duration::MAX`].
    pub const fn from_micros(micros: u64) -> Duration {
        Duration(micros.saturating_mul(NANOS_PER_MICRO))
    }

    /// A span of `millis` milliseconds; saturates at [`Duration::MAX`].
    pub const fn from_millis(millis: u64) -> Duration {
        Duration(millis.saturating_mul(NANOS_PER_MILLI))
    }

    /// A span of `secs` seconds; saturates at [`Duration::MAX`].
    pub const fn from_secs(secs: u64) -> Duration {
        Duration(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// A span of `secs` seconds, rounded to the nearest nanosecond (halves up).
    ///
    /// Total: NaN and everything below zero give [`Duration::ZERO`], what is too long gives [`Duration::MAX`].
    pub const fn from_secs_f64(secs: f64) -> Duration {
        Duration::from_nanos_f64(secs * NANOS_PER_SEC as f64)
    }

    /// A span of `nanos` nanoseconds, rounded to the nearest whole one (halves up); total as [`from_secs_f64`] is.
    ///
    /// [`from_secs_f64`]: Duration::from_secs_f64
    pub const fn from_nanos_f64(nanos: f64) -> Duration {
        // `as` truncates, saturates, and takes NaN and negative numbers to zero; the difference is exact.
        let whole = nanos as u64;
        let round_up = nanos - whole as f64 >= 0.5;
        Duration(whole.saturating_add(round_up as u64))
    }

    /// The span in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The span in milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / NANOS_PER_MILLI
    }

    /// The span in seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SEC
    }

    /// The span in seconds; the nearest `f64`, exact to the nanosecond up to 104 days.
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// Whether the span is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, at most [`Duration::MAX`]. The same as `self + other`.
    pub const fn saturating_add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }

    /// What is left of `self` without `other`, at least zero. The same as `self - other`.
    pub const fn saturating_sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }

    /// `factor` times the span, or `None` if that is longer than [`Duration::MAX`].
    pub const fn checked_mul(self, factor: u64) -> Option<Duration> {
        match self.0.checked_mul(factor) {
            Some(nanos) => Some(Duration(nanos)),
            None => None,
        }
    }

    /// `factor` times the span, at most [`Duration::MAX`]. The same as `self * factor`, but usable in a constant.
    #[allow(clippy::should_implement_trait, reason = "the trait is implemented below; this one is `const`")]
    pub const fn mul(self, factor: u64) -> Duration {
        Duration(self.0.saturating_mul(factor))
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        self.saturating_add(other)
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, other: Duration) {
        *self = *self + other;
    }
}

impl Sub for Duration {
    type Output = Duration;
    fn sub(self, other: Duration) -> Duration {
        self.saturating_sub(other)
    }
}

impl SubAssign for Duration {
    fn sub_assign(&mut self, other: Duration) {
        *self = *self - other;
    }
}

impl Mul<u64> for Duration {
    type Output = Duration;
    fn mul(self, factor: u64) -> Duration {
        Duration::mul(self, factor)
    }
}

impl Sum for Duration {
    fn sum<I: Iterator<Item = Duration>>(spans: I) -> Duration {
        spans.fold(Duration::ZERO, Duration::saturating_add)
    }
}

impl fmt::Display for Duration {
    /// As `func (d Duration) String()` in Go's `src/time/time.go`: the largest unit below a second that gives a whole
    /// part, else hours, minutes and seconds without leading zero units; fractions without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0;
        f.pad(&match nanos {
            0 => "0s".to_owned(),
            1..NANOS_PER_MICRO => format!("{nanos}ns"),
            NANOS_PER_MICRO..NANOS_PER_MILLI => decimal(nanos, NANOS_PER_MICRO, "µs"),
            NANOS_PER_MILLI..NANOS_PER_SEC => decimal(nanos, NANOS_PER_MILLI, "ms"),
            NANOS_PER_SEC.. => {
                let (hours, minutes) = (nanos / NANOS_PER_HOUR, nanos % NANOS_PER_HOUR / NANOS_PER_MINUTE);
                let seconds = decimal(nanos % NANOS_PER_MINUTE, NANOS_PER_SEC, "s");
                match (hours, minutes) {
                    (0, 0) => seconds,
                    (0, _) => format!("{minutes}m{seconds}"),
                    (_, _) => format!("{hours}h{minutes}m{seconds}"),
                }
            }
        })
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_secs_f64())
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    /// Reads what Go's `time.ParseDuration` (`src/time/format.go`) reads, except a negative span: one or more decimal
    /// numbers, each with a unit (`ns`, `us` or `µs`, `ms`, `s`, `m`, `h`), as in `1h30m` or `2m0.5s`; or a lone `0`.
    /// A fraction finer than a nanosecond is cut off.
    ///
    /// # Errors
    ///
    /// [`ParseDurationError`] says what was expected. As in Go, the longest span is 2⁶³ − 1 ns, about 292 years.
    fn from_str(text: &str) -> Result<Duration, ParseDurationError> {
        if text.starts_with('-') {
            return Err(ParseDurationError::Negative(text.to_owned()));
        }
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        if unsigned == "0" {
            return Ok(Duration::ZERO);
        }
        if unsigned.is_empty() {
            return Err(ParseDurationError::NotANumber(text.to_owned()));
        }
        let mut nanos: u64 = 0;
        let mut rest = unsigned;
        while !rest.is_empty() {
            let (part, after) = parse_part(text, rest)?;
            nanos = nanos
                .checked_add(part)
                .filter(|&sum| sum <= GO_MAX_NANOS)
                .ok_or_else(|| ParseDurationError::TooLong(text.to_owned()))?;
            rest = after;
        }
        Ok(Duration(nanos))
    }
}

/// Why a text is not a [`Duration`]. Each variant carries the whole text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDurationError {
    /// The text, or what follows one of its units, does not start with a number.
    #[error("`{0}` is not a duration: expected a number with a unit, such as `30s`, `1m30s` or `500ms`")]
    NotANumber(String),
    /// The text starts with a minus sign.
    #[error("`{0}` is negative: expected a duration of zero or more, such as `30s`")]
    Negative(String),
    /// A number is followed by no unit at all.
    #[error("`{text}` lacks a unit after `{number}`: expected one of ns, us, ms, s, m, h, as in `{number}s`")]
    MissingUnit {
        /// The whole text.
        text: String,
        /// The number that stands alone.
        number: String,
    },
    /// A number is followed by something that is no unit.
    #[error("`{text}` has the unknown unit `{unit}`: expected one of ns, us, ms, s, m, h")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// What stands in the place of a unit.
        unit: String,
    },
    /// The span is longer than Go's `time.Duration` can hold.
    #[error("`{0}` is too long: expected at most 2562047h47m16.854775807s (about 292 years)")]
    TooLong(String),
}

/// The longest `time.Duration` in Go, an `int64` of nanoseconds.
const GO_MAX_NANOS: u64 = i64::MAX as u64;

/// `nanos` in units of `unit` nanoseconds (a power of ten), with as many decimals as it takes.
fn decimal(nanos: u64, unit: u64, suffix: &str) -> String {
    let (whole, fraction) = (nanos / unit, nanos % unit);
    if fraction == 0 {
        return format!("{whole}{suffix}");
    }
    let digits = format!("{fraction:0width$}", width = unit.ilog10() as usize);
    format!("{whole}.{}{suffix}", digits.trim_end_matches('0'))
}

/// Reads one number and its unit from the front of `rest`: the nanoseconds, and what follows.
fn parse_part<'a>(text: &str, rest: &'a str) -> Result<(u64, &'a str), ParseDurationError> {
    let too_long = || ParseDurationError::TooLong(text.to_owned());
    let (whole, after_whole) = split_digits(rest);
    let (fraction, after_number) = match after_whole.strip_prefix('.') {
        Some(after_point) => split_digits(after_point),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(ParseDurationError::NotANumber(text.to_owned()));
    }
    let unit_end = after_number.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after_number.len());
    let (unit, after) = after_number.split_at(unit_end);
    let nanos_per_unit = match unit {
        "ns" => 1,
        // U+00B5 micro sign and U+03BC Greek letter mu, as in Go.
        "us" | "\u{b5}s" | "\u{3bc}s" => NANOS_PER_MICRO,
        "ms" => NANOS_PER_MILLI,
        "s" => NANOS_PER_SEC,
        "m" => NANOS_PER_MINUTE,
        "h" => NANOS_PER_HOUR,
        "" => {
            let number = rest[..rest.len() - after_number.len()].to_owned();
            return Err(ParseDurationError::MissingUnit { text: text.to_owned(), number });
        }
        _ => return Err(ParseDurationError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() }),
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
    let nanos = whole.checked_mul(nanos_per_unit).ok_or_else(too_long)?;
    Ok((nanos.checked_add(fraction_nanos(fraction, nanos_per_unit)).ok_or_else(too_long)?, after))
}

/// `0.<digits>` units in nanoseconds, by the very operations of Go's `leadingFraction` and `ParseDuration`, so that the
/// last nanosecond agrees too: digits that overflow 63 bits are ignored, the product is a float, rounded down.
fn fraction_nanos(digits: &str, nanos_per_unit: u64) -> u64 {
    let (mut numerator, mut scale) = (0u64, 1.0);
    for digit in digits.bytes() {
        if numerator > GO_MAX_NANOS / 10 {
            break;
        }
        let next = numerator * 10 + u64::from(digit - b'0');
        if next > GO_MAX_NANOS + 1 {
            break;
        }
        numerator = next;
        scale *= 10.0;
    }
    (numerator as f64 * (nanos_per_unit as f64 / scale)) as u64
}

/// Splits `text` behind its leading decimal digits.
fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_instant_prints_seconds_with_three_decimals() {
        let print = |nanos| Time::from_nanos(nanos).to_string();
        assert_eq!(print(0), "0.000s");
        assert_eq!(print(12_345_678_901), "12.345s");
        assert_eq!(print(999_999), "0.000s");
        assert_eq!(format!("{:?}|{:>9}", Time::from_secs(3), Time::from_millis(7)), "3.000s|   0.007s");
    }

    #[test]
    fn instants_saturate() {
        let second = Duration::from_secs(1);
        assert_eq!(Time::MAX + second, Time::MAX);
        assert_eq!(Time::ZERO - second, Time::ZERO);
        assert_eq!(Time::ZERO.since(Time::MAX), Duration::ZERO);
        assert_eq!(Time::MAX.checked_add(second), None);
        assert_eq!(Time::from_secs(u64::MAX), Time::MAX);
        assert_eq!(Time::from_millis(2999).truncate_to_second(), Time::from_secs(2));
    }

    #[test]
    fn a_span_prints_as_go_prints_it() {
        // The first block is the table `durationTests` of Go's src/time/time_test.go without its negative entries.
        let cases: &[(u64, &str)] = &[
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
            (i64::MAX as u64, "2562047h47m16.854775807s"),
            (90_000_000_000, "1m30s"),
            (500_000_000, "500ms"),
            (7_200_000_000_000, "2h0m0s"),
            (u64::MAX, "5124095h34m33.709551615s"),
        ];
        for &(nanos, text) in cases {
            assert_eq!(Duration::from_nanos(nanos).to_string(), text);
        }
        assert_eq!(format!("{:>6}|{:<6}|", Duration::from_secs(2), Duration::from_millis(3)), "    2s|3ms   |");
    }

    #[test]
    fn a_span_reads_what_go_reads() {
        // From `parseDurationTests` of Go's src/time/time_test.go, and our own.
        let cases: &[(&str, u64)] = &[
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("1478s", 1_478_000_000_000),
            ("+5s", 5_000_000_000),
            ("5.0s", 5_000_000_000),
            ("5.s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1.004s", 1_004_000_000),
            ("1.0040s", 1_004_000_000),
            ("100.00100s", 100_001_000_000),
            ("10ns", 10),
            ("100us", 100_000),
            ("12µs", 12_000),
            ("12μs", 12_000),
            ("3h30m", 12_600_000_000_000),
            ("10.5s4m", 250_500_000_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("39h9m14.425s", 140_954_425_000_000),
            ("52763797000ns", 52_763_797_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("0.100000000000000000000h", 360_000_000_000),
            ("0.830103483285477580700h", 2_988_372_539_827),
            ("9223372036854775807ns", i64::MAX as u64),
            ("2m0.5s", 120_500_000_000),
            ("0.9999999999ns", 0),
        ];
        for &(text, nanos) in cases {
            assert_eq!(text.parse(), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn a_refused_text_is_told_what_was_expected() {
        let cases = [
            ("", "`` is not a duration: expected a number with a unit, such as `30s`, `1m30s` or `500ms`"),
            ("s", "`s` is not a duration: expected a number with a unit, such as `30s`, `1m30s` or `500ms`"),
            (".s", "`.s` is not a duration: expected a number with a unit, such as `30s`, `1m30s` or `500ms`"),
            ("-3s", "`-3s` is negative: expected a duration of zero or more, such as `30s`"),
            ("30", "`30` lacks a unit after `30`: expected one of ns, us, ms, s, m, h, as in `30s`"),
            ("1h30", "`1h30` lacks a unit after `30`: expected one of ns, us, ms, s, m, h, as in `30s`"),
            ("3d", "`3d` has the unknown unit `d`: expected one of ns, us, ms, s, m, h"),
            ("3 s", "`3 s` has the unknown unit ` s`: expected one of ns, us, ms, s, m, h"),
            ("5S", "`5S` has the unknown unit `S`: expected one of ns, us, ms, s, m, h"),
            ("300y1s", "`300y1s` has the unknown unit `y`: expected one of ns, us, ms, s, m, h"),
        ];
        for (text, message) in cases {
            assert_eq!(text.parse::<Duration>().unwrap_err().to_string(), message);
        }
        for text in ["9223372036854775808ns", "2562047h47m16.854775808s", "99999999999999999999s", "3000000h"] {
            assert_eq!(text.parse::<Duration>(), Err(ParseDurationError::TooLong(text.to_owned())));
        }
    }

    #[test]
    fn a_float_is_rounded_and_never_refused() {
        assert_eq!(Duration::from_secs_f64(1.5), Duration::from_millis(1500));
        assert_eq!(Duration::from_secs_f64(0.4e-9), Duration::ZERO);
        assert_eq!(Duration::from_secs_f64(0.6e-9), Duration::from_nanos(1));
        assert_eq!(Duration::from_secs_f64(-1.0), Duration::ZERO);
        assert_eq!(Duration::from_secs_f64(f64::NAN), Duration::ZERO);
        assert_eq!(Duration::from_secs_f64(f64::INFINITY), Duration::MAX);
    }

    #[test]
    fn both_serialize_as_seconds() {
        let json = serde_json::to_string(&(Time::from_millis(1500), Duration::from_micros(250))).unwrap();
        assert_eq!(json, "[1.5,0.00025]");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(nanos in 0..=i64::MAX as u64, shift in 0..63u32) {
            let span = Duration::from_nanos(nanos >> shift);
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9.+µhmsnu-]{0,24}|\\PC*") {
            let _ = text.parse::<Duration>();
        }

        #[test]
        fn since_undoes_add(start in 0..u64::MAX / 2, span in 0..u64::MAX / 2) {
            let (start, span) = (Time::from_nanos(start), Duration::from_nanos(span));
            prop_assert_eq!((start + span).since(start), span);
            prop_assert_eq!((start + span) - span, start);
        }
    }
}
