//! The page: sections of rows, each with what was recorded, what is simulated, and a verdict.

use std::fmt::Write;

use super::statistics::{quantile, quantile_range, rank, sorted};

/// A difference that no request notices: at 150 requests a second one comes every 6.7 ms.
pub const SMALL_MS: f64 = 5.0;

/// One experiment.
pub struct Section {
    pub title: &'static str,
    pub text: String,
    /// What stands above the three columns.
    pub columns: [&'static str; 3],
    pub rows: Vec<Row>,
    pub after: String,
}

/// One comparison.
pub struct Row {
    pub what: String,
    pub recorded: String,
    pub simulated: String,
    pub verdict: Verdict,
}

/// How recording and model agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The recorded values are ones that the model gives.
    Inside,
    /// They differ, by less than matters.
    Close(String),
    /// They differ; with the reason, if it is known.
    Outside(String, Option<&'static str>),
}

impl Verdict {
    /// Whether somebody has to look into it.
    pub const fn is_unexplained(&self) -> bool {
        matches!(self, Self::Outside(_, None))
    }
}

impl Row {
    /// Compares a sample with what is simulated, in milliseconds, by the quantiles 10, 50 and 90 %.
    ///
    /// Inside: each quantile lies in the 1-99 % range of that of equally large samples from the simulation.
    pub fn sample(what: &str, recorded: Vec<f64>, simulated: Vec<f64>, why: Option<&'static str>) -> Self {
        const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];
        let (recorded, simulated) = (sorted(recorded), sorted(simulated));
        let mut off = Vec::new();
        let mut worst: f64 = 0.0;
        for p in QUANTILES {
            let (seen, expected) = (quantile(&recorded, p), quantile(&simulated, p));
            let (low, high) = quantile_range(&simulated, recorded.len(), p);
            if seen < low || seen > high {
                off.push(format!("p{:.0} by {:+.1}", 100.0 * p, seen - expected));
                worst = worst.max((seen - expected).abs());
            }
        }
        let verdict = match off.is_empty() {
            true => Verdict::Inside,
            false if worst <= SMALL_MS => Verdict::Close(off.join(", ")),
            false => Verdict::Outside(off.join(", "), why),
        };
        let show = |values: &[f64]| QUANTILES.map(|p| millis(quantile(values, p))).join(" / ");
        Self {
            what: format!("{what} (n {})", recorded.len()),
            recorded: show(&recorded),
            simulated: show(&simulated),
            verdict,
        }
    }

    /// Compares single values with what is simulated, in milliseconds. Inside: all lie in its 0.5-99.5 % range.
    pub fn values(what: &str, recorded: &[f64], simulated: Vec<f64>, why: Option<&'static str>) -> Self {
        if simulated.is_empty() {
            return Self::text(
                what,
                recorded.iter().map(|v| millis(*v)).collect::<Vec<_>>().join(", "),
                "never".into(),
                false,
                why,
            );
        }
        let simulated = sorted(simulated);
        let (low, high) = (quantile(&simulated, 0.005), quantile(&simulated, 0.995));
        let off = |v: &f64| (low - v).max(v - high).max(0.0);
        let worst = recorded.iter().map(off).fold(0.0, f64::max);
        let missed: Vec<_> = recorded.iter().filter(|v| off(v) > 0.0).map(|v| millis(*v)).collect();
        let verdict = match missed.is_empty() {
            true => Verdict::Inside,
            false if worst <= SMALL_MS => Verdict::Close(format!("{} beyond by {worst:.1}", missed.join(", "))),
            false => Verdict::Outside(missed.join(", "), why),
        };
        Self {
            what: what.to_string(),
            recorded: recorded.iter().map(|v| millis(*v)).collect::<Vec<_>>().join(", "),
            simulated: format!("{} ({}-{})", millis(quantile(&simulated, 0.5)), millis(low), millis(high)),
            verdict,
        }
    }

    /// Where a recorded count lies among simulated ones. Inside: not in the outermost 1 % on either side.
    pub fn count(what: &str, recorded: f64, simulated: &[f64], why: Option<&'static str>) -> Self {
        let (below, up_to) = rank(simulated, recorded);
        let simulated = sorted(simulated.to_vec());
        let place = if below == 0.0 && up_to == 1.0 {
            "always".to_string()
        } else {
            format!("{:.1}-{:.1} %", 100.0 * below, 100.0 * up_to)
        };
        let verdict =
            if up_to >= 0.01 && below <= 0.99 { Verdict::Inside } else { Verdict::Outside(place.clone(), why) };
        let quantiles = [0.01, 0.1, 0.5, 0.9, 0.99].map(|p| format!("{:.0}", quantile(&simulated, p))).join(" / ");
        let mean = simulated.iter().sum::<f64>() / simulated.len() as f64;
        Self {
            what: what.to_string(),
            recorded: format!("{recorded:.0}"),
            simulated: format!("{quantiles}, mean {mean:.1}; recorded at {place}"),
            verdict,
        }
    }

    /// Compares two texts.
    pub fn text(what: &str, recorded: String, simulated: String, agree: bool, why: Option<&'static str>) -> Self {
        let verdict = if agree { Verdict::Inside } else { Verdict::Outside("differs".to_string(), why) };
        Self { what: what.to_string(), recorded, simulated, verdict }
    }
}

/// Milliseconds: with a decimal below 100, whole above.
pub fn millis(value: f64) -> String {
    if value.abs() < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// The page as Markdown.
pub fn render(sections: &[Section], introduction: &str) -> String {
    let mut page = String::from(introduction);
    let all = || sections.iter().flat_map(|s| &s.rows);
    let count = |is: fn(&Verdict) -> bool| all().filter(|r| is(&r.verdict)).count();
    let (inside, close) = (count(|v| matches!(v, Verdict::Inside)), count(|v| matches!(v, Verdict::Close(_))));
    let outside = count(|v| matches!(v, Verdict::Outside(..)));
    let _ = write!(
        page,
        "\n**{} comparisons: {inside} inside, {close} close, {outside} outside.**\n",
        inside + close + outside
    );
    for section in sections {
        let [what, recorded, simulated] = section.columns;
        let _ = write!(page, "\n## {}\n\n{}\n\n", section.title, section.text);
        let _ = writeln!(page, "| {what} | {recorded} | {simulated} | verdict |\n| --- | --- | --- | --- |");
        for Row { what, recorded, simulated, verdict } in &section.rows {
            let verdict = match verdict {
                Verdict::Inside => "inside".to_string(),
                Verdict::Close(off) => format!("close: {off} ms"),
                Verdict::Outside(off, why) => format!("**outside**: {off}. {}", why.unwrap_or("Not explained.")),
            };
            let _ = writeln!(page, "| {what} | {recorded} | {simulated} | {verdict} |");
        }
        if !section.after.is_empty() {
            let _ = write!(page, "\n{}\n", section.after);
        }
    }
    page
}
