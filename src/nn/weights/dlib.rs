//! dlib's own file format, as far as its face recognition network needs it.
//!
//! | item | bytes |
//! | --- | --- |
//! | integer | one control byte: low four bits the count `n` of bytes, top bit the sign; then `n` bytes, little endian |
//! | float | an integer mantissa `m` and an integer exponent `e`: `m * 2^e` |
//! | truth | one ASCII byte, `0` or `1` |
//! | string | an integer length, then the bytes |
//! | tensor | the integer 2, four integers (the dimensions), then 32-bit little-endian floats |
//! | alias | the integer 1, four integers: a view into a layer's parameter tensor |
//!
//! | part of the file | items |
//! | --- | --- |
//! | loss | integer 1, string `loss_metric_2`, two floats |
//! | nesting, outermost first | integer 2 for a layer, 1 for a tag or skip, 3 for the layer that holds the input |
//! | input | string `input_rgb_image_sized`, three floats (the mean), two integers (rows, columns) |
//! | each layer, input first | a string with its type, the type's own items (below), three truths, three tensors of the training state; after the first layer the integer 1 |
//!
//! | layer | own items |
//! | --- | --- |
//! | `con_4` | tensor, integers: filters, rows, columns, strides (2), padding (2); aliases: weights, biases; four floats |
//! | `affine_` | tensor, aliases: gamma, beta; integer |
//! | `fc_2` | integers: outputs, inputs; tensor, aliases: weights, biases; integer, four floats |
//! | `max_pool_2`, `avg_pool_2` | six integers |
//! | `relu_`, `add_prev_` | nothing |

use candle_core::{Device, Tensor};

use super::TensorMap;
use super::specs::DLIB_BLOCKS;
use crate::error::WeightsError;

/// A file of this network begins so: the version, and the name of the loss layer.
pub(super) const MAGIC: &[u8] = b"\x01\x01\x01\x0dloss_metric_2";

/// Longest string in such a file; a length above it is no length.
const LONGEST_NAME: usize = 64;
/// Most layers, tags and skips that are read.
const MOST_LAYERS: usize = 1000;

type Parsed<T> = Result<T, String>;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("the file ends inside an item of {count} bytes"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn integer(&mut self) -> Parsed<i64> {
        let control = self.take(1)?[0];
        let count = usize::from(control & 0x0f);
        if count == 0 || count > 8 || control & 0x70 != 0 {
            return Err(format!("{control:#04x} begins no integer"));
        }
        let magnitude = self.take(count)?.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let magnitude = i64::try_from(magnitude).map_err(|_| "an integer is too large".to_string())?;
        Ok(if control & 0x80 != 0 { -magnitude } else { magnitude })
    }

    fn count(&mut self) -> Parsed<usize> {
        let value = self.integer()?;
        usize::try_from(value).map_err(|_| format!("{value} where a count belongs"))
    }

    fn float(&mut self) -> Parsed<f64> {
        let (mantissa, exponent) = (self.integer()?, self.integer()?);
        let exponent = i32::try_from(exponent).map_err(|_| "a float's exponent is too large".to_string())?;
        Ok(mantissa as f64 * 2f64.powi(exponent))
    }

    fn string(&mut self) -> Parsed<&'a str> {
        let length = self.count()?;
        if length > LONGEST_NAME {
            return Err(format!("a name of {length} bytes"));
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| "a name that is no text".to_string())
    }

    fn expect(&mut self, wanted: i64, what: &str) -> Parsed<()> {
        match self.integer()? {
            value if value == wanted => Ok(()),
            value => Err(format!("{what} is {value}, expected {wanted}")),
        }
    }

    fn dimensions(&mut self) -> Parsed<[usize; 4]> {
        let mut dimensions = [0; 4];
        for d in &mut dimensions {
            *d = self.count()?;
        }
        Ok(dimensions)
    }

    fn tensor(&mut self) -> Parsed<Vec<f32>> {
        self.expect(2, "a tensor's version")?;
        let dimensions = self.dimensions()?;
        let bytes = dimensions.iter().try_fold(4usize, |size, &d| size.checked_mul(d));
        let bytes = self.take(bytes.ok_or("a tensor's dimensions overflow")?)?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn alias(&mut self) -> Parsed<[usize; 4]> {
        self.expect(1, "an alias's version")?;
        self.dimensions()
    }

    /// What follows every layer: three truths and the (empty) training state.
    fn layer_end(&mut self) -> Parsed<()> {
        if self.take(3)?.iter().any(|b| !b"01".contains(b)) {
            return Err("a truth that is neither 0 nor 1".to_string());
        }
        (0..3).try_for_each(|_| self.tensor().map(drop))
    }
}

