//! The temporary directory of a run, with the settings of all servers in it. It goes when the run ends.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The host that every request names.
pub(crate) const HOST: &str = "api.bench.test";
/// The path that every request asks for.
pub(crate) const PATH: &str = "/api/v1/items";
/// What the upstream answers.
pub(crate) const BODY: &str = r#"{"data":[{"id":"1","name":"one"},{"id":"2","name":"two"}],"total":2}"#;

#[derive(Debug)]
pub(crate) struct Workshop {
    directory: PathBuf,
    templates: PathBuf,
}

impl Workshop {
    pub(crate) fn open(root: &Path) -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("claviger-bench-{}", std::process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("cannot make `{}`", directory.display()))?;
        Ok(Self { directory, templates: root.join("bench/settings") })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a file of this name is or will be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }

    /// Copies a template with each `@name@` replaced, `@dir@`, `@host@` and `@body@` besides those of `values`.
    pub(crate) fn fill(&self, name: &str, values: &[(&str, u16)]) -> anyhow::Result<PathBuf> {
        let template = self.templates.join(name);
        let mut text =
            fs::read_to_string(&template).with_context(|| format!("cannot read `{}`", template.display()))?;
        let mut replaced: BTreeMap<&str, String> =
            values.iter().map(|(name, value)| (*name, value.to_string())).collect();
        replaced.insert("dir", self.directory.display().to_string());
        replaced.insert("host", HOST.to_owned());
        replaced.insert("body", BODY.to_owned());
        for (name, value) in replaced {
            text = text.replace(&format!("@{name}@"), &value);
        }
        self.write(name, &text)
    }

    /// A command line as a reader can repeat it, without the names of this machine's directories.
    pub(crate) fn show(&self, program: &Path, arguments: &[String]) -> String {
        let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words = std::iter::once(program).chain(arguments.iter().map(|word| {
            let word = word.replace(&self.directory.display().to_string(), "$DIR");
            if word.contains([' ', ';']) { format!("'{word}'") } else { word }
        }));
        words.collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
