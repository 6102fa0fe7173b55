//! The calibration records that ship with kith.

use crate::verify::Calibration;

/// Every shipped record, as the JSON that `kith calibrate` wrote.
const SHIPPED: [&str; 1] = [include_str!("../../weights/calibrations/dlib-resnet.json")];

/// The shipped record for the model of that id, if there is one.
pub(super) fn shipped_for(model: &str) -> Option<Calibration> {
    SHIPPED.iter().filter_map(|json| Calibration::parse(json).ok()).find(|record| record.model == model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_record_is_sound() {
        for json in SHIPPED {
            let record = Calibration::parse(json).unwrap();
            assert!(shipped_for(&record.model).is_some());
            assert!(record.at_fmr(Calibration::MIDPOINT_FMR).is_ok());
        }
        assert!(shipped_for("nobody/0/none").is_none());
    }
}
