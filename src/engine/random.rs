//! Keyed randomness: a draw is identified by *(seed, key, index)*, not by how many draws were made before it.
//!
//! This is what makes two runs comparable ("common random numbers"): the n-th request of a client is as unlucky under
//! one policy as under another, and an added client or node shifts nobody else's luck. The key says what a draw is
//! for, as in `Key::new("client").text("shop").number(7)`; the index counts the draws under that key.
//!
//! There are two ways to draw, of the same key space but with independent values:
//!
//! - [`Random::draw`] computes any one draw directly: for draws that are scattered, or counted by something else (a
//!   request's number, say). A few nanoseconds, no state.
//! - [`Random::stream`] gives a [`Stream`], a sequential generator with state, for tight loops and where the number of
//!   draws is not known beforehand. As fast, but it holds 300 bytes of state.
//!
//! Every value is the same on every platform: integer arithmetic, exactly rounded float operations and [`libm`] only.
//!
//! # Why this is random enough
//!
//! A [`Stream`] is ChaCha with 8 rounds (Bernstein, 2008), the key as its stream number: no statistical test is known
//! that tells it from noise.
//!
//! A [`Random::draw`] is `mix(mix(key ^ s0) + mix(index ^ s1))`, where the secret `(s0, s1)` is 128 bits of ChaCha8
//! under the seed, and `mix` is the finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
//! generators", OOPSLA 2014), i.e. Stafford's "Mix13" of the MurmurHash3 finalizer: a bijection in which each input bit
//! flips each output bit with a probability close to 1/2. Both coordinates pass through two rounds of it, and the sum
//! between them keeps no linear relation that survives the second. Under one key, distinct indices give distinct words,
//! and conversely. This is a statistical generator, not a cryptographic one. The tests of this file check uniformity,
//! avalanche and the independence of neighbours.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a draw is for: a stable 64-bit hash of a path of texts and numbers.
///
/// The value is part of what a seed means, so it never changes: FNV-1a over the bytes of a text (Fowler, Noll, Vo,
/// 64-bit offset basis and prime), and after each part the finalizer of SplitMix64. Parts are told apart:
/// `text("ab").text("c")`, `text("a").text("bc")` and `text("abc")` are three keys, and so are `number(1)` and
/// `text("1")`. With `n` keys in use, two collide with a probability of about n²/2⁶⁵: one in 37 million for a million.
///
/// ```
/// use drainsim::engine::Key;
///
/// const CLIENTS: Key = Key::new("client");
/// let seventh = CLIENTS.text("shop").number(7);
/// assert_ne!(seventh, CLIENTS.text("shop").number(8));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(u64);

impl Key {
    /// The key of a path with the one part `name`.
    pub const fn new(name: &str) -> Key {
        Key(FNV_OFFSET_BASIS).text(name)
    }

    /// This path, continued by a text.
    pub const fn text(self, text: &str) -> Key {
        let bytes = text.as_bytes();
        let mut hash = self.0;
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(FNV_PRIME);
            i += 1;
        }
        Key(mix(hash))
    }

    /// This path, continued by a number.
    pub const fn number(self, number: u64) -> Key {
        Key(mix(self.0.rotate_left(32).wrapping_add(mix(number ^ NUMBER_TAG))))
    }

    /// The hash itself.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// The source of all draws of a run: a seed, and what is derived from it. Small and `Copy`; it has no state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Random {
    seed: u64,
    secret: [u64; 2],
}

