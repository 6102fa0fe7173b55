//! Pickles of torch's checkpoints (Python's pickle protocol 2, as `torch.save` writes it), read as plain values.
//! Nothing is executed: a call that a pickle asks for is kept as a value, and so is what it names.
//!
//! Every value has a place in one list and is named by it, so that no file makes this program recurse, copy what a memo
//! holds, or build a ring of values that is never freed: the memory is proportional to the pickle's length.

use std::collections::HashMap;
use std::io::BufRead;

/// Values of one pickle. A checkpoint of 10,000 tensors has some 200,000.
const MOST_VALUES: usize = 4 << 20;
/// Longest text or name, bytes.
const LONGEST_TEXT: u64 = 1 << 16;

/// A value's place in [`Pickle::values`].
pub(super) type Id = usize;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `None`, a bool, a float, or an integer of more than 64 bits: nothing that describes a tensor.
    Other,
    Int(i64),
    Text(String),
    /// A class or function, by module and name.
    Global(String, String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What a function gives for arguments.
    Call {
        function: Id,
        arguments: Id,
    },
    /// What the file holds beside the pickle, by its description.
    Persistent(Id),
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// Reads one pickle, up to and with its last opcode.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(source: &mut impl BufRead) -> Result<Self, String> {
        let mut machine =
            Machine { source, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        let root = machine.run()?;
        Ok(Self { values: machine.values, root })
    }

    pub(super) fn root(&self) -> &Value {
        &self.values[self.root]
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        match self.value(id) {
            Value::Int(int) => Some(*int),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A call's function, by module and name, and its arguments.
    pub(super) fn call(&self, id: Id) -> Option<((&str, &str), &[Id])> {
        let Value::Call { function, arguments } = self.value(id) else { return None };
        Some((self.global(*function)?, self.tuple(*arguments)?))
    }

    pub(super) fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.value(id) {
            Value::Global(module, name) => Some((module, name)),
            _ => None,
        }
    }
}

/// The machine that a pickle is a program of.
struct Machine<'a, R> {
    source: &'a mut R,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at which something begins.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<R: BufRead> Machine<'_, R> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let [opcode] = self.bytes()?;
            match opcode {
                // PROTO, with its number.
                0x80 => drop(self.bytes::<1>()?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                // NONE, NEWTRUE, NEWFALSE; BINFLOAT.
                b'N' | 0x88 | 0x89 => self.push(Value::Other)?,
                b'G' => {
                    self.bytes::<8>()?;
                    self.push(Value::Other)?;
                }
                // BININT, BININT1, BININT2, LONG1.
                b'J' => {
                    let int = i32::from_le_bytes(self.bytes()?);
                    self.push(Value::Int(int.into()))?;
                }
                b'K' => {
                    let [int] = self.bytes()?;
                    self.push(Value::Int(int.into()))?;
                }
                b'M' => {
                    let int = u16::from_le_bytes(self.bytes()?);
                    self.push(Value::Int(int.into()))?;
                }
                0x8a => {
                    let long = self.long()?;
                    self.push(long)?;
                }
                // BINUNICODE, GLOBAL.
                b'X' => {
                    let length = u32::from_le_bytes(self.bytes()?);
                    let text = self.text(length.into())?;
                    self.push(Value::Text(text))?;
                }
                b'c' => {
                    let global = Value::Global(self.line()?, self.line()?);
                    self.push(global)?;
                }
                // TUPLE and those of none, one, two and three.
                b't' => {
                    let items = self.marked()?;
                    self.push(Value::Tuple(items))?;
                }
                b')' => self.push(Value::Tuple(Vec::new()))?,
                0x85..=0x87 => {
                    let height = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or_else(empty)?;
                    let items = self.stack.split_off(height);
                    self.push(Value::Tuple(items))?;
                }
                // EMPTY_LIST, APPEND, APPENDS.
                b']' => self.push(Value::List(Vec::new()))?,
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.marked()?;
                    self.append(items)?;
                }
                // EMPTY_DICT, DICT, SETITEM, SETITEMS.
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b'd' => {
                    let items = self.marked()?;
                    self.push(Value::Dict(Vec::new()))?;
                    self.set(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.set(&items)?;
                }
                // REDUCE, NEWOBJ: a call. BUILD gives an object attributes, which no tensor needs. BINPERSID.
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let made = match &self.values[function] {
                        Value::Global(module, name)
                            if module == "collections" && (name == "OrderedDict" || name == "defaultdict") =>
                        {
                            Value::Dict(Vec::new())
                        }
                        _ => Value::Call { function, arguments },
                    };
                    self.push(made)?;
                }
                b'b' => drop(self.pop()?),
                b'Q' => {
                    let described = self.pop()?;
                    self.push(Value::Persistent(described))?;
                }
                // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET.
                b'q' | b'r' => {
                    let place = self.place(opcode == b'q')?;
                    let top = *self.stack.last().ok_or_else(empty)?;
                    self.memo.insert(place, top);
                }
                b'h' | b'j' => {
                    let place = self.place(opcode == b'h')?;
                    let id = *self.memo.get(&place).ok_or_else(|| format!("nothing is kept at {place} of its memo"))?;
                    self.stack.push(id);
                }
                other => {
                    return Err(format!(
                        "opcode {other:#04x} is none that torch.save writes; save the model's state_dict() with it"
                    ));
                }
            }
            // What a memo gives out is no new value, but takes its place on the stack.
            if self.stack.len() > MOST_VALUES || self.marks.len() > MOST_VALUES {
                return Err(too_many());
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(|_| "the pickle breaks off".to_string())?;
        Ok(bytes)
    }

    fn text(&mut self, length: u64) -> Result<String, String> {
        if length > LONGEST_TEXT {
            return Err(format!("a text of {length} bytes is no name of a tensor"));
        }
        let mut bytes = vec![0; length as usize];
        self.source.read_exact(&mut bytes).map_err(|_| "the pickle breaks off in a text".to_string())?;
        String::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let mut bounded = std::io::Read::take(&mut *self.source, LONGEST_TEXT);
        bounded.read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        match line.pop() {
            Some(b'\n') => String::from_utf8(line).map_err(|_| "a name is not UTF-8".to_string()),
            _ => Err("the pickle breaks off in a name".to_string()),
        }
    }

    /// An integer of up to 255 bytes, in two's complement.
    fn long(&mut self) -> Result<Value, String> {
        let [length] = self.bytes()?;
        let mut bytes = [0; 255];
        let bytes = &mut bytes[..usize::from(length)];
        self.source.read_exact(bytes).map_err(|_| "the pickle breaks off".to_string())?;
        if bytes.len() > 8 {
            return Ok(Value::Other);
        }
        let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { -1 } else { 0 };
        Ok(Value::Int(bytes.iter().rev().fold(sign, |sum, byte| sum << 8 | i64::from(*byte))))
    }

    fn place(&mut self, short: bool) -> Result<u32, String> {
        Ok(if short { self.bytes::<1>()?[0].into() } else { u32::from_le_bytes(self.bytes()?) })
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() >= MOST_VALUES {
            return Err(too_many());
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// The top of the stack. What lies below the last mark is out of reach.
    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(empty());
        }
        self.stack.pop().ok_or_else(empty)
    }

    /// What was pushed since the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or_else(|| "it closes what it has not opened".to_string())?;
        if mark > self.stack.len() {
            return Err(empty());
        }
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let top = *self.stack.last().ok_or_else(empty)?;
        match &mut self.values[top] {
            Value::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err("it appends to what is no list".to_string()),
        }
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let top = *self.stack.last().ok_or_else(empty)?;
        let (pairs, rest) = items.as_chunks::<2>();
        match &mut self.values[top] {
            Value::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            Value::Dict(_) => Err("a key has no value".to_string()),
            // Attributes of an object are no tensors.
            Value::Call { .. } => Ok(()),
            _ => Err("it sets items of what is no dictionary".to_string()),
        }
    }
}

