//! The paths that settings list: `/api/v1/orders/{id}`, and `{*rest}` at the end for everything below.

use std::borrow::Cow;

/// Whether a pattern means what it seems to say. The spellings of other programs would be taken to the letter, and so
/// would protect nothing: they are refused with a hint.
///
/// # Errors
/// With what is wrong and what to write instead.
pub(crate) fn check(pattern: &str) -> Result<(), &'static str> {
    if !pattern.starts_with('/') {
        return Err(match pattern.chars().next() {
            Some('^') => REGULAR_EXPRESSION,
            _ => "a path begins with a slash",
        });
    }
    if pattern.contains("//") {
        return Err("a path has no empty segments");
    }
    if pattern.contains("{{") || pattern.contains("}}") {
        return Err("a path has no braces but those around a parameter");
    }
    for segment in pattern.split('/') {
        check_segment(segment)?;
    }
    if pattern.ends_with('$') {
        return Err(REGULAR_EXPRESSION);
    }
    Ok(())
}

const REGULAR_EXPRESSION: &str = "a path is no regular expression; write `{id}` for one segment and `{*rest}` at the end for everything below";

fn check_segment(segment: &str) -> Result<(), &'static str> {
    if matches!(segment, "." | "..") {
        return Err("a path has no dot segments");
    }
    if segment.starts_with(':') {
        return Err("`:` begins no parameter here; write `{id}` for one segment");
    }
    let mut literal = segment;
    if let Some((before, rest)) = segment.split_once('{') {
        let (name, after) = rest.split_once('}').ok_or("a parameter ends with `}` in the same segment")?;
        if after.contains('{') {
            return Err("a segment has one parameter at most");
        }
        check_parameter(name)?;
        if name.starts_with('*') && !(before.is_empty() && after.is_empty()) {
            return Err("`{*rest}` is a whole segment, the last one");
        }
        check_literal(after)?;
        literal = before;
    }
    check_literal(literal)
}

fn check_parameter(name: &str) -> Result<(), &'static str> {
    let bare = name.strip_prefix('*').unwrap_or(name);
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if bare.is_empty() {
        return Err("a parameter has a name, such as `{id}` or `{*rest}`");
    }
    if bare.ends_with("...") {
        return Err("everything below is written `{*rest}`");
    }
    if !bare.chars().all(good) {
        return Err("a parameter is a name of letters, digits, `_` and `-`, and takes any segment");
    }
    Ok(())
}

fn check_literal(text: &str) -> Result<(), &'static str> {
    if text.contains('*') {
        return Err("`*` stands for nothing here; write `{*rest}` at the end for everything below");
    }
    if text.contains(['}', '{']) {
        return Err("a path has no braces but those around a parameter");
    }
    if text.contains(['<', '>']) {
        return Err("`<` begins no parameter here; write `{id}` for one segment");
    }
    if text.contains(['^', '[', ']', '|', '`', '"']) || text.contains(".+") {
        return Err(REGULAR_EXPRESSION);
    }
    if text.chars().any(|c| c <= ' ' || c.is_control() || matches!(c, '%' | '\\' | ';' | '#' | '?')) {
        return Err("a path is written decoded, and has no space, `%`, `\\`, `;`, `#` or `?`");
    }
    Ok(())
}

/// The path that a catch-all takes everything below of: `/files/` of `/files/{*rest}`.
pub(crate) fn above_catch_all(pattern: &str) -> Option<&str> {
    let (parent, last) = pattern.rsplit_once('/')?;
    if last.starts_with("{*") { pattern.get(..=parent.len()) } else { None }
}

/// The pattern with its parameters named by their place, as names make no difference, and what stands between them
/// changed by `literal`.
pub(crate) fn with_literals(pattern: &str, literal: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut count = 0;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(&literal(before));
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let star = if name.starts_with('*') { "*" } else { "" };
        out.push_str(&format!("{{{star}p{count}}}"));
        count += 1;
        rest = after;
    }
    out.push_str(&literal(rest));
    out
}