impl Random {
    /// The source for `seed`. Neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Random {
        let mut words = chacha(seed, SECRET_STREAM);
        Random { seed, secret: [words.next_u64(), words.next_u64()] }
    }

    /// The seed that it was made from.
    pub const fn seed(self) -> u64 {
        self.seed
    }

    /// The sequential generator of `key`, at its beginning. Its words have nothing to do with those of
    /// [`draw`](Random::draw) under the same key.
    pub fn stream(self, key: Key) -> Stream {
        Stream { words: chacha(self.seed, key.0) }
    }

    /// Word number `index` under `key`: 64 uniform bits.
    #[inline]
    pub const fn draw(self, key: Key, index: u64) -> u64 {
        let [s0, s1] = self.secret;
        mix(mix(key.0 ^ s0).wrapping_add(mix(index ^ s1)))
    }

    /// Word number `index` under `key` as a number in the open interval (0, 1); see [`Stream::next_unit`].
    #[inline]
    pub const fn unit(self, key: Key, index: u64) -> f64 {
        unit(self.draw(key, index))
    }

    /// Word number `index` under `key` as a number in `0..n`; see [`Stream::below`].
    ///
    /// # Panics
    ///
    /// If `n` is zero.
    #[inline]
    pub const fn below(self, key: Key, index: u64, n: u32) -> u32 {
        below(self.draw(key, index), n)
    }
}

/// The sequential generator of one key: ChaCha8 under the seed, the key as its stream number.
///
/// Each operation takes exactly one 64-bit word, so the position in the stream counts the draws.
#[derive(Clone, Debug)]
pub struct Stream {
    words: ChaCha8Rng,
}

impl Stream {
    /// The next word: 64 uniform bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.words.next_u64()
    }

    /// The next word as a number in the open interval (0, 1), symmetric about 1/2: its top 53 bits with the last one
    /// set, times 2⁻⁵³. The smallest value is 2⁻⁵³, the greatest 1 − 2⁻⁵³.
    #[inline]
    pub fn next_unit(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// The next word as a number in `0..n`: the upper half of its product with `n` (Lemire, "Fast random integer
    /// generation in an interval", ACM TOMACS 29, 2019, without the rejection step, so that one draw is always one
    /// word). No value is favoured by more than 2⁻³² of its probability.
    ///
    /// # Panics
    ///
    /// If `n` is zero.
    #[inline]
    pub fn below(&mut self, n: u32) -> u32 {
        below(self.next_u64(), n)
    }

    /// The next word as an exponentially distributed span, in nanoseconds; `mean_nanos` is its mean.
    #[inline]
    pub fn exponential(&mut self, mean_nanos: f64) -> f64 {
        -mean_nanos * libm::log(self.next_unit())
    }
}

const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// Keeps numbers apart from texts; the first 64 bits of the fractional part of pi.
const NUMBER_TAG: u64 = 0x243f_6a88_85a3_08d3;
/// The stream from which the secret of [`Random::draw`] comes.
const SECRET_STREAM: u64 = Key::new("secret of draw").0;
/// The other 192 bits of the ChaCha key: a name for this use of the seed.
const CHACHA_KEY_LABEL: &[u8; 24] = b"keyed random draws, v1.0";

/// ChaCha8 under `seed`, at the beginning of stream number `stream`. The key is laid out here, not by `seed_from_u64`,
/// whose expansion is another crate's to change.
fn chacha(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(CHACHA_KEY_LABEL);
    let mut words = ChaCha8Rng::from_seed(key);
    words.set_stream(stream);
    words
}

/// The finalizer of SplitMix64: a bijection that avalanches.
#[inline]
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[inline]
const fn unit(word: u64) -> f64 {
    const ULP: f64 = 1.0 / (1u64 << 53) as f64;
    (word >> 11 | 1) as f64 * ULP
}

