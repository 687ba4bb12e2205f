//! Pages of lists, each with the place where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::clock::UnixMillis;
use claviger_store::StoreError;
use claviger_store::page::After;
use serde::Serialize;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::failure::Failure;

/// How many entries a page has if nobody says.
const USUAL: u16 = 100;
/// How many it has at most.
pub(crate) const LONGEST: u16 = 500;
/// How many entries are looked at for a page of those that are wanted.
const LOOKED_AT: usize = 5_000;

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    /// The entries.
    pub(crate) items: Vec<T>,
    /// What to give as `after` to read on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What to give as `after` to read on; absent on the last page."));
        let page = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("A part of a list."))
            .property("items", ArrayBuilder::new().items(Ref::from_schema_name(T::name())))
            .property("next", text)
            .required("items");
        Schema::Object(page.build()).into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T> Page<T> {
    /// All there is.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// A page of at most `limit`, whose last entry is at `last`.
    pub(crate) fn of(items: Vec<T>, limit: u16, last: Option<After>) -> Self {
        let next = if items.len() < usize::from(limit) { None } else { last.map(spelt) };
        Self { items, next }
    }

    /// A page of what was [wanted](wanted), which goes on at `next` if it does.
    pub(crate) fn going_on(items: Vec<T>, next: Option<After>) -> Self {
        Self { items, next: next.map(spelt) }
    }
}

/// Reads pages until `limit` entries that are wanted were found, or [`LOOKED_AT`] were looked at: a search for what is seldom holds up
/// nobody else, and goes on with the next page. Gives them with where it goes on.
///
/// # Errors
/// If a page cannot be read.
pub(crate) async fn wanted<T, F>(
    mut after: Option<After>,
    limit: u16,
    is_wanted: Option<impl Fn(&T) -> bool>,
    read: impl Fn(Option<After>, u16) -> F,
) -> Result<(Vec<T>, Option<After>), Failure>
where
    for<'a> After: From<&'a T>,
    F: Future<Output = Result<Vec<T>, StoreError>>,
{
    let Some(is_wanted) = is_wanted else {
        let items = read(after, limit).await?;
        let next = if items.len() < usize::from(limit) { None } else { items.last().map(After::from) };
        return Ok((items, next));
    };
    let (mut items, mut looked_at) = (Vec::new(), 0);
    loop {
        let page = read(after, LONGEST).await?;
        let is_last = page.len() < usize::from(LONGEST);
        looked_at += page.len();
        for item in page {
            after = Some(After::from(&item));
            if is_wanted(&item) {
                items.push(item);
                if items.len() == usize::from(limit) {
                    return Ok((items, after));
                }
            }
        }
        if is_last {
            return Ok((items, None));
        }
        if looked_at >= LOOKED_AT {
            return Ok((items, after));
        }
    }
}

/// How many are asked for.
///
/// # Errors
/// If it is none or more than a page has.
pub(crate) fn limit(given: Option<u16>) -> Result<u16, Failure> {
    match given {
        None => Ok(USUAL),
        Some(limit) if (1..=LONGEST).contains(&limit) => Ok(limit),
        Some(limit) => {
            let what = format!("a page has from 1 to {LONGEST} entries");
            Err(Failure::argument("limit", &limit.to_string(), what))
        }
    }
}

/// Where a page begins, as it was spelt.
///
/// # Errors
/// If no page ended there.
pub(crate) fn after(given: Option<&str>) -> Result<Option<After>, Failure> {
    let Some(text) = given else { return Ok(None) };
    let read = || {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (at, id) = bytes.split_first_chunk::<8>()?;
        Some(After { created_at: UnixMillis(i64::from_be_bytes(*at)), id: id.try_into().ok()? })
    };
    read().map(Some).ok_or_else(|| {
        Failure::argument("after", text, "no page ended there").hint("give the `next` of a page as it was")
    })
}

/// A place, as [`after`] reads it.
pub(crate) fn spelt(after: After) -> String {
    let mut bytes = after.created_at.0.to_be_bytes().to_vec();
    bytes.extend(after.id);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_spelt_and_nothing_else_is() {
        let place = After { created_at: UnixMillis(1_790_000_000_123), id: [7; 16] };
        assert_eq!(after(Some(&spelt(place))), Ok(Some(place)));
        assert_eq!(after(None), Ok(None));
        for wrong in ["", "x", "AAAA", &spelt(place)[1..], &format!("{}A", spelt(place))] {
            assert!(after(Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(limit(None), Ok(USUAL));
        assert!(limit(Some(0)).is_err() && limit(Some(501)).is_err() && limit(Some(500)).is_ok());
    }
}
