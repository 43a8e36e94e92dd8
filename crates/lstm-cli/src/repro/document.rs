//! TOML files of experiments and claims: read whole, and where they are wrong, told by line.

use lstm_data::closest;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;
pub(super) use crate::failure::Result;

/// A file's text, and what messages call the file.
pub(super) struct Document<'a> {
    pub(super) place: &'a str,
    pub(super) text: &'a str,
}

impl Document<'_> {
    /// The file as a `T`.
    ///
    /// # Errors
    /// A usage failure that names file and line.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(self.text).map_err(|error| self.told(&error))
    }

    /// Refuses a name that is not among `known`.
    pub(super) fn known<'n>(
        &self,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<()> {
        if known.clone().any(|other| other == name) {
            return Ok(());
        }
        Err(self.wrong(name, &format!("unknown {what}; {}", advice(name, known))))
    }

    /// Something wrong with `name`, a key or a value of the file.
    pub(super) fn wrong(&self, name: &str, what: &str) -> Failure {
        let line = self.line_of(name).map_or(String::new(), |line| format!(", line {line}"));
        Failure::usage(format!("{}{line}: {name}: {what}", self.place))
    }

    fn told(&self, error: &toml::de::Error) -> Failure {
        let message = error.message().replace('`', "'");
        // Inside a table that is chosen by its kind the parser only knows the table: find the key itself.
        if let Some(rest) = message.strip_prefix("unknown field '")
            && let Some((name, rest)) = rest.split_once('\'')
        {
            let known = rest.split('\'').skip(1).step_by(2);
            return self.wrong(name, &format!("unknown key; {}", advice(name, known)));
        }
        let line = error.span().map_or(1, |span| self.line_at(span.start));
        Failure::usage(format!("{}, line {line}: {message}", self.place))
    }

    fn line_at(&self, offset: usize) -> usize {
        self.text.get(..offset).unwrap_or(self.text).matches('\n').count() + 1
    }

    /// The line of the first key or word of this name.
    fn line_of(&self, name: &str) -> Option<usize> {
        let document = DeTable::parse(self.text).ok()?;
        place_in(document.get_ref(), name).map(|offset| self.line_at(offset))
    }
}

fn place_in(table: &DeTable<'_>, name: &str) -> Option<usize> {
    let places = table.iter().filter_map(|(key, value)| {
        if key.get_ref() == name { Some(key.span().start) } else { place_of(value, name) }
    });
    places.min()
}

fn place_of(value: &toml::Spanned<DeValue<'_>>, name: &str) -> Option<usize> {
    match value.get_ref() {
        DeValue::Table(table) => place_in(table, name),
        DeValue::Array(array) => array.iter().filter_map(|item| place_of(item, name)).min(),
        DeValue::String(text) if text == name => Some(value.span().start),
        _ => None,
    }
}

/// What a misspelt name may have meant.
pub(super) fn advice<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    match closest(name, known.clone()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}
