//! Which file of the sources names something of which other file: read from `use` trees and paths, with re-exports
//! followed to the file that defines what they name.
//!
//! `mod child;` and `pub use child::Thing;` alone tie a parent to nothing: they say where things are. Whatever else a
//! file names is an edge. Methods are found by type and not by path, so an `impl` of a parent's type in a child's file
//! is an edge from the child only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A `use` of one name.
#[derive(Debug, Clone)]
struct Import {
    path: Vec<String>,
    name: String,
    public: bool,
}

/// A source file without its tests.
#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    /// Names that it defines.
    items: BTreeSet<String>,
    imports: Vec<Import>,
    /// Paths of two or more parts outside `use`.
    paths: Vec<Vec<String>>,
    /// First parts of paths outside `use`.
    words: BTreeSet<String>,
}

/// The modules of a crate by their path beneath its root (`["serve", "state"]`).
#[derive(Debug)]
pub struct Imports(BTreeMap<Vec<String>, Module>);

impl Imports {
    /// Reads every file that the crate's root reaches with `mod`, but for tests.
    pub fn read(root: &Path) -> Self {
        let mut modules = BTreeMap::new();
        let mut todo = vec![(Vec::new(), root.to_path_buf())];
        while let Some((at, file)) = todo.pop() {
            let module = Module::read(&file);
            let folder = match file.file_stem().unwrap().to_str().unwrap() {
                "mod" | "lib" => file.parent().unwrap().to_path_buf(),
                stem => file.parent().unwrap().join(stem),
            };
            for child in &module.children {
                let path = [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
                let path = path.into_iter().find(|p| p.is_file());
                let path = path.unwrap_or_else(|| panic!("{child} of {} has no file", file.display()));
                todo.push(([&at[..], std::slice::from_ref(child)].concat(), path));
            }
            modules.insert(at, module);
        }
        Self(modules)
    }

    /// Each file, and the files that it names something of.
    pub fn edges(&self) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
        let edges = self.0.iter().map(|(at, module)| {
            let mut to: BTreeSet<PathBuf> = self.named(at).iter().map(|m| self.0[m].file.clone()).collect();
            to.remove(&module.file);
            (module.file.clone(), to)
        });
        edges.collect()
    }

    /// Each file, and the rooms (the first part of a module's path) that its imports and paths name.
    pub fn rooms(&self) -> BTreeMap<PathBuf, BTreeSet<String>> {
        let rooms = self.0.iter().map(|(at, module)| {
            let imports = module.imports.iter().map(|i| &i.path);
            let whole = imports.chain(&module.paths).filter_map(|p| self.whole(at, p, 0));
            (module.file.clone(), whole.filter_map(|p| p.first().cloned()).collect())
        });
        rooms.collect()
    }

    fn named(&self, at: &[String]) -> BTreeSet<Vec<String>> {
        let module = &self.0[at];
        let mut to = BTreeSet::new();
        for import in &module.imports {
            // Of a module that is imported by name, what counts is what is named by it.
            let through = module.paths.iter().any(|p| p[0] == import.name);
            let named = module.words.contains(&import.name);
            let module_only = through && self.whole(at, &import.path, 0).is_some_and(|p| self.0.contains_key(&p));
            if !module_only && (named || !import.public) {
                to.extend(self.resolve(at, &import.path, 0));
            }
        }
        for path in &module.paths {
            to.extend(self.resolve(at, path, 0));
        }
        to
    }

