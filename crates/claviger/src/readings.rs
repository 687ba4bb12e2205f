//! Every way in which a server behind us may read a path.
//!
//! A path is forwarded as it came, so whoever stands behind may take it apart differently: decode it or not, once
//! or twice, cut off parameters, a suffix, or what looks like a query once it is decoded. Case and a slash at the end
//! are the route table's to vary, for each of these. What is granted has to be granted in every reading.

use std::borrow::Cow;

use crate::target::{Target, decode};

/// One way to read a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading<'a> {
    /// The path as it is read.
    pub(crate) path: Cow<'a, str>,
    /// Whether it is how servers read, and so lists the path if a route has it. What only some careless server would
    /// make of a path never lists it; what a route asks for is demanded all the same.
    pub(crate) lists: bool,
}

/// Calls `visit` for every reading of `target`'s path, the path as it came first. With `lenient`, readings that forget
/// a suffix or what Windows does not see at the end of a name are among them.
pub(crate) fn each<'a>(target: &Target<'a>, lenient: bool, visit: impl FnMut(Reading<'a>)) {
    let path = target.path();
    if target.is_plain() {
        return std::iter::once(Reading { path: path.into(), lists: true }).for_each(visit);
    }
    let mut readings = Readings { matrix: target.oddities().matrix, lenient, all: Vec::new() };
    readings.follow(Reading { path: path.into(), lists: true }, &CUTS);
    if path.contains('%') {
        readings.decode(path, target.oddities().encoded_slash);
    }
    readings.all.into_iter().for_each(visit);
}

/// What servers leave out of a path before they look for what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Parameters,
    Query,
    Fragment,
    Ending,
    Suffix,
}

const CUTS: [Cut; 5] = [Cut::Parameters, Cut::Query, Cut::Fragment, Cut::Ending, Cut::Suffix];

impl Cut {
    /// What is left of the path; `None` for all of it.
    fn of(self, path: &str) -> Option<String> {
        match self {
            Self::Parameters => without_parameters(path),
            Self::Query => before(path, '?'),
            Self::Fragment => before(path, '#'),
            Self::Ending => without_ending(path),
            Self::Suffix => without_suffix(path),
        }
    }
}

struct Readings<'a> {
    matrix: bool,
    lenient: bool,
    all: Vec<Reading<'a>>,
}

impl<'a> Readings<'a> {
    fn decode(&mut self, path: &str, keeps_slashes: bool) {
        let decoded = text(decode(path));
        if keeps_slashes {
            // To whoever splits first and decodes each segment then, the slash is a character like any other.
            let kept = path.replace("%2f", "%252F").replace("%2F", "%252F");
            self.follow(Reading { path: text(decode(&kept)).into(), lists: true }, &CUTS);
        }
        let again = decoded.contains('%').then(|| normal(&text(decode(&decoded))));
        self.follow(Reading { path: decoded.into(), lists: true }, &CUTS);
        if let Some(again) = again {
            self.follow(Reading { path: again.into(), lists: false }, &CUTS);
        }
    }

    /// Adds a reading, and what is left of it when any of `cuts` are made, each once and in any order: a server may
    /// make one and know nothing of another.
    fn follow(&mut self, reading: Reading<'a>, cuts: &[Cut]) {
        if self.all.iter().any(|seen| seen.path == reading.path && (seen.lists || !reading.lists)) {
            return;
        }
        let Reading { path, lists } = reading.clone();
        self.all.push(reading);
        for cut in cuts {
            if !self.lenient && matches!(cut, Cut::Ending | Cut::Suffix) {
                continue;
            }
            let Some(left) = cut.of(&path) else { continue };
            let lists = lists && self.matrix && *cut == Cut::Parameters;
            let others: Vec<Cut> = cuts.iter().filter(|other| *other != cut).copied().collect();
            self.follow(Reading { path: left.into(), lists }, &others);
        }
    }
}

/// Bytes that are no UTF-8 are read as what stands for them: no route has them.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Each segment without what stands behind its first semicolon (RFC 3986, section 3.3).
fn without_parameters(path: &str) -> Option<String> {
    path.contains(';').then(|| {
        let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
        normal(&segments.collect::<Vec<_>>().join("/"))
    })
}

/// What stands before a delimiter that was encoded.
fn before(path: &str, delimiter: char) -> Option<String> {
    path.split_once(delimiter).map(|(before, _)| before.to_owned())
}

/// The last segment without dots and spaces at its end; Windows leaves nothing of one that has no more than those.
fn without_ending(path: &str) -> Option<String> {
    change_last(path, |last| Some(last.trim_end_matches(|c: char| c == '.' || c.is_whitespace())))
}

/// The last segment without its suffix.
fn without_suffix(path: &str) -> Option<String> {
    change_last(path, |last| last.rsplit_once('.').map(|(name, _)| name))
}

