//! Ids for records: random, so that nobody can tell one organization's from another's.

use aws_lc_rs::rand;
use hyper::StatusCode;
use jiff::Timestamp;

use crate::answer::Problem;

/// A UUID, version 4.
pub(crate) fn uuid() -> Result<String, Problem> {
    Ok(uuid::Builder::from_random_bytes(random()?).into_uuid().to_string())
}

/// `prefix` and a ULID: 48 bits of time and 80 random bits in Crockford's base32, so ids sort by age.
pub(crate) fn ulid(prefix: &str, now: Timestamp) -> Result<String, Problem> {
    const ALPHABET: [char; 32] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K',
        'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z',
    ];
    let time = now.as_millisecond().unsigned_abs();
    let bits = (u128::from(time) << 80) | (u128::from_be_bytes(random()?) >> 48);
    let digits = (0..26).rev().filter_map(|place| ALPHABET.get((bits >> (5 * place)) as usize & 31));
    Ok(prefix.chars().chain(digits.copied()).collect())
}

fn random() -> Result<[u8; 16], Problem> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no random numbers can be had"))?;
    Ok(bytes)
}
