//! Block-quantised initialisers: int8 values that `DequantizeLinear` (opset 21) multiplies by one scale a block of
//! neighbours along an axis, `(q - zero) * scale`, and that a `Reshape` may then give the shape of the layer's weight.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::super::TensorMap;
use super::super::blocks::tensors_of;
use super::proto::{NodeProto, TensorProto, dims_of};

const INT8: i32 = 3;
const INT64: i32 = 7;
/// What is appended to a tensor's name for it as it is quantised; see `weights::blocks`.
pub(in crate::nn::weights) const AS_IT_IS: &str = "#blocks";
/// What quantisers append to the name of the tensor that they took.
const SUFFIX: &str = "_quantized";

/// Adds every tensor that the graph dequantises in blocks, as f32, under the name that it had before; and where its rows
/// are parted evenly, as it is, under that name with [`AS_IT_IS`].
///
/// # Errors
/// What is wrong with the first that cannot be.
pub(super) fn dequantised(
    nodes: &[NodeProto],
    initialisers: &HashMap<String, TensorProto>,
    tensors: &mut TensorMap,
) -> Result<(), String> {
    let shapes: HashMap<&str, &str> = nodes.iter().filter(|n| n.op_type == "Reshape").filter_map(reshaped).collect();
    for node in nodes.iter().filter(|n| n.op_type == "DequantizeLinear") {
        let Some(name) = node.input.first().and_then(|q| q.strip_suffix(SUFFIX)) else { continue };
        let (tensor, as_it_is) =
            dequantise(node, initialisers).map_err(|reason| format!("tensor {name:?}: {reason}"))?;
        if let Some(Quantised { dims, bytes, scales, zeros }) = as_it_is {
            let parts = tensors_of(&format!("{name}{AS_IT_IS}"), dims, bytes, scales, zeros);
            tensors.extend(parts.map_err(|e| format!("tensor {name:?}: {e}"))?);
        }
        let output = node.output.first().map_or("", String::as_str);
        let tensor = match shapes.get(output).and_then(|shape| initialisers.get(*shape)) {
            Some(shape) => {
                let dims: Vec<usize> = shape.integers()?;
                tensor.reshape(dims).map_err(|e| format!("tensor {name:?}: {e}"))?
            }
            None => tensor,
        };
        if tensors.insert(name.to_string(), tensor).is_some() {
            return Err(format!("two tensors are called {name:?}"));
        }
    }
    Ok(())
}

/// What is reshaped, and the name of its shape.
fn reshaped(node: &NodeProto) -> Option<(&str, &str)> {
    let [data, shape] = node.input.as_slice() else { return None };
    Some((data, shape))
}

/// Rows of bytes, in which zero points are bytes too.
struct Quantised {
    /// Rows, and their length.
    dims: (usize, usize),
    bytes: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<u8>,
}

fn dequantise(
    node: &NodeProto,
    initialisers: &HashMap<String, TensorProto>,
) -> Result<(Tensor, Option<Quantised>), String> {
    let input = |at: usize| node.input.get(at).filter(|name| !name.is_empty());
    let stored = |at: usize| input(at).and_then(|name| initialisers.get(name));
    let (Some(quantised), Some(scales)) = (stored(0), stored(1)) else {
        return Err("its values or its scales are not in the file".to_string());
    };
    let (dims, values) = (dims_of(&quantised.dims)?, quantised.bytes_of_int8()?);
    let axis = node.integer("axis").unwrap_or(1);
    let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
    let axis = usize::try_from(axis).ok().filter(|a| *a < dims.len()).ok_or("its axis is none of its own")?;
    let block = usize::try_from(node.integer("block_size").unwrap_or(0)).unwrap_or(0);
    if block == 0 {
        return Err("it is not quantised in blocks".to_string());
    }
    if dims.contains(&0) {
        return Err("it holds nothing".to_string());
    }
    let (inner, length) = (dims[axis + 1..].iter().product::<usize>(), dims[axis]);
    let blocks = length.div_ceil(block);
    let expected: Vec<usize> = dims.iter().enumerate().map(|(at, &d)| if at == axis { blocks } else { d }).collect();
    let count = |dims: &[usize]| dims.iter().product::<usize>();
    let factors = scales.floats()?;
    let zeros = match stored(2) {
        Some(zeros) => zeros.bytes_of_int8()?,
        None => vec![0; factors.len()],
    };
    if values.len() != count(&dims) || factors.len() != count(&expected) || zeros.len() != factors.len() {
        return Err(format!(
            "{} values, {} scales and {} zero points for dimensions {dims:?} in blocks of {block}",
            values.len(),
            factors.len(),
            zeros.len()
        ));
    }
    let value = |(at, &q): (usize, &i8)| {
        let (outer, along, across) = (at / (inner * length), at / inner % length, at % inner);
        let of = (outer * blocks + along / block) * inner + across;
        f32::from(i16::from(q) - i16::from(zeros[of])) * factors[of]
    };
    let even = inner == 1 && dims.len() > 1 && length % block == 0;
    let byte = |v: &i8| v.cast_unsigned() ^ 0x80;
    let as_it_is = even.then(|| Quantised {
        dims: (count(&dims) / length, length),
        bytes: values.iter().map(byte).collect(),
        scales: factors.clone(),
        zeros: zeros.iter().map(byte).collect(),
    });
    let values: Vec<f32> = values.iter().enumerate().map(value).collect();
    Ok((Tensor::from_vec(values, dims, &Device::Cpu).map_err(|e| e.to_string())?, as_it_is))
}

