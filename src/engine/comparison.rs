//! Two photos, all faces against all faces.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::seen::{self, SeenFace};
use crate::detect::Detection;
use crate::error::{GateRefusal, RefusalError, Result};
use crate::geometry::FaceQuality;
use crate::json::json;
use crate::pipeline::{Face, StageTimes};
use crate::verify::{Calibration, Decision, Judge, Policy, Verdict, percent_text};

/// One photo of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct SideFaces {
    /// Where the photo came from.
    pub photo: String,
    /// Width of the upright photo in pixels.
    pub width: u32,
    /// Height of the upright photo in pixels.
    pub height: u32,
    /// The faces that count, most confident first.
    pub faces: Vec<Face>,
    /// How good the picture of each is.
    pub quality: Vec<FaceQuality>,
    /// Why each would not be enrolled, where it would not.
    pub refusals: Vec<Option<GateRefusal>>,
    /// Boxes that do not count.
    pub passed_over: Vec<Detection>,
    /// Time of each stage; the two photos run at once.
    pub times: StageTimes,
    /// Time of all stages together in milliseconds.
    pub total_ms: f64,
}

/// How alike two faces are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoredPair {
    /// Index of the face in the left photo.
    pub left: usize,
    /// Index of the face in the right photo.
    pub right: usize,
    /// Euclidean distance between the unit vectors, 0 to 2.
    pub distance: f32,
    /// Similarity in percent, 0 to 100, as in [`Verdict::similarity`].
    pub similarity: Option<f32>,
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ComparisonOutcome {
    /// The best pair was judged.
    Decided(Verdict),
    /// It could not be decided; never a match.
    Undecided(RefusalError),
}

/// The answer to "how alike are the faces in these two photos?".
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The first photo.
    pub left: SideFaces,
    /// The second photo.
    pub right: SideFaces,
    /// Every pair, left face by left face.
    pub pairs: Vec<ScoredPair>,
    /// Index of the nearest pair.
    pub best: Option<usize>,
    /// The judgement of the nearest pair.
    pub outcome: ComparisonOutcome,
}

/// Times of a comparison in milliseconds, as a command fills them in.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct ComparisonTimes {
    /// Loading the networks.
    pub load_ms: f64,
    /// Reading and decoding both photos.
    pub decode_ms: f64,
    /// Detecting, aligning and embedding both photos, at once, and scoring.
    pub compare_ms: f64,
    /// Drawing the picture.
    pub draw_ms: f64,
    /// Encoding and writing the picture.
    pub write_ms: f64,
    /// All of it.
    pub total_ms: f64,
}

pub(super) fn score(
    left: SideFaces,
    right: SideFaces,
    judge: Result<Judge, RefusalError>,
    calibration: Option<&Calibration>,
    accept_poor: bool,
) -> Result<Comparison> {
    // A judge that cannot decide must not keep the pairs from being scored for the picture; the
    // threshold of this stand-in goes nowhere.
    let scorer = match (&judge, left.faces.first()) {
        (Ok(judge), _) => Some(judge.clone()),
        (Err(_), Some(face)) => Judge::new(face.embedding.model(), calibration, Policy::Distance(2.0)).ok(),
        (Err(_), None) => None,
    };
    let mut pairs = Vec::with_capacity(left.faces.len() * right.faces.len());
    if let Some(scorer) = scorer {
        for (i, a) in left.faces.iter().enumerate() {
            for (j, b) in right.faces.iter().enumerate() {
                let verdict = scorer.judge(&a.embedding, &b.embedding)?;
                pairs.push(ScoredPair {
                    left: i,
                    right: j,
                    distance: verdict.distance,
                    // Beside no decision stands no percentage: its half would be nothing's threshold.
                    similarity: verdict.similarity.filter(|_| judge.is_ok()),
                });
            }
        }
    }
    let best = (0..pairs.len()).min_by(|&a, &b| pairs[a].distance.total_cmp(&pairs[b].distance));
    let empty = [&left, &right].into_iter().find(|side| side.faces.is_empty());
    let outcome = match (empty, judge, best) {
        (Some(side), ..) => ComparisonOutcome::Undecided(RefusalError::NoFace { photo: side.photo.clone() }),
        (None, Err(refusal), _) => ComparisonOutcome::Undecided(refusal),
        (None, Ok(judge), Some(best)) => {
            let ScoredPair { left: i, right: j, .. } = pairs[best];
            let poor = |side: &SideFaces, at: usize| side.refusals.get(at).cloned().flatten();
            match seen::poor_faces((&left.photo, poor(&left, i)), (&right.photo, poor(&right, j))) {
                Some(refusal) if !accept_poor => ComparisonOutcome::Undecided(refusal),
                _ => ComparisonOutcome::Decided(judge.judge(&left.faces[i].embedding, &right.faces[j].embedding)?),
            }
        }
        (None, Ok(_), None) => ComparisonOutcome::Undecided(RefusalError::NoFace { photo: left.photo.clone() }),
    };
    Ok(Comparison { left, right, pairs, best, outcome })
}

