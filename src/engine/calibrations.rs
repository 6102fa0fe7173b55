//! The calibration records that ship with kith.

use crate::verify::Calibration;

/// Every shipped record, as the JSON that `kith calibrate` wrote.
const SHIPPED: [&str; 13] = [
    include_str!("../../weights/calibrations/sface-yunet.json"),
    include_str!("../../weights/calibrations/sface-mirror-yunet.json"),
    include_str!("../../weights/calibrations/sface-centerface.json"),
    include_str!("../../weights/calibrations/sface-mirror-centerface.json"),
    include_str!("../../weights/calibrations/dlib-resnet-yunet.json"),
    include_str!("../../weights/calibrations/dlib-resnet-mirror-yunet.json"),
    include_str!("../../weights/calibrations/dlib-resnet.json"),
    include_str!("../../weights/calibrations/dlib-resnet-mirror.json"),
    include_str!("../../weights/calibrations/dlib-resnet-yunet-n.json"),
    include_str!("../../weights/calibrations/sface.json"),
    include_str!("../../weights/calibrations/sface-mirror.json"),
    include_str!("../../weights/calibrations/mobilefacenet-yunet-n.json"),
    include_str!("../../weights/calibrations/mobilefacenet-mtcnn.json"),
];

/// The shipped record for the model of that id behind that detector, if there is one.
pub(super) fn shipped_for(model: &str, detector: &str) -> Option<Calibration> {
    let mut records = SHIPPED.iter().filter_map(|json| Calibration::parse(json).ok());
    records.find(|record| record.model == model && record.detector() == detector)
}

/// A shipped record for the model of that id, behind whichever detector: for what need not be exact.
pub(super) fn shipped_for_model(model: &str) -> Option<Calibration> {
    SHIPPED.iter().filter_map(|json| Calibration::parse(json).ok()).find(|record| record.model == model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_record_is_sound() {
        for json in SHIPPED {
            let record = Calibration::parse(json).unwrap();
            assert!(shipped_for(&record.model, record.detector()).is_some());
            assert!(record.at_fmr(Calibration::MIDPOINT_FMR).is_ok());
        }
        assert!(shipped_for("nobody/0/none", "mtcnn").is_none());
        assert!(shipped_for(&Calibration::parse(SHIPPED[0]).unwrap().model, "nothing").is_none());
    }
}
