//! How many faces a policy can decide among, and how many there are: beyond what the calibration record measured a
//! policy lets nobody in, so that this is to be seen before it comes to that.

use serde::Serialize;
use utoipa::ToSchema;

use super::policy::{Policies, Policy};
use crate::error::{Error, GalleryError};
use crate::verify::fpir;
use crate::{Calibration, Database, Engine, SearchPolicy};

/// How many faces a policy supports, and how many its gallery has.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyRoom {
    /// The policy's name.
    pub policy: String,
    /// The gallery that it searches.
    pub gallery: String,
    /// Its rate where nobody is named.
    pub max_fpir: Option<f64>,
    /// Faces up to which the calibration record supports that rate: `ln(1 - max_fpir) / ln(1 - FMR)` with the lowest
    /// FMR that was measured. Null where nothing bounds it: the policy takes rates beyond the record, or asks for a
    /// name.
    #[schema(value_type = Option<u64>)]
    pub supports_faces: Option<usize>,
    /// Faces in the gallery; null where that is not known.
    #[schema(value_type = Option<u64>)]
    pub has_faces: Option<usize>,
    /// Faces of one person up to which the record supports `max_fmr`, where somebody is named; null where nothing
    /// bounds it.
    #[schema(value_type = Option<u64>)]
    pub supports_faces_of_a_person: Option<usize>,
    /// Whether whoever asks without a name can be let in, as far as the number of faces goes.
    pub enough: bool,
    /// The rate that the record supports among as many faces as there are, where the policy's is too low.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fpir_needed: Option<f64>,
}

impl PolicyRoom {
    fn of(policy: &Policy, engine: &Engine, has_faces: Option<usize>) -> Self {
        let calibration = engine.calibration().filter(|_| policy.unfit(engine).is_none());
        let supported = |rate: Option<f64>| match (rate, calibration) {
            (Some(_), _) if policy.extrapolate => None,
            (Some(rate), Some(calibration)) => calibration.supports(rate).ok(),
            (Some(_), None) => Some(0),
            (None, _) => None,
        };
        let supports_faces = supported(policy.max_fpir);
        let enough = supports_faces.is_none_or(|s| s > 0 && has_faces.is_none_or(|h| h <= s));
        let lowest = calibration.and_then(Calibration::lowest_fmr);
        Self {
            policy: policy.name.clone(),
            gallery: policy.gallery.clone(),
            max_fpir: policy.max_fpir,
            supports_faces,
            has_faces,
            supports_faces_of_a_person: supported(policy.max_fmr),
            enough,
            max_fpir_needed: lowest.filter(|_| !enough).map(|fmr| fpir(fmr, has_faces.unwrap_or(0).max(1))),
        }
    }
}

impl std::fmt::Display for PolicyRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy {:?} ", self.policy)?;
        match (self.max_fpir, self.supports_faces) {
            (None, _) => write!(f, "asks for a name, and so supports any number of faces")?,
            (Some(_), None) => write!(f, "supports any number of faces, beyond what was measured")?,
            (Some(_), Some(n)) => write!(f, "supports {n} faces")?,
        }
        match self.has_faces {
            Some(n) => write!(f, ", has {n} in gallery {:?}", self.gallery)?,
            None => write!(f, ", has an unknown number in gallery {:?}", self.gallery)?,
        }
        if let Some(n) = self.supports_faces_of_a_person {
            write!(f, "; where a name is said, {n} faces of that person")?;
        }
        if let (false, Some(needed)) = (self.enough, self.max_fpir_needed) {
            write!(
                f,
                ": it lets nobody in who does not say a name; its max_fpir would have to be {needed:.2e}, or ask with a \
                 name (max_fmr)"
            )?;
        }
        Ok(())
    }
}

impl Policies {
    /// The room of every policy, or of those for one gallery.
    pub(in super::super) fn rooms(
        &self,
        engine: &Engine,
        database: Option<&Database>,
        only: Option<&str>,
    ) -> Vec<PolicyRoom> {
        let wanted = self.by_name.values().filter(|p| only.is_none_or(|gallery| p.gallery == gallery));
        wanted.map(|p| PolicyRoom::of(p, engine, database.and_then(|d| faces_in(d, &p.gallery)))).collect()
    }
}

fn faces_in(database: &Database, gallery: &str) -> Option<usize> {
    match database.searched(gallery, &SearchPolicy::default()) {
        Ok(faces) => Some(faces),
        // Enrolling into it makes it.
        Err(Error::Gallery(GalleryError::UnknownGallery { .. })) => Some(0),
        Err(_) => None,
    }
}

#[cfg(all(test, feature = "embedded-weights"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_supported_is_what_is_decided() {
        let engine = Engine::builder().build().unwrap();
        let calibration = engine.calibration().unwrap();
        let text = "[policy.a]\nliveness = false\nmax_fpir = 0.02\nmax_fmr = 0.0001\n\
                    [policy.b]\nliveness = false\nmax_fpir = 0.001\n\
                    [policy.c]\nliveness = false\nmax_fpir = 0.001\nextrapolate = true\ngallery = \"far\"\n\
                    [policy.d]\nliveness = false\nmax_fmr = 0.001\n\
                    [policy.e]\nliveness = false\nmax_fpir = 0.02\nmodel = \"other\"\n";
        let policies = Policies::parse(text, "policies.toml").unwrap();
        let rooms = policies.rooms(&engine, None, None);
        let supported: Vec<_> = rooms.iter().map(|r| r.supports_faces).collect();
        assert_eq!(supported, [Some(10_101), Some(500), None, None, Some(0)]);
        assert_eq!(rooms[0].supports_faces_of_a_person, Some(50));
        assert_eq!(policies.rooms(&engine, None, Some("far")).len(), 1);
        for (policy, most) in [("a", 10_101), ("b", 500)] {
            let rate = policies.get(policy).unwrap().max_fpir.unwrap();
            assert!(!calibration.for_search(rate, most).unwrap().extrapolated);
            assert!(calibration.for_search(rate, most + 1).unwrap().extrapolated);
        }
        let full = PolicyRoom::of(policies.get("b").unwrap(), &engine, Some(501));
        assert!(!full.enough && PolicyRoom::of(policies.get("b").unwrap(), &engine, Some(500)).enough);
        assert_eq!(
            full.to_string(),
            "policy \"b\" supports 500 faces, has 501 in gallery \"main\": it lets nobody in who does not say a name; \
             its max_fpir would have to be 1.00e-3, or ask with a name (max_fmr)"
        );
        // What it is told to say is supported.
        assert!(calibration.supports(full.max_fpir_needed.unwrap() * (1.0 + 1e-9)).unwrap() >= 501);
    }
}
