//! Why a file was not run. Go: (none)

use crate::datadriven::Fatal;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file was not run, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {message}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What kind of failure.
        kind: io::ErrorKind,
        /// The system's words.
        message: String,
    },
    /// The script is wrong. The text names the place.
    #[error(transparent)]
    Script(#[from] Fatal),
    /// A fault of this library: please report it with the script.
    #[error("{}: panicked: {message}", path.display())]
    Panic {
        /// The script.
        path: PathBuf,
        /// What the panic said.
        message: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, e: &io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            kind: e.kind(),
            message: e.to_string(),
        }
    }
}
