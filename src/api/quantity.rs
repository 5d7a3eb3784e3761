//! Resource quantities: `500m` of CPU, `128Mi` of memory.

/// What a pod asks of a node, or what a node has to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

impl std::ops::AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        self.cpu_millis += other.cpu_millis;
        self.memory_bytes += other.memory_bytes;
    }
}

impl Resources {
    /// The larger of each: what init containers, which run one after the other, make of a pod's request.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }
}

/// A quantity that Kubernetes would refuse.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a quantity; expected a number with an optional suffix, as in 500m, 2, 128Mi or 1G")]
pub struct QuantityError(pub String);

/// Reads a quantity as thousandths of its unit, rounded up as Kubernetes does.
///
/// Source: `k8s.io/apimachinery/pkg/api/resource/quantity.go` (v1.36): decimal suffixes n u m k M G T P E, binary
/// suffixes Ki to Ei, and exponents.
///
/// # Errors
/// If the text is not a quantity, is negative, or does not fit.
pub fn parse_millis(text: &str) -> Result<u64, QuantityError> {
    let error = || QuantityError(text.to_string());
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let (number, suffix) = trimmed.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(error());
    }
    // number = mantissa / 10^scale, exactly
    let scale = fraction.len();
    if scale > 18 {
        return Err(error());
    }
    let mantissa: u128 = format!("0{whole}{fraction}").parse().map_err(|_| error())?;
    let ten = |n: u32| 10u128.pow(n);
    let (times, over) = match suffix {
        "" => (1000, 1),
        "n" => (1, ten(6)),
        "u" => (1, ten(3)),
        "m" => (1, 1),
        "k" => (ten(6), 1),
        "M" => (ten(9), 1),
        "G" => (ten(12), 1),
        "T" => (ten(15), 1),
        "P" => (ten(18), 1),
        "E" => (ten(21), 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        other => match other.strip_prefix(['e', 'E']).and_then(|e| e.parse::<i32>().ok()) {
            Some(e @ 0..=18) => (1000 * ten(e.unsigned_abs()), 1),
            Some(e @ -18..=-1) => (1000, ten(e.unsigned_abs())),
            _ => return Err(error()),
        },
    };
    let scale = ten(u32::try_from(scale).map_err(|_| error())?);
    let value = mantissa.checked_mul(times).ok_or_else(error)?.div_ceil(over * scale);
    u64::try_from(value).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::parse_millis;

    #[test]
    fn reads_quantities() {
        for (text, millis) in [
            ("1", 1000),
            ("500m", 500),
            ("0.1", 100),
            (".5", 500),
            ("1.5", 1500),
            ("100n", 1),
            ("128Mi", 128 * 1024 * 1024 * 1000),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("1e-2", 10),
        ] {
            assert_eq!(parse_millis(text), Ok(millis), "{text}");
        }
        for text in ["", "m", "-1", "1Q", "1.2.3", "1 m", "99999999999999999E", "."] {
            assert!(parse_millis(text).is_err(), "{text}");
        }
    }
}
