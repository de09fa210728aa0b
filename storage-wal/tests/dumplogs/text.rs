//! What etcd's dumper prints: protobuf's text form on one line. Go: proto.CompactTextString

/// The fields of a message, in order.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(String, Field)>);

#[derive(Debug)]
enum Field {
    Word(String),
    Bytes(Vec<u8>),
    Inner(Fields),
}

impl Fields {
    fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a Field> + use<'a, 'n> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, f)| f)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).find_map(|f| match f {
            Field::Word(w) => Some(w.as_str()),
            _ => None,
        })
    }

    /// 0 where the field is left out.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).map_or(0, |w| w.parse().unwrap())
    }

    pub(crate) fn numbers(&self, name: &str) -> Vec<u64> {
        let of = |f: &Field| match f {
            Field::Word(w) => w.parse().unwrap(),
            f => panic!("{name} is {f:?}"),
        };
        self.all(name).map(of).collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        let found = self.all(name).find_map(|f| match f {
            Field::Bytes(b) => Some(b.as_slice()),
            _ => None,
        });
        found.unwrap_or_default()
    }

    pub(crate) fn inner(&self, name: &str) -> Option<&Fields> {
        self.all(name).find_map(|f| match f {
            Field::Inner(i) => Some(i),
            _ => None,
        })
    }
}

/// A line: what it tells of, and its fields. A bare number is the field without a name.
pub(crate) fn parse(line: &str) -> Result<(String, Fields), String> {
    let (kind, rest) = line
        .split_once(": ")
        .ok_or_else(|| format!("not a record: {line}"))?;
    let mut p = Parser {
        bytes: rest.as_bytes(),
        at: 0,
    };
    let fields = p
        .fields()
        .ok_or_else(|| format!("cannot be read: {line}"))?;
    Ok((kind.to_owned(), fields))
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let b = self.peek()?;
        self.at += 1;
        Some(b)
    }

    fn word(&mut self) -> String {
        let rest = &self.bytes[self.at..];
        let n = rest
            .iter()
            .position(|b| b" :<>\"".contains(b))
            .unwrap_or(rest.len());
        self.at += n;
        String::from_utf8_lossy(&rest[..n]).into_owned()
    }

    /// Up to the end, or to the bracket that closes a message.
    fn fields(&mut self) -> Option<Fields> {
        let mut out = Fields::default();
        loop {
            while self.peek() == Some(b' ') {
                self.at += 1;
            }
            match self.peek() {
                None => return Some(out),
                Some(b'>') => {
                    self.at += 1;
                    return Some(out);
                }
                Some(_) => {}
            }
            let name = self.word();
            if self.peek() != Some(b':') {
                out.0.push((String::new(), Field::Word(name)));
                continue;
            }
            self.at += 1;
            let value = self.value()?;
            out.0.push((name, value));
        }
    }

    fn value(&mut self) -> Option<Field> {
        Some(match self.peek()? {
            b'<' => {
                self.at += 1;
                Field::Inner(self.fields()?)
            }
            b'"' => {
                self.at += 1;
                Field::Bytes(self.quoted()?)
            }
            _ => Field::Word(self.word()),
        })
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let b = match self.take()? {
                b'"' => return Some(out),
                b'\\' => match self.take()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    d @ b'0'..=b'7' => self.octal(d)?,
                    other => other,
                },
                b => b,
            };
            out.push(b);
        }
    }

    /// Three digits, the first of which is read.
    fn octal(&mut self, first: u8) -> Option<u8> {
        let mut n = u32::from(first - b'0');
        for _ in 0..2 {
            n = n * 8 + u32::from(self.take()?.checked_sub(b'0')?);
        }
        u8::try_from(n).ok()
    }
}