fn empty() -> String {
    "it takes from an empty stack".to_string()
}

fn too_many() -> String {
    format!("it makes more than {MOST_VALUES} values, more than a checkpoint has use for")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Pickle, String> {
        Pickle::read(&mut { bytes })
    }

    #[test]
    fn the_values_are_those_that_python_pickled() {
        // pickle.dumps({"a": (1, -2, 300, 2**40, None, [1.5, "x"])}, 2)
        let bytes = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01(K\x01J\xfe\xff\xff\xffM,\x01\x8a\x06\x00\x00\x00\x00\x00\x01N]q\x02(G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00xq\x03etq\x04s.";
        let pickle = read(bytes).unwrap();
        let Value::Dict(entries) = pickle.root() else { panic!("{:?}", pickle.root()) };
        let [(key, value)] = entries[..] else { panic!("{entries:?}") };
        assert_eq!(pickle.text(key), Some("a"));
        let items = pickle.tuple(value).unwrap();
        let ints: Vec<Option<i64>> = items.iter().map(|i| pickle.int(*i)).collect();
        assert_eq!(ints, [Some(1), Some(-2), Some(300), Some(1 << 40), None, None]);
        let Value::List(list) = pickle.value(items[5]) else { panic!("no list") };
        assert_eq!((list.len(), pickle.text(list[1])), (2, Some("x")));
    }

    #[test]
    fn what_is_nested_doubled_or_without_end_takes_no_more_than_its_bytes() {
        // A tuple in a tuple, a million deep.
        let deep = [&b")"[..], &b"\x85".repeat(1_000_000), b"."].concat();
        assert!(matches!(read(&deep).unwrap().root(), Value::Tuple(items) if items.len() == 1));
        // Each step a tuple of the one before twice: 2^200 values, were they copied.
        let doubled = [&b")q\x00"[..], &b"h\x00\x86q\x00".repeat(200)[..], b"."].concat();
        assert_eq!(read(&doubled).unwrap().values.len(), 201);
        // A list that holds itself.
        let ring = read(b"]q\x00h\x00a.").unwrap();
        assert_eq!(ring.root(), &Value::List(vec![0]));
        let many = [&b"]q\x00"[..], &b"h\x00".repeat(MOST_VALUES + 1)].concat();
        assert!(read(&many).unwrap_err().contains("more than"));
        assert!(read(&b"N".repeat(MOST_VALUES + 1)).unwrap_err().contains("more than"));
        assert!(read(&b"(".repeat(MOST_VALUES + 1)).unwrap_err().contains("more than"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let opcodes = b"\x80.(NGJKMXct)\x85\x86\x87]ae}dusR\x81bQqrhj\x8a\x88\0\x01\n\xff";
        for _ in 0..200_000 {
            let length = rng.random_range(0..40);
            let bytes: Vec<u8> = (0..length).map(|_| opcodes[rng.random_range(0..opcodes.len())]).collect();
            let _ = read(&bytes);
        }
        for text in [&b"X\xff\xff\xff\xff"[..], b"cabc", b"\x8a\xff\x01", b"(", b"(.", b"N(\x85", b"N(s.", b"t", b""] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
