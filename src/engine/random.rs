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
//!   draws is not known beforehand. About a nanosecond a word.
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

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

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
