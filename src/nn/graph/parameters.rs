//! A network's tensors: learnt parameters, and the running statistics of batch normalisation beside them.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::layer::Network;
use super::memory::Memory;
use crate::nn::weights::{TensorMap, TensorSpec};

/// Tensors by name, as a forward pass takes them: with a graph behind them where they are learnt.
pub(crate) type Tensors = BTreeMap<String, Tensor>;
/// The share of a batch in the running statistics (torch's).
const NORM_MOMENTUM: f64 = 0.1;
/// Slope below zero that PReLU begins with (K. He et al., ICCV 2015, section 2.1).
const FIRST_SLOPE: f32 = 0.25;

/// Whether a layer or a tensor is, or is inside, one of the layers of that names.
pub(super) fn is_in(name: &str, layers: &[String]) -> bool {
    layers.iter().any(|l| name.strip_prefix(l.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

impl Network {
    /// Whether a layer with tensors has that name, or is inside what has it: whether freezing it freezes anything.
    pub(crate) fn has_layer(&self, name: &str) -> bool {
        let layers = [name.to_string()];
        let of = |spec: &TensorSpec| spec.name.rsplit_once('.').is_some_and(|(layer, _)| is_in(layer, &layers));
        !name.is_empty() && self.specs().iter().any(of)
    }
}

/// Takes a batch's moments, over `count` values a channel, into the running statistics of a layer.
pub(super) fn take_in(
    running: &BTreeMap<String, Var>,
    layer: &str,
    count: usize,
    mean: &Tensor,
    variance: &Tensor,
) -> Result<()> {
    // The running variance is the unbiased one, as torch has it.
    let unbiased = count as f64 / (count - 1) as f64;
    for (part, value, factor) in [("running_mean", mean, 1.0), ("running_var", variance, unbiased)] {
        let name = format!("{layer}.{part}");
        let Some(var) = running.get(&name) else { candle_core::bail!("no tensor is called {name}") };
        let taken = value.detach().flatten_all()?.affine(factor * NORM_MOMENTUM, 0.0)?;
        var.set(&(var.as_detached_tensor().affine(1.0 - NORM_MOMENTUM, 0.0)? + taken)?)?;
    }
    Ok(())
}

/// The tensors of one network.
pub(crate) struct Parameters {
    pub learnt: BTreeMap<String, Var>,
    pub running: BTreeMap<String, Var>,
    pub(super) memory: Memory,
}

impl Parameters {
    /// Tensors drawn from a seed: weights from He's uniform distribution over their inputs, norms at one, slopes at 0.25,
    /// biases at zero. Each tensor has a stream of its own, so a layer that is added moves no other.
    pub fn initial(network: &Network, seed: u64, device: &Device) -> Result<Self> {
        let first = |spec: &TensorSpec| -> Result<Tensor> {
            let count = spec.shape.iter().product();
            let values = match spec.shape.len() {
                1 if spec.name.ends_with(".bias") || spec.name.ends_with(".running_mean") => vec![0.0; count],
                1 if spec.name.ends_with(".running_var") || spec.name.ends_with("bn.weight") => vec![1.0; count],
                1 => vec![FIRST_SLOPE; count],
                _ => {
                    let digest = Sha256::digest(spec.name.as_bytes());
                    let stream = u64::from_le_bytes(std::array::from_fn(|i| digest[i]));
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    rng.set_stream(stream);
                    let reach = (6.0 / spec.shape[1..].iter().product::<usize>() as f32).sqrt();
                    (0..count).map(|_| rng.random_range(-reach..reach)).collect()
                }
            };
            Tensor::from_vec(values, spec.shape.as_slice(), device)
        };
        Self::from_specs(network, first)
    }

    /// Tensors read from a file.
    pub fn load(network: &Network, tensors: &TensorMap, device: &Device) -> Result<Self> {
        Self::from_specs(network, |spec| match tensors.get(&spec.name) {
            Some(tensor) if tensor.dims() == spec.shape => tensor.to_dtype(candle_core::DType::F32)?.to_device(device),
            Some(tensor) => candle_core::bail!("{} is {:?}, not {:?}", spec.name, tensor.dims(), spec.shape),
            None => candle_core::bail!("no tensor is called {}", spec.name),
        })
    }

    fn from_specs(network: &Network, of: impl Fn(&TensorSpec) -> Result<Tensor>) -> Result<Self> {
        let (mut learnt, mut running) = (BTreeMap::new(), BTreeMap::new());
        for spec in network.specs() {
            // A copy of its own: a variable is written in place.
            let var = Var::from_tensor(&of(&spec)?.copy()?)?;
            let into = if spec.name.contains(".running_") { &mut running } else { &mut learnt };
            if into.insert(spec.name.clone(), var).is_some() {
                candle_core::bail!("two layers are called {}", spec.name);
            }
        }
        Ok(Self { learnt, running, memory: Memory::default() })
    }

    /// The same with these for what is learnt.
    pub fn but_learnt(&self, learnt: &BTreeMap<String, Tensor>) -> Result<Self> {
        let learnt = learnt.iter().map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)));
        Ok(Self { learnt: learnt.collect::<Result<_>>()?, running: self.running.clone(), memory: Memory::default() })
    }

    /// As [`take_in`].
    pub(super) fn take_in(&self, layer: &str, count: usize, mean: &Tensor, variance: &Tensor) -> Result<()> {
        take_in(&self.running, layer, count, mean, variance)
    }

    /// For a pass that gradients are wanted of, but for parameters whose names begin with one of `frozen`.
    pub fn with_graph(&self, frozen: &[String]) -> Tensors {
        let tensor = |(name, var): (&String, &Var)| {
            let tensor = if is_in(name, frozen) { var.as_detached_tensor() } else { var.as_tensor().clone() };
            (name.clone(), tensor)
        };
        self.learnt.iter().map(tensor).collect()
    }

    /// For a pass that no gradients are wanted of.
    pub fn without_graph(&self) -> Tensors {
        self.learnt.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }

    /// Everything, as it is stored.
    pub fn tensors(&self) -> TensorMap {
        self.learnt.iter().chain(&self.running).map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
    }
}
