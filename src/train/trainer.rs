//! A network learning from faces: batches, mining, gradients, validation, checkpoints.
//!
//! A step is a function of the checkpoint before it: batches follow from the seed and the number of the step, so a run that
//! was interrupted, or killed, ends with the same bits as one that was not (on one machine, with as many threads).
//!
//! Where a batch is larger than what fits into memory with its graph, it is embedded without one first, mined and judged as
//! a whole, and gone through again part by part with the gradient of each part's embeddings (L. Gao et al., "Scaling deep
//! contrastive learning batch size under memory limited setup", arXiv 2101.06983): the triplets are those of the whole
//! batch. Batch normalisation sees parts.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Result as TensorResult, Tensor, Var};

use super::augment::augmented;
use super::checkpoint::{self, Record, differing};
use super::faces::{FaceSet, fits, other_faces};
use super::losses::{distil, triplet, unit_rows};
use super::mining::{Mining, mine, squared_distances};
use super::optimiser::{Average, Gradients, Optimiser, clip, norm};
use super::options::{Ending, EpochReport, Event, Objective, StepReport, TrainOptions, check};
use super::sampler::Sampler;
use super::tensors::failed;
use super::validate::{Validation, agreement, validate};
use crate::embed::trained::{MEAN, SCALE};
use crate::error::{Error, ModelError, Result, TrainError};
use crate::files::spelled;
use crate::media::Raster;
use crate::nn::graph::{Mode, Network, Parameters, presets};
use crate::nn::weights::{Imported, LoadedWeights, TensorMap, store};
use crate::nn::{Device, DeviceChoice};

/// Faces embedded together without gradients.
const TOGETHER: usize = 32;
/// Names of a head's tensors.
const DIRECTIONS: &str = "head.directions";
const BIAS: &str = "head.bias";
/// Of a run that is measured on no face.
const NOBODY: &str = "nobody";

/// A run.
///
/// ```no_run
/// use kith::train::{Event, FaceSet, TrainOptions, Trainer};
/// # let (chips, people) = (Vec::new(), Vec::new());
/// let (faces, held_out) = FaceSet::new(chips, people)?.hold_out(0.2, 1);
/// let mut trainer = Trainer::new("tiny", &faces, TrainOptions::default(), kith::DeviceChoice::Cpu)?;
/// trainer.run(&faces, Some(&held_out), Some("run.checkpoint".as_ref()), &mut |event| {
///     if let Event::Epoch(epoch) = event {
///         println!("{epoch:?}");
///     }
///     true
/// })?;
/// trainer.write("mine.safetensors".as_ref())?;
/// # Ok::<(), kith::Error>(())
/// ```
pub struct Trainer {
    network: Network,
    device: Device,
    options: TrainOptions,
    parameters: Parameters,
    head: BTreeMap<String, Var>,
    optimiser: Optimiser,
    average: Option<Average>,
    best: TensorMap,
    sampler: Sampler,
    /// Number of each person among those with a direction.
    numbers: BTreeMap<usize, usize>,
    faces: String,
    /// sha256 of the faces that it is measured on; empty before the first step.
    held_out: String,
    /// How many faces.
    count: usize,
    epochs: Vec<EpochReport>,
    /// The batches of one epoch, by its number.
    batches: Option<(u64, Vec<Vec<usize>>)>,
    /// Losses and active shares since the epoch began.
    sums: (f64, f64, u64),
}

impl Trainer {
    /// A run of the network of that name from random weights; [`super::networks`] lists them.
    ///
    /// # Errors
    /// [`TrainError::TooFewPeople`]; [`ModelError::InvalidOption`] for an unknown network, chips of another size than its,
    /// or an option out of range; a device's error.
    pub fn new(network: &str, faces: &FaceSet, options: TrainOptions, device: DeviceChoice) -> Result<Self> {
        let known = presets::named(network).ok_or_else(|| ModelError::InvalidOption {
            option: "network",
            received: network.to_string(),
            expected: "one that `kith train networks` lists",
        })?;
        Self::of(known, faces, options, device)
    }

