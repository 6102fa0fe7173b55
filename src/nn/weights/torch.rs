//! torch state_dicts, in the zip format of today and the stream format from before torch 1.6.
//!
//! The zip holds uncompressed files: `NAME/data.pkl`, the pickled state_dict, in which each tensor names its storage by
//! a key, and `NAME/data/KEY`, each storage. The older format is a stream:
//!
//! | part | bytes |
//! | --- | --- |
//! | magic | a pickled integer, 15 bytes |
//! | protocol | a pickled integer, 1001, 6 bytes |
//! | system | a pickled dictionary |
//! | state_dict | a pickle in which each tensor names its storage by a key |
//! | keys | a pickled list of the storages' keys, in the order in which they follow |
//! | each storage | its count of values (64 bits, little endian), then the values |

use std::collections::HashMap;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::TensorMap;
use super::pickle::{Id, Pickle, Value};
use crate::error::WeightsError;

/// A zip file begins so.
pub(super) const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// The older format begins so: torch's magic number and protocol 1001, pickled.
pub(super) const STREAM_MAGIC: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02\x4d\xe9\x03\x2e";

/// Counters that BatchNorm keeps while training; they are no weights.
const COUNTER: &str = "num_batches_tracked";
/// Tensors of one file; the largest networks that this program knows have some hundreds.
const MOST_TENSORS: usize = 10_000;
/// Bytes of all tensors, in file lengths: tensors may share a storage, as tied weights do.
const MOST_SHARED: usize = 4;
/// Longest pickle of a zip, bytes.
const LONGEST_PICKLE: u64 = 64 << 20;

/// All tensors of the state_dict but the training counters.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<TensorMap, WeightsError> {
    let read = if bytes.starts_with(STREAM_MAGIC) { read_stream(bytes) } else { read_zip(bytes) };
    let tensors = read.and_then(|tensors| match tensors.is_empty() {
        true => Err("it holds no tensors; save the model's state_dict() itself".to_string()),
        false => Ok(tensors),
    });
    tensors.map_err(|reason| WeightsError::Malformed { path: path.display().to_string(), format: "torch", reason })
}

/// How a tensor lies in its storage, in values of its type.
struct Described {
    name: String,
    dtype: DType,
    storage: String,
    offset: usize,
    dims: Vec<usize>,
    strides: Vec<usize>,
}

fn read_zip(bytes: &[u8]) -> Result<TensorMap, String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let mut places = HashMap::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(|e| e.to_string())?;
        let name = file.name().map_err(|e| e.to_string())?.into_owned();
        places.insert(name, index);
    }
    let pickles: Vec<(&String, &usize)> = places.iter().filter(|(name, _)| name.ends_with("/data.pkl")).collect();
    let [(name, place)] = pickles[..] else {
        return Err(format!("it is a zip with {} state_dicts (data.pkl) in it, not one", pickles.len()));
    };
    let folder = name.trim_end_matches(".pkl");
    let pickled = archive.by_index(*place).map_err(|e| e.to_string())?;
    let pickle = Pickle::read(&mut BufReader::new(pickled.take(LONGEST_PICKLE)))?;
    let mut tensors = Tensors::of(&pickle, bytes.len())?;
    for key in tensors.storages() {
        let missing = || format!("its storage {key} is missing");
        let place = places.get(&format!("{folder}/{key}")).ok_or_else(missing)?;
        let file = archive.by_index(*place).map_err(|e| e.to_string())?;
        if file.compression() != zip::CompressionMethod::Stored {
            return Err(format!("its storage {key} is compressed, as torch.save never does"));
        }
        let from = file.data_start().and_then(|at| usize::try_from(at).ok()).ok_or_else(missing)?;
        let length = usize::try_from(file.size()).map_err(|e| e.to_string())?;
        let storage = from.checked_add(length).and_then(|end| bytes.get(from..end));
        tensors.read(&key, storage.ok_or_else(missing)?)?;
    }
    Ok(tensors.read)
}

fn read_stream(bytes: &[u8]) -> Result<TensorMap, String> {
    let mut rest = &bytes[STREAM_MAGIC.len()..];
    let _system = Pickle::read(&mut rest)?;
    let pickle = Pickle::read(&mut rest)?;
    let mut tensors = Tensors::of(&pickle, bytes.len())?;
    let keys = Pickle::read(&mut rest)?;
    let Value::List(listed) = keys.root() else { return Err("the list of storages is missing".to_string()) };
    for key in listed {
        let key = keys.text(*key).ok_or("a storage's key is no text")?;
        let dtype = tensors.dtype_of(key).ok_or_else(|| format!("no tensor uses storage {key}"))?;
        let ends = || format!("the file ends inside storage {key}");
        let (count, values) = rest.split_first_chunk::<8>().ok_or_else(ends)?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok();
        let length = count.and_then(|n| n.checked_mul(dtype.size_in_bytes())).ok_or_else(ends)?;
        let storage;
        (storage, rest) = values.split_at_checked(length).ok_or_else(ends)?;
        tensors.read(key, storage)?;
    }
    match tensors.wanted.values().flatten().next() {
        Some(described) => Err(format!("the storage of {} is missing", described.name)),
        None => Ok(tensors.read),
    }
}

