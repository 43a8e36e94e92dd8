//! Values that a flag or a configuration file may hold: each checks itself, so that both report alike.

use lstm_cuda::probe;
use std::fmt;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::value::{Error as PlainError, StrDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    pub(crate) fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    pub(crate) fn wide(self) -> u64 {
        self.0
    }

    fn checked(value: u64) -> Option<Self> {
        (MIN..=MAX).contains(&value).then_some(Self(value))
    }

    fn wanted() -> String {
        if MAX >= i64::MAX.unsigned_abs() {
            format!("a whole number, at least {MIN}")
        } else {
            format!("a whole number from {MIN} to {MAX}")
        }
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Whole<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = text.trim().parse().ok().and_then(Self::checked);
        value.ok_or_else(|| format!("must be {}", Self::wanted()))
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Whole<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeVisitor<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for WholeVisitor<MIN, MAX> {
            type Value = Whole<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&Whole::<MIN, MAX>::wanted())
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
                let whole = u64::try_from(value).ok().and_then(Whole::checked);
                whole.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
                Whole::checked(value)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
            }
        }
        deserializer.deserialize_u64(WholeVisitor)
    }
}

/// A number that a rule holds for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number<R>(f64, std::marker::PhantomData<R>);

/// Which numbers are allowed.
pub(crate) trait Rule: Copy {
    /// The rule in words.
    const WANTED: &str;

    /// Whether a finite number keeps it.
    fn holds(value: f64) -> bool;
}

/// Any finite number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Finite;

impl Rule for Finite {
    const WANTED: &str = "a finite number";

    fn holds(_: f64) -> bool {
        true
    }
}

/// Above zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Positive;

impl Rule for Positive {
    const WANTED: &str = "a number above 0";

    fn holds(value: f64) -> bool {
        value > 0.0
    }
}

/// Zero or above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NotNegative;

impl Rule for NotNegative {
    const WANTED: &str = "a number, 0 or above";

    fn holds(value: f64) -> bool {
        value >= 0.0
    }
}

/// A share that leaves something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share;

impl Rule for Share {
    const WANTED: &str = "a number from 0 to below 1";

    fn holds(value: f64) -> bool {
        (0.0..1.0).contains(&value)
    }
}

impl<R: Rule> Number<R> {
    pub(crate) fn get(self) -> f64 {
        self.0
    }

    fn checked(value: f64) -> Option<Self> {
        (value.is_finite() && R::holds(value)).then_some(Self(value, std::marker::PhantomData))
    }
}

impl<R: Rule> FromStr for Number<R> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = text.trim().parse().ok().and_then(Self::checked);
        value.ok_or_else(|| format!("must be {}", R::WANTED))
    }
}

impl<R: Rule> Serialize for Number<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de, R: Rule> Deserialize<'de> for Number<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor<R>(std::marker::PhantomData<R>);
        impl<R: Rule> Visitor<'_> for NumberVisitor<R> {
            type Value = Number<R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(R::WANTED)
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
                Number::checked(value)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Float(value), &self))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
                self.visit_f64(value as f64)
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_f64(value as f64)
            }
        }
        deserializer.deserialize_f64(NumberVisitor(std::marker::PhantomData))
    }
}

/// Where to compute, as the user names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Device {
    /// What is there and suits the work.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The NVIDIA GPU of this number, or the first.
    Cuda(Option<usize>),
}

impl Device {
    const WANTED: &str = "auto, cpu, cuda or cuda:N, where N is the number of a GPU, as in cuda:0";

    fn named(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(None)),
            _ => probe::ordinal(name).map(|number| Self::Cuda(Some(number))),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::named(text.trim()).ok_or_else(|| format!("must be {}", Self::WANTED))
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DeviceVisitor;
        impl Visitor<'_> for DeviceVisitor {
            type Value = Device;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Device::WANTED)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Device::named(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(DeviceVisitor)
    }
}

/// A flag that takes one of these words, each a name that the type reads in a configuration file too.
pub(crate) fn words<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|word| {
        let word: StrDeserializer<'_, PlainError> = word.as_str().into_deserializer();
        T::deserialize(word)
    })
}

/// Names of columns: with commas between them as a flag, a text or a list of texts in a configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMany", into = "OneOrMany")]
pub(crate) struct Names(pub(crate) Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "names of columns, as a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Names {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<OneOrMany> for Names {
    fn from(names: OneOrMany) -> Self {
        match names {
            OneOrMany::One(names) => {
                let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
                Self(names.map(str::to_owned).collect())
            }
            OneOrMany::Many(names) => Self(names),
        }
    }
}

impl From<Names> for OneOrMany {
    fn from(names: Names) -> Self {
        match names.0.as_slice() {
            [only] if !only.contains(',') => Self::One(only.clone()),
            _ => Self::Many(names.0),
        }
    }
}

impl FromStr for Names {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(OneOrMany::One(text.to_owned()).into())
    }
}

/// A length of time, as in `90s`, `2m` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seconds(f64);

impl Seconds {
    pub(crate) fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let (mut sum, mut largest) = (0.0, f64::INFINITY);
        while let Some(end) = rest.find(|c: char| c.is_ascii_alphabetic()) {
            let (number, unit) = rest.split_at(end);
            let unit = match unit.as_bytes()[0] {
                b'h' => 3600.0,
                b'm' => 60.0,
                b's' => 1.0,
                _ => break,
            };
            let digits = number.chars().all(|c| c.is_ascii_digit() || c == '.');
            let Some(count) = number.parse::<f64>().ok().filter(|_| digits && unit < largest) else { break };
            (sum, largest, rest) = (sum + count * unit, unit, &rest[end + 1..]);
        }
        let fine = rest.is_empty() && sum > 0.0 && sum.is_finite();
        fine.then_some(Self(sum)).ok_or_else(|| "must be a time above 0 such as 90s, 2m or 1h30m".to_owned())
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in
            [("90s", 90.0), ("2m", 120.0), ("1h30m", 5400.0), ("0.5m", 30.0), ("1h1s", 3601.0)]
        {
            assert_eq!(text.parse(), Ok(Seconds(seconds)));
        }
        for text in ["", "90", "0s", "-1m", "2m3", "m", "2x", "1s1m", "1m1m", "1e3s", "infm", "2 m"] {
            assert!(text.parse::<Seconds>().unwrap_err().starts_with("must be a time"), "{text}");
        }
    }

    #[test]
    fn devices_are_read_as_they_are_written() {
        for (text, device) in [
            ("auto", Device::Auto),
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(None)),
            ("cuda:0", Device::Cuda(Some(0))),
            ("cuda:12", Device::Cuda(Some(12))),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for text in
            ["", "gpu", "CUDA", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda:1:2", "cuda:1.0"]
        {
            let refused = text.parse::<Device>().unwrap_err();
            assert!(refused.starts_with("must be auto, cpu, cuda or cuda:N"), "{text}: {refused}");
        }
        assert!(format!("cuda:{}0", usize::MAX).parse::<Device>().is_err());
    }
}
