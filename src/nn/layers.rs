//! The layers that the networks are made of, over candle tensors in NCHW order.
//!
//! Every constructor takes its parameters from a [`WeightSource`] by the tensor's name, so that a
//! network file reads like the list of its tensors.

use std::sync::Arc;

use candle_core::{CpuStorage, DType, Device, Module, Result, Storage, Tensor, bail};

use half::slice::HalfFloatSliceExt;

use super::weights::TensorMap;
use super::weights::blocks::{self, Blocks};
use kith_kernels::{Activation, ConvWeights, DepthwiseConv, PackedConv, RowConv, Simd, StoredWeights, TransposedConv};

/// Named tensors on their way into a network: converted to f32 and moved to the device once, but for the weights of
/// convolutions that the processor's own kernels convert.
pub(crate) struct WeightSource<'a> {
    tensors: &'a TensorMap,
    device: &'a Device,
    prefix: String,
}

impl<'a> WeightSource<'a> {
    pub(crate) fn new(tensors: &'a TensorMap, device: &'a Device) -> Self {
        Self { tensors, device, prefix: String::new() }
    }

    /// The source for names that begin with `prefix` and a dot.
    pub(crate) fn under(&self, prefix: impl std::fmt::Display) -> Self {
        Self { tensors: self.tensors, device: self.device, prefix: format!("{}{prefix}.", self.prefix) }
    }

    pub(crate) fn is_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&format!("{}{name}", self.prefix))
    }

    pub(crate) fn get(&self, name: &str) -> Result<Tensor> {
        let full = format!("{}{name}", self.prefix);
        let tensor = match blocks::is_in_blocks(self.tensors, &full) {
            true => Blocks::of(self.tensors, &full)?.whole()?,
            false => self.find(name)?.to_dtype(DType::F32)?,
        };
        tensor.to_device(self.device)
    }

    /// As [`Self::get`]; f32, f16 or in blocks as it is stored where that is for the processor.
    fn stored(&self, name: &str) -> Result<Weight> {
        let full = format!("{}{name}", self.prefix);
        let tensor = self.find(name)?;
        match tensor.dtype() {
            DType::U8 if self.is_cpu() => Ok(Weight::Blocks(Arc::new(Blocks::of(self.tensors, &full)?))),
            DType::F32 | DType::F16 if self.is_cpu() => Ok(Weight::Tensor(tensor.clone())),
            _ => Ok(Weight::Tensor(self.get(name)?)),
        }
    }

    fn find(&self, name: &str) -> Result<&Tensor> {
        let full = format!("{}{name}", self.prefix);
        self.tensors.get(&full).map_or_else(|| bail!("no tensor is called {full}"), Ok)
    }
}

/// Weights in the form in which they are stored.
enum Weight {
    Tensor(Tensor),
    Blocks(Arc<Blocks>),
}

impl Weight {
    fn dims4(&self) -> Result<(usize, usize, usize, usize)> {
        match self {
            Self::Tensor(tensor) => tensor.dims4(),
            Self::Blocks(blocks) => match *blocks.dims.as_slice() {
                [a, b, c, d] => Ok((a, b, c, d)),
                _ => bail!("weights of {:?}, not of four dimensions", blocks.dims),
            },
        }
    }

    /// In f32.
    fn whole(&self) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => tensor.to_dtype(DType::F32),
            Self::Blocks(blocks) => blocks.whole(),
        }
    }

    fn as_kernels_read_them(&self) -> Result<Arc<dyn StoredWeights>> {
        Ok(match self {
            Self::Tensor(tensor) => Arc::new(InMemory::of(tensor)?),
            Self::Blocks(blocks) => blocks.clone(),
        })
    }
}

impl StoredWeights for Blocks {
    fn count(&self) -> usize {
        self.count()
    }

    fn read(&self, first: usize, to: &mut [f32]) {
        self.read(first, to);
    }
}

/// A tensor's values as kernels read them, without a copy: half as many bytes where they are f16.
struct InMemory(Tensor);

impl InMemory {
    fn of(tensor: &Tensor) -> Result<Self> {
        let tensor = tensor.contiguous()?;
        match &*tensor.storage_and_layout().0 {
            Storage::Cpu(CpuStorage::F16(_) | CpuStorage::F32(_)) => {}
            _ => bail!("weights that are not f32 or f16 in memory"),
        }
        Ok(Self(tensor))
    }
}

impl StoredWeights for InMemory {
    fn count(&self) -> usize {
        self.0.elem_count()
    }

    fn read(&self, first: usize, to: &mut [f32]) {
        let (storage, layout) = self.0.storage_and_layout();
        let at = layout.start_offset() + first;
        match &*storage {
            Storage::Cpu(CpuStorage::F16(values)) => values[at..][..to.len()].convert_to_f32_slice(to),
            Storage::Cpu(CpuStorage::F32(values)) => to.copy_from_slice(&values[at..][..to.len()]),
            // `of` refuses all others.
            _ => to.fill(f32::NAN),
        }
    }
}