/// The tensors of a state_dict: those that are described, by their storages, and those that are read.
struct Tensors {
    wanted: HashMap<String, Vec<Described>>,
    read: TensorMap,
    /// Bytes that may yet be read.
    room: usize,
}

impl Tensors {
    fn of(pickle: &Pickle, length: usize) -> Result<Self, String> {
        let Value::Dict(entries) = pickle.root() else { return Err("it holds no state_dict".to_string()) };
        let room = length.saturating_mul(MOST_SHARED);
        let mut tensors = Self { wanted: HashMap::new(), read: TensorMap::new(), room };
        let mut count = 0;
        for (name, value) in entries {
            let Some(name) = pickle.text(*name) else { continue };
            if let Some(described) = described(pickle, name, *value)? {
                count += 1;
                tensors.wanted.entry(described.storage.clone()).or_default().push(described);
            }
        }
        match count > MOST_TENSORS {
            true => Err(format!("{count} tensors are more than any network here has")),
            false => Ok(tensors),
        }
    }

    fn storages(&self) -> Vec<String> {
        self.wanted.keys().cloned().collect()
    }

    fn dtype_of(&self, storage: &str) -> Option<DType> {
        Some(self.wanted.get(storage)?.first()?.dtype)
    }

    /// Reads the tensors that lie in a storage.
    fn read(&mut self, key: &str, storage: &[u8]) -> Result<(), String> {
        for described in self.wanted.remove(key).unwrap_or_default() {
            if described.name.ends_with(COUNTER) {
                continue;
            }
            if let Some(tensor) = tensor(storage, &described, &mut self.room)? {
                self.read.insert(described.name, tensor);
            }
        }
        Ok(())
    }
}

/// What a value says of a tensor; nothing where it is none.
fn described(pickle: &Pickle, name: &str, value: Id) -> Result<Option<Described>, String> {
    let Some((function, arguments)) = pickle.call(value) else { return Ok(None) };
    match (function, arguments) {
        // Arguments: storage, its offset, size, strides, and what training needs.
        (("torch._utils", "_rebuild_tensor_v2"), [storage, offset, size, strides, ..]) => {
            let bad = || format!("the description of {name} is no tensor's");
            let usize_of = |id: &Id| pickle.int(*id).and_then(|n| usize::try_from(n).ok());
            let all = |id: &Id| pickle.tuple(*id)?.iter().map(usize_of).collect::<Option<Vec<usize>>>();
            let (dims, strides) = (all(size).ok_or_else(bad)?, all(strides).ok_or_else(bad)?);
            let Value::Persistent(storage) = pickle.value(*storage) else { return Err(bad()) };
            // Its own words: "storage", its type, its key, where it was, and how many values it has.
            let Some([_, kind, key, ..]) = pickle.tuple(*storage) else { return Err(bad()) };
            let (_, kind) = pickle.global(*kind).ok_or_else(bad)?;
            if dims.len() != strides.len() {
                return Err(bad());
            }
            Ok(Some(Described {
                name: name.to_string(),
                dtype: dtype(kind).ok_or_else(|| format!("{name} is a {kind}, of which no network here is made"))?,
                storage: pickle.text(*key).ok_or_else(bad)?.to_string(),
                offset: usize_of(offset).ok_or_else(bad)?,
                dims,
                strides,
            }))
        }
        // A tensor with what training adds to it.
        (("torch._utils", "_rebuild_parameter"), [inner, ..]) if is_tensor(pickle, *inner) => {
            described(pickle, name, *inner)
        }
        (("torch._tensor", "_rebuild_from_type_v2"), [_, _, inner, ..]) if is_tensor(pickle, *inner) => {
            described(pickle, name, *inner)
        }
        _ => Ok(None),
    }
}

fn is_tensor(pickle: &Pickle, value: Id) -> bool {
    matches!(pickle.call(value), Some((("torch._utils", "_rebuild_tensor_v2"), _)))
}

fn dtype(storage: &str) -> Option<DType> {
    Some(match storage {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "ByteStorage" => DType::U8,
        "LongStorage" => DType::I64,
        _ => return None,
    })
}

