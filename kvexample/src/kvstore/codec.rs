//! The primitives of the command and snapshot encodings: LEB128 numbers and length-prefixed bytes. Go: no counterpart (raftexample uses gob)

use super::DecodeError;

/// Appends to a buffer. Numbers are LEB128 varints unless said otherwise.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self(Vec::with_capacity(n))
    }

    pub(super) fn byte(&mut self, b: u8) {
        self.0.push(b);
    }

    pub(super) fn number(&mut self, mut n: u64) {
        loop {
            let low = (n & 0x7f) as u8;
            n >>= 7;
            if n == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    /// Eight bytes, little-endian: for hashes, which a varint would only lengthen.
    pub(super) fn fixed(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, b: &[u8]) {
        self.number(b.len() as u64);
        self.0.extend_from_slice(b);
    }
}

/// Takes apart what [`Writer`] wrote. Nothing is allocated by a length that the input merely claims.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&b, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(b)
    }

    pub(super) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Malformed("flag")),
        }
    }

    /// Only in its shortest form: equal values have equal bytes.
    pub(super) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            let low = u64::from(b & 0x7f);
            if shift == 63 && low > 1 || shift > 0 && b == 0 {
                break;
            }
            n |= low << shift;
            if b & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(DecodeError::Malformed("number"))
    }

    pub(super) fn fixed(&mut self) -> Result<u64, DecodeError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<8>()
            .ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*head))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = usize::try_from(self.number()?).map_err(|_| DecodeError::Truncated)?;
        let (head, rest) = self.0.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Malformed("text"))
    }

    /// Ends the reading: what is left over was not written by this version.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Malformed("trailing bytes"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_at_every_length() {
        for shift in 0..64 {
            for n in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut w = Writer::default();
                w.number(n);
                let mut r = Reader::new(&w.0);
                assert_eq!(r.number(), Ok(n));
                assert_eq!(r.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn a_number_beyond_64_bits_and_a_length_beyond_the_input_are_errors() {
        assert!(
            Reader::new(&[0x81, 0]).number().is_err(),
            "not the shortest"
        );
        let eleven = [0xff; 11];
        assert!(Reader::new(&eleven).number().is_err());
        let mut too_big = [0xff; 10];
        too_big[9] = 0x02;
        assert!(Reader::new(&too_big).number().is_err());
        let mut w = Writer::default();
        w.number(u64::MAX);
        assert_eq!(Reader::new(&w.0).bytes(), Err(DecodeError::Truncated));
    }
}
