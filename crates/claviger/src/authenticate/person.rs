//! Who a token speaks for, as the directory has them.

use std::sync::Arc;

use crate::directory::{AccountRecord, Found, MemberRecord, Version};
use crate::grants::Grants;

/// A person acting as a member of an organization.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) account: Found<AccountRecord>,
    pub(crate) member: Found<MemberRecord>,
    /// What the live role allows, or the lower of it and what the token claims. `None` if nobody knows the role.
    pub(super) grants: Option<Arc<Grants>>,
    /// The state of what it was signed with: the user secret, or our signing key.
    pub(super) by: Version,
    /// The state of the session, or of the link that makes another issuer's subject an account of ours.
    pub(super) link: Option<Version>,
}