#[inline]
const fn below(word: u64, n: u32) -> u32 {
    assert!(n > 0, "there is no number below zero");
    ((word as u128 * n as u128) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::new("test");

    /// What a seed means. If this fails, every result of every simulation changes: do not update it lightly. The numbers
    /// come from a second implementation, written from the definitions in this file and in Bernstein's paper.
    #[test]
    fn golden_words() {
        let random = Random::new(42);
        let mut stream = random.stream(KEY);
        let words: [u64; 4] = std::array::from_fn(|_| stream.next_u64());
        let draws: [u64; 4] = std::array::from_fn(|index| random.draw(KEY, index as u64));
        let keys = [Key::new(""), KEY, KEY.text("a"), KEY.number(1), KEY.number(1).number(2)].map(Key::bits);
        assert_eq!(words, [0x637f_1952_09a2_e5be, 0xc792_a2f3_f1c1_2524, 0x4107_ee70_2153_f53e, 0x31f1_3ff3_475b_1978]);
        assert_eq!(draws, [0xeef1_4799_4104_0094, 0xb914_324c_98e7_01e4, 0x87ef_9605_690e_4912, 0x5d56_e5b0_f5d8_dd46]);
        assert_eq!(
            keys,
            [
                0xf52a_15e9_a9b5_e89b,
                0xe787_4630_43d2_1b69,
                0x0001_2e9e_639d_654b,
                0x7db0_d05d_db6d_7d8a,
                0xb420_b224_6149_e3fd
            ]
        );
        assert_eq!(Random::new(0).stream(Key::new("node").number(3)).next_u64(), 0x04d0_61c2_bdad_d0fc);
        assert_eq!(Random::new(0).draw(Key::new("node").number(3), 9), 0x5071_88ad_384a_6ed2);
        // Beyond several refills of the generator's buffer.
        let last = (0..1000).fold(0, |_, _| stream.next_u64());
        assert_eq!(last, 0xe8d8_5c16_d82a_534a);
    }

    #[test]
    fn parts_of_a_key_are_told_apart() {
        let keys = [
            Key::new("abc"),
            Key::new("ab").text("c"),
            Key::new("a").text("bc"),
            Key::new("abc").text(""),
            Key::new("abc").number(0),
            Key::new("abc").number(1),
            Key::new("abc").text("1"),
            Key::new("abc").number(1).number(2),
            Key::new("abc").number(2).number(1),
            Key::new("abc").number(u64::MAX),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{i}");
        }
    }

    #[test]
    fn a_stream_depends_on_nothing_but_seed_and_key() {
        let random = Random::new(7);
        let mut alone = random.stream(KEY);
        let mut beside = random.stream(KEY);
        let mut other = random.stream(KEY.number(1));
        for _ in 0..100 {
            assert_ne!(other.next_u64(), beside.next_u64());
            alone.next_u64();
        }
        assert_eq!(alone.next_u64(), beside.next_u64());
        assert_ne!(Random::new(8).stream(KEY).next_u64(), random.stream(KEY).next_u64());
    }

    #[test]
    fn a_unit_is_never_0_or_1() {
        assert_eq!(unit(0), 1.0 / (1u64 << 53) as f64);
        assert_eq!(unit(u64::MAX), 1.0 - 1.0 / (1u64 << 53) as f64);
        assert_eq!(unit(1 << 63), 0.5 + 1.0 / (1u64 << 53) as f64);
    }

    #[test]
    fn below_reaches_both_ends_and_nothing_beyond() {
        assert_eq!((below(0, 7), below(u64::MAX, 7)), (0, 6));
        assert_eq!((below(0, 1), below(u64::MAX, 1)), (0, 0));
        assert_eq!(below(u64::MAX, u32::MAX), u32::MAX - 1);
    }

    #[test]
    #[should_panic(expected = "no number below zero")]
    fn below_zero_is_a_mistake() {
        Random::new(1).stream(KEY).below(0);
    }

    /// The i-th word, asked for in ascending order of i.
    type Walk = Box<dyn FnMut(u64) -> u64>;

    /// The words to test: walks along the index, along neighbouring keys, along both, along seeds, and a stream.
    fn walks() -> [(&'static str, Walk); 6] {
        let random = Random::new(1);
        let mut stream = random.stream(KEY);
        [
            ("indices", Box::new(move |i| random.draw(KEY, i))),
            ("raw keys", Box::new(move |i| random.draw(Key(i), 0))),
            ("numbered keys", Box::new(move |i| random.draw(KEY.number(i), 0))),
            ("keys and indices", Box::new(move |i| random.draw(Key(i / 1024), i % 1024))),
            ("seeds", Box::new(move |i| Random::new(i).draw(KEY, 0))),
            ("stream", Box::new(move |_| stream.next_u64())),
        ]
    }

    /// How many words of a walk are counted.
    const N: u64 = 200_000;

    /// Asserts that `N` observations fell into 256 equally likely classes. The chi-square statistic then has 255 degrees
    /// of freedom, mean 255 and standard deviation 22.6; the bounds are five of those away.
    fn assert_uniform(counts: &[u32; 256], what: &str) {
        let expected = N as f64 / 256.0;
        let squares: f64 = counts.iter().map(|&n| (f64::from(n) - expected) * (f64::from(n) - expected)).sum();
        assert!((142.0..368.0).contains(&(squares / expected)), "{what}: chi-square {}", squares / expected);
    }

    #[test]
    fn every_byte_is_uniform() {
        for (name, mut word) in walks() {
            let mut counts = [[0; 256]; 8];
            for i in 0..N {
                for (byte, counts) in word(i).to_le_bytes().into_iter().zip(&mut counts) {
                    counts[usize::from(byte)] += 1;
                }
            }
            for (byte, counts) in counts.iter().enumerate() {
                assert_uniform(counts, &format!("{name}, byte {byte}"));
            }
        }
    }

    /// Pairs of consecutive words, in a 16 by 16 table of four bits of each.
    #[test]
    fn neighbours_are_independent() {
        for (name, mut word) in walks() {
            for shift in [60, 31, 0] {
                let mut counts = [0; 256];
                let mut previous = word(0) >> shift & 15;
                for i in 1..=N {
                    let next = word(i) >> shift & 15;
                    counts[(previous << 4 | next) as usize] += 1;
                    previous = next;
                }
                assert_uniform(&counts, &format!("{name}, four bits from bit {shift}"));
            }
        }
    }

    /// Pearson's correlation of two keys' sequences at the same index is within five standard errors of zero.
    #[test]
    fn neighbouring_keys_are_not_correlated() {
        let random = Random::new(3);
        for (a, b) in [(Key(0), Key(1)), (Key(1 << 63), Key(0)), (KEY.number(0), KEY.number(1))] {
            let sum: f64 = (0..N).map(|i| (random.unit(a, i) - 0.5) * (random.unit(b, i) - 0.5)).sum();
            let correlation = 12.0 * sum / N as f64;
            assert!(correlation.abs() < 5.0 / (N as f64).sqrt(), "{a:?} {b:?}: {correlation}");
        }
    }

    /// Strict avalanche: flipping any input bit flips any output bit half of the time, within 5.5 standard errors (of
    /// 8192 such bounds, one would be missed by chance in 3000 seeds).
    #[test]
    fn every_bit_of_key_and_index_reaches_every_bit_of_the_draw() {
        const N: u64 = 2000;
        let random = Random::new(5);
        let bound = 5.5 * (N as f64).sqrt() / 2.0;
        for flipped in 0..128 {
            let mut flips = [0u32; 64];
            for i in 0..N {
                // Small numbers on both sides, as in use.
                let (key, index) = (Key(i % 50), i / 50);
                let other = match flipped {
                    0..64 => random.draw(Key(key.0 ^ 1 << flipped), index),
                    _ => random.draw(key, index ^ 1 << (flipped - 64)),
                };
                let changed = random.draw(key, index) ^ other;
                for (bit, flips) in flips.iter_mut().enumerate() {
                    *flips += (changed >> bit & 1) as u32;
                }
            }
            for (bit, &flips) in flips.iter().enumerate() {
                let deviation = (f64::from(flips) - N as f64 / 2.0).abs();
                assert!(deviation < bound, "input bit {flipped}, output bit {bit}: {flips} of {N}");
            }
        }
    }

    /// Mean and second moment of an exponential variable with mean 1 are 1 and 2, with variances 1 and 20.
    #[test]
    fn exponential_has_the_right_moments() {
        const N: u32 = 200_000;
        let mut stream = Random::new(9).stream(KEY);
        let (mut first, mut second) = (0.0, 0.0);
        for _ in 0..N {
            let x = stream.exponential(1e6) / 1e6;
            first += x / f64::from(N);
            second += x * x / f64::from(N);
        }
        let standard_error = 1.0 / f64::from(N).sqrt();
        assert!((first - 1.0).abs() < 4.0 * standard_error, "{first}");
        assert!((second - 2.0).abs() < 4.0 * 4.48 * standard_error, "{second}");
    }
}
