//! The standard normal distribution: its distribution function and the inverse of it, the same on every platform.
#![allow(clippy::excessive_precision, reason = "the coefficients stand as they were published")]

use std::f64::consts::FRAC_1_SQRT_2;

/// The probability that a standard normal variable is at most `z`; relative error a few 2⁻⁵³, in both tails.
pub(super) fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// The standard normal quantile: the `z` of which [`cdf`] is `p`, for `p` in the open interval (0, 1).
///
/// PPND16 of Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37
/// (1988) 477–484: three rational functions, relative error about 10⁻¹⁶.
pub(crate) fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * polynomial(&A, r) / polynomial(&B, r);
    }
    // `sqrt` is correctly rounded everywhere, unlike the transcendental functions of `std`.
    let r = (-libm::log(p.min(1.0 - p))).sqrt();
    let z = if r <= 5.0 {
        polynomial(&C, r - 1.6) / polynomial(&D, r - 1.6)
    } else {
        polynomial(&E, r - 5.0) / polynomial(&F, r - 5.0)
    };
    if q < 0.0 { -z } else { z }
}

/// Horner's scheme, the constant coefficient first; without fused operations, whose last bit would differ.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, &coefficient| sum * x + coefficient)
}

/// Numerator for |p − 1/2| ≤ 0.425.
const A: [f64; 8] = [
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
];
/// Denominator for |p − 1/2| ≤ 0.425.
const B: [f64; 8] = [
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
];
/// Numerator for the tails up to about 10⁻¹¹.
const C: [f64; 8] = [
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
];
/// Denominator for the tails up to about 10⁻¹¹.
const D: [f64; 8] = [
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
];
/// Numerator for the outermost tails.
const E: [f64; 8] = [
    6.65790464350110377720e0,
    5.46378491116411436990e0,
    1.78482653991729133580e0,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
];
/// Denominator for the outermost tails.
const F: [f64; 8] = [
    1.0,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
];

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF, Normal};

    /// The test values that the paper gives, and common ones.
    #[test]
    fn agrees_with_the_published_values() {
        let cases = [
            (0.25, -0.674_489_750_196_081_7),
            (0.001, -3.090_232_306_167_813_5),
            (1e-20, -9.262_340_089_798_408),
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.99, 2.326_347_874_040_841),
        ];
        for (p, z) in cases {
            let error = (quantile(p) - z).abs();
            assert!(error <= 1e-15 * z.abs(), "p = {p}: {} is not {z}", quantile(p));
        }
    }

    #[test]
    fn agrees_with_statrs() {
        let normal = Normal::standard();
        for i in 1..10_000 {
            let p = f64::from(i) / 10_000.0;
            assert!((quantile(p) - normal.inverse_cdf(p)).abs() < 1e-10, "{p}");
            let z = quantile(p) * 1.7;
            assert!((cdf(z) - normal.cdf(z)).abs() < 1e-10, "{z}");
        }
    }

    #[test]
    fn each_undoes_the_other_in_both_tails() {
        let mut p = 0.5;
        while p > 1e-300 {
            assert!((cdf(quantile(p)) / p - 1.0).abs() < 1e-12, "{p}");
            let upper = 1.0 - p;
            assert!(upper == 1.0 || (cdf(quantile(upper)) - upper).abs() < 1e-15, "{upper}");
            p *= 0.83;
        }
    }
}
