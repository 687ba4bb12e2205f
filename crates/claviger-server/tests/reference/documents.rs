//! The documents of the checkout.

use std::fs;
use std::path::{Path, PathBuf};

/// The checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The text of a file of the checkout.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"))
}

/// Every file below `folder` whose name ends with `ending`, build products apart.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_product = matches!(name.as_str(), "target" | "node_modules" | "data") || name.starts_with('.');
        if path.is_dir() && !is_product {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Compares `docs/reference/{name}` with what the program says of itself, or writes it.
#[expect(clippy::disallowed_methods, reason = "whether to write is said to the test, not to the program")]
pub(crate) fn compare(name: &str, generated: &str) {
    let path = root().join("docs/reference").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, generated).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == generated, "`docs/reference/{name}` is stale; run `make update` and read the difference");
}