/// Convolution with an optional bias; zero padding of `padding` rows above and below and columns left
/// and right, counted `(rows, columns)`.
pub(crate) struct Conv2d {
    weight: Weight,
    bias: Option<Tensor>,
    stride: usize,
    padding: (usize, usize),
    groups: usize,
}

impl Conv2d {
    /// `weight` is `[out, in, rows, columns]`, `bias` `[out]`.
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>, stride: usize, padding: (usize, usize)) -> Result<Self> {
        Self::of(Weight::Tensor(weight), bias, stride, padding)
    }

    fn of(weight: Weight, bias: Option<Tensor>, stride: usize, padding: (usize, usize)) -> Result<Self> {
        let bias = bias.map(|b| b.reshape((1, (), 1, 1))).transpose()?;
        Ok(Self { weight, bias, stride, padding, groups: 1 })
    }

    /// Each of `groups` equal parts of the channels by itself; weights are `[out, in / groups, ...]`.
    pub(crate) fn grouped(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Reads `NAME.weight` and, where there is one, `NAME.bias`.
    pub(crate) fn load(source: &WeightSource, name: &str, stride: usize, padding: (usize, usize)) -> Result<Self> {
        let source = source.under(name);
        let bias = if source.has("bias") { Some(source.get("bias")?) } else { None };
        Self::of(source.stored("weight")?, bias, stride, padding)
    }

    /// The weights in f32, for the tensor library.
    fn full(&self) -> Result<Tensor> {
        self.weight.whole()
    }

    /// The same convolution of channels that come in the opposite order.
    pub(crate) fn with_inputs_reversed(&self) -> Result<Self> {
        let weight = match &self.weight {
            Weight::Tensor(weight) => weight.flip(&[1])?,
            Weight::Blocks(blocks) => blocks.whole()?.flip(&[1])?,
        };
        Ok(Self { weight: Weight::Tensor(weight.contiguous()?), bias: self.bias.clone(), ..*self })
    }

    /// Folds a per-channel `scale` and `shift` that follow the convolution into it.
    pub(crate) fn followed_by(self, scale: &Tensor, shift: &Tensor) -> Result<Self> {
        let weight = self.full()?.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        let bias = match &self.bias {
            Some(bias) => (bias.flatten_all()? * scale)?.add(shift)?,
            None => shift.clone(),
        };
        Ok(Self::new(weight, Some(bias), self.stride, self.padding)?.grouped(self.groups))
    }

    /// The same convolution, then `activation`, for the processor's own kernels.
    pub(crate) fn packed(&self, activation: Activation, simd: Simd) -> Result<PackedConv> {
        if self.groups != 1 {
            bail!("a convolution in {} groups", self.groups);
        }
        let (outputs, inputs, rows, columns) = self.weight.dims4()?;
        let bias: Vec<f32> = self.bias.as_ref().map_or(Ok(Vec::new()), |b| b.flatten_all()?.to_vec1())?;
        let (weight, window, bias, stride, padding) = (&[][..], (rows, columns), &bias, self.stride, self.padding);
        let conv = ConvWeights { weight, outputs, inputs, window, bias, stride, padding, activation };
        Ok(PackedConv::of_stored(&conv, self.weight.as_kernels_read_them()?, simd))
    }

    /// As [`Self::packed`], for a convolution of each channel alone.
    pub(crate) fn packed_depthwise(&self, activation: Activation, simd: Simd) -> Result<DepthwiseConv> {
        let (outputs, inputs, rows, columns) = self.weight.dims4()?;
        let bias: Vec<f32> = self.bias.as_ref().map_or(Ok(Vec::new()), |b| b.flatten_all()?.to_vec1())?;
        if inputs != 1 || self.groups != outputs {
            bail!("a convolution of {inputs} inputs an output in {} groups mixes channels", self.groups);
        }
        let conv = ConvWeights {
            weight: &self.full()?.flatten_all()?.to_vec1()?,
            outputs,
            inputs,
            window: (rows, columns),
            bias: &bias,
            stride: self.stride,
            padding: self.padding,
            activation,
        };
        Ok(DepthwiseConv::new(&conv, simd))
    }

    /// `[n, in, h, w]` to `[n, out, h', w']`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, columns) = self.padding;
        let weight = self.full()?;
        let y = if rows == columns {
            x.conv2d(&weight, rows, self.stride, 1, self.groups)?
        } else {
            x.pad_with_zeros(2, rows, rows)?.pad_with_zeros(3, columns, columns)?.conv2d(
                &weight,
                0,
                self.stride,
                1,
                self.groups,
            )?
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Transposed convolution with a bias whose square windows do not overlap: its stride is their side.
pub(crate) struct TransposedConv2d {
    weight: Tensor,
    bias: Tensor,
    factor: usize,
}

impl TransposedConv2d {
    /// Reads `NAME.weight`, `[in, out, factor, factor]`, and `NAME.bias`.
    pub(crate) fn load(source: &WeightSource, name: &str, factor: usize) -> Result<Self> {
        let source = source.under(name);
        let (weight, bias) = (source.get("weight")?, source.get("bias")?);
        let (_, _, rows, columns) = weight.dims4()?;
        if (rows, columns) != (factor, factor) {
            bail!("{name} has a window of {rows}x{columns}, not {factor}x{factor}");
        }
        Ok(Self { weight, bias, factor })
    }

    /// The same, then `activation`, for the processor's own kernels.
    pub(crate) fn packed(&self, activation: Activation, simd: Simd) -> Result<TransposedConv> {
        let (inputs, outputs, ..) = self.weight.dims4()?;
        let (weight, bias): (Vec<f32>, Vec<f32>) = (self.weight.flatten_all()?.to_vec1()?, self.bias.to_vec1()?);
        Ok(TransposedConv::new(&weight, (inputs, outputs), self.factor, &bias, activation, simd))
    }

    /// `[n, in, h, w]` to `[n, out, factor * h, factor * w]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.conv_transpose2d(&self.weight, 0, 0, self.factor, 1)?;
        y.broadcast_add(&self.bias.reshape((1, (), 1, 1))?)
    }
}

/// `max(x, 0) + slope * min(x, 0)` with one slope a channel.
/// K. He et al., "Delving deep into rectifiers", ICCV 2015, section 2.1.
pub(crate) struct PRelu {
    slope: Tensor,
}

impl PRelu {
    pub(crate) fn load(source: &WeightSource, name: &str) -> Result<Self> {
        Ok(Self { slope: source.under(name).get("weight")? })
    }

    /// The same for the processor's own kernels.
    pub(crate) fn activation(&self) -> Result<Activation> {
        Ok(Activation::PRelu(self.slope.to_vec1()?))
    }

    /// The channel axis is axis 1, for `[n, c]` as for `[n, c, h, w]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let slope = match x.rank() {
            4 => self.slope.reshape((1, (), 1, 1))?,
            _ => self.slope.clone(),
        };
        x.relu()? - x.neg()?.relu()?.broadcast_mul(&slope)?
    }
}