/// A tensor of floats out of its storage; integers count something, and are passed over.
fn tensor(storage: &[u8], described: &Described, room: &mut usize) -> Result<Option<Tensor>, String> {
    let Described { name, dtype, offset, dims, strides, .. } = described;
    if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
        return Ok(None);
    }
    let size = dtype.size_in_bytes();
    let beyond = || format!("{name} reaches beyond its storage");
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let length = count.and_then(|n| n.checked_mul(size)).filter(|&l| l <= storage.len()).ok_or_else(beyond)?;
    *room = room.checked_sub(length).ok_or("its tensors are many times as large as the file")?;
    let start = offset.checked_mul(size).ok_or_else(beyond)?;
    let bytes = if is_contiguous(dims, strides) {
        let end = start.checked_add(length).ok_or_else(beyond)?;
        storage.get(start..end).ok_or_else(beyond)?.to_vec()
    } else {
        let mut bytes = Vec::with_capacity(length);
        // In the order of the tensor's own axes, which is not that of the storage.
        for flat in 0..length / size {
            let (mut rest, mut index) = (flat, *offset);
            for (&dim, &stride) in dims.iter().zip(strides).rev() {
                index = index.saturating_add((rest % dim).saturating_mul(stride));
                rest /= dim;
            }
            let value = index.checked_mul(size).and_then(|at| storage.get(at..at.checked_add(size)?));
            bytes.extend_from_slice(value.ok_or_else(beyond)?);
        }
        bytes
    };
    Tensor::from_raw_buffer(&bytes, *dtype, dims, &Device::Cpu).map(Some).map_err(|e| e.to_string())
}

