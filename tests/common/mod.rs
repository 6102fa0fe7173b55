//! What lies beside the project on some machines: labelled photos and published weights.
#![allow(dead_code)] // each test uses its part

pub mod require;

use std::path::{Path, PathBuf};

use kith::weights::{Precision, import};

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name)
}

/// A folder of labelled photos, where it is.
pub fn labelled(name: &str) -> Option<PathBuf> {
    let folder = beside("data").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    require::missing(format_args!("{} is not there", folder.display()));
    None
}

/// A weights folder with the fast pair in it, imported from the published files under the manifest's names.
pub fn fast_pair() -> Option<tempfile::TempDir> {
    let files = [("yunet", "yunet_s_640_640.onnx"), ("yunet-n", "yunet_n_dynamic.onnx")];
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in files.into_iter().chain([("mobilefacenet", "mobilefacenet_foamliu.onnx")]) {
        let file = beside("weights").join(file);
        if !file.is_file() {
            require::missing(format_args!("{} is not there", file.display()));
            return None;
        }
        let target = folder.path().join(format!("{name}.safetensors"));
        import(&[file], None, Precision::F32, &target).unwrap();
    }
    Some(folder)
}
