//! Weights as bytes with one scale and one zero point for each block of a row: `(byte - zero) * scale`, a quarter of their
//! f32 values. A release that is quantised so loses nothing by being stored as it is.
//!
//! Among named tensors, for weights `NAME` of `[rows, ...]`, whose rows are parted into blocks of one length:
//!
//! | tensor | shape | type | content |
//! | --- | --- | --- | --- |
//! | `NAME` | as in f32 | u8 | the bytes |
//! | `NAME.scales` | `[rows, blocks]` | f32 | what a step is worth |
//! | `NAME.zeros` | `[rows, blocks]` | u8 | the byte that stands for 0 |
//! | `NAME.inputs` | `[second dimension]` | f32 | only where a layer before was folded in: a factor for each input |

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};

use super::TensorMap;

const SCALES: &str = "scales";
const ZEROS: &str = "zeros";
const INPUTS: &str = "inputs";

/// Weights in blocks.
#[derive(Clone)]
pub(crate) struct Blocks {
    /// Of the weights.
    pub dims: Vec<usize>,
    /// Contiguous u8 in the processor's memory, shared with the tensors they came from: millions are not copied.
    bytes: Tensor,
    scales: Vec<f32>,
    zeros: Vec<u8>,
    /// Empty for none.
    inputs: Vec<f32>,
    /// Weights of a row, and of a block of it.
    row: usize,
    block: usize,
}

/// Whether the tensor of that name is bytes.
pub(crate) fn is_in_blocks(tensors: &TensorMap, name: &str) -> bool {
    tensors.get(name).is_some_and(|t| t.dtype() == DType::U8)
}

/// The name of the weights that a tensor is a part of, for one that has none of its own.
pub(super) fn part_of(name: &str) -> Option<&str> {
    [SCALES, ZEROS, INPUTS].iter().find_map(|part| name.strip_suffix(part)?.strip_suffix('.'))
}

impl Blocks {
    /// The weights of that name.
    ///
    /// # Errors
    /// A part is missing, or of another size than the others.
    pub(crate) fn of(tensors: &TensorMap, name: &str) -> Result<Self> {
        let part = |part: &str| tensors.get(&format!("{name}.{part}"));
        let (Some(bytes), Some(scales), Some(zeros)) = (tensors.get(name), part(SCALES), part(ZEROS)) else {
            bail!("{name} is in bytes, and its scales or zero points are not there")
        };
        let dims = bytes.dims().to_vec();
        let (rows, row) = (*dims.first().unwrap_or(&0), dims.iter().skip(1).product::<usize>());
        let (of, blocks) = scales.dims2()?;
        if of != rows || zeros.dims() != [rows, blocks] || blocks == 0 || row == 0 || row % blocks != 0 {
            bail!("{name} of {dims:?} has scales for {:?} and zero points for {:?}", scales.dims(), zeros.dims())
        }
        let inputs = part(INPUTS).map_or(Ok(Vec::new()), |inputs| inputs.to_vec1::<f32>())?;
        if !inputs.is_empty() && dims.get(1) != Some(&inputs.len()) {
            bail!("{name} of {dims:?} has factors for {} inputs", inputs.len())
        }
        let bytes = bytes.contiguous()?;
        if !matches!(&*bytes.storage_and_layout().0, Storage::Cpu(CpuStorage::U8(_))) {
            bail!("{name} is not of bytes in memory")
        }
        Ok(Self {
            bytes,
            scales: scales.flatten_all()?.to_vec1()?,
            zeros: zeros.flatten_all()?.to_vec1()?,
            inputs,
            block: row / blocks,
            row,
            dims,
        })
    }

    /// How many weights there are.
    pub(crate) fn count(&self) -> usize {
        self.bytes.elem_count()
    }

    /// Writes as many as `to` has in f32, from the one at `first` on.
    pub(crate) fn read(&self, first: usize, to: &mut [f32]) {
        let (storage, layout) = self.bytes.storage_and_layout();
        let Storage::Cpu(CpuStorage::U8(bytes)) = &*storage else {
            // `of` refuses all others.
            return to.fill(f32::NAN);
        };
        let bytes = &bytes[layout.start_offset()..];
        let mut at = first;
        let mut left = &mut *to;
        while !left.is_empty() {
            let of = at / self.block;
            let count = (self.block - at % self.block).min(left.len());
            let (now, rest) = left.split_at_mut(count);
            let (scale, zero) = (self.scales[of], f32::from(self.zeros[of]));
            for (to, &byte) in now.iter_mut().zip(&bytes[at..]) {
                *to = (f32::from(byte) - zero) * scale;
            }
            at += now.len();
            left = rest;
        }
        if !self.inputs.is_empty() {
            let window = self.row / self.inputs.len();
            let (mut at, mut left) = (first, to);
            while !left.is_empty() {
                let count = (window - at % window).min(left.len());
                let (now, rest) = left.split_at_mut(count);
                let factor = self.inputs[at % self.row / window];
                now.iter_mut().for_each(|v| *v *= factor);
                at += count;
                left = rest;
            }
        }
    }

    /// All of them.
    pub(crate) fn whole(&self) -> Result<Tensor> {
        let mut values = vec![0.0; self.count()];
        self.read(0, &mut values);
        Tensor::from_vec(values, self.dims.as_slice(), &Device::Cpu)
    }
}

