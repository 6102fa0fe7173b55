//! The other way to adapt: a linear head over frozen vectors, by the triplet loss.
//!
//! It begins as the identity and is held to it by a pull, so that few people move it little: the loss is that of batch-hard
//! triplets (A. Hermans, L. Beyer, B. Leibe, "In defense of the triplet loss", 2017) of vectors scaled to length one, and
//! the pull times the mean squared change of the matrix's rows.

use candle_core::{Device, Result as TensorResult, Tensor, Var};

use super::losses::{triplet, unit_rows};
use super::mining::{Mining, mine, squared_distances};
use super::optimiser::{Optimiser, Rule, Schedule};
use super::sampler::Sampler;
use super::tensors::failed;
use crate::embed::adapted::Projection;
use crate::error::{EvalError, Result, TrainError};

/// Pulls that are tried, the most cautious first.
pub(super) const PULLS: [f64; 3] = [3.0, 0.3, 0.03];
const STEPS: u64 = 120;
const RATE: f64 = 3e-3;
const MARGIN: f64 = 0.4;
/// People of a batch at most, and faces of each.
const PEOPLE: usize = 24;
const EACH: usize = 4;

/// A head for people's vectors of length one.
pub(super) fn fit(people: &[&[Vec<f64>]], pull: f64, seed: u64) -> Result<Projection> {
    let labels: Vec<usize> = people.iter().enumerate().flat_map(|(p, faces)| faces.iter().map(move |_| p)).collect();
    let rows: Vec<Vec<f32>> =
        people.iter().flat_map(|faces| faces.iter()).map(|f| f.iter().map(|v| *v as f32).collect()).collect();
    let width = rows.first().map_or(0, Vec::len);
    let together = PEOPLE.min(people.len());
    let sampler =
        Sampler::new(&labels, together, EACH, seed).map_err(|e| EvalError::TooLittle { reason: e.to_string() })?;
    let identity: Vec<f32> = (0..width * width).map(|i| f32::from(i % (width + 1) == 0)).collect();
    let learn = || -> TensorResult<std::result::Result<Vec<Vec<f32>>, TrainError>> {
        let unmoved = Tensor::from_vec(identity, (width, width), &Device::Cpu)?;
        let head = Var::from_tensor(&unmoved.copy()?)?;
        let named = [("head".to_string(), head.clone())].into();
        let mut optimiser = Optimiser::new(Rule::ADAMW, 0.0, named);
        for step in 0..STEPS {
            let batches = sampler.epoch(step / sampler.batches() as u64);
            let batch = &batches[(step % sampler.batches() as u64) as usize];
            let x: Vec<f32> = batch.iter().flat_map(|&at| rows[at].iter().copied()).collect();
            let x = Tensor::from_vec(x, (batch.len(), width), &Device::Cpu)?;
            let y = unit_rows(&x.matmul(&head.t()?)?)?;
            let distances = squared_distances(&y.detach().flatten_all()?.to_vec1::<f32>()?, width);
            let who: Vec<usize> = batch.iter().map(|&at| labels[at]).collect();
            let mined = mine(&distances, &who, Mining::BatchHard, MARGIN as f32);
            let moved = (head.as_tensor() - &unmoved)?.sqr()?.sum_all()?.affine(pull / width as f64, 0.0)?;
            let loss = (triplet(&y, &mined.triplets, MARGIN)? + moved)?;
            if !loss.to_scalar::<f32>()?.is_finite() {
                return Ok(Err(TrainError::NotFinite { step, what: "the loss".to_string() }));
            }
            let mut store = loss.backward()?;
            let gradients = store.remove(&head).map(|g| ("head".to_string(), g)).into_iter().collect();
            optimiser.step(&gradients, Schedule::Cosine.rate(RATE, step, STEPS, 0))?;
        }
        Ok(Ok(head.to_vec2()?))
    };
    let rows = learn().map_err(failed("fitting a head"))??;
    Ok(Projection { mean: vec![0.0; width], rows })
}
