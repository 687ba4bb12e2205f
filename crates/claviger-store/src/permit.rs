//! The two permits that no request brings. They are the core's; what they open is here.

pub use claviger::danger::{OperatorPermit, SystemPermit};
