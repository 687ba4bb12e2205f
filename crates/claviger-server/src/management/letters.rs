//! What people are written, and the links in it: to the page of the settings and nowhere else, with the secret behind `#`, where no server
//! and no log on the way sees it.

use claviger::id::ApiName;
use claviger_store::Email;
use claviger_store::outbox::Letter;

use super::asked::Asked;
use crate::failure::{Failure, FailureKind};

/// The page that links open.
///
/// # Errors
/// If this API sends no mail.
pub(super) fn page(asked: &Asked) -> Result<&str, Failure> {
    let nowhere = || Failure::of(FailureKind::NotFound, "no mail is sent here");
    asked.rules.mail_page.as_deref().ok_or_else(nowhere)
}

/// What somebody called something, if that is a name and nothing that a mail programme makes a link of: others read it.
fn harmless(name: &str) -> Option<&str> {
    let is_name = name.chars().count() <= 60
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || c.is_ascii() && " -'&()".contains(c) || c == '\u{2019}');
    is_name.then_some(name)
}

fn letter(to: &Email, subject: String, paragraphs: &[&str]) -> Letter {
    let text = format!("{}\n", paragraphs.join("\n\n"));
    Letter { to: to.as_str().to_owned(), subject, text }
}

/// To somebody who signs up where addresses have to be proven.
pub(super) fn sign_up(asked: &Asked, page: &str, to: &Email, tenant: &str, secret: &str) -> Letter {
    let api = &asked.api.name;
    let whose = harmless(tenant).map(|tenant| format!(" for \"{tenant}\"")).unwrap_or_default();
    letter(
        to,
        format!("{api}: confirm your address"),
        &[
            &format!("Somebody signs up at {api}{whose} with this address."),
            "If it is you, open this page within half an hour:",
            &format!("{page}#verify={secret}"),
            "If it is not you, do nothing: nothing comes of it without this link.",
        ],
    )
}

/// To somebody who has an account, and signs up again; or in whose name somebody does.
pub(super) fn has_account(asked: &Asked, page: &str, to: &Email) -> Letter {
    let api = &asked.api.name;
    letter(
        to,
        format!("{api}: you have an account already"),
        &[
            &format!("Somebody signs up at {api} with this address, which has an account there."),
            "If it is you, sign in, or have your password reset, here:",
            page,
            "If it is not you, do nothing: nothing has changed.",
        ],
    )
}

/// To somebody whose account's address is to be proven.
pub(super) fn verify(asked: &Asked, page: &str, to: &Email, secret: &str) -> Letter {
    let api = &asked.api.name;
    letter(
        to,
        format!("{api}: confirm your address"),
        &[
            &format!(
                "There is an account at {api} with this address. To confirm that the address is yours, open this page within half an hour:"
            ),
            &format!("{page}#verify={secret}"),
            "If the account is not yours, do nothing.",
        ],
    )
}

/// To somebody who has forgotten their password.
pub(super) fn reset(asked: &Asked, page: &str, to: &Email, secret: &str) -> Letter {
    let api = &asked.api.name;
    letter(
        to,
        format!("{api}: choose another password"),
        &[
            &format!(
                "Somebody has forgotten the password of your account at {api}. To choose another one, open this page within half an hour:"
            ),
            &format!("{page}#reset={secret}"),
            "If it was not you, do nothing: your password stays as it is.",
        ],
    )
}

/// To somebody whose password was changed.
pub(super) fn password_changed(asked: &Asked, page: &str, to: &Email) -> Letter {
    let api = &asked.api.name;
    letter(
        to,
        format!("{api}: your password was changed"),
        &[
            &format!(
                "The password of your account at {api} was changed, and whoever was signed in elsewhere is so no more."
            ),
            "If it was not you, have it reset at once, here:",
            page,
        ],
    )
}

/// To somebody who wants their account to have this address.
pub(super) fn new_address(asked: &Asked, page: &str, to: &Email, secret: &str) -> Letter {
    let api = &asked.api.name;
    letter(
        to,
        format!("{api}: confirm your new address"),
        &[
            &format!(
                "Somebody wants this to be the address of their account at {api}. If it is you, open this page within half an hour, signed in:"
            ),
            &format!("{page}#email={secret}"),
            "If it is not you, do nothing: nothing comes of it without this link.",
        ],
    )
}

/// To somebody whose address another one wants for their account.
pub(super) fn address_has_account(asked: &Asked, page: &str, to: &Email) -> Letter {
    let api = &asked.api.name;
    letter(
        to,
        format!("{api}: this address has an account already"),
        &[
            &format!(
                "Somebody wants this to be the address of their account at {api}. It has an account of its own there, so nothing has changed."
            ),
            "If it is you, sign in to that account, or have its password reset, here:",
            page,
            "If it is not you, do nothing.",
        ],
    )
}

/// To the address that somebody's account had until now.
pub(super) fn address_changed(asked: &Asked, to: &Email) -> Letter {
    let api = &asked.api.name;
    letter(
        to,
        format!("{api}: the address of your account was changed"),
        &[
            &format!(
                "Your account at {api} has another address now, and whoever was signed in elsewhere is so no more. Nothing about it is sent to this address again."
            ),
            &format!("If it was not you, tell those who run {api} at once."),
        ],
    )
}

/// To somebody who is invited.
pub(super) fn invitation(api: &ApiName, page: &str, (to, tenant): (&Email, &str), secret: &str) -> Letter {
    let whose = harmless(tenant).map(|tenant| format!(" by \"{tenant}\"")).unwrap_or_default();
    letter(
        to,
        format!("{api}: you are invited"),
        &[
            &format!(
                "You are invited{whose} to work with them at {api}. To accept, open this page within a week:"
            ),
            &format!("{page}#invitation={secret}"),
            "If you know nothing of it, do nothing.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_be_a_link_is_not_mailed() {
        for name in ["Acme", "Caf\u{e9} & Sons (Z\u{fc}rich)", "O\u{2019}Neill"] {
            assert_eq!(harmless(name), Some(name));
        }
        for name in ["https://evil.example", "evil.example", "a@b", "a\nb", "a:b", &"x".repeat(61), "win/now"]
        {
            assert_eq!(harmless(name), None, "{name}");
        }
    }
}