fn change_last(path: &str, change: impl FnOnce(&str) -> Option<&str>) -> Option<String> {
    let (whole, slash) = path.strip_suffix('/').map_or((path, ""), |whole| (whole, "/"));
    let (parents, last) = whole.rsplit_once('/')?;
    let changed = change(last).filter(|changed| *changed != last)?;
    let slash = if changed.is_empty() { "" } else { slash };
    Some(format!("{parents}/{changed}{slash}"))
}

/// The path with dot segments and empty ones resolved (RFC 3986, section 5.2.4).
fn normal(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(path: &str, lenient: bool) -> Vec<String> {
        let uri = path.parse().unwrap();
        let mut all = Vec::new();
        each(&Target::of(&uri).unwrap(), lenient, |reading| {
            all.push(format!("{}{}", reading.path, if reading.lists { "" } else { " ?" }));
        });
        all
    }

    #[test]
    fn a_plain_path_has_one_reading() {
        for path in ["/", "/api/v1/leads/a:b@c", "/a/b/", "/v1.2/leads/1"] {
            assert_eq!(readings(path, true), [path]);
        }
    }

    #[test]
    fn what_is_encoded_is_read_both_ways() {
        assert_eq!(readings("/le%61ds", true), ["/le%61ds", "/leads"]);
        assert_eq!(readings("/leads/a%25b", false), ["/leads/a%25b", "/leads/a%b"]);
        assert_eq!(readings("/leads/%2561", false), ["/leads/%2561", "/leads/%61", "/leads/a ?"]);
        assert_eq!(
            readings("/leads/..%252f..%252fkeys", false),
            ["/leads/..%252f..%252fkeys", "/leads/..%2f..%2fkeys", "/keys ?"]
        );
    }

    #[test]
    fn a_delimiter_that_was_encoded_may_cut_the_path() {
        assert_eq!(readings("/keys%3fa", false), ["/keys%3fa", "/keys?a", "/keys ?"]);
        assert_eq!(readings("/keys%23a", false)[2], "/keys ?");
        assert_eq!(readings("/a%3bx/keys%3b", false), ["/a%3bx/keys%3b", "/a;x/keys;", "/a/keys ?"]);
        assert_eq!(readings("/keys%3bx%3fy", false), ["/keys%3bx%3fy", "/keys;x?y", "/keys ?", "/keys;x ?"]);
    }

    #[test]
    fn each_cut_is_made_or_not_and_in_any_order() {
        assert_eq!(
            readings("/a%3fx;y/b%23z", false),
            ["/a%3fx;y/b%23z", "/a%3fx/b%23z", "/a?x;y/b#z", "/a?x/b#z", "/a ?", "/a?x/b ?", "/a?x;y/b ?"]
        );
        assert_eq!(
            readings("/keys%3b%23", true),
            ["/keys%3b%23", "/keys;#", "/keys ?", "/keys; ?"],
            "what knows a fragment need not know parameters"
        );
    }

    #[test]
    fn a_suffix_and_what_is_not_seen_at_the_end_may_be_forgotten() {
        assert_eq!(readings("/keys.json", true), ["/keys.json", "/keys ?"]);
        assert_eq!(readings("/keys.json/", true), ["/keys.json/", "/keys/ ?"]);
        assert_eq!(readings("/keys.", true), ["/keys.", "/keys ?"]);
        assert_eq!(readings("/keys%20", true), ["/keys%20", "/keys ", "/keys ?"]);
        assert_eq!(readings("/keys.tar.gz.", true), ["/keys.tar.gz.", "/keys.tar.gz ?", "/keys.tar ?"]);
        assert_eq!(readings("/a/.env", true), ["/a/.env", "/a/ ?"]);
        assert_eq!(readings("/keys/...", true), ["/keys/...", "/keys/ ?", "/keys/.. ?"]);
        assert_eq!(readings("/keys/%20/", true), ["/keys/%20/", "/keys/ /", "/keys/ ?"]);
        assert_eq!(readings("/keys.json", false), ["/keys.json"], "exact is to the letter");
    }

    #[test]
    fn what_was_asked_for_lists_the_path() {
        assert_eq!(readings("/u/@a%2Fb", true), ["/u/@a%2Fb", "/u/@a/b"]);
        assert_eq!(readings("/%61/b%2fc", false), ["/%61/b%2fc", "/a/b%2Fc", "/a/b/c"]);
        assert_eq!(readings("/admin;x/u;y=1", false), ["/admin;x/u;y=1", "/admin/u"]);
        assert_eq!(readings("/a;x.json", true), ["/a;x.json", "/a", "/a;x ?"]);
        assert_eq!(readings("/caf\u{e9}", true), ["/caf\u{e9}"]);
    }
}
