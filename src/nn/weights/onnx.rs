//! ONNX files, as far as weights need them: the graph's initialisers, by name, also those that are quantised in blocks
//! ([`blocks`]). The graph itself is not interpreted; which networks kith runs is in its code.
//!
//! ONNX is a protocol-buffers format (onnx/onnx.proto3). Of its messages these fields are read, and all
//! others are skipped:
//!
//! | message | field | content |
//! | --- | --- | --- |
//! | `ModelProto` | 1 | format version |
//! | | 7 | `GraphProto` |
//! | `GraphProto` | 1 | `NodeProto`, repeated |
//! | | 5 | `TensorProto`, repeated: the initialisers |
//! | `NodeProto` | 1, 2 | names of inputs, of outputs |
//! | | 4 | operator |
//! | | 5 | `AttributeProto`, repeated |
//! | `AttributeProto` | 1 | name |
//! | | 3 | value, where it is an integer |
//! | `TensorProto` | 1 | dimensions |
//! | | 2 | type of the values; 1 is f32, 3 int8, 7 int64 |
//! | | 4, 5, 7 | the values as floats, as 32-bit, as 64-bit integers, or |
//! | | 8 | name |
//! | | 9 | the values as little-endian bytes |
//! | | 14 | 1 where the values lie in another file |
//!
//! torch's exporter folds each batch normalisation into the convolution before it and, having made new
//! tensors, names them by number: `459` and `460`, `542` and `544`, or `onnx::Conv_529` and `onnx::Conv_530`, are the weight and
//! the bias of one convolution. The numbers differ from export to export but rise in the order in which
//! the network runs, so [`named`] tells them apart by that order; the shapes are checked after.

mod blocks;
mod proto;

use std::collections::{BTreeMap, HashMap};

use prost::Message;

pub(super) use self::blocks::AS_IT_IS;
use self::proto::{FLOAT, ModelProto};
use super::TensorMap;
use super::specs;
use crate::error::WeightsError;

/// What such a file begins with: the tag of the format version, a number.
pub(super) const FIRST_BYTE: u8 = 0x08;
/// What torch's exporter puts before a number it gives.
const NUMBER_PREFIX: &str = "onnx::Conv_";

/// The f32 initialisers of the file, under the names that the file gives them.
///
/// # Errors
/// [`WeightsError::Malformed`] where the bytes are no ONNX, where a tensor holds more or fewer values
/// than its dimensions say, or where its values lie in another file.
pub(super) fn parse(bytes: &[u8], path: &str) -> Result<TensorMap, WeightsError> {
    let malformed = |reason: String| WeightsError::Malformed { path: path.to_string(), format: "ONNX", reason };
    let model = ModelProto::decode(bytes).map_err(|e| malformed(e.to_string()))?;
    let graph = model.graph.filter(|_| model.version > 0).ok_or_else(|| malformed("it holds no graph".to_string()))?;
    let mut tensors = TensorMap::new();
    let mut initialisers = HashMap::new();
    for tensor in graph.initializer {
        let name = tensor.name.clone();
        if initialisers.insert(name.clone(), tensor).is_some() {
            return Err(malformed(format!("two tensors are called {name:?}")));
        }
    }
    // Shapes and other integers are constants of the graph, and no weights.
    for (name, tensor) in initialisers.iter().filter(|(_, t)| t.data_type == FLOAT) {
        let read = tensor.read().map_err(|reason| malformed(format!("tensor {name:?}: {reason}")))?;
        tensors.insert(name.clone(), read);
    }
    blocks::dequantised(&graph.node, &initialisers, &mut tensors).map_err(malformed)?;
    if tensors.is_empty() {
        return Err(malformed("it holds no tensors of 32-bit floats".to_string()));
    }
    Ok(tensors)
}

