//! Making a script short that shows something. Go: (none)

use std::fmt::{self, Write};

/// A script's commands, each with its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands(Vec<String>);

impl Commands {
    /// The commands of a script; comments and outputs are left out. One that sets an election timeout is one with the command that follows it.
    #[must_use]
    pub fn of(script: &str) -> Self {
        let mut commands: Vec<String> = Vec::new();
        for block in script.split("\n\n") {
            let command = block.split("\n----").next().unwrap_or_default();
            let lines: Vec<&str> = command.lines().filter(|l| !l.starts_with('#')).collect();
            if lines.is_empty() || !block.contains("\n----") {
                continue;
            }
            match commands.last_mut() {
                // Without it, chance decides what the next tick does.
                Some(last) if is_setter(last) => {
                    let _ = write!(last, "\n----\n\n{}", lines.join("\n"));
                }
                _ => commands.push(lines.join("\n")),
            }
        }
        Self(commands)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn without(&self, from: usize, count: usize) -> Self {
        let kept = self.0.iter().enumerate();
        Self(
            kept.filter(|(at, _)| *at < from || *at >= from + count)
                .map(|(_, c)| c.clone())
                .collect(),
        )
    }

    /// The same with word `word` of command `at` left out; `None` when there is no such word. The first two stay: a command and its node.
    fn without_word(&self, at: usize, word: usize) -> Option<Self> {
        let mut commands = self.0.clone();
        let command = commands.get_mut(at)?;
        let mut words: Vec<&str> = command.split_inclusive([' ', '\n']).collect();
        if word < 2 || word >= words.len() {
            return None;
        }
        words.remove(word);
        *command = words.concat().trim_end().to_owned();
        Some(Self(commands))
    }
}

fn is_setter(command: &str) -> bool {
    command.starts_with("set-randomized-election-timeout") && !command.contains('\n')
}

/// A script with empty outputs.
impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scripts: Vec<String> = self.0.iter().map(|c| format!("{c}\n----\n")).collect();
        f.write_str(&scripts.join("\n"))
    }
}

/// Leaves out commands, then words of those that stay, as long as `shows` says that it still shows what it should. `shows` was true of the commands given, and the last
/// time that it says so is of the commands returned.
///
/// ```
/// use tickraft_rafttest::differential::{Commands, shrink};
/// let script = Commands::of("# why\n\na 1\n----\nok\n\nb 2 x y\n----\nok\n\nc 3\n----\nok\n");
/// let short = shrink(&script, &mut |c| c.to_string().contains("b 2 x"));
/// assert_eq!(short.to_string(), "b 2 x\n----\n");
/// ```
pub fn shrink(commands: &Commands, shows: &mut dyn FnMut(&Commands) -> bool) -> Commands {
    let mut short = commands.clone();
    // What is said last is said of the result, even where nothing can be left out.
    shows(&short);
    let mut size = short.len().div_ceil(2).max(1);
    loop {
        let mut shrunk = false;
        let mut at = 0;
        while at < short.len() {
            let candidate = short.without(at, size);
            if !candidate.is_empty() && shows(&candidate) {
                short = candidate;
                shrunk = true;
            } else {
                at += size;
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if !shrunk {
            break;
        }
    }
    for at in 0..short.len() {
        let mut word = 2;
        while let Some(candidate) = short.without_word(at, word) {
            if shows(&candidate) {
                short = candidate;
            } else {
                word += 1;
            }
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: u64) -> Commands {
        Commands((0..n).map(|i| format!("c {i}")).collect())
    }

    /// Whatever commands are needed, in whatever places, are what is left.
    #[test]
    fn only_what_is_needed_is_left() {
        let mut rng = crate::SplitMix64::new(3);
        for n in 1..40 {
            let mut needed: Vec<String> = (0..n)
                .filter(|_| rng.chance(150))
                .map(|i| format!("c {i}"))
                .collect();
            if needed.is_empty() {
                needed.push("c 0".to_owned());
            }
            let short = shrink(&numbers(n), &mut |c| needed.iter().all(|x| c.0.contains(x)));
            assert_eq!(short.0, needed, "of {n}");
        }
    }

    #[test]
    fn a_script_reads_back() {
        let text = "add-nodes 3 voters=(1,2)\n----\n\npropose-conf-change 1 v1=true\nv4\n----\n";
        let commands = Commands::of(text);
        assert_eq!(commands.len(), 2);
        assert_eq!(commands.to_string(), text);
        assert_eq!(
            Commands::of("# seed 1\n\ncampaign 1\n----\n").to_string(),
            "campaign 1\n----\n"
        );
    }

    #[test]
    fn a_tick_keeps_its_timeout() {
        let text = "set-randomized-election-timeout 1 timeout=3\n----\n\ntick-election 1\n----\n";
        let commands = Commands::of(text);
        assert_eq!((commands.len(), commands.to_string().as_str()), (1, text));
    }

    #[test]
    fn words_of_the_input_are_left_out() {
        let commands = Commands::of("propose-conf-change 1 v1=true\nv4 r5\n----\n");
        let short = shrink(&commands, &mut |c| c.to_string().contains("r5"));
        assert_eq!(short.to_string(), "propose-conf-change 1 r5\n----\n");
    }
}
