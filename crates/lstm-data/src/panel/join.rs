//! Panels of several files as one.

use std::collections::HashMap;
use std::path::Path;

use super::Panel;
use crate::error::{Error, Place, Result};

/// One panel of all members.
pub(super) fn joined(mut panels: Vec<Panel>) -> Result<Panel> {
    check_steps(&panels)?;
    let several = panels.len() > 1;
    let mut files: HashMap<String, usize> = HashMap::new();
    for panel in panels.iter().filter(|_| several) {
        for member in &panel.members {
            *files.entry(member.id.clone()).or_default() += 1;
        }
    }
    let clash = |id: &str| files.get(id).is_some_and(|count| *count > 1);
    let rest = panels.split_off(panels.len().min(1));
    let Some(mut all) = panels.pop() else {
        return Err(Error::Size { what: "tables to read", expected: 1, got: 0 });
    };
    let count = rest.len();
    prefix(&mut all, several, clash);
    for mut panel in rest {
        prefix(&mut panel, several, clash);
        all.members.append(&mut panel.members);
        all.notes.append(&mut panel.notes);
        all.repairs.add(panel.repairs);
    }
    if several {
        all.file = format!("{} and {count} more", all.file);
    }
    Ok(all)
}

/// Puts the file's name before ids that stand in other files too, and before the notes.
fn prefix(panel: &mut Panel, several: bool, clash: impl Fn(&str) -> bool) {
    if !several {
        return;
    }
    let stem = Path::new(&panel.file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_else(|| panel.file.clone());
    for member in panel.members.iter_mut().filter(|member| clash(&member.id)) {
        member.id = format!("{stem}/{}", member.id);
    }
    for note in &mut panel.notes {
        *note = format!("{}: {note}", panel.file);
    }
}

/// Makes sure that all panels have one step.
fn check_steps(panels: &[Panel]) -> Result<()> {
    let Some(first) = panels.first() else { return Ok(()) };
    let words = |panel: &Panel| panel.step().map_or("unknown".to_owned(), |step| step.to_string());
    match panels.iter().find(|panel| panel.step() != first.step()) {
        Some(other) => Err(Error::Steps {
            at: Place::file(&other.file),
            step: words(other),
            other: first.file.clone(),
            other_step: words(first),
        }),
        None => Ok(()),
    }
}
