//! Where in the settings something is wrong, and how that is told.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
use crate::redact::redact_words;

/// The longest excerpt of a line, in characters.
const LONGEST_EXCERPT: usize = 100;

/// A setting that cannot be used: which, where, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named; empty if the setting is not from the file.
    pub file: PathBuf,
    /// The line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What stands in that line, without what may be secret.
    pub excerpt: Option<Box<str>>,
    /// What else is wrong.
    pub more: Box<[ConfigError]>,
}

impl ConfigError {
    /// All of them as one, if there are any.
    ///
    /// # Errors
    /// If there are.
    pub(crate) fn all(errors: Vec<Self>) -> Result<(), Self> {
        let mut errors = errors.into_iter();
        match errors.next() {
            None => Ok(()),
            Some(first) => Err(Self { more: first.more.iter().cloned().chain(errors).collect(), ..first }),
        }
    }

    fn told(&self) -> String {
        let said = Self { hint: None, ..self.clone() }.to_string();
        self.excerpt.iter().fold(said, |said, excerpt| format!("{said}\n{excerpt}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.file.as_os_str().is_empty() {
            write!(f, " in `{}`", self.file.display())?;
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        // All but the last with its hint beside it.
        let mut what = String::new();
        let mut last = &error;
        for next in &error.more {
            what.push_str(&last.told());
            what.extend(last.hint.iter().map(|hint| format!("\nhint: {hint}")));
            what.push_str("\nerror: ");
            last = next;
        }
        what.push_str(&last.told());
        Self { hint: last.hint.clone(), ..Self::new(what) }
    }
}

/// A file's text and the places in it.
#[derive(Debug)]
pub struct Source {
    pub(super) file: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// An error at the setting that `path` leads to: `api[0].route[2].path`.
    pub fn error(&self, path: &str, what: impl Into<String>) -> ConfigError {
        let line = self.line_of(path);
        // Where a store is may hold its password.
        let excerpt = line.and_then(|line| self.excerpt(line, !path.starts_with("store")));
        let what = format!("`{path}`: {}", what.into());
        ConfigError { file: self.file.clone(), line, what, hint: None, excerpt, more: Box::default() }
    }

    /// What stands in a line; what may be secret is left out.
    pub(super) fn excerpt(&self, line: usize, with_value: bool) -> Option<Box<str>> {
        let text = self.text.lines().nth(line.checked_sub(1)?)?.trim();
        let shown = match text.split_once('=') {
            Some((name, _)) if !with_value => format!("{name}= …"),
            _ => redact_words(&without_user(text)),
        };
        let short: String = shown.chars().take(LONGEST_EXCERPT).collect();
        Some(format!("{line:>5} | {short}").into())
    }

    /// The file, as it was named.
    pub fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
    }

    /// The line of the last step of `path` that the file has.
    pub(super) fn line_of(&self, path: &str) -> Option<usize> {
        let document = DeTable::parse(&self.text).ok()?;
        let mut table: &DeTable<'_> = document.get_ref();
        let mut offset = None;
        for step in path.split('.') {
            let (name, index) = match step.split_once('[') {
                Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
                None => (step, None),
            };
            let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
            offset = Some(key.span().start);
            let value: &Spanned<DeValue<'_>> = match (value.get_ref(), index) {
                (DeValue::Array(items), Some(index)) => {
                    let Some(item) = items.get(index) else { break };
                    offset = Some(item.span().start);
                    item
                }
                _ => value,
            };
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        offset.map(|offset| self.line_at(offset))
    }
}

/// A line without user and password of a URL.
fn without_user(line: &str) -> String {
    match line.split_once("://") {
        Some((before, after)) => match after.rsplit_once('@') {
            Some((_, host)) => format!("{before}://***@{host}"),
            None => line.to_owned(),
        },
        None => line.to_owned(),
    }
}