/// A layer's parameters, or the name of one that has none.
enum Layer {
    Convolution { weight: Tensor, bias: Tensor },
    Affine { gamma: Tensor, beta: Tensor },
    Linear { weight: Tensor },
    Other(&'static str),
}

fn tensor(values: &[f32], shape: &[usize]) -> Parsed<Tensor> {
    if shape.iter().product::<usize>() != values.len() {
        return Err(format!("{} parameters where {shape:?} belong", values.len()));
    }
    Tensor::from_slice(values, shape, &Device::Cpu).map_err(|e| e.to_string())
}

fn layer(r: &mut Reader) -> Parsed<Layer> {
    let name = r.string()?;
    let layer = match name {
        "con_4" => {
            let values = r.tensor()?;
            let filters = r.count()?;
            let [rows, columns, ..] = [r.count()?, r.count()?, r.count()?, r.count()?, r.count()?, r.count()?];
            let shape = r.alias()?;
            let biases = r.alias()?.iter().product::<usize>();
            (0..4).try_for_each(|_| r.float().map(drop))?;
            if shape[0] != filters || shape[2..] != [rows, columns] || biases != filters {
                return Err(format!("a convolution of {filters} filters has weights {shape:?}"));
            }
            let split = values.len().checked_sub(filters).ok_or("a convolution without weights")?;
            Layer::Convolution {
                weight: tensor(&values[..split], &shape)?,
                bias: tensor(&values[split..], &[filters])?,
            }
        }
        "affine_" => {
            let values = r.tensor()?;
            let channels = r.alias()?.iter().product::<usize>();
            r.alias()?;
            r.integer()?;
            let split = channels.min(values.len());
            Layer::Affine {
                gamma: tensor(&values[..split], &[channels])?,
                beta: tensor(&values[split..], &[channels])?,
            }
        }
        "fc_2" => {
            let (outputs, inputs) = (r.count()?, r.count()?);
            let values = r.tensor()?;
            r.alias()?;
            if r.alias()?.iter().product::<usize>() != 0 {
                return Err("the last layer has a bias".to_string());
            }
            r.integer()?;
            (0..4).try_for_each(|_| r.float().map(drop))?;
            // dlib keeps one row an input; everyone else one row an output.
            let weight = tensor(&values, &[inputs, outputs])?;
            let weight = weight.t().and_then(|t| t.contiguous()).map_err(|e| e.to_string())?;
            Layer::Linear { weight }
        }
        "max_pool_2" | "avg_pool_2" => {
            (0..6).try_for_each(|_| r.integer().map(drop))?;
            Layer::Other(if name == "max_pool_2" { "max_pool_2" } else { "avg_pool_2" })
        }
        "relu_" => Layer::Other("relu_"),
        "add_prev_" => Layer::Other("add_prev_"),
        _ => return Err(format!("a layer of type {name:?}, which dlib's face network has not")),
    };
    r.layer_end()?;
    Ok(layer)
}

/// The tensors of dlib's face recognition network by their names in kith.
pub(super) fn parse(bytes: &[u8], path: &str) -> Result<TensorMap, WeightsError> {
    let mut reader = Reader { bytes, at: 0 };
    network(&mut reader).map_err(|reason| WeightsError::Malformed {
        path: path.to_string(),
        format: "dlib",
        reason: format!("at byte {}: {reason}", reader.at),
    })
}

fn network(r: &mut Reader) -> Parsed<TensorMap> {
    r.expect(1, "the file's version")?;
    if r.string()? != "loss_metric_2" {
        return Err("the loss is not the metric loss of dlib's face network".to_string());
    }
    (0..2).try_for_each(|_| r.float().map(drop))?;
    // Tags and skips (1) have nothing of their own after this list.
    let mut layers = 1;
    for nested in 0.. {
        match r.integer()? {
            1 => {}
            2 => layers += 1,
            3 => break,
            other => return Err(format!("{other} where a layer's version belongs")),
        }
        if nested > MOST_LAYERS {
            return Err("too many layers".to_string());
        }
    }
    if r.string()? != "input_rgb_image_sized" {
        return Err("the input is not a sized RGB image".to_string());
    }
    let mean = [r.float()? as f32, r.float()? as f32, r.float()? as f32];
    if [r.count()?, r.count()?] != [150, 150] {
        return Err("the input is not 150x150".to_string());
    }
    let mut parsed = Vec::with_capacity(layers);
    for index in 0..layers {
        parsed.push(layer(r)?);
        if index == 0 {
            r.expect(1, "the input's sample expansion")?;
        }
    }
    if r.at != r.bytes.len() {
        return Err(format!("{} bytes too many", r.bytes.len() - r.at));
    }
    let mut tensors = name_layers(parsed)?;
    tensors.insert("input.mean".to_string(), tensor(&mean, &[3])?);
    Ok(tensors)
}

/// Gives the layers their names, walking the network from its input and checking that it is the one.
fn name_layers(layers: Vec<Layer>) -> Parsed<TensorMap> {
    let mut tensors = TensorMap::new();
    let mut layers = layers.into_iter();
    convolution(&mut layers, &mut tensors, "stem", "conv", "affine")?;
    skip(&mut layers, &["relu_", "max_pool_2"])?;
    let mut before = DLIB_BLOCKS[0];
    for (i, channels) in DLIB_BLOCKS.into_iter().enumerate() {
        let block = format!("block{i}");
        convolution(&mut layers, &mut tensors, &block, "conv1", "affine1")?;
        skip(&mut layers, &["relu_"])?;
        convolution(&mut layers, &mut tensors, &block, "conv2", "affine2")?;
        // The last block downsamples without more channels.
        let halves = channels != before || i == DLIB_BLOCKS.len() - 1;
        skip(&mut layers, if halves { &["avg_pool_2", "add_prev_", "relu_"] } else { &["add_prev_", "relu_"] })?;
        before = channels;
    }
    skip(&mut layers, &["avg_pool_2"])?;
    match layers.next() {
        Some(Layer::Linear { weight }) => tensors.insert("fc.weight".to_string(), weight),
        _ => return Err("the network does not end in a linear layer".to_string()),
    };
    Ok(tensors)
}

fn convolution(
    layers: &mut impl Iterator<Item = Layer>,
    tensors: &mut TensorMap,
    prefix: &str,
    conv: &str,
    affine: &str,
) -> Parsed<()> {
    let (Some(Layer::Convolution { weight, bias }), Some(Layer::Affine { gamma, beta })) =
        (layers.next(), layers.next())
    else {
        return Err(format!("no convolution and affine layer for {prefix}.{conv}"));
    };
    tensors.insert(format!("{prefix}.{conv}.weight"), weight);
    tensors.insert(format!("{prefix}.{conv}.bias"), bias);
    tensors.insert(format!("{prefix}.{affine}.gamma"), gamma);
    tensors.insert(format!("{prefix}.{affine}.beta"), beta);
    Ok(())
}

fn skip(layers: &mut impl Iterator<Item = Layer>, wanted: &[&str]) -> Parsed<()> {
    for name in wanted {
        match layers.next() {
            Some(Layer::Other(found)) if found == *name => {}
            _ => return Err(format!("another layer where {name} belongs")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_decode_as_dlib_writes_them() {
        let mut r = Reader { bytes: &[0x01, 0x96, 0x02, 0x80, 0x12, 0x81, 0x11, 0x01, 0x00], at: 0 };
        assert_eq!([r.integer(), r.integer(), r.integer(), r.integer()], [Ok(150), Ok(0x1280), Ok(-17), Ok(0)]);
        assert!(r.integer().is_err());
        let mut r = Reader { bytes: &[0x03, 0x0a, 0xd7, 0xa3, 0x81, 0x1c], at: 0 };
        assert!((r.float().unwrap() - 0.04).abs() < 1e-8);
    }

    #[test]
    fn hostile_lengths_allocate_nothing() {
        // A tensor of 2^62 values, a name of 2^60 bytes, an integer of 15 bytes.
        let huge = [0x01, 2, 0x08, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 1, 1, 1, 1, 1];
        assert!(Reader { bytes: &huge, at: 0 }.tensor().is_err());
        let name = [0x08, 0, 0, 0, 0, 0, 0, 0, 0x10];
        assert!(Reader { bytes: &name, at: 0 }.string().is_err());
        assert!(Reader { bytes: &[0x0f; 20], at: 0 }.integer().is_err());
    }

    #[test]
    fn a_cut_or_foreign_file_names_the_byte() {
        for bytes in [&b""[..], MAGIC, b"\x01\x01\x01\x04loss", b"PK\x03\x04", &[0xff; 100]] {
            let error = parse(bytes, "some.dat").unwrap_err().to_string();
            assert!(error.contains("some.dat") && error.contains("at byte"), "{error}");
        }
    }
}