    /// The path from the crate's root, where it is one of this crate.
    fn whole(&self, at: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let module = &self.0[at];
        let mut base = at.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|p| p == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            first if module.children.contains(first) => {}
            first => {
                let import = module.imports.iter().find(|i| i.name == first && i.path != path && depth < 8)?;
                return self.whole(at, &[&import.path[..], &path[1..]].concat(), depth + 1);
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The module that defines what the path names.
    fn resolve(&self, at: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let whole = self.whole(at, path, 0)?;
        let mut here = Vec::new();
        for (i, part) in whole.iter().enumerate() {
            let module = &self.0[&here];
            if module.items.contains(part) || depth > 16 {
                return Some(here);
            }
            if module.children.contains(part) {
                here.push(part.clone());
                continue;
            }
            let Some(import) = module.imports.iter().find(|i| i.name == *part) else { return Some(here) };
            let onward = [&import.path[..], &whole[i + 1..]].concat();
            return self.resolve(&here, &onward, depth + 1);
        }
        Some(here)
    }
}

impl Module {
    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let tokens = tokens(&text);
        let mut module = Self { file: file.to_path_buf(), ..Self::default() };
        let (mut i, mut deep) = (0, 0_usize);
        while i < tokens.len() {
            let token = tokens[i].as_str();
            let next = tokens.get(i + 1).map_or("", String::as_str);
            match token {
                "{" => deep += 1,
                "}" => deep -= 1,
                // What is only there in tests: to the end of the item.
                "#" if only_in_tests(&tokens[i..]) => {
                    i = end_of_item(&tokens, i + tokens[i..].iter().position(|t| t == "]").unwrap() + 1);
                    continue;
                }
                "mod" if is_name(next) => {
                    let inline = tokens.get(i + 2).is_some_and(|t| t == "{");
                    // A file that is elsewhere (a migration) knows only what it is told by its path.
                    let elsewhere = tokens[..i].ends_with(&["#", "[", "path", "=", "]"].map(String::from));
                    if inline || elsewhere {
                        module.items.insert(next.to_string());
                    } else {
                        module.children.insert(next.to_string());
                    }
                    i += 2;
                    continue;
                }
                // `pub(in path)` says who may see it, and names nothing.
                "pub" if next == "(" && tokens.get(i + 2).is_some_and(|t| t == "in") => {
                    i += tokens[i..].iter().position(|t| t == ")").unwrap() + 1;
                    continue;
                }
                "use" if next != "<" => {
                    let end = i + tokens[i..].iter().position(|t| t == ";").unwrap();
                    let public = i > 0 && (tokens[i - 1] == "pub" || tokens[i - 1] == ")");
                    tree(&tokens[i + 1..end], &[], public, &mut module.imports);
                    i = end + 1;
                    continue;
                }
                "struct" | "enum" | "trait" | "fn" | "const" | "static" | "type" | "union" if is_name(next) => {
                    // Those within braces are methods, and names of a function's own.
                    if deep == 0 {
                        module.items.insert(next.to_string());
                    }
                    i += 2;
                    continue;
                }
                _ => {}
            }
            if is_name(token) {
                let mut path = vec![token.to_string()];
                while tokens.get(i + 1).is_some_and(|t| t == "::") && tokens.get(i + 2).is_some_and(|t| is_name(t)) {
                    path.push(tokens[i + 2].clone());
                    i += 2;
                }
                // A field, a parameter or a method is no use of what has the same name.
                let own = i > 0 && tokens[i - 1] == "." || next == ":";
                if path.len() > 1 || !own {
                    module.words.insert(path[0].clone());
                }
                if path.len() > 1 {
                    module.paths.push(path);
                }
            }
            i += 1;
        }
        module
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Whether an attribute begins here that leaves its item out where nothing is tested.
fn only_in_tests(tokens: &[String]) -> bool {
    let begins = |with: &[&str]| tokens.iter().zip(with).all(|(t, w)| t == w);
    begins(&["#", "[", "cfg", "(", "test", ")"]) || begins(&["#", "[", "cfg", "(", "all", "(", "test", ","])
}

/// Where the item ends that begins here: after its `;`, or after its outermost braces.
fn end_of_item(tokens: &[String], from: usize) -> usize {
    let mut deep = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(from) {
        match token.as_str() {
            "{" | "(" | "[" => deep += 1,
            "}" | ")" | "]" => deep = deep.saturating_sub(1),
            _ => {}
        }
        if deep == 0 && (token == ";" || token == "}") {
            return i + 1;
        }
    }
    tokens.len()
}

/// The imports of a `use` tree.
fn tree(tokens: &[String], before: &[String], public: bool, into: &mut Vec<Import>) {
    let mut path = before.to_vec();
    let mut name = None;
    let mut i = 0;
    while i < tokens.len() {
        match tokens[i].as_str() {
            "{" => {
                let inner = &tokens[i + 1..tokens.len() - 1];
                let mut deep = 0_usize;
                for part in inner.split(|t| {
                    match t.as_str() {
                        "{" => deep += 1,
                        "}" => deep -= 1,
                        _ => {}
                    }
                    deep == 0 && t == ","
                }) {
                    tree(part, &path, public, into);
                }
                return;
            }
            "as" => {
                name = tokens.get(i + 1).cloned();
                i += 1;
            }
            "self" if !path.is_empty() => {}
            "*" => {
                path.push("*".to_string());
            }
            "::" => {}
            part => path.push(part.to_string()),
        }
        i += 1;
    }
    if path.len() > before.len() || !tokens.is_empty() {
        let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
        into.push(Import { path, name, public });
    }
}

/// Names, `::` and single marks; without comments, texts and characters.
fn tokens(text: &str) -> Vec<String> {
    let c: Vec<char> = text.chars().collect();
    let at = |i: usize| c.get(i).copied().unwrap_or(' ');
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < c.len() {
        match c[i] {
            '/' if at(i + 1) == '/' => {
                while i < c.len() && c[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                while i < c.len() && !(c[i] == '*' && at(i + 1) == '/') {
                    i += 1;
                }
                i += 2;
            }
            'r' if at(i + 1) == '"' || (at(i + 1) == '#' && (at(i + 2) == '"' || at(i + 2) == '#')) => {
                let marks = c[i + 1..].iter().take_while(|m| **m == '#').count();
                i += 2 + marks;
                while i < c.len() && !(c[i] == '"' && (1..=marks).all(|m| at(i + m) == '#')) {
                    i += 1;
                }
                i += 1 + marks;
            }
            '"' => {
                i += 1;
                while i < c.len() && c[i] != '"' {
                    i += if c[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character; a lifetime has no second mark.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < c.len() && c[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => {
                i += 1;
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
            }
            ':' if at(i + 1) == ':' => {
                tokens.push("::".to_string());
                i += 2;
            }
            m if m.is_whitespace() => i += 1,
            m if m.is_alphanumeric() || m == '_' => {
                let word: String = c[i..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                i += word.chars().count();
                tokens.push(word);
            }
            m => {
                tokens.push(m.to_string());
                i += 1;
            }
        }
    }
    tokens
}

/// The rings among the files: each set of files of which every one leads to every other.
pub fn circles(edges: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Vec<BTreeSet<PathBuf>> {
    let reach: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = edges
        .keys()
        .map(|from| {
            let mut seen = BTreeSet::new();
            let mut todo = vec![from];
            while let Some(file) = todo.pop() {
                todo.extend(edges.get(file).into_iter().flatten().filter(|to| seen.insert(*to)));
            }
            (from, seen)
        })
        .collect();
    let mut circles: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (from, seen) in &reach {
        let ring: BTreeSet<PathBuf> =
            seen.iter().filter(|to| reach.get(*to).is_some_and(|r| r.contains(*from))).map(|f| (*f).clone()).collect();
        if ring.len() > 1 && !circles.contains(&ring) {
            circles.push(ring);
        }
    }
    circles
}