/// Puts bytes in the place of the f32 weights `name`, where a release has them so: `released`, multiplied by `rows`, one
/// factor a row, and where there are some by `inputs`, one an input.
pub(super) fn put(
    tensors: &mut TensorMap,
    name: &str,
    released: &Blocks,
    rows: &[f64],
    inputs: Option<&[f64]>,
) -> Result<()> {
    let Some(dims) = tensors.get(name).map(|t| t.dims().to_vec()) else { bail!("no tensor is called {name}") };
    let shape = (rows.len(), released.row / released.block);
    if dims.iter().product::<usize>() != released.count() || shape.0 * released.row != released.count() {
        bail!("{name} of {dims:?} is not {} rows of {}", rows.len(), released.row)
    }
    let factor = |(i, &scale): (usize, &f32)| (f64::from(scale) * rows[i / shape.1]) as f32;
    let scales: Vec<f32> = released.scales.iter().enumerate().map(factor).collect();
    let mut part = |part: &str, tensor: Tensor| tensors.insert(format!("{name}{part}"), tensor);
    part("", released.bytes.reshape(dims)?);
    part(".scales", Tensor::from_vec(scales, shape, &Device::Cpu)?);
    part(".zeros", Tensor::from_vec(released.zeros.clone(), shape, &Device::Cpu)?);
    if let Some(inputs) = inputs {
        let count = inputs.len();
        let inputs: Vec<f32> = inputs.iter().map(|&v| v as f32).collect();
        part(".inputs", Tensor::from_vec(inputs, count, &Device::Cpu)?);
    }
    Ok(())
}

/// The parts of an initialiser that is quantised in blocks along its last axis, as the tensors of `name`.
pub(super) fn tensors_of(
    name: &str,
    (rows, row): (usize, usize),
    bytes: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<u8>,
) -> Result<TensorMap> {
    let shape = (rows, scales.len() / rows.max(1));
    Ok(TensorMap::from([
        (name.to_string(), Tensor::from_vec(bytes, (rows, row), &Device::Cpu)?),
        (format!("{name}.{SCALES}"), Tensor::from_vec(scales, shape, &Device::Cpu)?),
        (format!("{name}.{ZEROS}"), Tensor::from_vec(zeros, shape, &Device::Cpu)?),
    ]))
}

/// Every tensor in f32 that was in blocks, and the others as they are.
pub(super) fn whole(tensors: &TensorMap) -> Result<TensorMap> {
    let part = |name: &str| part_of(name).is_some_and(|of| is_in_blocks(tensors, of));
    let whole = |(name, tensor): (&String, &Tensor)| match is_in_blocks(tensors, name) {
        true => Ok((name.clone(), Blocks::of(tensors, name)?.whole()?)),
        false => Ok((name.clone(), tensor.clone())),
    };
    tensors.iter().filter(|(name, _)| !part(name)).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of six in blocks of three.
    fn example() -> TensorMap {
        let bytes = vec![130, 128, 126, 0, 1, 255, 10, 20, 30, 7, 7, 7];
        tensors_of("w", (2, 6), bytes, vec![0.5, 1.0, 2.0, -1.0], vec![128, 1, 10, 7]).unwrap()
    }

    #[test]
    fn each_block_has_its_scale_and_zero_wherever_reading_begins() {
        let wanted = [1.0, 0.0, -1.0, -1.0, 0.0, 254.0, 0.0, 20.0, 40.0, 0.0, 0.0, 0.0];
        let blocks = Blocks::of(&example(), "w").unwrap();
        for first in 0..wanted.len() {
            for last in first..=wanted.len() {
                let mut read = vec![9.0; last - first];
                blocks.read(first, &mut read);
                assert_eq!(read, wanted[first..last], "{first}..{last}");
            }
        }
        let whole = whole(&example()).unwrap();
        assert_eq!(whole.len(), 1);
        assert_eq!(whole["w"].flatten_all().unwrap().to_vec1::<f32>().unwrap(), wanted);
    }

    #[test]
    fn factors_of_rows_and_inputs_are_those_of_the_product() {
        let released = Blocks::of(&example(), "w").unwrap();
        let plain = released.whole().unwrap();
        let mut tensors = TensorMap::from([("v".to_string(), plain.reshape((2, 3, 2, 1)).unwrap())]);
        put(&mut tensors, "v", &released, &[2.0, -3.0], Some(&[1.0, 10.0, 100.0])).unwrap();
        assert_eq!(tensors["v"].dims(), [2, 3, 2, 1]);
        let put_values = Blocks::of(&tensors, "v").unwrap().whole().unwrap().flatten_all().unwrap();
        let wanted: Vec<f32> = (plain.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().enumerate())
            .map(|(i, v)| v * [2.0, -3.0][i / 6] * [1.0, 10.0, 100.0][i % 6 / 2])
            .collect();
        assert_eq!(put_values.to_vec1::<f32>().unwrap(), wanted);
        let wrong = put(&mut tensors, "v", &released, &[1.0], None);
        assert!(wrong.is_err() && put(&mut tensors, "other", &released, &[1.0, 1.0], None).is_err());
    }

    #[test]
    fn parts_that_are_missing_or_do_not_fit_are_an_error() {
        type Change = fn(&mut TensorMap);
        let changes: [Change; 5] = [
            |t| drop(t.remove("w.scales")),
            |t| drop(t.remove("w.zeros")),
            |t| drop(t.insert("w.scales".to_string(), Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap())),
            |t| drop(t.insert("w.zeros".to_string(), Tensor::zeros((1, 2), DType::U8, &Device::Cpu).unwrap())),
            |t| drop(t.insert("w.inputs".to_string(), Tensor::zeros(5, DType::F32, &Device::Cpu).unwrap())),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut tensors = example();
            change(&mut tensors);
            assert!(Blocks::of(&tensors, "w").is_err(), "{i}");
        }
        let bare = TensorMap::from([("w".to_string(), Tensor::zeros((2, 3), DType::U8, &Device::Cpu).unwrap())]);
        assert!(Blocks::of(&bare, "w").is_err());
    }
}
