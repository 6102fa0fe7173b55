//! The messages of an ONNX file that hold weights, and reading a tensor of them.

use candle_core::{Device, Tensor};
use prost::Message;

/// `TensorProto`'s number for 32-bit floats.
pub(super) const FLOAT: i32 = 1;
/// `TensorProto`'s number for tensors in another file.
pub(super) const EXTERNAL: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub(super) version: i64,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeProto>,
}

impl NodeProto {
    pub(super) fn integer(&self, attribute: &str) -> Option<i64> {
        self.attribute.iter().find(|a| a.name == attribute).map(|a| a.i)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int64, tag = "3")]
    pub(super) i: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(super) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(super) int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(super) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) raw_data: Vec<u8>,
    #[prost(int32, tag = "14")]
    pub(super) data_location: i32,
}

impl TensorProto {
    pub(super) fn read(&self) -> Result<Tensor, String> {
        if self.data_location == EXTERNAL {
            return Err("its values lie in another file; save the model as one file".to_string());
        }
        let (dims, values) = (dims_of(&self.dims)?, self.floats()?);
        if values.len() != dims.iter().product::<usize>() {
            return Err(format!("it has {} values, which its dimensions {dims:?} do not say", values.len()));
        }
        Tensor::from_vec(values, dims, &Device::Cpu).map_err(|e| e.to_string())
    }

    pub(super) fn floats(&self) -> Result<Vec<f32>, String> {
        if self.raw_data.is_empty() {
            return Ok(self.float_data.clone());
        }
        let (values, rest) = self.raw_data.as_chunks::<4>();
        if self.data_type != FLOAT || !rest.is_empty() {
            return Err(format!("{} bytes of type {} are no 32-bit floats", self.raw_data.len(), self.data_type));
        }
        Ok(values.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

/// Dimensions whose product is a count.
pub(super) fn dims_of(dims: &[i64]) -> Result<Vec<usize>, String> {
    let read: Option<Vec<usize>> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let is_count = |dims: &Vec<usize>| dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).is_some();
    read.filter(is_count).ok_or_else(|| format!("{dims:?} are no dimensions"))
}