impl Comparison {
    /// The verdict, where there is one.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.outcome {
            ComparisonOutcome::Decided(verdict) => Some(verdict),
            ComparisonOutcome::Undecided(_) => None,
        }
    }

    /// The nearest pair, where there is one.
    pub fn best_pair(&self) -> Option<&ScoredPair> {
        self.best.map(|at| &self.pairs[at])
    }

    /// The two faces of the nearest pair: the left one, and the right one.
    pub fn nearest(&self) -> Option<[SeenFace; 2]> {
        let pair = self.best_pair()?;
        Some([self.left.seen(pair.left)?, self.right.seen(pair.right)?])
    }

    /// Chance that the nearest of all pairs is a false match, when no face appears in both photos: at
    /// most the threshold's rate once for every pair.
    pub fn fmr_over_all_pairs(&self) -> Option<f64> {
        let rate = self.verdict()?.threshold.fmr?;
        Some((rate * self.pairs.len() as f64).min(1.0))
    }

    /// The verdict in two short lines: what it is, and what it rests on.
    pub fn caption(&self) -> [String; 2] {
        match &self.outcome {
            ComparisonOutcome::Undecided(refusal) => ["Undecided".to_string(), refusal.to_string()],
            ComparisonOutcome::Decided(v) => {
                let answer = match v.decision {
                    Decision::Same => "Same person",
                    Decision::Different => "Different people",
                };
                let rate = match (v.threshold.fmr, self.fmr_over_all_pairs()) {
                    (Some(_), Some(all)) if self.pairs.len() > 1 => {
                        format!(", false-match rate {} over {} pairs", rate(all), self.pairs.len())
                    }
                    (Some(one), _) => format!(", false-match rate {}", rate(one)),
                    _ => String::new(),
                };
                let rate = if v.threshold.extrapolated { format!("{rate} (extrapolated)") } else { rate };
                let name = v.model.as_str().split('/').next().unwrap_or_default();
                [
                    match v.similarity {
                        Some(percent) => format!("{answer}: {} alike", percent_text(percent, 1)),
                        None => format!("{answer}: cosine {:.3}", v.cosine),
                    },
                    format!("distance {:.3}, threshold {:.3}{rate}, {name}", v.distance, v.threshold.distance),
                ]
            }
        }
    }
}

/// A rate as people say it: `1 in 1000`.
fn rate(rate: f64) -> String {
    format!("1 in {:.0}", 1.0 / rate)
}

impl SideFaces {
    /// A face as it was seen.
    fn seen(&self, at: usize) -> Option<SeenFace> {
        let f = self.faces.get(at)?;
        let found = Detection { bbox: f.bbox, score: f.score, landmarks: f.landmarks, turned: f.turned };
        let refusal = self.refusals.get(at).cloned().flatten();
        Some(SeenFace::new(found, *self.quality.get(at)?, refusal, self.passed_over.clone()))
    }
}

/// A face of a photo whose other boxes are named once.
#[derive(Serialize)]
struct SeenWithoutOthers {
    #[serde(flatten)]
    found: Detection,
    quality: FaceQuality,
    #[serde(serialize_with = "seen::named")]
    refusal: Option<GateRefusal>,
}

impl From<SeenFace> for SeenWithoutOthers {
    fn from(SeenFace { found, quality, refusal, .. }: SeenFace) -> Self {
        Self { found, quality, refusal }
    }
}

struct SideWithoutTemplates<'a>(&'a SideFaces);

/// A printed comparison shows where the faces are, never the templates themselves.
impl Serialize for SideWithoutTemplates<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let side = self.0;
        let faces: Vec<SeenWithoutOthers> =
            (0..side.faces.len()).filter_map(|at| side.seen(at)).map(Into::into).collect();
        let mut out = serializer.serialize_struct("Side", 7)?;
        out.serialize_field("photo", &side.photo)?;
        out.serialize_field("width", &side.width)?;
        out.serialize_field("height", &side.height)?;
        out.serialize_field("faces", &faces)?;
        out.serialize_field("passed_over", &side.passed_over)?;
        out.serialize_field("times", &side.times)?;
        out.serialize_field("total_ms", &side.total_ms)?;
        out.end()
    }
}

impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Comparison", 8)?;
        out.serialize_field("left", &SideWithoutTemplates(&self.left))?;
        out.serialize_field("right", &SideWithoutTemplates(&self.right))?;
        out.serialize_field("pairs", &self.pairs)?;
        out.serialize_field("best", &self.best)?;
        out.serialize_field("fmr_over_all_pairs", &self.fmr_over_all_pairs())?;
        out.serialize_field("verdict", &self.verdict())?;
        let undecided = match &self.outcome {
            ComparisonOutcome::Decided(_) => None,
            ComparisonOutcome::Undecided(refusal) => {
                Some(json!({ "code": refusal.code(), "reason": refusal.to_string() }))
            }
        };
        out.serialize_field("undecided", &undecided)?;
        out.serialize_field("caption", &self.caption())?;
        out.end()
    }
}