/// `x W^T + b` over `[n, in]`.
pub(crate) struct Linear(candle_nn::Linear);

impl Linear {
    /// `weight` is `[out, in]`.
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self(candle_nn::Linear::new(weight, bias))
    }

    /// Reads `NAME.weight` and, where there is one, `NAME.bias`.
    pub(crate) fn load(source: &WeightSource, name: &str) -> Result<Self> {
        let source = source.under(name);
        let bias = if source.has("bias") { Some(source.get("bias")?) } else { None };
        Ok(Self::new(source.get("weight")?, bias))
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x)
    }

    /// The same layer over maps of `rows` x `columns`, then `activation`, for the processor's own
    /// kernels; the layer takes the map column by column, the channels of each pixel together.
    pub(crate) fn packed(
        &self,
        (rows, columns): (usize, usize),
        activation: Activation,
        simd: Simd,
    ) -> Result<PackedConv> {
        let (outputs, inputs) = self.0.weight().dims2()?;
        let weight = self.0.weight().reshape((outputs, columns, rows, inputs / (rows * columns)))?;
        let weight = weight.permute((0, 3, 2, 1))?.contiguous()?;
        Conv2d::new(weight, self.0.bias().cloned(), 1, (0, 0))?.packed(activation, simd)
    }

    /// Layers over the same input as one whose output is theirs, one after the other.
    pub(crate) fn side_by_side(layers: &[&Self]) -> Result<Self> {
        let weights: Vec<&Tensor> = layers.iter().map(|l| l.0.weight()).collect();
        let biases: Vec<&Tensor> = layers.iter().filter_map(|l| l.0.bias()).collect();
        let bias = match biases.len() {
            0 => None,
            n if n == layers.len() => Some(Tensor::cat(&biases, 0)?),
            _ => bail!("layers with a bias stand beside layers without"),
        };
        Ok(Self::new(Tensor::cat(&weights, 0)?, bias))
    }
}