    pub(super) fn of(network: Network, faces: &FaceSet, options: TrainOptions, device: DeviceChoice) -> Result<Self> {
        check(&options)?;
        if let Some(none) = options.frozen.iter().find(|f| !network.has_layer(f)) {
            let expected = "a layer of the network, or its name up to a dot, as `kith train networks NAME` lists them";
            return Err(ModelError::InvalidOption { option: "frozen", received: none.clone(), expected }.into());
        }
        fits(&network, faces)?;
        let sampler = match options.objective {
            Objective::Distil { .. } => {
                if faces.targets().is_empty() && !faces.is_empty() {
                    let received = "faces without a teacher's vectors".to_string();
                    let expected = "faces that FaceSet::taught was told of";
                    return Err(ModelError::InvalidOption { option: "objective", received, expected }.into());
                }
                Sampler::of_faces(faces.len(), options.people * options.each, options.seed)?
            }
            _ => Sampler::new(faces.people(), options.people, options.each, options.seed)?,
        };
        let device = Device::open(device)?;
        let beginning = failed("drawing first weights");
        let parameters = Parameters::initial(&network, options.seed, device.inner()).map_err(&beginning)?;
        let mut numbers = BTreeMap::new();
        for person in faces.people() {
            let next = numbers.len();
            numbers.entry(*person).or_insert(next);
        }
        let mut head = BTreeMap::new();
        if let Objective::Head(kind) = options.objective {
            let directions = first_directions(numbers.len(), network.dimension(), options.seed, &device);
            head.insert(DIRECTIONS.to_string(), directions.map_err(&beginning)?);
            if kind.has_bias() {
                let bias = Var::zeros(numbers.len(), candle_core::DType::F32, device.inner());
                head.insert(BIAS.to_string(), bias.map_err(&beginning)?);
            }
        }
        let moved = parameters.learnt.iter().chain(&head).map(|(n, v)| (n.clone(), v.clone())).collect();
        Ok(Self {
            optimiser: Optimiser::new(options.rule, options.weight_decay, moved),
            average: options.average.map(Average::new),
            best: TensorMap::new(),
            faces: faces.sha256(),
            held_out: String::new(),
            count: faces.len(),
            epochs: Vec::new(),
            batches: None,
            sums: (0.0, 0.0, 0),
            network,
            device,
            options,
            parameters,
            head,
            sampler,
            numbers,
        })
    }

    /// Begins from weights of the same network, or of another with some tensors of the same names and shapes; returns how
    /// many tensors were taken.
    ///
    /// # Errors
    /// A device's error.
    pub fn begin_from(&mut self, weights: &LoadedWeights) -> Result<usize> {
        let tensors = &weights.tensors;
        let mut taken = 0;
        for (name, var) in self.parameters.learnt.iter().chain(&self.parameters.running) {
            let Some(tensor) = tensors.get(name).filter(|t| t.dims() == var.dims()) else { continue };
            let set = tensor.to_dtype(candle_core::DType::F32).and_then(|t| t.to_device(self.device.inner()));
            set.and_then(|t| var.set(&t)).map_err(failed("loading first weights"))?;
            taken += 1;
        }
        Ok(taken)
    }