impl TensorProto {
    fn bytes_of_int8(&self) -> Result<Vec<i8>, String> {
        if self.data_type != INT8 {
            return Err(format!("type {} where int8 (3) is expected", self.data_type));
        }
        if !self.raw_data.is_empty() {
            return Ok(self.raw_data.iter().map(|b| b.cast_signed()).collect());
        }
        let small = |v: &i32| i8::try_from(*v).map_err(|_| format!("{v} is no int8"));
        self.int32_data.iter().map(small).collect()
    }

    /// Dimensions that it holds as values.
    fn integers(&self) -> Result<Vec<usize>, String> {
        let (raw, rest) = self.raw_data.as_chunks::<8>();
        if self.data_type != INT64 || !rest.is_empty() {
            return Err(format!("the shape {:?} is not of int64", self.name));
        }
        let values: Vec<i64> =
            if raw.is_empty() { self.int64_data.clone() } else { raw.iter().map(|b| i64::from_le_bytes(*b)).collect() };
        dims_of(&values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::{AttributeProto, FLOAT};
    use super::*;

    fn int8(name: &str, dims: &[i64], values: &[i8]) -> TensorProto {
        let raw_data = values.iter().map(|v| v.cast_unsigned()).collect();
        TensorProto { dims: dims.to_vec(), data_type: INT8, name: name.to_string(), raw_data, ..Default::default() }
    }

    fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        let float_data = values.to_vec();
        TensorProto { dims: dims.to_vec(), data_type: FLOAT, name: name.to_string(), float_data, ..Default::default() }
    }

    fn node(op_type: &str, input: &[&str], output: &str, integers: &[(&str, i64)]) -> NodeProto {
        let attribute = |(name, i): &(&str, i64)| AttributeProto { name: (*name).to_string(), i: *i };
        NodeProto {
            input: input.iter().map(|n| (*n).to_string()).collect(),
            output: vec![output.to_string()],
            op_type: op_type.to_string(),
            attribute: integers.iter().map(attribute).collect(),
        }
    }

    fn read(nodes: &[NodeProto], initialisers: &[TensorProto]) -> Result<TensorMap, String> {
        let initialisers = initialisers.iter().map(|t| (t.name.clone(), t.clone())).collect();
        let mut tensors = TensorMap::new();
        dequantised(nodes, &initialisers, &mut tensors).map(|()| tensors)
    }

    #[test]
    fn each_block_has_its_own_scale_and_zero_also_the_short_last_one() {
        let values = int8("w_quantized", &[2, 3], &[1, 2, 3, -128, 0, 127]);
        let scales = floats("s", &[2, 2], &[0.5, 2.0, 1.0, 10.0]);
        let zeros = int8("z", &[2, 2], &[0, 1, 127, -1]);
        let shape = TensorProto {
            data_type: INT64,
            name: "shape".to_string(),
            dims: vec![4],
            int64_data: vec![2, 3, 1, 1],
            ..Default::default()
        };
        let dequantise = |axis: i64, block: i64| {
            node("DequantizeLinear", &["w_quantized", "s", "z"], "d", &[("axis", axis), ("block_size", block)])
        };
        let all = [values, scales, zeros, shape];
        let reshape = node("Reshape", &["d", "shape"], "r", &[]);
        let read_as = |axis, block| read(&[dequantise(axis, block), reshape.clone()], &all);
        for axis in [1, -1] {
            let tensors = read_as(axis, 2).unwrap();
            assert_eq!(tensors["w"].dims(), [2, 3, 1, 1]);
            let flat: Vec<f32> = tensors["w"].flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(flat, [0.5, 1.0, 4.0, -255.0, -127.0, 1280.0]);
        }
        for (axis, block) in [(1, 0), (1, 1), (1, -2), (2, 2), (-3, 2), (0, 2), (i64::MAX, 2), (1, i64::MAX)] {
            assert!(read_as(axis, block).unwrap_err().contains("\"w\""), "{axis} {block}");
        }
        // Along the other axis the scales lie elsewhere.
        let tensors = read(
            &[node("DequantizeLinear", &["w_quantized", "s"], "d", &[("axis", 0), ("block_size", 2)])],
            &[int8("w_quantized", &[3, 2], &[1, 2, 3, 4, 5, 6]), floats("s", &[2, 2], &[1.0, 10.0, 100.0, 1000.0])],
        );
        assert_eq!(tensors.unwrap()["w"].to_vec2::<f32>().unwrap(), [[1.0, 20.0], [3.0, 40.0], [500.0, 6000.0]]);
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_an_error() {
        let dequantise = node("DequantizeLinear", &["w_quantized", "s"], "d", &[("axis", 0), ("block_size", 2)]);
        let values = int8("w_quantized", &[2], &[1, 2]);
        let scales = floats("s", &[1], &[1.0]);
        assert!(read(std::slice::from_ref(&dequantise), &[values.clone(), scales.clone()]).is_ok());
        for wrong in [
            vec![values.clone()],
            vec![floats("w_quantized", &[2], &[1.0, 2.0]), scales.clone()],
            vec![values.clone(), values.clone()],
            vec![int8("w_quantized", &[3], &[1, 2]), scales.clone()],
            vec![int8("w_quantized", &[-1], &[1, 2]), scales],
        ] {
            assert!(read(std::slice::from_ref(&dequantise), &wrong).is_err());
        }
    }
}