/// The architecture that the tensors are for, told from names that only it has; `None` where they are
/// none that kith runs from ONNX.
pub(super) fn architecture(tensors: &TensorMap) -> Option<&'static str> {
    if tensors.contains_key("pre_fc1_weight") {
        Some("sface")
    } else if tensors.contains_key("neck.deconv_layers.0.conv.weight") {
        Some("centerface")
    } else if tensors.contains_key("bbox_head.multi_level_share_convs.0.0.conv1.weight") {
        Some("yunet-n")
    } else if tensors.contains_key("bbox_head.multi_level_cls.0.conv1.weight") {
        Some("yunet-s")
    } else if numbered(tensors).len() == specs::numbered("mobilefacenet").len() {
        Some("mobilefacenet")
    } else {
        None
    }
}

/// Gives the convolutions that the exporter numbered the names that `architecture` has for them, in the
/// order of their numbers. Where they are more or fewer than it has, none is renamed.
pub(super) fn named(mut tensors: TensorMap, architecture: &str) -> TensorMap {
    let names = specs::numbered(architecture);
    let found = numbered(&tensors);
    if found.len() != names.len() {
        return tensors;
    }
    for ((weight, bias), name) in found.into_iter().zip(names) {
        for (from, part) in [(weight, "weight"), (bias, "bias")] {
            if let Some(tensor) = tensors.remove(&from) {
                tensors.insert(format!("{name}.{part}"), tensor);
            }
        }
    }
    tensors
}

/// Names of weight and bias of every numbered convolution, by rising number.
fn numbered(tensors: &TensorMap) -> Vec<(String, String)> {
    let number = |name: &str| name.strip_prefix(NUMBER_PREFIX).unwrap_or(name).parse::<u64>().ok();
    let by_number: BTreeMap<u64, (&String, usize)> =
        tensors.iter().filter_map(|(name, t)| Some((number(name)?, (name, t.rank())))).collect();
    // By the next number, or the one after it: some exporters make another tensor in between.
    let mut pairs = Vec::new();
    for ((n, (weight, rank)), (next, (bias, bias_rank))) in by_number.iter().zip(by_number.iter().skip(1)) {
        if next - n <= 2 && (*rank, *bias_rank) == (4, 1) {
            pairs.push(((*weight).clone(), (*bias).clone()));
        }
    }
    pairs
}

