//! What the application in a pod does to a connection, and how long it works on a request.

use crate::engine::{Distribution, Duration};
use crate::simulation::setup::{App, Capacity, NobodyBehind, Shutdown};

/// How long an application works, made ready for many draws.
#[derive(Clone, Debug)]
pub(in crate::simulation::network) struct AppTimes<'a> {
    pub keep_alive_timeout: Option<Duration>,
    pub nobody_behind: Option<NobodyBehind>,
    pub shutdown: Shutdown,
    pub capacity: Capacity,
    pub service_time: &'a Distribution,
    /// By `j`: no service time of a draw up to 1 − 2⁻ʲ is longer.
    longest: [Duration; 54],
}

impl<'a> AppTimes<'a> {
    pub fn new(app: &'a App) -> Self {
        Self {
            keep_alive_timeout: app.keep_alive_timeout,
            nobody_behind: app.nobody_behind,
            shutdown: app.shutdown,
            capacity: app.capacity,
            ..Self::with(&app.service_time)
        }
    }

    pub(super) fn with(service_time: &'a Distribution) -> Self {
        let longest = std::array::from_fn(|j| service_time.quantile(1.0 - 1.0 / (1u64 << j) as f64));
        let (shutdown, capacity) = (Shutdown::default(), Capacity::default());
        Self { keep_alive_timeout: None, nobody_behind: None, shutdown, capacity, service_time, longest }
    }

    /// The service time of this draw.
    pub fn service_time(&self, unit: f64) -> Duration {
        self.service_time.sample(unit)
    }

    /// Some time that is not shorter than the service time of this draw: what is enough to know most of the time, without
    /// the price of a quantile function. A service time never falls when the draw grows.
    #[inline]
    pub fn service_time_at_most(&self, unit: f64) -> Duration {
        // `1 − unit` is exact, and at least 2⁻ʲ for the `j` of its exponent.
        let exponent = (1.0 - unit).to_bits() >> 52;
        self.longest[1023 - exponent as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Key, Random};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_cheap_bound_is_a_bound(unit in (0u64..1 << 53).prop_map(|w| (w | 1) as f64 / (1u64 << 53) as f64)) {
            let ms = Duration::from_millis;
            for distribution in [
                Distribution::constant(ms(20)),
                Distribution::uniform(ms(1), ms(9)).unwrap(),
                Distribution::exponential(ms(5)).unwrap(),
                Distribution::log_normal(ms(20), ms(200)).unwrap(),
                Distribution::mixture(vec![(9.0, Distribution::constant(ms(1))), (1.0, Distribution::exponential(ms(90)).unwrap())]).unwrap(),
            ] {
                let app = crate::simulation::network::test_app(distribution);
                let times = AppTimes::new(&app);
                for unit in [unit, 1.0 - unit, 1.0 / (1u64 << 53) as f64, 1.0 - 1.0 / (1u64 << 53) as f64] {
                    prop_assert!(times.service_time(unit) <= times.service_time_at_most(unit));
                }
            }
        }
    }

    #[test]
    fn the_cheap_bound_is_seldom_far_off() {
        let app = crate::simulation::network::test_app(Distribution::exponential(Duration::from_millis(20)).unwrap());
        let times = AppTimes::new(&app);
        let draws = (0..10_000).map(|i| Random::new(1).unit(Key::new("draw"), i));
        let enough = draws.filter(|u| times.service_time_at_most(*u) < Duration::from_millis(150)).count();
        assert!(enough > 9_900, "{enough} of 10000 draws are within 150 ms at a mean of 20 ms");
    }
}
