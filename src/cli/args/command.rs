//! The commands.

use clap::{Parser, Subcommand};

use super::common::Common;
use super::manual::{Completions, Manual};
use super::people::{BackupArgs, Check, Enroll, Forget, Identify, People, RestoreArgs};
use super::photos::{Calibrate, Compare, Detect, Embed, Verify};
use super::place::Place;
use super::store::{ExportArgs, ImportArgs, KeyArgs, Reembed, Rekey};
use super::weights::Weights;

/// kith: who is this face?
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, or the same person; 1 different people, or nobody known; 2 could not decide, or failed."
)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Say how alike the faces in two photos are, and draw it
    Compare(Compare),
    /// Say whether two photos show the same person
    Verify(Verify),
    /// Find faces: boxes, landmarks, scores
    Detect(Detect),
    /// Turn faces into vectors
    Embed(Embed),
    /// Measure a model's error rates on labelled photos and write its calibration record
    Calibrate(Calibrate),
    /// Measure accuracy and error rates on labelled photos, and report them
    Eval(super::eval::Eval),
    /// Train a model on your own photos
    Train(super::train::Train),
    /// Remember faces under a name
    Enroll(Enroll),
    /// Say who is in a photo
    Identify(Identify),
    /// List the people of a gallery, or show, rename, merge and label them
    People(People),
    /// Forget a person, or one face
    Forget(Forget),
    /// Keep a photo library: add folders, list, find what is saved twice
    Library(super::library::LibraryArgs),
    /// Group the library's faces into people; name and correct the groups
    Cluster(super::library::Cluster),
    /// Find somebody's photos in the library
    Find(super::library::Find),
    /// Say what a database holds
    Stats(Place),
    /// Check every record of a database, or repair it
    Check(Check),
    /// Make the index of a gallery anew
    Reindex(super::index::Reindex),
    /// Write a whole database into one file
    Backup(BackupArgs),
    /// Make a database out of a backup
    Restore(RestoreArgs),
    /// Write a gallery as JSON lines and .npy, for other programs
    Export(ExportArgs),
    /// Enrol what `kith export` wrote
    Import(ImportArgs),
    /// Embed a gallery's faces with another --model, from kept chips or from their photos
    Reembed(Reembed),
    /// Make a key for an encrypted database
    Key(KeyArgs),
    /// Give a database another key, encrypt it, or make it plain
    Rekey(Rekey),
    /// List, check, import and download weights
    Weights(Weights),
    /// Print what completes the command in a shell
    Completions(Completions),
    /// Print the manual's page, or write one of each command into a folder
    Man(Manual),
    /// Answer over HTTP: the face service
    #[cfg(feature = "serve")]
    Serve(super::serve::Serve),
    /// Check what the service would be started with, and say where each value comes from
    #[cfg(feature = "serve")]
    Config(super::serve::ConfigArgs),
    /// Make, list and revoke the service's API keys
    #[cfg(feature = "serve")]
    Keys(super::serve::KeysArgs),
    /// Verify or show the service's audit log
    #[cfg(feature = "serve")]
    Audit(super::serve::AuditArgs),
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::common::Common;
    use super::*;

    fn common(words: &[&str]) -> Common {
        let start = [
            "kith",
            "calibrate",
            "people",
            "-o",
            "record.json",
            "--device",
            "cpu",
            "--detector",
            "mtcnn",
            "--model",
            "dlib-resnet",
        ];
        Args::try_parse_from(start.iter().chain(words)).unwrap().common
    }

    #[test]
    fn what_is_not_said_of_precision_the_profile_says_and_records_are_measured_in_f32() {
        let engine = |words: &[&str]| common(words).engine().unwrap().precision();
        let measuring = |words: &[&str]| common(words).measuring_engine().unwrap().precision();
        let auto = engine(&["--precision", "auto"]);
        println!("auto takes {auto}");
        let profiles = ["fast", "classic"].map(|profile| engine(&["--profile", profile]));
        assert_eq!((profiles, engine(&[])), ([auto, "f32"], auto));
        assert_eq!((measuring(&["--profile", "fast"]), measuring(&["--precision", "auto"])), ("f32", auto));
    }
}