/// Whether what stands between the pattern's parameters is changed by [`fold`].
pub(crate) fn has_case(pattern: &str) -> bool {
    let plain = with_literals(pattern, str::to_owned);
    with_literals(pattern, |text| fold(text).into_owned()) != plain
}

/// A text as a server that does not mind case compares it, by the rules of Unicode: the long `ſ` is an `s`, and the
/// Kelvin sign a `k`.
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return text
            .chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect::<String>()
            .into();
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

/// A path without the slash at its end.
pub(crate) fn without_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(rest) => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_02_k01_patterns_of_other_programs_are_refused_with_a_hint() {
        for (pattern, hint) in [
            ("/admin/*", "`{*rest}`"),
            ("/admin/**", "`{*rest}`"),
            ("/admin*", "`{*rest}`"),
            ("/*/admin", "`{*rest}`"),
            ("/users/:id", "`{id}`"),
            ("/:tenant/users", "`{id}`"),
            ("/users/<id>", "`{id}`"),
            ("/users/<int:id>", "`{id}`"),
            ("^/admin/.+$", "`{*rest}`"),
            ("/admin/.+", "`{*rest}`"),
            ("/admin/[0-9]", "`{id}`"),
            ("/(a|b)", "`{id}`"),
            ("/admin$", "`{*rest}`"),
            ("/users/{id:[0-9]+}", "takes any segment"),
            ("/users/{id?}", "takes any segment"),
            ("/files/{rest...}", "`{*rest}`"),
            ("/files/{}", "has a name"),
            ("/files/{*}", "has a name"),
            ("/files/a{*rest}", "the last one"),
            ("/files/{a}{b}", "one parameter"),
            ("/files/{a", "ends with `}`"),
            ("/files/a}", "no braces"),
            ("/a/{{b}}", "no braces"),
            ("a", "begins with a slash"),
            ("", "begins with a slash"),
            ("/a//b", "empty segments"),
            ("/a/../b", "dot segments"),
            ("/a%20b", "written decoded"),
            ("/a;b", "written decoded"),
            ("/a?b", "written decoded"),
        ] {
            let why = check(pattern).unwrap_err();
            assert!(why.contains(hint), "{pattern}: {why}");
        }
        for good in [
            "/",
            "/api/v1/orders/{id}",
            "/files/{*rest}",
            "/files/{name}.json",
            "/users/{id}:activate",
            "/users/@me",
            "/odata/$metadata",
            "/users({id})",
            "/caf\u{e9}",
            "/a+b/c.d/",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn names_of_parameters_make_no_difference_and_literals_do() {
        let folded = |pattern: &str| with_literals(pattern, |text| fold(text).into_owned());
        assert_eq!(folded("/A/{Id}.Json/{*Rest}"), "/a/{p0}.json/{*p1}");
        assert_eq!(with_literals("/A/{x}", str::to_owned), "/A/{p0}");
        assert!(has_case("/A") && has_case("/{x}.J") && !has_case("/a/{X}") && has_case("/\u{c9}"));
        assert_eq!(above_catch_all("/files/{*rest}"), Some("/files/"));
        assert_eq!(above_catch_all("/{*rest}"), Some("/"));
        assert_eq!(above_catch_all("/files/{rest}"), None);
        assert_eq!((without_slash("/a/"), without_slash("/"), without_slash("/a")), ("/a", "/", "/a"));
    }

    #[test]
    fn case_is_folded_beyond_ascii() {
        for (text, folded) in [
            ("/LEADS", "/leads"),
            ("/\u{212a}eys", "/keys"),
            ("/u\u{17f}ers", "/users"),
            ("/CAF\u{c9}", "/caf\u{e9}"),
        ] {
            assert_eq!(fold(text), folded);
        }
        assert!(matches!(fold("/leads"), Cow::Borrowed(_)));
    }
}
