//! Running scripts in etcd. Go: interop/raft37/oracle

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// The program that runs scripts in etcd's own code, and a folder for its files.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// The program.
    pub program: PathBuf,
    /// A folder that is there; what is in it is overwritten.
    pub dir: PathBuf,
}

/// A script as etcd ran it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The script with etcd's outputs, up to the command that etcd died of.
    pub text: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a script in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ran to its end.
    Whole,
    /// A command made etcd panic, with these words.
    Panicked(String),
    /// A command never ends.
    Endless,
    /// It asks for something that there is not.
    Wrong,
}

impl Oracle {
    /// Runs scripts, given by name and text, and returns them in the same order.
    ///
    /// # Errors
    /// The program cannot be run, dies, or its files cannot be read or written.
    pub fn run(&self, scripts: &[(String, String)]) -> io::Result<Vec<Answer>> {
        let (given, answered) = (self.dir.join("in"), self.dir.join("etcd"));
        fs::create_dir_all(&given)?;
        fs::create_dir_all(&answered)?;
        for (name, text) in scripts {
            fs::write(given.join(name), text)?;
        }
        let names = scripts.iter().map(|(name, _)| given.join(name));
        let out = Command::new(&self.program)
            .arg(&answered)
            .args(names)
            .output()?;
        let said = String::from_utf8_lossy(&out.stdout);
        let mut fates = fates(&said);
        // The testing package ends with 1 when a script is wrong; other ends are those of a program that died.
        let wrong = fates.values().any(|fate| *fate == Fate::Wrong);
        if !(out.status.success() || wrong) {
            let said = format!("{said}{}", String::from_utf8_lossy(&out.stderr));
            let tail: Vec<&str> = said.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            return Err(io::Error::other(format!(
                "the oracle died, {}:\n{}",
                out.status,
                tail.join("\n")
            )));
        }
        let read = |(name, _): &(String, String)| {
            let text = fs::read_to_string(answered.join(name))?;
            let fate = fates.remove(name).unwrap_or(Fate::Whole);
            Ok(Answer { text, fate })
        };
        let answers = scripts.iter().map(read).collect();
        fs::remove_dir_all(&given)?;
        fs::remove_dir_all(&answered)?;
        answers
    }
}

/// What the oracle says of scripts by name.
fn fates(said: &str) -> BTreeMap<String, Fate> {
    let mut fates = BTreeMap::new();
    for line in said.lines() {
        let fate = if let Some(rest) = line.strip_prefix("panicked ") {
            rest.split_once(": ")
                .map(|(name, why)| (name, Fate::Panicked(why.to_owned())))
        } else if let Some(name) = line.strip_prefix("endless ") {
            Some((name, Fate::Endless))
        } else {
            line.strip_prefix("wrong ").map(|name| (name, Fate::Wrong))
        };
        if let Some((name, fate)) = fate {
            fates.insert(name.to_owned(), fate);
        }
    }
    fates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_oracle_says() {
        let said =
            "panicked a.txt: removed all: voters\nmore of it\nendless b.txt\nwrong c.txt\nPASS\n";
        let want = [
            ("a.txt", Fate::Panicked("removed all: voters".into())),
            ("b.txt", Fate::Endless),
            ("c.txt", Fate::Wrong),
        ];
        assert_eq!(
            fates(said),
            want.map(|(name, fate)| (name.to_owned(), fate)).into()
        );
    }

    #[test]
    fn an_oracle_that_dies_is_no_answer() {
        let dir = tempfile::tempdir().unwrap();
        let oracle = Oracle {
            program: "/bin/false".into(),
            dir: dir.path().to_owned(),
        };
        let e = oracle.run(&[("a.txt".into(), "x".into())]).unwrap_err();
        assert!(e.to_string().starts_with("the oracle died"), "{e}");
    }
}
