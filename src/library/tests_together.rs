//! Corrections that meet: photos away, commands at once, faces that were said to be none, names that look like numbers.

use std::collections::BTreeSet;

use super::tests::*;
use super::*;
use crate::gallery::{LibraryChange, PhotoChange};

#[test]
fn faces_whose_photos_are_away_or_another_models_stay_where_somebody_put_them() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    added(&database, &family());
    let first = group(&library);
    let id = first[0].id.to_string();
    library.name(&id, "Ada", false).unwrap();
    let whole = faces(&library)[&first[0].id].clone();
    // A third of the photos goes away, or are looked at with another model; then they are back.
    let some: Vec<(u64, PhotoRecord)> = library.photos().unwrap().into_iter().step_by(3).collect();
    let put = |change: &dyn Fn(&mut PhotoRecord)| {
        let change = |(id, record): &(u64, PhotoRecord)| {
            let mut record = record.clone();
            change(&mut record);
            PhotoChange { id: Some(*id), record: Some(record), pictures: None, like: Vec::new() }
        };
        let photos = some.iter().map(change).collect();
        database.library_change(LibraryChange { photos, ..LibraryChange::default() }).unwrap();
    };
    for change in [&|p: &mut PhotoRecord| p.files[0].missing = true, &|p: &mut PhotoRecord| p.model = "n/0/t".into()]
        as [&dyn Fn(&mut PhotoRecord); 2]
    {
        put(change);
        let now = group(&library);
        assert!(now.iter().any(|g| g.name.as_deref() == Some("Ada")), "{now:?}");
        assert_eq!(faces(&library)[&first[0].id], whole);
        put(&|_| ());
        group(&library);
        assert_eq!(faces(&library)[&first[0].id], whole);
    }
}

#[test]
fn of_commands_at_once_none_is_lost_and_no_face_is_in_two_groups() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    added(&database, &family());
    let of = |g: &GroupSummary| faces(&library)[&g.id].iter().copied().collect::<Vec<u64>>();
    let named: Vec<u64> = group(&library).iter().take(2).flat_map(of).take(12).collect();
    std::thread::scope(|scope| {
        for face in &named {
            scope.spawn(move || library.name_face(*face, &format!("P{face}")).unwrap());
        }
        scope.spawn(|| group(&library));
        scope.spawn(|| group(&library));
    });
    group(&library);
    let groups = library.groups().unwrap();
    for face in named {
        let of: Vec<&GroupRecord> = groups.values().filter(|g| g.faces.contains(&face)).collect();
        assert!(of.len() == 1 && of[0].name == format!("P{face}"), "{face}: {of:?}");
    }
    // A change that was made of groups as they are no more is refused.
    let (made_of, _) = library.groups_to_change().unwrap();
    library.hide(&groups.keys().next().unwrap().to_string(), true).unwrap();
    let change = LibraryChange { made_of, ..LibraryChange::default() };
    let refused = database.library_change(change).unwrap_err();
    assert_eq!(refused.code(), "library.changed_meanwhile");
}

#[test]
fn what_is_said_to_be_no_face_while_its_photo_is_looked_at_again_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    let (id, numbers) = added(&database, &[(1, vec![1, 2])]).remove(0);
    let scanned = library.photos().unwrap().remove(&id).unwrap();
    library.not_a_face(numbers[0]).unwrap();
    let photos = vec![PhotoChange { id: Some(id), record: Some(scanned), pictures: None, like: Vec::new() }];
    database.library_change(LibraryChange { photos, ..LibraryChange::default() }).unwrap();
    let record = library.photos().unwrap().remove(&id).unwrap();
    assert_eq!(record.faces.iter().map(|f| f.no_face).collect::<Vec<_>>(), [true, false]);
    let refused = library.name_face(numbers[0], "Ada").unwrap_err();
    assert_eq!(refused.code(), "library.unknown_face");
}

#[test]
fn a_face_that_was_said_to_be_none_is_one_again_also_when_it_is_looked_at_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    let (id, numbers) = added(&database, &[(1, vec![1, 2])]).remove(0);
    library.not_a_face(numbers[0]).unwrap();
    let scanned = library.photos().unwrap().remove(&id).unwrap();
    let none: Vec<u64> = library.album().unwrap().no_faces().iter().map(|f| f.id).collect();
    assert_eq!(none, [numbers[0]]);
    assert_eq!(library.a_face_again(u64::MAX).unwrap_err().code(), "library.unknown_face");
    library.a_face_again(numbers[1]).unwrap();
    assert_eq!(library.album().unwrap().no_faces().len(), 1, "nobody said that the other was none");
    library.a_face_again(numbers[0]).unwrap();
    let photos = vec![PhotoChange { id: Some(id), record: Some(scanned), pictures: None, like: Vec::new() }];
    database.library_change(LibraryChange { photos, ..LibraryChange::default() }).unwrap();
    assert!(library.album().unwrap().no_faces().is_empty());
    assert_eq!(library.name_face(numbers[0], "Ada").unwrap().faces, 1);
}

#[test]
fn what_hangs_on_photos_is_told_before_they_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    let photos = added(&database, &family());
    group(&library);
    library.name_face(photos[19].1[0], "Linus").unwrap();
    library.name_face(photos[0].1[0], "Ada").unwrap();
    library.name_face(photos[1].1[0], "Ada").unwrap();
    let on = |paths: &[&str], missing| {
        library.hanging_on(&paths.iter().map(Into::into).collect::<Vec<_>>(), missing).unwrap()
    };
    let all = on(&["/"], false);
    assert_eq!((all.photos, all.faces), (20, 39));
    assert_eq!(all.names.iter().map(String::as_str).collect::<BTreeSet<_>>(), ["Ada", "Linus"].into());
    // A name that others' photos have too hangs on none of them alone.
    let some = on(&["/photos/0.jpg", "/photos/19.jpg"], false);
    assert_eq!((some.photos, some.faces, some.names), (2, 3, vec!["Linus".to_string()]));
    assert_eq!(on(&["/elsewhere"], true), crate::Hanging::default());
    assert_eq!(library.remove(&["/".into()], false, false).unwrap(), (20, 39));
}

#[test]
fn names_that_look_like_numbers_are_refused_and_two_names_are_not_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path(), None);
    let library = Library::of(&database);
    added(&database, &family());
    let groups = group(&library);
    let [a, b] = [0, 1].map(|at: usize| groups[at].id.to_string());
    for name in ["412", "#412", " "] {
        assert_eq!(library.name(&a, name, false).unwrap_err().code(), "library.bad_name", "{name}");
    }
    let refused = library.group(Some("mian"), Some(&calibration()), false).unwrap_err();
    assert_eq!(refused.code(), "gallery.unknown_gallery");
    library.name(&a, "Ada", false).unwrap();
    library.name(&b, "Grace", false).unwrap();
    assert_eq!(library.merge(&a, &b).unwrap_err().code(), "library.two_names");
    let elsewhere = *faces(&library)[&groups[2].id].first().unwrap();
    assert_eq!(library.split(&a, &[elsewhere]).unwrap_err().code(), "library.not_in_group");
}
