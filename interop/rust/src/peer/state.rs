//! The state machine, as interop/gopeer/state.go has it: what it encodes is the same, byte for byte.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A map, and a checksum over all commands in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    values: BTreeMap<String, String>,
    /// The CRC-32C of all commands applied, each followed by a line feed.
    chain: u32,
    applied: u64,
}

impl State {
    /// Takes a command: `set KEY VALUE`. Others change nothing but the chain.
    pub(crate) fn apply(&mut self, command: &[u8]) {
        if command.is_empty() {
            return; // a new leader's entry
        }
        self.chain = crc32c::crc32c_append(self.chain, command);
        self.chain = crc32c::crc32c_append(self.chain, b"\n");
        self.applied += 1;
        let text = String::from_utf8_lossy(command);
        let words: Vec<_> = text.split_whitespace().collect();
        if let ["set", key, value] = words[..] {
            self.values.insert(key.into(), value.into());
        }
    }

    pub(crate) fn get(&self, key: &str) -> &str {
        self.values.get(key).map_or("-", String::as_str)
    }

    /// `CHAIN APPLIED`, then `KEY VALUE`, a line each, in the order of the keys.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = format!("{:08x} {}\n", self.chain, self.applied);
        for (key, value) in &self.values {
            // A String takes whatever is written.
            let _ = writeln!(out, "{key} {value}");
        }
        out.into_bytes()
    }

    pub(crate) fn decode(data: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        let mut pairs = text.lines().map(|line| line.split_once(' '));
        let (chain, applied) = pairs.next()??;
        let pair = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
        Some(Self {
            chain: u32::from_str_radix(chain, 16).ok()?,
            applied: applied.parse().ok()?,
            values: pairs.map(|p| p.map(pair)).collect::<Option<_>>()?,
        })
    }

    /// Tells two states apart.
    pub(crate) fn sum(&self) -> String {
        let sum = crc32c::crc32c(&self.encode());
        let keys = self.values.len();
        format!("keys={keys} applied={} sum={sum:08x}", self.applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_travels() {
        let mut a = State::default();
        for c in ["set x 1", "set y 22", "nonsense", "set x 3", ""] {
            a.apply(c.as_bytes());
        }
        assert_eq!(State::decode(&a.encode()), Some(a.clone()));
        assert_eq!((a.applied, a.get("x"), a.get("z")), (4, "3", "-"));
        assert_eq!(State::decode(b"x"), None);
        assert_eq!(State::decode(b"00000000 1\nx"), None);
    }
}
