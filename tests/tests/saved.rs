//! Model files: the same bytes for the same model, exact round trips, and a reason for every damage.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

use lstm_cpu::Cpu;
use lstm_nn::durable::{self, Durable};
use lstm_nn::{Error, InitSpec, Model, Network, Readout, saved};
use lstm_tensor::{Bias, Float, LayerSpec};
use safetensors::SafeTensors;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn network() -> Network {
    let layer = LayerSpec::new(3).forget_bias(0.5).dropout(0.1, 0.2);
    Network::new(2).layer(layer).layer(LayerSpec::new(4).bias(Bias::One)).head(Readout::Every, 2)
}

fn model<F: Float>(cpu: &Cpu) -> Model<Cpu, F> {
    Model::new(cpu, network(), &InitSpec::torch(), 11).unwrap()
}

fn bytes<F: Float>() -> Vec<u8> {
    let cpu = Cpu::new(1).unwrap();
    saved::to_bytes(&cpu, &model::<F>(&cpu), &json!({"b": 1.5, "a": ["x", null]})).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Why the bytes are refused.
    fn refusal(&self, bytes: &[u8]) -> String {
        match saved::read(&self.file(bytes)) {
            Err(Error::Format { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }
}

fn round_trip<F: Float>() {
    let (cpu, folder) = (Cpu::new(1).unwrap(), Folder::new());
    let read = saved::read(&folder.file(&bytes::<F>())).unwrap();
    assert_eq!((read.dtype, &read.network), (F::NAME, &network()));
    assert_eq!(read.task, json!({"a": ["x", null], "b": 1.5}));
    let loaded: Model<Cpu, F> = read.load(&cpu).unwrap();
    assert_eq!(loaded.download(&cpu).unwrap(), model::<F>(&cpu).download(&cpu).unwrap());
    let again = saved::to_bytes(&cpu, &loaded, &read.task).unwrap();
    assert_eq!(again, bytes::<F>(), "the same model gives the same bytes");
}

#[test]
fn round_trips_are_exact_and_reproducible() {
    round_trip::<f32>();
    round_trip::<f64>();
}

/// So small a file that every bit of it can be tried.
#[test]
fn every_prefix_and_every_flipped_bit_is_refused() {
    let (whole, folder) = (bytes::<f32>(), Folder::new());
    assert!(saved::read(&folder.file(&whole)).is_ok() && whole.len() > 2000, "{} bytes", whole.len());
    let mut slowest = Duration::ZERO;
    let mut refused = |bytes: &[u8], what: &str| {
        let path = folder.file(bytes);
        let begun = Instant::now();
        assert!(matches!(saved::read(&path), Err(Error::Format { .. })), "{what}");
        slowest = slowest.max(begun.elapsed());
    };
    for len in 0..whole.len() {
        refused(&whole[..len], &format!("{len} bytes"));
    }
    let mut flipped = whole.clone();
    for bit in 0..8 * whole.len() {
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(&flipped, &format!("bit {bit}"));
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    println!("{} files, the slowest in {slowest:?}", 9 * whole.len());
}

/// The file with its JSON header changed, and sealed again by another hand than the one that reads it.
fn resealed(change: impl Fn(&mut String)) -> Vec<u8> {
    let whole = bytes::<f32>();
    let (length, rest) = whole.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
    let (header, data) = rest.split_at(length);
    let mut header = String::from_utf8(header.to_vec()).unwrap();
    let place = header.find("digest").unwrap() + r#"digest\":\""#.len();
    header.replace_range(place..place + 64, &"0".repeat(64));
    change(&mut header);
    let with = |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    let digest: String = Sha256::digest(with(&header)).iter().map(|byte| format!("{byte:02x}")).collect();
    header.replace_range(place..place + 64, &digest);
    with(&header)
}

#[test]
fn networks_of_different_shape_share_a_file_of_a_later_version() {
    let (cpu, folder) = (Cpu::new(1).unwrap(), Folder::new());
    let model = |hidden, seed| {
        let network = Network::new(2).lstm(hidden).head(Readout::Last, 1);
        Model::<Cpu, f32>::new(&cpu, network, &InitSpec::torch(), seed).unwrap()
    };
    let bytes = |models: &[Model<Cpu, f32>]| {
        saved::all_to_bytes(&cpu, models, &saved::Extra::new(), &json!(null)).unwrap()
    };
    let version = |bytes: &[u8], version| {
        let text = format!(r#"\"version\":{version}"#);
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(version(&bytes(&[model(3, 1), model(3, 2)]), 2));
    let models = [model(3, 1), model(5, 2), model(3, 3)];
    let file = bytes(&models);
    assert!(version(&file, 3));
    let read = saved::read(&folder.file(&file)).unwrap();
    assert!(read.each_network().eq(models.iter().map(Model::network)));
    let loaded = read.load_all::<_, f32>(&cpu).unwrap();
    for (was, is) in models.iter().zip(&loaded) {
        assert_eq!(was.download(&cpu).unwrap(), is.download(&cpu).unwrap());
    }
    assert_eq!(bytes(&loaded), file);
}

#[test]
fn what_is_wrong_is_named_even_where_the_digest_is_right() {
    let folder = Folder::new();
    assert!(saved::read(&folder.file(&resealed(|_| {}))).is_ok());
    let replaced = |from: &'static str, to: &'static str| {
        resealed(move |header| {
            assert!(header.contains(from), "{from} in {header}");
            *header = header.replacen(from, to, 1);
        })
    };
    let bias = r#""head.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let cases = [
        (replaced("\"head.bias\"", "\"head.bia2\""), "head.bias is missing"),
        (replaced(r#"\"version\":2"#, r#"\"version\":7"#), "version 7"),
        (replaced(r#"\"version\":2"#, r#"\"virsion\":2"#), "no version"),
        (replaced(r#"\"kind\":\"model\""#, r#"\"kind\":\"checkpoint\""#), "it is a \"checkpoint\""),
        (replaced(r#"\"network\""#, r#"\"netwerk\""#), "netwerk"),
        (replaced("\"lstm\":", "\"lsim\":"), "no `lstm` metadata"),
        (replaced(r#"\"hidden\":3,"#, r#"\"hidden\":0,"#), "hidden is 0"),
        (replaced(r#"\"hidden\":3,"#, r#"\"hidden\":4611686018427387904,"#), "hidden"),
        (replaced(r#"\"head\":2"#, r#"\"head\":3"#), "shape"),
        (replaced("\"shape\":[2]", "\"shape\":[3]"), ""),
        (replaced("\"shape\":[2]", "\"shape\":[4611686018427387904]"), ""),
        (replaced("\"shape\":[2]", "\"shape\":[4294967296,4294967298]"), ""),
        (replaced("\"data_offsets\":[0,8]", "\"data_offsets\":[0,12]"), ""),
        (replaced("\"data_offsets\":[0,8]", "\"data_offsets\":[0,4]"), ""),
        (replaced("\"data_offsets\":[0,8]", "\"data_offsets\":[8,0]"), ""),
        (replaced("\"F32\"", "\"F16\""), ""),
        (replaced("\"F32\"", "\"I32\""), "floating-point"),
        (replaced(bias, &*format!("{bias},{bias}").leak()), "head.bias stands in it twice"),
    ];
    for (index, (bytes, part)) in cases.into_iter().enumerate() {
        let why = folder.refusal(&bytes);
        assert!(why.contains(part) && !why.contains("digest"), "{index}: {why}");
    }
}

#[test]
fn a_weight_that_is_no_number_is_refused() {
    let (cpu, folder) = (Cpu::new(1).unwrap(), Folder::new());
    let mut model = model::<f32>(&cpu);
    model.params_mut().set(&cpu, "head.bias", &[1.0, f32::NAN]).unwrap();
    let bytes = saved::to_bytes(&cpu, &model, &json!(null)).unwrap();
    assert_eq!(folder.refusal(&bytes), "tensor head.bias holds NaN at index 1");
}

#[test]
fn what_is_no_file_of_ours_is_refused_at_once() {
    let folder = Folder::new();
    let mut long = (100_000_001u64).to_le_bytes().to_vec();
    long.resize(200, b' ');
    for bytes in [b"".to_vec(), b"{}".to_vec(), long, u64::MAX.to_le_bytes().to_vec(), vec![0; 4096]] {
        folder.refusal(&bytes);
    }
    // A header as long as one may be, of nothing.
    let mut blank = (99_999_999u64).to_le_bytes().to_vec();
    blank.resize(100_000_007, b' ');
    folder.refusal(&blank);
    assert!(matches!(saved::read(&folder.0.path().join("none")), Err(Error::Io { .. })));
    assert!(matches!(saved::read(folder.0.path()), Err(Error::Format { .. })));
}

#[test]
fn torch_form_folds_the_forget_bias() {
    let cpu = Cpu::new(1).unwrap();
    let network =
        Network::new(2).layer(LayerSpec::new(3).forget_bias(0.5).bias(Bias::One)).head(Readout::Last, 1);
    let model = Model::<Cpu, f32>::new(&cpu, network, &InitSpec::torch(), 1).unwrap();
    let bytes = saved::to_torch_lstm(&cpu, &model).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    assert_eq!(names, ["bias_hh_l0", "bias_ih_l0", "weight_hh_l0", "weight_ih_l0"]);
    let floats = |name: &str| -> Vec<f32> {
        file.tensor(name).unwrap().data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let stored = model.params().get(&cpu, "lstm.bias_ih_l0").unwrap();
    for (unit, (exported, stored)) in floats("bias_ih_l0").into_iter().zip(stored).enumerate() {
        let added = if (3..6).contains(&unit) { 0.5 } else { 0.0 };
        assert_eq!(exported, stored + added);
    }
    assert_eq!(floats("bias_hh_l0"), [0.0; 12]);
}

#[test]
fn torch_has_no_form_for_unequal_widths() {
    let cpu = Cpu::new(1).unwrap();
    let error = saved::to_torch_lstm(&cpu, &model::<f32>(&cpu)).unwrap_err().to_string();
    assert!(error.contains("[3, 4]") && error.contains("equal width"), "{error}");
}

#[test]
fn a_file_is_replaced_as_a_whole_and_nothing_is_left_behind() {
    let folder = Folder::new();
    let path = folder.file(b"old");
    durable::write(&path, b"new").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    let missing = folder.0.path().join("no/such/folder/x");
    assert!(matches!(durable::write(&missing, b"x"), Err(Error::Io { .. })));
    drop(Durable::create(&path).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), b"new", "one that was not finished changes nothing");
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
}

#[test]
fn temporaries_of_the_dead_are_swept_and_others_stay() {
    let folder = Folder::new();
    let place = |name: &str| folder.0.path().join(name);
    for name in
        [".model.safetensors.123-4.tmp", ".model.safetensors.tmp", ".a.1-.tmp", "a.1-2.tmp", "data.tmp"]
    {
        std::fs::write(place(name), b"x").unwrap();
    }
    let mut alive = Durable::create(&place("alive")).unwrap();
    alive.write_all(b"whole").unwrap();
    durable::sweep(folder.0.path()).unwrap();
    assert!(!place(".model.safetensors.123-4.tmp").exists());
    alive.finish().unwrap();
    assert_eq!(std::fs::read(place("alive")).unwrap(), b"whole");
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 5);
}

#[test]
fn two_writers_at_once_leave_one_whole_file() {
    let folder = Folder::new();
    let path = folder.0.path().join("model");
    std::thread::scope(|scope| {
        for letter in [b'a', b'b', b'c'] {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..50 {
                    durable::write(path, &[letter; 10_000]).unwrap();
                }
            });
        }
    });
    let left = std::fs::read(&path).unwrap();
    assert!(left.len() == 10_000 && left.iter().all(|byte| *byte == left[0]));
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
}
