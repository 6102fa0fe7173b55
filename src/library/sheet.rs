//! Groups and photos as an HTML page of one file, with the faces' pictures in it.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{FoundPhoto, GroupSummary, Library};
use crate::database::Database;
use crate::error::Result;

/// Faces of a group that are shown.
const SHOWN: usize = 12;

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.4 system-ui,sans-serif;margin:1.5rem;max-width:80rem}\
h1{font-size:1.5rem}section{margin:0 0 1.5rem;border-top:1px solid #8886;padding-top:.75rem}\
h2{font-size:1.1rem;margin:0 0 .5rem}.faces{display:flex;flex-wrap:wrap;gap:.5rem;padding:0;margin:0;list-style:none}\
figure{margin:0;width:7rem}img{width:7rem;height:7rem;object-fit:cover;border-radius:.4rem;display:block}\
figcaption{font-size:.8rem;overflow-wrap:anywhere}";

impl Library<'_> {
    /// Groups as a page: each with its best face first.
    ///
    /// # Errors
    /// A store's error.
    pub fn groups_page(&self, groups: &[GroupSummary]) -> Result<String> {
        let (photos, records) = (self.photos()?, self.groups()?);
        let of: HashMap<u64, u64> =
            photos.iter().flat_map(|(id, p)| p.faces.iter().map(|f| (f.id, *id)).collect::<Vec<_>>()).collect();
        let mut body = String::new();
        for group in groups {
            let Some(record) = records.get(&group.id) else { continue };
            let mut faces: Vec<u64> = group.best_face.into_iter().collect();
            faces.extend(record.faces.iter().filter(|f| Some(**f) != group.best_face));
            let mut pictures = Vec::new();
            for face in faces.into_iter().take(SHOWN) {
                let Some(photo) = of.get(&face) else { continue };
                let path = photos[photo].files.first().map_or("", |f| f.path.as_str());
                let label = format!("face {face}, {}", base_name(path));
                pictures.push(self.picture(*photo, Some(face))?.map(|jpeg| figure(&jpeg, &label)).unwrap_or_default());
            }
            let name = group.name.as_deref().map_or_else(|| "nobody named yet".to_string(), Database::name_shown);
            body.push_str(&format!(
                "<section><h2>{}: {}</h2><p>{} faces in {} photos</p><ul class=\"faces\">{}</ul></section>\n",
                group.id,
                escaped(&name),
                group.faces,
                group.photos,
                pictures.concat()
            ));
        }
        Ok(page("People", &body))
    }

    /// Photos as a page: the faces that are in each.
    ///
    /// # Errors
    /// A store's error.
    pub fn photos_page(&self, title: &str, photos: &[FoundPhoto]) -> Result<String> {
        let mut body = String::new();
        for photo in photos {
            let pictures: BTreeMap<u64, Vec<u8>> = self.database.library_pictures(photo.id)?.into_iter().collect();
            let shown = photo.faces.iter().filter_map(|face| {
                let who = face.who.as_ref();
                let name =
                    who.map(|w| w.name.as_deref().map_or_else(|| format!("group {}", w.group), Database::name_shown));
                Some(figure(pictures.get(&face.id)?, &name.unwrap_or_else(|| format!("face {}", face.id))))
            });
            let shown: String = shown.collect();
            let file = photo.files.first().map_or("", String::as_str);
            let taken = photo.taken.as_deref().unwrap_or("no date");
            body.push_str(&format!(
                "<section><h2>{}</h2><p>{}</p><ul class=\"faces\">{shown}</ul></section>\n",
                escaped(file),
                escaped(&taken.replace('T', " ")),
            ));
        }
        Ok(page(title, &body))
    }

    /// The picture of a face of a photo, as JPEG.
    fn picture(&self, photo: u64, face: Option<u64>) -> Result<Option<Vec<u8>>> {
        let pictures = self.database.library_pictures(photo)?;
        Ok(pictures.into_iter().find(|(id, _)| Some(*id) == face).map(|(_, jpeg)| jpeg))
    }
}

fn figure(jpeg: &[u8], label: &str) -> String {
    let (data, label) = (STANDARD.encode(jpeg), escaped(label));
    format!(
        "<li><figure><img src=\"data:image/jpeg;base64,{data}\" alt=\"{label}\" loading=\"lazy\">\
         <figcaption>{label}</figcaption></figure></li>"
    )
}

fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n{body}</main></body></html>\n"
    )
}

fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
