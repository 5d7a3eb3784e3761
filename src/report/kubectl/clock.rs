//! Simulated time as timestamps and ages.
//!
//! A run starts at midnight of 1 January 2026, UTC, whenever it is run. What is there at the start was created
//! [`STEADY_AGE`] before: old enough that its age does not change in front of the reader, and told apart at a glance from
//! what the run makes.

use crate::engine::{Duration, Time};

/// 2026-01-01T00:00:00Z, in seconds since 1970.
const EPOCH_SECONDS: i64 = 1_767_225_600;
/// How old the objects of the steady state are at the start of a run: 10 days.
pub(super) const STEADY_AGE: Duration = Duration::from_secs(10 * 24 * 3600);

/// An instant: a time of the run, or one in the steady state before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Instant(i64);

impl Instant {
    /// When the steady state began.
    pub(super) fn of_steady_state() -> Self {
        Self(-Self::at(Time::ZERO + STEADY_AGE).0)
    }

    /// A time of the run.
    pub(super) fn at(time: Time) -> Self {
        Self(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
    }

    /// A time of the run; what happened at its very start belongs to the steady state.
    pub(super) fn since(time: Time) -> Self {
        if time == Time::ZERO { Self::of_steady_state() } else { Self::at(time) }
    }

    /// Nanoseconds since 1970, as in the names of events.
    pub(super) fn unix_nanos(self) -> i64 {
        (EPOCH_SECONDS * 1_000_000_000).saturating_add(self.0)
    }

    /// As `metav1.Time` is written: whole seconds, cut.
    pub(super) fn rfc3339(self) -> String {
        let (date, seconds) = self.date_and_seconds();
        format!("{date}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// As `metav1.MicroTime` is written.
    pub(super) fn rfc3339_micro(self) -> String {
        let micros = self.unix_nanos().rem_euclid(1_000_000_000) / 1000;
        let whole = self.rfc3339();
        format!("{}.{micros:06}Z", whole.trim_end_matches('Z'))
    }

    fn date_and_seconds(self) -> (String, i64) {
        let seconds = self.unix_nanos().div_euclid(1_000_000_000);
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        (format!("{year:04}-{month:02}-{day:02}"), seconds.rem_euclid(86_400))
    }
}

/// Reads what [`Instant::rfc3339`] or [`Instant::rfc3339_micro`] wrote; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<Instant> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, micros) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let nanos = micros.parse::<i64>().ok()? * 1000;
    (seconds - EPOCH_SECONDS).checked_mul(1_000_000_000)?.checked_add(nanos).map(Instant)
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar: eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The age of something at `now`, as kubectl prints it: two or three significant figures.
///
/// Source: `k8s.io/apimachinery/pkg/util/duration/duration.go` HumanDuration (v1.36).
pub(super) fn age(now: Instant, since: Instant) -> String {
    human_duration(now.0.saturating_sub(since.0))
}

fn human_duration(nanos: i64) -> String {
    const DAY: i64 = 24;
    const YEAR: i64 = 365 * DAY;
    let seconds = nanos / 1_000_000_000;
    if seconds < -1 {
        return "<invalid>".to_string();
    }
    let with_rest = |whole: i64, unit: &str, rest: i64, small: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{small}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    if seconds < 120 {
        format!("{}s", seconds.max(0))
    } else if minutes < 10 {
        with_rest(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        with_rest(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 8 * DAY {
        with_rest(hours / DAY, "d", hours % DAY, "h")
    } else if hours < 2 * YEAR {
        format!("{}d", hours / DAY)
    } else if hours < 8 * YEAR {
        with_rest(hours / YEAR, "y", hours / DAY % 365, "d")
    } else {
        format!("{}y", hours / YEAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases on both sides of every limit of HumanDuration (`k8s.io/apimachinery/pkg/util/duration/duration.go`, v1.36).
    #[test]
    fn durations_read_as_kubectl_prints_them() {
        const S: i64 = 1_000_000_000;
        const M: i64 = 60 * S;
        const H: i64 = 60 * M;
        const D: i64 = 24 * H;
        const Y: i64 = 365 * D;
        for (nanos, text) in [
            (-2 * S, "<invalid>"),
            (-2 * S + 1, "0s"),
            (0, "0s"),
            (S - 1, "0s"),
            (S, "1s"),
            (70 * S, "70s"),
            (2 * M - 1, "119s"),
            (2 * M, "2m"),
            (2 * M + S, "2m1s"),
            (10 * M - 1, "9m59s"),
            (10 * M, "10m"),
            (10 * M + S, "10m"),
            (3 * H - 1, "179m"),
            (3 * H, "3h"),
            (3 * H + M, "3h1m"),
            (8 * H - 1, "7h59m"),
            (8 * H, "8h"),
            (2 * D - 1, "47h"),
            (2 * D, "2d"),
            (2 * D + H, "2d1h"),
            (8 * D - 1, "7d23h"),
            (8 * D, "8d"),
            (8 * D + H, "8d"),
            (10 * D + M, "10d"),
            (2 * Y - 1, "729d"),
            (2 * Y, "2y"),
            (2 * Y + D, "2y1d"),
            (8 * Y - 1, "7y364d"),
            (8 * Y, "8y"),
            (20 * Y + 30 * D, "20y"),
        ] {
            assert_eq!(human_duration(nanos), text, "{nanos} ns");
        }
    }

    #[test]
    fn instants_are_written_and_read() {
        for (instant, text) in [
            (Instant::of_steady_state(), "2025-12-22T00:00:00Z"),
            (Instant::since(Time::ZERO), "2025-12-22T00:00:00Z"),
            (Instant::at(Time::ZERO), "2026-01-01T00:00:00Z"),
            (Instant::at(Time::from_secs(59 * 86_400 + 3661)), "2026-03-01T01:01:01Z"),
            (Instant::at(Time::from_secs(1155 * 86_400 - 1)), "2029-02-28T23:59:59Z"),
        ] {
            assert_eq!((instant.rfc3339().as_str(), parse(text)), (text, Some(instant)));
        }
        let precise = Instant::at(Time::from_millis(1_250));
        assert_eq!(
            (precise.rfc3339(), precise.rfc3339_micro()),
            ("2026-01-01T00:00:01Z".into(), "2026-01-01T00:00:01.250000Z".into())
        );
        assert_eq!(parse(&precise.rfc3339_micro()), Some(precise));
        for bad in ["", "2026-01-01", "2026-01-01T00:00:00", "x-01-01T00:00:00Z"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for day in (-200_000..200_000).step_by(37) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }
}