/// A convolution for maps that run through it row by row: reads `CONV.weight`, `CONV.bias` and, where named,
/// `PRELU.weight`.
pub(crate) fn row_conv<const K: usize>(
    source: &WeightSource,
    conv: &str,
    prelu: Option<&str>,
    simd: Simd,
) -> Result<RowConv<K>> {
    let weight = source.get(&format!("{conv}.weight"))?;
    let (outputs, inputs, rows, columns) = weight.dims4()?;
    if (rows, columns) != (K, K) {
        bail!("{conv} has a window of {rows}x{columns}, not {K}x{K}");
    }
    let slope = match prelu {
        Some(name) => source.get(&format!("{name}.weight"))?.to_vec1()?,
        None => vec![1.0; outputs],
    };
    let bias: Vec<f32> = source.get(&format!("{conv}.bias"))?.to_vec1()?;
    if bias.len() != outputs || slope.len() != outputs {
        bail!("{conv} has {outputs} outputs, {} biases and {} slopes", bias.len(), slope.len());
    }
    Ok(RowConv::new(inputs, &weight.flatten_all()?.to_vec1()?, bias, slope, simd))
}

/// Maximum over square windows. With `ceil`, a last window that begins inside the tensor and reaches
/// beyond it counts too (torch's `ceil_mode`).
pub(crate) fn max_pool(x: &Tensor, window: usize, stride: usize, ceil: bool) -> Result<Tensor> {
    let mut padded = x.clone();
    if ceil {
        for axis in [2, 3] {
            let length = x.dim(axis)?;
            // Repeating the last line cannot raise a maximum that already holds that line.
            let missing = missing_at_the_end(length, window, stride);
            padded = padded.pad_with_same(axis, 0, missing)?;
        }
    }
    padded.max_pool2d_with_stride(window, stride)
}

/// Rows (or columns) of a ceil-mode pooling over `length`.
pub(crate) fn pooled_length(length: usize, window: usize, stride: usize) -> usize {
    (length + missing_at_the_end(length, window, stride) - window) / stride + 1
}

/// How many lines short the last window of a ceil-mode pooling is.
fn missing_at_the_end(length: usize, window: usize, stride: usize) -> usize {
    let beyond = length.saturating_sub(window);
    let mut windows = beyond.div_ceil(stride) + 1;
    if (windows - 1) * stride >= length {
        windows -= 1;
    }
    ((windows - 1) * stride + window).saturating_sub(length)
}

/// Mean over each channel: `[n, c, h, w]` to `[n, c]`.
pub(crate) fn global_average(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.mean(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceil_mode_pooling_covers_the_last_lines_like_torch() {
        for (length, window, stride, expected) in
            [(22, 3, 2, 11), (9, 3, 2, 4), (10, 2, 2, 5), (11, 2, 2, 6), (46, 3, 2, 23), (8, 2, 2, 4), (5, 3, 2, 2)]
        {
            let x = Tensor::arange(0f32, length as f32, &Device::Cpu).unwrap();
            let x = x.reshape((1, 1, 1, length)).unwrap().broadcast_as((1, 1, length, length)).unwrap();
            let y = max_pool(&x.contiguous().unwrap(), window, stride, true).unwrap();
            assert_eq!(y.dims(), [1, 1, expected, expected], "length {length}");
            let row: Vec<f32> = y.get(0).unwrap().get(0).unwrap().get(0).unwrap().to_vec1().unwrap();
            for (i, &v) in row.iter().enumerate() {
                assert_eq!(v, ((i * stride + window).min(length) - 1) as f32);
            }
        }
    }

    #[test]
    fn folding_scale_and_shift_changes_nothing() {
        let device = &Device::Cpu;
        let x = Tensor::arange(0f32, 2.0 * 25.0, device).unwrap().reshape((1, 2, 5, 5)).unwrap();
        let weight = (Tensor::arange(0f32, 3.0 * 2.0 * 9.0, device).unwrap() * 0.01).unwrap();
        let weight = weight.reshape((3, 2, 3, 3)).unwrap();
        let bias = Tensor::new(&[0.5f32, -1.0, 2.0], device).unwrap();
        let scale = Tensor::new(&[2.0f32, 0.5, -1.0], device).unwrap();
        let shift = Tensor::new(&[1.0f32, 0.0, 3.0], device).unwrap();
        let plain = Conv2d::new(weight.clone(), Some(bias.clone()), 1, (1, 1)).unwrap().forward(&x).unwrap();
        let wanted = plain.broadcast_mul(&scale.reshape((1, 3, 1, 1)).unwrap()).unwrap();
        let wanted = wanted.broadcast_add(&shift.reshape((1, 3, 1, 1)).unwrap()).unwrap();
        let folded = Conv2d::new(weight, Some(bias), 1, (1, 1)).unwrap().followed_by(&scale, &shift).unwrap();
        let gap = (folded.forward(&x).unwrap() - wanted).unwrap().abs().unwrap().max_all().unwrap();
        assert!(gap.to_scalar::<f32>().unwrap() < 1e-4);
    }
}
