//! Where people ask something about themselves, and what they send that is forgotten afterwards.

use std::sync::Arc;

use claviger::Api;
use claviger::network::Client;

/// How an API lets people sign in at its own host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether anybody may sign up, and so make a tenant.
    pub sign_up: bool,
    /// Whether an address has to be proven before anybody acts, or signs up.
    pub verified_email: bool,
    /// The page that links in mail open, if any are sent.
    pub mail_page: Option<Arc<str>>,
    /// How long a session goes on, however often it is refreshed, in seconds.
    pub session_seconds: i64,
}

/// What is given to somebody who signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// At an API's own host: tokens for that API.
    Api,
    /// At the console: a token for the console.
    Console,
}

/// Where somebody asks.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The API whose host it is, or whose people they are.
    pub api: Arc<Api>,
    /// Which of both.
    pub entrance: Entrance,
    /// How it lets people sign in.
    pub rules: Rules,
    /// From where.
    pub client: Client,
}

/// Has these fields overwritten when the value goes, and nothing of it printed.
macro_rules! forgets {
    ($($asked:ty: $($secret:ident),+;)*) => {
        $(impl Drop for $asked {
            fn drop(&mut self) {
                $(zeroize::Zeroize::zeroize(&mut self.$secret);)+
            }
        }
        impl std::fmt::Debug for $asked {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($asked), "(..)"))
            }
        })*
    };
}
pub(super) use forgets;
