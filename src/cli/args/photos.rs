//! What can be said of photos alone: compare, verify, detect, embed, calibrate.

use std::path::PathBuf;

use clap::Args as Group;

use super::common::{Count, Line};
use super::place::Place;

#[derive(Debug, Group)]
pub(in crate::cli) struct Compare {
    /// The first photo
    pub a: PathBuf,
    /// The second photo
    pub b: PathBuf,
    /// Write the similarity picture here (.png, .jpg, .webp, .bmp, .tif)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Lay the picture out as the first version of this program did: both photos stretched to 800x600
    #[arg(long)]
    pub seed_layout: bool,
    #[command(flatten)]
    pub count: Count,
    #[command(flatten)]
    pub line: Line,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Verify {
    /// The first photo
    pub a: PathBuf,
    /// The second photo
    pub b: PathBuf,
    /// Where a photo shows several faces, take the largest instead of refusing
    #[arg(long)]
    pub largest: bool,
    #[command(flatten)]
    pub count: Count,
    #[command(flatten)]
    pub line: Line,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Detect {
    /// The photos
    #[arg(required = true, value_name = "IMG")]
    pub images: Vec<PathBuf>,
    /// Write a copy of each photo with the faces marked, and each face's chip, into this folder
    #[arg(long, short, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Embed {
    /// The photos
    #[arg(required = true, value_name = "IMG")]
    pub images: Vec<PathBuf>,
    /// Write the vectors here: .npy (one row a face) or .json
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Embed the largest face of each photo only
    #[arg(long)]
    pub largest: bool,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct Calibrate {
    /// A folder with one folder of photos for each person; of several faces the one nearest the
    /// centre counts
    #[arg(required_unless_present_any = ["show", "from_gallery"])]
    pub people: Option<PathBuf>,
    /// Write the record here
    #[arg(long, short, value_name = "FILE", required_unless_present_any = ["show", "from_gallery"])]
    pub output: Option<PathBuf>,
    /// Measure these models, parted by commas, in place of --model: the records go into the folder -o, named by model
    /// and detector, and each photo is searched for faces once
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', conflicts_with_all = ["show", "from_gallery"])]
    pub models: Vec<String>,
    /// Measure how often the people enrolled in a gallery are taken for one another, and hold the model's record against
    /// that; no photos are needed. With -o, write the record with the gallery's own thresholds
    #[arg(long, conflicts_with_all = ["people", "show"])]
    pub from_gallery: bool,
    /// Group the people by this model's vectors, and say in the record how much more often false matches happen among
    /// people who are alike; best another model than the one measured
    #[arg(long, value_name = "NAME", conflicts_with_all = ["show", "from_gallery"])]
    pub alike_by: Option<String>,
    /// Measure nothing: show the record that the model has now
    #[arg(long, conflicts_with_all = ["people", "output", "source"])]
    pub show: bool,
    /// What to say of the photos' origin in the record
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    #[command(flatten)]
    pub place: Place,
}
