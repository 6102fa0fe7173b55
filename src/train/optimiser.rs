//! SGD with momentum, AdamW and Adagrad, with their state in the open so that a checkpoint holds all of it.
//!
//! | optimiser | paper | as |
//! | --- | --- | --- |
//! | SGD | I. Sutskever et al., ICML 2013 | torch.optim.SGD: the decay is part of the gradient, `v = momentum v + g` |
//! | AdamW | I. Loshchilov, F. Hutter, ICLR 2019 (arXiv 1711.05101) | candle-nn's AdamW, value for value; it keeps its moments to itself, so it could not be resumed |
//! | Adagrad | J. Duchi, E. Hazan, Y. Singer, JMLR 2011; FaceNet's | torch.optim.Adagrad |
//!
//! Weight decay touches matrices and convolutions only; norms, biases and slopes have one dimension and are left alone.

use std::collections::BTreeMap;

use candle_core::{DType, Result as TensorResult, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::tensors::failed;
use crate::error::{Result, TrainError};
use crate::nn::graph::values;

/// Gradients by the parameter's name.
pub(crate) type Gradients = BTreeMap<String, Tensor>;

/// Parameters that a thread moves at a time.
const STRETCH: usize = 1 << 15;
/// Added to a root before it is divided by, as torch does.
const ADAGRAD_EPSILON: f64 = 1e-10;
const ADAMW_EPSILON: f64 = 1e-8;
/// Added to the norm that gradients are divided by (torch's `clip_grad_norm_`).
const CLIP_EPSILON: f64 = 1e-6;

/// Which rule moves the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last step that goes on, 0 to 1.
        momentum: f64,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// Share of the mean of gradients that is kept.
        beta1: f64,
        /// Share of the mean of squared gradients that is kept.
        beta2: f64,
    },
    /// Steps divided by the root of all squared gradients so far.
    Adagrad,
}

impl Rule {
    /// SGD with momentum 0.9.
    pub const SGD: Self = Self::Sgd { momentum: 0.9 };
    /// AdamW with its paper's shares.
    pub const ADAMW: Self = Self::AdamW { beta1: 0.9, beta2: 0.999 };

    /// Names of the state's tensors.
    fn state(self) -> &'static [&'static str] {
        match self {
            Self::Sgd { .. } => &["momentum"],
            Self::AdamW { .. } => &["first", "second"],
            Self::Adagrad => &["squares"],
        }
    }
}

/// A rule with its state, over named parameters.
pub(crate) struct Optimiser {
    rule: Rule,
    weight_decay: f64,
    parameters: BTreeMap<String, Var>,
    /// State by `PARAMETER/NAME`; nothing before a parameter's first step.
    state: BTreeMap<String, Tensor>,
    steps: u64,
}

