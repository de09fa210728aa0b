//! Finding the scripts below a path. Go: datadriven.Walk

use crate::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The files at and below a path, folder by folder in the order of their names. Hidden and editors' files in folders are left out.
///
/// # Errors
/// The path, or a folder below it, cannot be read.
#[doc(alias = "Walk")]
pub fn walk(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    visit(path, &mut found)?;
    Ok(found)
}

fn visit(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let error = |e: std::io::Error| Error::io(path, &e);
    if !fs::metadata(path).map_err(error)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(error)? {
        names.push(entry.map_err(error)?.file_name());
    }
    names.sort();
    for name in names {
        if !is_temporary(&name.to_string_lossy()) {
            visit(&path.join(name), found)?;
        }
    }
    Ok(())
}

fn is_temporary(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b.txt",
            "a/z.txt",
            "a/c/d.txt",
            ".hidden",
            "b.txt~",
            "#b#",
            "c",
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found: Vec<_> = walk(dir.path())
            .unwrap()
            .iter()
            .map(|p| p.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(found, ["a/c/d.txt", "a/z.txt", "b.txt", "c"]);
        // A file that is named is taken, whatever its name.
        let hidden = dir.path().join(".hidden");
        assert_eq!(walk(&hidden).unwrap(), [hidden]);
        assert!(walk(&dir.path().join("none")).is_err());
    }
}