/// Whether the values lie in the order of the tensor's axes, with nothing between them.
fn is_contiguous(dims: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    dims.iter().zip(strides).rev().all(|(&dim, &stride)| {
        let fits = dim <= 1 || stride == expected;
        expected = expected.saturating_mul(dim);
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn text(text: &str) -> Vec<u8> {
        [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
    }

    fn int(value: usize) -> Vec<u8> {
        [&b"\x8a\x08"[..], &(value as i64).to_le_bytes()].concat()
    }

    fn tuple(values: &[usize]) -> Vec<u8> {
        [&b"("[..], &values.iter().flat_map(|v| int(*v)).collect::<Vec<u8>>(), b"t"].concat()
    }

    /// What `torch.save` writes for a tensor.
    fn described_as(kind: &str, storage: &str, (offset, dims, strides): (usize, &[usize], &[usize])) -> Vec<u8> {
        let kind = format!("ctorch\n{kind}\n").into_bytes();
        let storage = [&b"("[..], &text("storage"), &kind, &text(storage), &text("cpu"), &int(6), b"tQ"].concat();
        let function = &b"ctorch._utils\n_rebuild_tensor_v2\n"[..];
        let hooks = &b"\x89ccollections\nOrderedDict\n)R"[..];
        [function, b"(", &storage, &int(offset), &tuple(dims), &tuple(strides), hooks, b"tR"].concat()
    }

    fn pickled(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let entries: Vec<u8> = entries.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
        [&b"\x80\x02ccollections\nOrderedDict\n)R("[..], &entries, b"u}X\x09\0\0\0_metadata}sb."].concat()
    }

    fn values(from: usize, count: usize) -> Vec<u8> {
        (from..from + count).flat_map(|v| (v as f32).to_le_bytes()).collect()
    }

    fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in files {
            archive.start_file(format!("net/{name}"), stored).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn streamed(entries: &[(&str, Vec<u8>)], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let keys: Vec<u8> = storages.iter().flat_map(|(key, _)| text(key)).collect();
        let keys = [&b"\x80\x02]("[..], &keys, b"e."].concat();
        let counted = |bytes: &[u8]| [&(bytes.len() as u64 / 4).to_le_bytes()[..], bytes].concat();
        let all: Vec<u8> = storages.iter().flat_map(|(_, bytes)| counted(bytes)).collect();
        [STREAM_MAGIC, b"\x80\x02}.", &pickled(entries), &keys, &all].concat()
    }

    /// A tensor's name, dimensions and values.
    type Flat = (String, Vec<usize>, Vec<f32>);

    fn tensors_of(bytes: &[u8]) -> Result<Vec<Flat>, String> {
        let read = read(Path::new("net.pt"), bytes).map_err(|e| e.to_string())?;
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        Ok(read.iter().map(|(name, t)| (name.clone(), t.dims().to_vec(), flat(t))).collect())
    }

    /// A matrix, its second row turned into a column, a transposed view of it, and a counter.
    fn entries() -> Vec<(&'static str, Vec<u8>)> {
        let parameter = |inner: Vec<u8>| [b"ctorch._utils\n_rebuild_parameter\n", &inner[..], b"\x88N\x87R"].concat();
        vec![
            ("w", parameter(described_as("FloatStorage", "0", (0, &[2, 3], &[3, 1])))),
            ("column", described_as("FloatStorage", "0", (3, &[3, 1], &[1, 1]))),
            ("turned", described_as("FloatStorage", "0", (0, &[3, 2], &[1, 3]))),
            ("b.num_batches_tracked", described_as("LongStorage", "1", (0, &[], &[]))),
            ("about", text("no tensor")),
        ]
    }

    #[test]
    fn both_formats_give_the_tensors_that_were_saved() {
        let expected = vec![
            ("column".to_string(), vec![3, 1], vec![3.0, 4.0, 5.0]),
            ("turned".to_string(), vec![3, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
            ("w".to_string(), vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ];
        let zip = zipped(&[("data.pkl", pickled(&entries())), ("data/0", values(0, 6)), ("data/1", vec![0; 8])]);
        assert_eq!(tensors_of(&zip).unwrap(), expected);
        let mut stream = streamed(&entries(), &[("1", vec![0; 4]), ("0", values(0, 6))]);
        // One counter of 64 bits.
        let at = stream.len() - (8 + 24) - 4;
        stream.splice(at..at, [0; 4]);
        assert_eq!(tensors_of(&stream).unwrap(), expected);
    }

    #[test]
    fn what_a_file_states_is_held_against_what_it_has() {
        let zip = |value: Vec<u8>| zipped(&[("data.pkl", pickled(&[("w", value)])), ("data/0", values(0, 6))]);
        let float = |place: (usize, &[usize], &[usize])| described_as("FloatStorage", "0", place);
        let huge = 1 << 40;
        for (value, reason) in [
            (float((1, &[2, 3], &[3, 1])), "beyond its storage"),
            (float((0, &[2, 3], &[4, 1])), "beyond its storage"),
            (float((usize::MAX >> 1, &[1], &[1])), "beyond its storage"),
            // Values without end out of one.
            (float((0, &[huge, huge], &[0, 0])), "beyond its storage"),
            (float((0, &[7], &[0])), "beyond its storage"),
            (float((0, &[2, 3], &[3])), "no tensor's"),
            (described_as("ComplexStorage", "0", (0, &[1], &[1])), "ComplexStorage"),
            (described_as("FloatStorage", "7", (0, &[1], &[1])), "missing"),
        ] {
            let refused = tensors_of(&zip(value)).unwrap_err();
            assert!(refused.contains(reason), "{refused}: {reason}");
        }
        let many: Vec<(String, Vec<u8>)> =
            (0..=MOST_TENSORS).map(|i| (format!("t{i}"), float((0, &[0], &[1])))).collect();
        let many: Vec<(&str, Vec<u8>)> = many.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        let refused = tensors_of(&zipped(&[("data.pkl", pickled(&many)), ("data/0", values(0, 6))])).unwrap_err();
        assert!(refused.contains("more than any network"), "{refused}");
        // The same storage again and again.
        let shared: Vec<(String, Vec<u8>)> = (0..500).map(|i| (format!("t{i}"), float((0, &[30_000], &[1])))).collect();
        let shared: Vec<(&str, Vec<u8>)> = shared.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        let refused =
            tensors_of(&zipped(&[("data.pkl", pickled(&shared)), ("data/0", values(0, 30_000))])).unwrap_err();
        assert!(refused.contains("times as large"), "{refused}");
        for (files, reason) in [
            (vec![("data/0", values(0, 6))], "with 0 state_dicts"),
            (vec![("data.pkl", b"\x80\x02N.".to_vec())], "no state_dict"),
            (vec![("data.pkl", pickled(&[]))], "no tensors"),
        ] {
            let refused = tensors_of(&zipped(&files)).unwrap_err();
            assert!(refused.contains(reason), "{refused}: {reason}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_or_damaged_is_refused_or_read() {
        let zip = zipped(&[("data.pkl", pickled(&entries())), ("data/0", values(0, 6)), ("data/1", vec![0; 8])]);
        let stream = streamed(&entries()[..3], &[("0", values(0, 6))]);
        for whole in [zip, stream] {
            for cut in 0..whole.len() {
                assert!(tensors_of(&whole[..cut]).is_err(), "cut off at {cut}");
            }
            for at in 0..whole.len() {
                for bit in 0..8 {
                    let mut changed = whole.clone();
                    changed[at] ^= 1 << bit;
                    let _ = tensors_of(&changed);
                }
            }
        }
    }
}