impl Optimiser {
    pub fn new(rule: Rule, weight_decay: f64, parameters: BTreeMap<String, Var>) -> Self {
        Self { rule, weight_decay, parameters, state: BTreeMap::new(), steps: 0 }
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves every parameter that has a gradient.
    pub fn step(&mut self, gradients: &Gradients, rate: f64) -> TensorResult<()> {
        self.steps += 1;
        for (name, parameter) in &self.parameters {
            let Some(gradient) = gradients.get(name) else { continue };
            let value = parameter.as_detached_tensor();
            let decay = if value.rank() > 1 { self.weight_decay } else { 0.0 };
            let key = |part: &str| format!("{name}/{part}");
            let of = |part: &str| -> TensorResult<Option<Tensor>> { Ok(self.state.get(&key(part)).cloned()) };
            let coupled = || if decay == 0.0 { Ok(gradient.clone()) } else { gradient + (&value * decay)? };
            let (next, state) = match self.rule {
                Rule::Sgd { momentum } if on_the_processor(&value) && on_the_processor(gradient) => {
                    let (next, velocity) = descended(&value, gradient, of("momentum")?, (momentum, decay, rate))?;
                    (next, vec![("momentum", velocity)])
                }
                Rule::Sgd { momentum } => {
                    let gradient = coupled()?;
                    let velocity = match of("momentum")? {
                        Some(before) => ((before * momentum)? + gradient)?,
                        None => gradient,
                    };
                    ((&value - (&velocity * rate)?)?, vec![("momentum", velocity)])
                }
                Rule::AdamW { beta1, beta2 } => {
                    let zeros = || value.zeros_like();
                    let (first, second) = (of("first")?.map_or_else(zeros, Ok)?, of("second")?.map_or_else(zeros, Ok)?);
                    let first = ((first * beta1)? + (gradient * (1.0 - beta1))?)?;
                    let second = ((second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
                    let unbiased = |beta: f64| 1.0 / (1.0 - beta.powi(self.steps as i32));
                    let root = ((&second * unbiased(beta2))?.sqrt()? + ADAMW_EPSILON)?;
                    let step = ((&first * unbiased(beta1))? / root)?;
                    let next = ((&value * (1.0 - rate * decay))? - (step * rate)?)?;
                    (next, vec![("first", first), ("second", second)])
                }
                Rule::Adagrad => {
                    let gradient = coupled()?;
                    let square = gradient.sqr()?;
                    let squares = of("squares")?.map_or_else(|| Ok(square.clone()), |s| s + &square)?;
                    let step = (gradient / (squares.sqrt()? + ADAGRAD_EPSILON)?)?;
                    ((&value - (step * rate)?)?, vec![("squares", squares)])
                }
            };
            // Detached, or the graph of every step before would stay in memory.
            parameter.set(&next.detach())?;
            let state: Vec<(String, Tensor)> = state.into_iter().map(|(part, t)| (key(part), t.detach())).collect();
            self.state.extend(state);
        }
        Ok(())
    }

    /// The state's tensors.
    pub fn state(&self) -> &BTreeMap<String, Tensor> {
        &self.state
    }

    /// Goes on from a state.
    pub fn restore(&mut self, steps: u64, state: BTreeMap<String, Tensor>) -> TensorResult<()> {
        for (key, tensor) in &state {
            let known = key.rsplit_once('/').filter(|(_, part)| self.rule.state().contains(part));
            let parameter = known.and_then(|(name, _)| self.parameters.get(name));
            if parameter.is_none_or(|p| p.shape() != tensor.shape()) {
                candle_core::bail!("{key} is no state of this optimiser");
            }
        }
        (self.steps, self.state) = (steps, state);
        Ok(())
    }
}

fn on_the_processor(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The parameter after a step of gradient descent and its velocity, in one pass over memory: of millions of parameters the
/// tensor library's six take a tenth of a step.
fn descended(
    value: &Tensor,
    gradient: &Tensor,
    before: Option<Tensor>,
    (momentum, decay, rate): (f64, f64, f64),
) -> TensorResult<(Tensor, Tensor)> {
    let (momentum, decay, rate) = (momentum as f32, decay as f32, rate as f32);
    let count = value.elem_count();
    let (mut next, mut velocity) = (vec![0f32; count], vec![0f32; count]);
    let mut move_all = |x: &[f32], g: &[f32], before: Option<&[f32]>| {
        let parts = next.par_chunks_mut(STRETCH).zip(velocity.par_chunks_mut(STRETCH)).enumerate();
        parts.for_each(|(i, (next, velocity))| {
            let here = i * STRETCH..i * STRETCH + next.len();
            let (x, g) = (&x[here.clone()], &g[here.clone()]);
            match before {
                Some(before) => {
                    let before = &before[here];
                    for at in 0..next.len() {
                        velocity[at] = before[at] * momentum + (g[at] + x[at] * decay);
                        next[at] = x[at] - velocity[at] * rate;
                    }
                }
                None => {
                    for at in 0..next.len() {
                        velocity[at] = g[at] + x[at] * decay;
                        next[at] = x[at] - velocity[at] * rate;
                    }
                }
            }
        });
        Ok(())
    };
    values(value, |x| {
        values(gradient, |g| match &before {
            Some(before) => values(before, |before| move_all(x, g, Some(before))),
            None => move_all(x, g, None),
        })
    })?;
    let tensor = |values: Vec<f32>| Tensor::from_vec(values, value.shape(), value.device());
    Ok((tensor(next)?, tensor(velocity)?))
}

/// The Euclidean norm of all gradients together.
///
/// # Errors
/// [`TrainError::NotFinite`], which names the gradient, where one is NaN or infinite.
pub(crate) fn norm(gradients: &Gradients, step: u64) -> Result<f64> {
    let mut total = 0.0;
    for (name, gradient) in gradients {
        let square = || gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>();
        let square = square().map_err(failed("measuring gradients"))?;
        if !square.is_finite() {
            return Err(TrainError::NotFinite { step, what: format!("the gradient of {name}") }.into());
        }
        total += f64::from(square);
    }
    Ok(total.sqrt())
}

/// Scales gradients of norm `norm` down to `most`, as torch's `clip_grad_norm_` does.
pub(crate) fn clip(gradients: &mut Gradients, norm: f64, most: f64) -> TensorResult<()> {
    let factor = most / (norm + CLIP_EPSILON);
    if factor < 1.0 {
        for gradient in gradients.values_mut() {
            *gradient = gradient.affine(factor, 0.0)?;
        }
    }
    Ok(())
}

/// The learning rate from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Schedule {
    /// The same throughout.
    Constant,
    /// Half a cosine, from the rate to nothing at the last step (arXiv 1608.03983, without restarts).
    Cosine,
    /// Multiplied by `factor` after each `every` steps.
    Step {
        /// Steps between two changes.
        every: u64,
        /// What the rate is multiplied by.
        factor: f64,
    },
}

impl Schedule {
    /// The rate at `step` of `total`, where it rises in a line over the first `warm_up` steps and follows the schedule
    /// over the rest.
    pub fn rate(self, rate: f64, step: u64, total: u64, warm_up: u64) -> f64 {
        if step < warm_up {
            return rate * (step + 1) as f64 / warm_up as f64;
        }
        let (step, total) = (step - warm_up, total.saturating_sub(warm_up).max(1));
        match self {
            Self::Constant => rate,
            Self::Cosine => {
                let share = (step as f64 / total as f64).min(1.0);
                rate * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0
            }
            Self::Step { every, factor } => rate * factor.powi((step / every.max(1)) as i32),
        }
    }
}

/// A running mean of parameters (B. Polyak, A. Juditsky, 1992), exponential as torch's `get_ema_multi_avg_fn`.
pub(crate) struct Average {
    decay: f64,
    pub values: BTreeMap<String, Tensor>,
}

impl Average {
    pub fn new(decay: f64) -> Self {
        Self { decay, values: BTreeMap::new() }
    }

    /// Takes in what the parameters are now; the first time it becomes them.
    pub fn update<'a>(&mut self, parameters: impl Iterator<Item = (&'a String, &'a Var)>) -> TensorResult<()> {
        for (name, parameter) in parameters {
            let now = parameter.as_detached_tensor();
            let next = match self.values.get(name) {
                Some(before) => ((before * self.decay)? + (now * (1.0 - self.decay))?)?,
                None => now.copy()?,
            };
            self.values.insert(name.clone(), next.detach());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};

    use super::super::golden;
    use super::*;

    fn parameters() -> BTreeMap<String, Var> {
        let var = |name: &str, shape: &[usize]| Var::from_tensor(&golden::drawn(name, shape)).unwrap();
        [("weight", vec![3, 4]), ("bias", vec![3])].map(|(n, s)| (n.to_string(), var(n, &s))).into()
    }

    fn gradients(step: usize) -> Gradients {
        let gradient = |name: &str, shape: &[usize]| golden::drawn(&format!("{name}.grad{step}"), shape);
        [("weight", vec![3, 4]), ("bias", vec![3])].map(|(n, s)| (n.to_string(), gradient(n, &s))).into()
    }

    fn values(parameters: &BTreeMap<String, Var>) -> Vec<f32> {
        parameters.values().flat_map(|p| p.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
    }

    #[test]
    fn five_steps_of_each_rule_are_torchs() {
        let golden = golden::read();
        for (name, rule) in [("sgd", Rule::SGD), ("adamw", Rule::ADAMW), ("adagrad", Rule::Adagrad)] {
            let parameters = parameters();
            let mut optimiser = Optimiser::new(rule, 0.05, parameters.clone());
            for step in 0..5 {
                let mut gradients = gradients(step);
                let norm = norm(&gradients, 0).unwrap();
                clip(&mut gradients, norm, 1.0).unwrap();
                optimiser.step(&gradients, 0.1).unwrap();
                let wanted = golden::numbers(&golden["optimisers"][name][step]);
                golden::near(&values(&parameters), &wanted, 1e-6, &format!("{name}, step {step}"));
            }
        }
    }

    #[test]
    fn adamw_is_candle_nns_bit_for_bit() {
        let (ours, theirs) = (parameters(), parameters());
        // candle-nn has one decay for all, so it is held without the bias.
        let mut reference = AdamW::new(
            vec![theirs["weight"].clone()],
            ParamsAdamW { lr: 0.01, weight_decay: 0.05, ..ParamsAdamW::default() },
        )
        .unwrap();
        let mut optimiser = Optimiser::new(Rule::ADAMW, 0.05, ours.clone());
        for step in 0..4 {
            let gradients = gradients(step);
            optimiser.step(&gradients, 0.01).unwrap();
            let mut store = theirs["weight"].sum_all().unwrap().backward().unwrap();
            store.insert(&theirs["weight"], gradients["weight"].clone());
            reference.step(&store).unwrap();
        }
        let [a, b] = [&ours, &theirs].map(|p| p["weight"].to_vec2::<f32>().unwrap());
        assert_eq!(a, b);
    }

    #[test]
    fn an_optimiser_goes_on_from_its_state() {
        for rule in [Rule::SGD, Rule::ADAMW, Rule::Adagrad] {
            let (once, twice) = (parameters(), parameters());
            let mut whole = Optimiser::new(rule, 0.05, once.clone());
            (0..4).for_each(|step| whole.step(&gradients(step), 0.1).unwrap());
            let mut first = Optimiser::new(rule, 0.05, twice.clone());
            (0..2).for_each(|step| first.step(&gradients(step), 0.1).unwrap());
            let mut second = Optimiser::new(rule, 0.05, twice.clone());
            second.restore(first.steps(), first.state().clone()).unwrap();
            (2..4).for_each(|step| second.step(&gradients(step), 0.1).unwrap());
            assert_eq!(values(&once), values(&twice), "{rule:?}");
            let strange = [("other/momentum".to_string(), golden::drawn("x", &[3]))].into();
            assert!(second.restore(1, strange).is_err());
        }
    }

    #[test]
    fn decay_leaves_biases_alone_and_what_has_no_gradient_stays() {
        for rule in [Rule::SGD, Rule::ADAMW, Rule::Adagrad] {
            let (with, without) = (parameters(), parameters());
            // Two steps: Adagrad's first is as long whatever the gradient is.
            for (decay, parameters) in [(0.5, &with), (0.0, &without)] {
                let mut optimiser = Optimiser::new(rule, decay, parameters.clone());
                (0..2).for_each(|step| optimiser.step(&gradients(step), 0.1).unwrap());
            }
            let of = |p: &BTreeMap<String, Var>, n: &str| p[n].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(of(&with, "bias"), of(&without, "bias"));
            assert_ne!(of(&with, "weight"), of(&without, "weight"));
            let frozen = parameters();
            let mut some = gradients(0);
            some.remove("weight");
            Optimiser::new(rule, 0.5, frozen.clone()).step(&some, 0.1).unwrap();
            assert_eq!(of(&frozen, "weight"), of(&parameters(), "weight"));
        }
    }

    #[test]
    fn schedules_are_torchs() {
        let golden = golden::read();
        for (name, schedule, warm_up) in [
            ("cosine", Schedule::Cosine, 0),
            ("step", Schedule::Step { every: 7, factor: 0.3 }, 0),
            ("warm_cosine", Schedule::Cosine, 5),
        ] {
            let wanted = golden::numbers(&golden["schedules"][name]);
            assert_eq!(wanted.len(), 20);
            for (step, wanted) in wanted.iter().enumerate() {
                let got = schedule.rate(0.1, step as u64, 20, warm_up);
                assert!((got - wanted).abs() < 1e-12, "{name}, step {step}: {got}, not {wanted}");
            }
        }
        assert_eq!(Schedule::Constant.rate(0.1, 1000, 20, 0), 0.1);
        assert!(Schedule::Cosine.rate(0.1, 50, 20, 0).abs() < 1e-12 && Schedule::Cosine.rate(0.1, 0, 0, 3) > 0.0);
    }

    #[test]
    fn the_average_is_torchs() {
        let parameters = parameters();
        let (mut average, mut optimiser) = (Average::new(0.9), Optimiser::new(Rule::SGD, 0.0, parameters.clone()));
        for step in 0..5 {
            optimiser.step(&gradients(step), 0.1).unwrap();
            average.update(parameters.iter()).unwrap();
        }
        let got: Vec<f32> =
            average.values.values().flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect();
        golden::near(&got, &golden::numbers(&golden::read()["average"]), 1e-6, "average");
    }

    #[test]
    fn a_gradient_that_is_no_number_is_named() {
        let mut gradients = gradients(0);
        let broken = Tensor::new(&[1f32, f32::NAN, 0.0], &Device::Cpu).unwrap();
        gradients.insert("bias".to_string(), broken);
        let error = norm(&gradients, 7).unwrap_err();
        assert_eq!(error.code(), "train.not_finite");
        assert!(error.to_string().contains("step 7: the gradient of bias"), "{error}");
    }
}