/// A file of such tensors (name, dimensions, values), for tests.
#[cfg(test)]
pub(super) fn encoded(tensors: impl Iterator<Item = (String, Vec<usize>, Vec<f32>)>) -> Vec<u8> {
    let tensor = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| proto::TensorProto {
        dims: shape.into_iter().map(|d| d as i64).collect(),
        data_type: FLOAT,
        name,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    };
    let graph = proto::GraphProto { node: Vec::new(), initializer: tensors.map(tensor).collect() };
    ModelProto { version: 8, graph: Some(graph) }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::proto::{EXTERNAL, GraphProto, TensorProto};
    use super::*;

    fn tensor(name: &str, dims: &[i64], numbers: &[f32]) -> TensorProto {
        TensorProto {
            dims: dims.to_vec(),
            data_type: FLOAT,
            name: name.to_string(),
            raw_data: numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
            ..Default::default()
        }
    }

    fn file(initializer: Vec<TensorProto>) -> Vec<u8> {
        ModelProto { version: 8, graph: Some(GraphProto { node: Vec::new(), initializer }) }.encode_to_vec()
    }

    fn reason(bytes: &[u8]) -> String {
        let error = parse(bytes, "x.onnx").unwrap_err();
        assert_eq!(error.code(), "weights.malformed");
        error.to_string()
    }

    #[test]
    fn both_ways_of_storing_numbers_are_read() {
        // Written by hand: version 8; a graph (field 7, 39 bytes) of two tensors (field 5).
        let raw = b"\x08\x01\x08\x02\x10\x01\x42\x01a\x4a\x08\x00\x00\x80\x3f\x00\x00\x00\x40";
        let typed = b"\x08\x01\x10\x01\x22\x04\x00\x00\x40\x40\x42\x02bc";
        let mut bytes = vec![0x08, 8, 0x3a, (raw.len() + typed.len() + 4) as u8];
        for tensor in [&raw[..], typed] {
            bytes.extend([0x2a, tensor.len() as u8]);
            bytes.extend(tensor);
        }
        assert_eq!(bytes[0], FIRST_BYTE);
        let tensors = parse(&bytes, "hand.onnx").unwrap();
        assert_eq!(tensors["a"].to_vec2::<f32>().unwrap(), [[1.0, 2.0]]);
        assert_eq!(tensors["bc"].to_vec1::<f32>().unwrap(), [3.0]);
    }

    #[test]
    fn integers_are_passed_over() {
        let shape = TensorProto { data_type: 7, ..tensor("shape", &[1], &[1.0, 2.0]) };
        let tensors = parse(&file(vec![shape, tensor("w", &[1], &[1.0])]), "x.onnx").unwrap();
        assert_eq!(tensors.keys().collect::<Vec<_>>(), ["w"]);
    }

    #[test]
    fn every_truncation_and_every_lie_is_a_typed_error() {
        let sound = file(vec![tensor("a", &[2, 1], &[1.0, 2.0]), tensor("b", &[1], &[3.0])]);
        assert_eq!(parse(&sound, "x.onnx").unwrap().len(), 2);
        for end in 0..sound.len() {
            assert!(!reason(&sound[..end]).is_empty(), "cut at {end}");
        }
        for lie in [
            tensor("a", &[2], &[1.0]),
            tensor("a", &[-1], &[1.0]),
            tensor("a", &[i64::MAX, i64::MAX], &[1.0]),
            TensorProto { raw_data: vec![0; 7], ..tensor("a", &[1], &[]) },
            TensorProto { data_location: EXTERNAL, ..tensor("a", &[0], &[]) },
        ] {
            assert!(reason(&file(vec![lie])).contains("\"a\""));
        }
        assert!(reason(&file(vec![tensor("a", &[0], &[]), tensor("a", &[0], &[])])).contains("two tensors"));
        assert!(reason(&file(vec![])).contains("no tensors"));
        assert!(reason(&ModelProto { version: 8, graph: None }.encode_to_vec()).contains("no graph"));
        // A graph of 2^62 bytes, a varint without an end, a group without an end.
        reason(b"\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x3f");
        reason(&[0xff; 40]);
        reason(&[0x08, 0x08, 0x0b, 0x0b, 0x0b]);
    }

    #[test]
    fn any_changed_byte_gives_tensors_or_an_error_and_never_a_panic() {
        let sound = file(vec![tensor("a", &[2, 1], &[1.0, 2.0]), tensor("12", &[1, 1, 1, 1], &[3.0])]);
        for at in 0..sound.len() {
            for value in 0..=255 {
                let mut changed = sound.clone();
                changed[at] = value;
                if let Ok(tensors) = parse(&changed, "x.onnx") {
                    named(tensors, "mobilefacenet");
                }
            }
        }
    }

    #[test]
    fn numbered_convolutions_get_their_names_in_the_order_of_numbers() {
        let names = specs::numbered("yunet-s");
        let mut tensors = TensorMap::new();
        let zeros = |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu).unwrap();
        for (i, _) in names.iter().enumerate() {
            // 998, 1001, ...: by text, 1001 would come before 998.
            tensors.insert((998 + 3 * i).to_string(), zeros(&[1, 1, 1, i + 1]));
            tensors.insert((999 + 3 * i).to_string(), zeros(&[1]));
        }
        tensors.insert("5000".to_string(), zeros(&[4]));
        let renamed = named(tensors.clone(), "yunet-s");
        for (i, name) in names.iter().enumerate() {
            assert_eq!(renamed[&format!("{name}.weight")].dims(), [1, 1, 1, i + 1]);
            assert!(renamed.contains_key(&format!("{name}.bias")));
        }
        assert!(renamed.contains_key("5000"));
        assert_eq!(named(tensors.clone(), "yunet-n").len(), tensors.len());
        assert!(named(tensors, "yunet-n").contains_key("998"));
    }
}
