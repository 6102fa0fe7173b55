//! SFace's released tensors to kith's own: each batch normalisation becomes part of a layer beside it, computed in f64.

use candle_core::{DType, Device, Result, Tensor};

use super::TensorMap;
use super::blocks::{self, Blocks};
use super::onnx::AS_IT_IS;
use super::specs::{SFACE_BLOCKS, SFACE_LAST};

/// Of the batch normalisations after convolutions, as the file's graph has it.
const EPSILON: f64 = 1e-3;
/// Of the two about the last layer.
const LAST_EPSILON: f64 = 2e-5;

/// Kith's tensors out of the released file's, whose names and shapes were checked.
pub(crate) fn folded(released: &TensorMap) -> Result<TensorMap> {
    let mut tensors = TensorMap::new();
    tensors.insert("input.mean".to_string(), released["scalar_op1"].clone());
    tensors.insert("input.factor".to_string(), released["scalar_op2"].clone());
    let mut convolution = |from: &str, to: &str| -> Result<()> {
        let (scale, shift) = normalisation(released, &format!("{from}_batchnorm"), EPSILON)?;
        let weight =
            wide(&released[&format!("{from}_conv2d_weight")])?.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        tensors.insert(format!("{to}.weight"), narrow(&weight)?);
        tensors.insert(format!("{to}.bias"), narrow(&shift)?);
        tensors.insert(format!("{to}.slope"), released[&format!("{from}_relu_gamma")].flatten_all()?);
        Ok(())
    };
    convolution("conv_1", "conv1")?;
    for i in 0..SFACE_BLOCKS.len() {
        convolution(&format!("conv_{}_dw", i + 2), &format!("blocks.{i}.depthwise"))?;
        convolution(&format!("conv_{}", i + 2), &format!("blocks.{i}.pointwise"))?;
    }
    // Normalised channels before the layer, normalised outputs after it.
    let (scale, shift) = normalisation(released, "bn1", LAST_EPSILON)?;
    let (gain, offset) = normalisation(released, "fc1", LAST_EPSILON)?;
    let released_weight = wide(&released["pre_fc1_weight"])?;
    let weight = released_weight.reshape(((), scale.elem_count(), SFACE_LAST, SFACE_LAST))?;
    let constant = weight.sum((2, 3))?.matmul(&shift.unsqueeze(1)?)?.flatten_all()?;
    let bias = (wide(&released["pre_fc1_bias"])? + constant)?;
    let weight =
        weight.broadcast_mul(&scale.reshape((1, (), 1, 1))?)?.broadcast_mul(&gain.reshape(((), 1, 1, 1))?)?;
    tensors.insert("fc.weight".to_string(), narrow(&weight)?);
    tensors.insert("fc.bias".to_string(), narrow(&((bias * gain)? + offset)?)?);
    Ok(tensors)
}

/// The folded tensors with the weights as the release has them quantised: what was folded in becomes part of the scales.
///
/// # Errors
/// The release is not quantised in blocks.
pub(super) fn in_blocks(released: &TensorMap, mut folded: TensorMap) -> Result<TensorMap> {
    let mut put = |from: String, to: String, rows: &Tensor, inputs: Option<&Tensor>| {
        let blocks = Blocks::of(released, &format!("{from}{AS_IT_IS}"))?;
        let inputs: Option<Vec<f64>> = inputs.map(|inputs| inputs.to_vec1()).transpose()?;
        blocks::put(&mut folded, &format!("{to}.weight"), &blocks, &rows.to_vec1::<f64>()?, inputs.as_deref())
    };
    let mut convolution = |from: &str, to: String| -> Result<()> {
        let scale = normalisation(released, &format!("{from}_batchnorm"), EPSILON)?.0;
        put(format!("{from}_conv2d_weight"), to, &scale, None)
    };
    convolution("conv_1", "conv1".to_string())?;
    for i in 0..SFACE_BLOCKS.len() {
        convolution(&format!("conv_{}_dw", i + 2), format!("blocks.{i}.depthwise"))?;
        convolution(&format!("conv_{}", i + 2), format!("blocks.{i}.pointwise"))?;
    }
    let inputs = normalisation(released, "bn1", LAST_EPSILON)?.0;
    let gain = normalisation(released, "fc1", LAST_EPSILON)?.0;
    put("pre_fc1_weight".to_string(), "fc".to_string(), &gain, Some(&inputs))?;
    Ok(folded)
}

/// A batch normalisation as `scale * x + shift`.
fn normalisation(released: &TensorMap, name: &str, epsilon: f64) -> Result<(Tensor, Tensor)> {
    let part = |part: &str| wide(&released[&format!("{name}_{part}")]);
    let scale = (part("gamma")? / (part("moving_var")? + epsilon)?.sqrt()?)?;
    let shift = (part("beta")? - (part("moving_mean")? * &scale)?)?;
    Ok((scale, shift))
}

fn wide(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F64)?.to_device(&Device::Cpu)
}

fn narrow(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)?.contiguous()
}