    /// The network's name.
    pub fn network(&self) -> &'static str {
        self.network.name()
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.optimiser.steps()
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.options.epochs * self.sampler.batches() as u64
    }

    /// Reports of the epochs so far.
    pub fn epochs(&self) -> &[EpochReport] {
        &self.epochs
    }

    /// People with one face, who are not shown.
    pub fn single(&self) -> usize {
        self.sampler.single()
    }

    /// Trains until the run is done, validation no longer rises, or `watch` answers false. With `checkpoint` the run is
    /// saved there after each epoch and at an interruption.
    ///
    /// # Errors
    /// [`ModelError::InvalidOption`] for other faces than the run began with; [`TrainError::OtherRun`] where the checkpoint
    /// that it goes on from was measured on other faces; [`TrainError::NotFinite`] where a loss or gradient is no number;
    /// [`TrainError::Checkpoint`] where one cannot be
    /// written, and the run in memory can be saved elsewhere.
    pub fn run(
        &mut self,
        faces: &FaceSet,
        held_out: Option<&FaceSet>,
        checkpoint: Option<&Path>,
        watch: &mut dyn FnMut(Event) -> bool,
    ) -> Result<Ending> {
        if faces.sha256() != self.faces {
            return Err(other_faces(faces));
        }
        let measured_on = held_out.map_or_else(|| NOBODY.to_string(), FaceSet::sha256);
        if !self.held_out.is_empty() && self.held_out != measured_on {
            let path = checkpoint.map_or_else(String::new, spelled);
            let (what, recorded) = ("the sha256 of the faces measured on".to_string(), self.held_out.clone());
            return Err(TrainError::OtherRun { path, what, recorded, now: measured_on }.into());
        }
        self.held_out = measured_on;
        let save = |trainer: &Self| checkpoint.map_or(Ok(()), |path| trainer.save(path));
        while self.steps_done() < self.steps() {
            if self.has_no_better() {
                return Ok(Ending::NoBetter);
            }
            let report = self.step(faces)?;
            let mut goes_on = watch(Event::Step(&report));
            if self.steps_done().is_multiple_of(self.sampler.batches() as u64) {
                let epoch = self.end_epoch(held_out)?;
                goes_on &= watch(Event::Epoch(&epoch));
                save(self)?;
            }
            if !goes_on && self.steps_done() < self.steps() {
                save(self)?;
                return Ok(Ending::Interrupted);
            }
        }
        Ok(if self.has_no_better() { Ending::NoBetter } else { Ending::Finished })
    }

    fn has_no_better(&self) -> bool {
        let Some(patience) = self.options.patience else { return false };
        let scores: Vec<f64> = self.epochs.iter().filter_map(EpochReport::score).collect();
        let best = (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        best.is_some_and(|best| (scores.len() - 1 - best) as u64 >= patience)
    }

    fn end_epoch(&mut self, held_out: Option<&FaceSet>) -> Result<EpochReport> {
        let (loss, active, count) = std::mem::take(&mut self.sums);
        let rows = held_out.map(|faces| self.embed(faces)).transpose()?;
        // A teacher's faces need not have people's names.
        let measured = rows.as_ref().zip(held_out).filter(|(_, held_out)| held_out.people_count() > 1);
        let validation = measured.map(|(rows, held_out)| validate(rows, held_out.people())).transpose()?;
        let taught = rows.as_ref().zip(held_out).filter(|(_, held_out)| !held_out.targets().is_empty());
        let is_triplet = matches!(self.options.objective, Objective::Triplet { .. });
        let report = EpochReport {
            epoch: self.epochs.len() as u64 + 1,
            loss: loss / count.max(1) as f64,
            active: is_triplet.then(|| active / count.max(1) as f64),
            validation,
            agreement: taught.and_then(|(rows, held_out)| agreement(rows, held_out.targets())),
        };
        if let Some(now) = report.score() {
            let before = self.epochs.iter().filter_map(EpochReport::score);
            if self.options.patience.is_some() && now > before.fold(f64::MIN, f64::max) {
                self.best = self.result().map_err(failed("keeping the best weights"))?;
            }
        }
        self.epochs.push(report.clone());
        Ok(report)
    }

    /// The next step. Where it fails, parameters and running statistics are those from before it.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn step(&mut self, faces: &FaceSet) -> Result<StepReport> {
        if faces.len() != self.count {
            return Err(other_faces(faces));
        }
        let step = self.steps_done();
        let per_epoch = self.sampler.batches() as u64;
        let epoch = step / per_epoch;
        if self.batches.as_ref().is_none_or(|(of, _)| *of != epoch) {
            self.batches = Some((epoch, self.sampler.epoch(epoch)));
        }
        let batch = self.batches.as_ref().map(|(_, b)| b[(step % per_epoch) as usize].clone()).unwrap_or_default();
        let before: Vec<(Var, Tensor)> = self
            .parameters
            .running
            .values()
            .map(|var| Ok((var.clone(), var.as_detached_tensor().copy()?)))
            .collect::<TensorResult<_>>()
            .map_err(failed("a step of training"))?;
        let done = self.learn(faces, &batch, step, epoch);
        if done.is_err() {
            before.iter().try_for_each(|(var, value)| var.set(value)).map_err(failed("a step of training"))?;
        }
        let report = done?;
        self.sums.0 += report.loss;
        self.sums.1 += report.active.unwrap_or(0.0);
        self.sums.2 += 1;
        Ok(report)
    }

    fn learn(&mut self, faces: &FaceSet, batch: &[usize], step: u64, epoch: u64) -> Result<StepReport> {
        let chips = self.shown(faces, batch, step)?;
        let labels: Vec<usize> = batch.iter().map(|&at| self.numbers[&faces.people()[at]]).collect();
        let targets: Vec<&[f32]> = batch.iter().filter_map(|&at| faces.targets().get(at)).map(Vec::as_slice).collect();
        let batch_of = Batch { labels: &labels, targets: &targets, epoch };
        let mut parts: Vec<&[Raster]> = chips.chunks(self.options.part.max(2)).collect();
        // A last part of one face would have no variance: it goes with the part before.
        if let [.., before, last] = parts[..]
            && last.len() < 2
        {
            parts.truncate(parts.len() - 2);
            parts.push(&chips[chips.len() - before.len() - last.len()..]);
        }
        let judged = self.gradients(&parts, &batch_of).map_err(failed("a step of training"))?;
        let Judged { mut gradients, loss, active, spread } = judged;
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { step, what: "the loss".to_string() }.into());
        }
        let norm = norm(&gradients, step)?;
        let rate = self.options.schedule.rate(self.options.rate, step, self.steps(), self.options.warm_up);
        let mut moved = || -> TensorResult<()> {
            if let Some(most) = self.options.clip {
                clip(&mut gradients, norm, most)?;
            }
            self.optimiser.step(&gradients, rate)?;
            match &mut self.average {
                Some(average) => average.update(self.parameters.learnt.iter()),
                None => Ok(()),
            }
        };
        moved().map_err(failed("a step of training"))?;
        Ok(StepReport { step, steps: self.steps(), loss, active, spread, norm, rate, faces: batch.len() })
    }

    /// The chips of a batch, augmented.
    fn shown(&self, faces: &FaceSet, batch: &[usize], step: u64) -> Result<Vec<Raster>> {
        use rand::SeedableRng;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(self.options.seed);
        // Streams from the top: those from the bottom draw batches.
        rng.set_stream(u64::MAX - step);
        let mut chip = |&at: &usize| match self.options.augment {
            true => Ok(augmented(&faces.chips()[at], &mut rng)?),
            false => Ok(faces.chips()[at].clone()),
        };
        batch.iter().map(&mut chip).collect()
    }

    fn input(&self, chips: &[Raster]) -> TensorResult<Tensor> {
        let (width, height) = self.network.chip_size();
        let plane = |chip: &Raster, c: usize| {
            chip.data().iter().skip(c).step_by(3).map(|&v| (f32::from(v) - MEAN) / SCALE).collect::<Vec<f32>>()
        };
        let values: Vec<f32> = chips.iter().flat_map(|chip| (0..3).flat_map(|c| plane(chip, c))).collect();
        Tensor::from_vec(values, (chips.len(), 3, height as usize, width as usize), self.device.inner())
    }

    fn forward(&self, chips: &[Raster], mode: Mode) -> TensorResult<Tensor> {
        self.network.forward(&self.input(chips)?, &self.parameters, &self.options.frozen, mode)
    }

    fn gradients(&self, parts: &[&[Raster]], batch: &Batch) -> TensorResult<Judged> {
        let taped = |part: &[Raster]| self.network.taped(&self.input(part)?, &self.parameters, &self.options.frozen);
        if let [whole] = parts {
            let (raw, tape) = taped(whole)?;
            let (mut judged, outer) = self.judged(raw, batch)?;
            judged.gradients.extend(tape.backward(&outer)?);
            return Ok(judged);
        }
        let rehearsed =
            parts.iter().map(|part| self.forward(part, Mode::Rehearsal)).collect::<TensorResult<Vec<_>>>()?;
        let (mut judged, outer) = self.judged(Tensor::cat(&rehearsed, 0)?, batch)?;
        let mut first = 0;
        for part in parts {
            for (name, gradient) in taped(part)?.1.backward(&outer.narrow(0, first, part.len())?)? {
                let sum = match judged.gradients.remove(&name) {
                    Some(before) => (before + gradient)?,
                    None => gradient,
                };
                judged.gradients.insert(name, sum.detach());
            }
            first += part.len();
        }
        Ok(judged)
    }

    /// What a batch of raw embeddings comes to, with the head's gradients and those of the embeddings.
    fn judged(&self, raw: Tensor, batch: &Batch) -> TensorResult<(Judged, Tensor)> {
        let raw = Var::from_tensor(&raw)?;
        let (loss, active, spread) = self.judge(&raw, batch)?;
        let mut store = loss.backward()?;
        let head = self.head.iter().filter_map(|(name, var)| Some((name.clone(), store.remove(var)?)));
        let gradients: Gradients = head.collect();
        let outer = store.remove(&raw).map_or_else(|| raw.zeros_like(), Ok)?;
        Ok((Judged { gradients, loss: f64::from(loss.to_scalar::<f32>()?), active, spread }, outer.detach()))
    }

    /// The loss of a batch's raw embeddings, the share of active triplets and the mean squared distance.
    fn judge(&self, raw: &Tensor, batch: &Batch) -> TensorResult<(Tensor, Option<f64>, f64)> {
        let Batch { labels, targets, epoch } = *batch;
        let unit = unit_rows(raw)?;
        let distances = squared_distances(&unit.detach().flatten_all()?.to_vec1::<f32>()?, self.network.dimension());
        let pairs = (labels.len() * labels.len().saturating_sub(1)).max(1) as f64;
        let spread = distances.iter().map(|d| f64::from(*d)).sum::<f64>() / pairs;
        match self.options.objective {
            Objective::Triplet { mining, margin, semi_hard_epochs } => {
                let rule = if epoch < semi_hard_epochs { Mining::SemiHard } else { mining };
                let mined = mine(&distances, labels, rule, margin as f32);
                Ok((triplet(&unit, &mined.triplets, margin)?, Some(mined.active_share()), spread))
            }
            Objective::Head(head) => {
                let directions = self.head[DIRECTIONS].as_tensor();
                let loss = head.loss(raw, directions, self.head.get(BIAS).map(|b| b.as_tensor()), labels)?;
                Ok((loss, None, spread))
            }
            Objective::Distil { relations } => {
                let shape = (targets.len(), targets.first().map_or(0, |t| t.len()));
                let teacher = Tensor::from_vec(targets.concat(), shape, self.device.inner())?;
                Ok((distil(&unit, &teacher, relations)?, None, spread))
            }
        }
    }

    /// Unit vectors of faces, by what [`Trainer::write`] would write but for the best weights of an earlier epoch.
    ///
    /// # Errors
    /// Chips of another size; a device's error.
    pub fn embed(&self, faces: &FaceSet) -> Result<Vec<Vec<f32>>> {
        fits(&self.network, faces)?;
        let averaged = self.average.as_ref().filter(|a| !a.values.is_empty()).map(|a| &a.values);
        let averaged = averaged.map(|values| self.parameters.but_learnt(values)).transpose();
        let averaged = averaged.map_err(failed("embedding"))?;
        let parameters = averaged.as_ref().unwrap_or(&self.parameters);
        let mut rows = Vec::with_capacity(faces.len());
        for chips in faces.chips().chunks(TOGETHER) {
            let embedded = || -> TensorResult<Vec<Vec<f32>>> {
                let x = self.input(chips)?;
                unit_rows(&self.network.forward(&x, parameters, &[], Mode::Inference)?)?.to_vec2()
            };
            rows.extend(embedded().map_err(failed("embedding"))?);
        }
        Ok(rows)
    }

    /// Error rates over all pairs of these faces.
    ///
    /// # Errors
    /// [`crate::error::EvalError::TooLittle`] without a pair of each kind, or for embeddings that are no numbers.
    pub fn validate(&self, faces: &FaceSet) -> Result<Validation> {
        Ok(validate(&self.embed(faces)?, faces.people())?)
    }

    /// The tensors that training has led to.
    fn result(&self) -> TensorResult<TensorMap> {
        let mut tensors = self.parameters.tensors();
        if let Some(average) = self.average.as_ref() {
            tensors.extend(average.values.clone());
        }
        tensors
            .into_iter()
            .map(|(name, tensor)| Ok((name, tensor.to_device(&candle_core::Device::Cpu)?.copy()?)))
            .collect()
    }

    /// Writes the weights, with their checksum beside: those of the best epoch where the run had patience, else the last.
    ///
    /// # Errors
    /// [`crate::error::WeightsError::Io`] where the file cannot be written, or one for tensors that are no numbers.
    pub fn write(&self, path: &Path) -> Result<Imported> {
        let tensors = match self.best.is_empty() {
            true => self.result().map_err(failed("writing weights"))?,
            false => self.best.clone(),
        };
        Ok(store(path, self.network.name(), &tensors)?)
    }

    /// Saves the run.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`]; what was saved there before is untouched.
    pub fn save(&self, path: &Path) -> Result<()> {
        let record = Record {
            network: self.network.name().to_string(),
            faces: self.faces.clone(),
            held_out: self.held_out.clone(),
            options: self.options.clone(),
            step: self.steps_done(),
            epochs: self.epochs.clone(),
            sums: self.sums,
            sha256: String::new(),
        };
        let mut tensors = BTreeMap::new();
        let mut put = |part: &str, name: &str, tensor: Tensor| drop(tensors.insert(format!("{part}/{name}"), tensor));
        let learnt = self.parameters.learnt.iter().chain(&self.head);
        learnt.for_each(|(name, var)| put("learnt", name, var.as_detached_tensor()));
        self.parameters.running.iter().for_each(|(name, var)| put("running", name, var.as_detached_tensor()));
        self.optimiser.state().iter().for_each(|(name, tensor)| put("state", name, tensor.clone()));
        self.average.iter().flat_map(|a| &a.values).for_each(|(name, tensor)| put("average", name, tensor.clone()));
        self.best.iter().for_each(|(name, tensor)| put("best", name, tensor.clone()));
        checkpoint::write(path, record, &tensors)
    }

    /// Goes on from a checkpoint of the same run: same network, faces and options, but for the number of epochs.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] for what is no whole checkpoint, [`TrainError::OtherRun`] with what differs.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        let (record, tensors) = checkpoint::read(path)?;
        let other = |what: &str, recorded: String, now: String| {
            let (path, what) = (spelled(path), what.to_string());
            if recorded == now { Ok(()) } else { Err(TrainError::OtherRun { path, what, recorded, now }) }
        };
        other("the network", record.network, self.network.name().to_string())?;
        // A run may be made longer; a cosine is then another, which its user asked for.
        let options = TrainOptions { epochs: self.options.epochs, ..record.options };
        let (recorded, now) = differing(&options, &self.options);
        other("an option", recorded, now)?;
        // After the options: another seed deals other faces, and the seed is what its user knows.
        other("the faces' sha256", record.faces, self.faces.clone())?;
        let done = record.epochs.len() as u64;
        if done > self.options.epochs {
            let asked = self.options.epochs;
            let reason = format!(
                "{done} epochs of this run are done, and {asked} are asked for; ask for at least {done}, or begin anew with \
                 another checkpoint file"
            );
            return Err(TrainError::Checkpoint { path: spelled(path), reason }.into());
        }
        let part = |part: &str| -> BTreeMap<String, Tensor> {
            let of = |(key, tensor): (&String, &Tensor)| {
                let name = key.strip_prefix(part)?.strip_prefix('/')?.to_string();
                Some((name, tensor.clone()))
            };
            tensors.iter().filter_map(of).collect()
        };
        let onto = |tensors: BTreeMap<String, Tensor>| -> TensorResult<BTreeMap<String, Tensor>> {
            tensors.into_iter().map(|(n, t)| Ok((n, t.to_device(self.device.inner())?))).collect()
        };
        let (learnt, running) = (part("learnt"), part("running"));
        let set = |vars: &mut dyn Iterator<Item = (&String, &Var)>, from: &BTreeMap<String, Tensor>| {
            for (name, var) in vars {
                match from.get(name) {
                    Some(tensor) => var.set(&tensor.to_device(self.device.inner())?)?,
                    None => candle_core::bail!("{name} is not in it"),
                }
            }
            Ok(())
        };
        let resuming = |e: candle_core::Error| -> Error {
            TrainError::Checkpoint { path: spelled(path), reason: e.to_string() }.into()
        };
        let (state, average) = (onto(part("state")).map_err(resuming)?, onto(part("average")).map_err(resuming)?);
        set(&mut self.parameters.learnt.iter().chain(&self.head), &learnt).map_err(resuming)?;
        set(&mut self.parameters.running.iter(), &running).map_err(resuming)?;
        self.optimiser.restore(record.step, state).map_err(resuming)?;
        if let Some(mean) = &mut self.average {
            mean.values = average;
        }
        self.best = part("best");
        (self.epochs, self.sums) = (record.epochs, record.sums);
        (1..).zip(&mut self.epochs).for_each(|(number, epoch)| epoch.epoch = number);
        self.held_out = record.held_out;
        Ok(())
    }
}

/// Whose faces a batch has, and what a teacher makes of them.
struct Batch<'a> {
    labels: &'a [usize],
    targets: &'a [&'a [f32]],
    epoch: u64,
}

/// What a batch came to.
struct Judged {
    gradients: Gradients,
    loss: f64,
    active: Option<f64>,
    spread: f64,
}

fn first_directions(people: usize, dimension: usize, seed: u64, device: &Device) -> TensorResult<Var> {
    use rand::{Rng, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed ^ 0x6865_6164);
    let values: Vec<f32> = (0..people * dimension).map(|_| rng.random_range(-0.1f32..0.1)).collect();
    Var::from_vec(values, (people, dimension), device.inner())
}

#[cfg(test)]
#[path = "trainer_tests.rs"]
mod tests;
