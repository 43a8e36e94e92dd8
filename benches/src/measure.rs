//! Figures of a network on a backend, with another library beside it or without.

use anyhow::{Result, ensure};
use lstm_cpu::Cpu;
use lstm_tensor::{Backend, Float};
use lstm_testkit::Naive;
use lstm_testkit::case::Kind;
use lstm_testkit::tolerance::{distance, tolerance};
use serde::Serialize;

use crate::case::Case;
use crate::memory::Beside;
use crate::peak::Peak;
use crate::peer::Peer;
use crate::shape::{Dtype, Read, Shape};
use crate::subject::{Proof, STEPS, Subject};
use crate::timing::{Budget, Contender, What, race};

/// What was measured of one shape on one device: medians.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the shape.
    pub name: String,
    /// Device, as it was asked for.
    pub device: String,
    /// Threads of the CPU.
    pub threads: usize,
    /// Milliseconds of an inference, or of a step of a stream.
    pub infer_ms: f64,
    /// Milliseconds of a step of training.
    pub train_ms: Option<f64>,
    /// 10⁹ operations per second of inference, as [`crate::shape::Shape::gflop`] counts them.
    pub gflops_infer: f64,
    /// The same of training.
    pub gflops_train: Option<f64>,
    /// Bytes that a pass of training holds: tape, workspaces and packed weights.
    pub train_bytes: Option<usize>,
    /// Share of the processor's multiply-adds that training (else inference) reaches.
    pub peak_share: Option<f64>,
    /// What came out.
    #[serde(flatten)]
    pub proof: Proof,
    /// The other library's figures.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Theirs>,
    /// Peaks of resident memory, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Beside>,
}

/// Another library's figures, and how many times longer it takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Theirs {
    /// Whose.
    pub peer: &'static str,
    /// Milliseconds of an inference.
    pub peer_infer_ms: f64,
    /// Milliseconds of a step of training.
    pub peer_train_ms: Option<f64>,
    /// Its time of inference over ours.
    pub ratio_infer: f64,
    /// Its time of training over ours.
    pub ratio_train: Option<f64>,
}

/// Where and how long.
pub struct Setting<'a> {
    /// Name of the device, as it was asked for.
    pub device: &'a str,
    /// Threads of the CPU.
    pub threads: usize,
    /// What the processor can do; nothing is known of other devices.
    pub peak: Option<Peak>,
    /// How long.
    pub budget: Budget,
}

/// Measures a case on a backend, another library in turn with it.
///
/// # Errors
/// Those of the backend and of the library; if the two do not compute the same.
pub fn measure<B: Backend, F: Float>(
    backend: &B,
    case: &Case,
    setting: &Setting<'_>,
    mut peer: Option<&mut Peer>,
) -> Result<Row> {
    let shape = &case.shape;
    let mut ours = Subject::<B, F>::new(backend, case)?;
    let proof = ours.prove()?;
    if let Some(peer) = peer.as_deref_mut() {
        let theirs = peer.load(case)?;
        let kappa = condition(case)?;
        // Rounded to TF32 the numbers stand for others, as far away as TF32 has its neighbours.
        let coarser = if peer.manner.tf32 { TF32_EPSILON / F::EPSILON } else { 1.0 };
        agree([&shape.name, peer.name], &proof, &theirs, coarser * tolerance::<F>(kappa))?;
    }
    let mut times = |what| {
        let mut contenders: Vec<&mut dyn Contender> = vec![&mut ours];
        if let Some(peer) = peer.as_deref_mut() {
            contenders.push(peer);
        }
        race(&mut contenders, what, setting.budget)
    };
    let infer = times(What::Infer)?;
    let train = if shape.infer_only { None } else { Some(times(What::Train)?) };

    let gflops_infer = shape.gflop() / infer[0] * 1e3;
    let gflops_train = train.as_ref().map(|train| 3.0 * shape.gflop() / train[0] * 1e3);
    let peak = setting.peak.map(|peak| match shape.dtype {
        Dtype::F32 => peak.f32,
        Dtype::F64 => peak.f64,
    });
    let peer = peer.zip(infer.get(1)).map(|(peer, &peer_infer_ms)| Theirs {
        peer: peer.name,
        peer_infer_ms,
        peer_train_ms: train.as_ref().map(|train| train[1]),
        ratio_infer: peer_infer_ms / infer[0],
        ratio_train: train.as_ref().map(|train| train[1] / train[0]),
    });
    Ok(Row {
        name: shape.name.clone(),
        device: setting.device.to_owned(),
        threads: setting.threads,
        infer_ms: infer[0],
        train_ms: train.map(|train| train[0]),
        gflops_infer,
        gflops_train,
        train_bytes: ours.train_bytes(),
        peak_share: peak.map(|peak| gflops_train.unwrap_or(gflops_infer) / peak),
        proof,
        peer,
        memory: None,
    })
}

/// Distance from 1 to the next larger number of TF32.
const TF32_EPSILON: f64 = 1.0 / 1024.0;

/// Operations, in 10⁹, that the naive loops may take for a condition.
const NAIVE_GFLOP: f64 = 1.0;

/// Operations, in 10⁹, that the reference may take for a condition at all.
const MOST_GFLOP: f64 = 400.0;

/// What of a case the reference calculates to find its condition.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Extent {
    rows: usize,
    steps: usize,
    /// Perturbations.
    draws: u32,
    /// Whether by the naive loops, which are too slow for most networks.
    naive: bool,
}

impl Extent {
    /// Three perturbations of the whole case, or else one; of as many of its rows as can be afforded, and only
    /// if one is too many, of as many of its steps.
    fn of(shape: &Shape) -> Self {
        let passes = if shape.infer_only { 1 } else { 1 + 3 * STEPS };
        let proof = passes as f64 * shape.gflop();
        let draws = if 4.0 * proof <= MOST_GFLOP { 3 } else { 1 };
        let work = f64::from(1 + draws) * proof;
        let share = (MOST_GFLOP / work).min(1.0);
        // Less than a row leaves a part of its steps; more than one leaves them all.
        let rows = ((shape.batch as f64 * share) as usize).max(1);
        let share = (share * shape.batch as f64 / rows as f64).min(1.0);
        let steps = ((shape.steps as f64 * share) as usize).max(1);
        Self { rows, steps, draws, naive: work <= NAIVE_GFLOP }
    }
}

/// How strongly the numbers of the proof answer to rounding errors in weights and data, in rounding errors: the
/// κ of docs/numerics.md. It is the reference in f64 that answers, never the backend that is judged.
fn condition(case: &Case) -> Result<f64> {
    let extent = Extent::of(&case.shape);
    if extent.naive { response(&Naive, case, extent) } else { response(&Cpu::new(0)?, case, extent) }
}

fn response<B: Backend>(backend: &B, case: &Case, extent: Extent) -> Result<f64> {
    let mut part = case.part(extent.rows, extent.steps);
    part.shape.dtype = Dtype::F64;
    let steps = match case.shape.readout {
        Read::Last => 1,
        Read::All => case.shape.steps / extent.steps,
    };
    // The sum is that of all rows: those that are left out are taken to answer as the others do.
    let fold = (case.shape.batch * steps) as f64 / extent.rows as f64;
    let numbers = |case: &Case| -> Result<Vec<f64>> {
        let proof = Subject::<B, f64>::new(backend, case)?.prove()?;
        Ok(Proof { y_sum: fold * proof.y_sum, ..proof }.numbers())
    };
    let reference = numbers(&part)?;
    let mut kappa: f64 = 0.0;
    for index in 0..extent.draws {
        let answer = numbers(&part.perturbed(index))?;
        kappa = kappa.max(distance(Kind::Value, &answer, &reference) / f64::EPSILON);
    }
    Ok(kappa)
}

/// Two proofs are the same within a tolerance.
fn agree([name, peer]: [&str; 2], ours: &Proof, theirs: &Proof, tolerance: f64) -> Result<()> {
    let distance = distance(Kind::Value, &ours.numbers(), &theirs.numbers());
    ensure!(
        distance <= tolerance,
        "{name}: {peer} computes {theirs:?}, we {ours:?}: they differ by {distance:.1e}, more than {tolerance:.1e}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lstm_cuda::Cuda;
    use lstm_cuda_emu::{Emulator, Schedule};

    fn shape(fields: &str) -> Shape {
        let text =
            format!(r#"{{"name": "a", "batch": 3, "steps": 5, "inputs": 2, "hidden": [4, 3], {fields}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    const SHAPES: [&str; 5] = [
        r#""outputs": 2"#,
        r#""outputs": 0"#,
        r#""outputs": 2, "readout": "all", "dtype": "f64""#,
        r#""outputs": 0, "readout": "all", "decaying": true"#,
        r#""steps": 1, "stream": true, "infer_only": true"#,
    ];

    fn shapes() -> impl Iterator<Item = Shape> {
        SHAPES.into_iter().map(|fields| match fields.strip_prefix("\"steps\": 1,") {
            None => shape(fields),
            Some(rest) => Shape { steps: 1, ..shape(rest) },
        })
    }

    #[test]
    fn everything_is_measured_at_tiny_size() {
        let cpu = Cpu::new(2).unwrap();
        let peak = Some(Peak { f32: 100.0, f64: 50.0 });
        let setting = Setting { device: "cpu", threads: 2, peak, budget: Budget::QUICK };
        for shape in shapes() {
            let case = Case::draw(&shape).unwrap();
            let row = match shape.dtype {
                Dtype::F32 => measure::<_, f32>(&cpu, &case, &setting, None).unwrap(),
                Dtype::F64 => measure::<_, f64>(&cpu, &case, &setting, None).unwrap(),
            };
            assert!(row.infer_ms > 0.0 && row.peak_share.unwrap() > 0.0, "{row:?}");
            assert_eq!(row.train_ms.is_none(), shape.infer_only);
            assert_eq!(row.train_bytes.is_none(), shape.infer_only);
            assert_eq!(row.gflops_infer, shape.gflop() / row.infer_ms * 1e3);
            let json = serde_json::to_value(&row).unwrap();
            assert!(json.get("y_sum").is_some() && json.get("peer_infer_ms").is_none(), "{json}");
        }
    }

    /// What a file holds is computed, by the CPU backend and by the kernels of CUDA as by the obvious loops in
    /// f64.
    #[test]
    fn a_file_of_parameters_is_replayed() {
        let (cpu, cuda) = (Cpu::new(2).unwrap(), Cuda::new(Emulator::new(Schedule::Skewed(2))).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.safetensors");
        for shape in shapes() {
            let mut drawn = Case::draw(&shape).unwrap();
            drawn.batches.truncate(1);
            write_named(&drawn, &path);
            let case = Case::read(&shape, &path).unwrap();
            let want = Subject::<_, f64>::new(&Naive, &drawn).unwrap().prove().unwrap();
            let kappa = condition(&drawn).unwrap();
            let (got, emulated, tolerance) = match shape.dtype {
                Dtype::F32 => {
                    (proof::<_, f32>(&cpu, &case), proof::<_, f32>(&cuda, &case), tolerance::<f32>(kappa))
                }
                Dtype::F64 => {
                    (proof::<_, f64>(&cpu, &case), proof::<_, f64>(&cuda, &case), tolerance::<f64>(kappa))
                }
            };
            agree([&shape.name, "the reference"], &got, &want, tolerance).unwrap();
            agree([&shape.name, "the reference"], &emulated, &want, tolerance).unwrap();
            assert_eq!(got.loss_10.is_none(), shape.infer_only);
            let other = Proof { y_sum: got.y_sum + 1e-3, ..got };
            assert!(agree([&shape.name, "the reference"], &other, &want, tolerance).is_err());
        }
    }

    /// Small networks are judged by the naive loops and wholly, large ones by what can be afforded of them.
    #[test]
    fn the_reference_calculates_what_it_can_afford() {
        let small = shape(SHAPES[0]);
        assert_eq!(Extent::of(&small), Extent { rows: 3, steps: 5, draws: 3, naive: true });
        let sized = |batch, steps| Shape { batch, steps, hidden: vec![1024, 1024], ..small.clone() };
        for (shape, whole_steps) in [(sized(64, 10), true), (sized(512, 1000), false), (sized(512, 1), true)]
        {
            let extent = Extent::of(&shape);
            assert!(!extent.naive && extent.draws == 1, "{extent:?}");
            assert_eq!(extent.steps == shape.steps, whole_steps, "{extent:?}");
            let part = Shape { batch: extent.rows, steps: extent.steps, ..shape };
            let work = 2.0 * 31.0 * part.gflop();
            assert!((MOST_GFLOP / 2.0..=MOST_GFLOP).contains(&work), "{work} of {extent:?}");
        }
    }

    /// By the naive loops or by the CPU in f64, of all rows or of one: the condition is of the same size.
    #[test]
    fn conditions_agree_among_references_and_parts() {
        let case = Case::draw(&Shape { batch: 8, ..shape(SHAPES[0]) }).unwrap();
        let whole = Extent::of(&case.shape);
        let kappa = response(&Naive, &case, whole).unwrap();
        let others = [
            response(&Cpu::new(1).unwrap(), &case, whole).unwrap(),
            response(&Naive, &case, Extent { rows: 4, ..whole }).unwrap(),
        ];
        assert!(kappa > 0.1);
        for other in others {
            assert!((kappa / 8.0..kappa * 8.0).contains(&other), "{other} and {kappa}");
        }
    }

    #[test]
    fn a_part_has_the_first_rows_of_the_first_steps() {
        for fields in [SHAPES[0], SHAPES[2]] {
            let case = Case::draw(&shape(fields)).unwrap();
            let part = case.part(2, 4);
            let (whole, cut) = (&case.batches[1], &part.batches[1]);
            assert_eq!((&cut.x[..4], cut.x.len()), (&whole.x[..4], 4 * 2 * 2));
            assert_eq!(cut.x[4..8], whole.x[6..10], "the second step");
            assert_eq!(cut.target[..4], whole.target[..4]);
            Subject::<_, f64>::new(&Naive, &part).unwrap().prove().unwrap();
        }
    }

    fn proof<B: Backend, F: Float>(backend: &B, case: &Case) -> Proof {
        Subject::<B, F>::new(backend, case).unwrap().prove().unwrap()
    }

    /// Writes a case with one batch under the names that users write.
    fn write_named(case: &Case, path: &std::path::Path) {
        case.write(path).unwrap();
        let text = std::fs::read(path).unwrap();
        let replaced = replace(&replace(&text, b"\"x.0\"", b"\"x\"  "), b"\"target.0\"", b"\"target\"  ");
        std::fs::write(path, replaced).unwrap();
    }

    fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    }

    /// Several shapes may share a file, each behind its name.
    #[test]
    fn tensors_are_found_behind_the_name_of_their_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.safetensors");
        let mut case = Case::draw(&shape(SHAPES[0])).unwrap();
        case.batches.truncate(1);
        write_named(&case, &path);
        let bytes = std::fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let renamed = file.tensors().into_iter().map(|(name, tensor)| (format!("a.{name}"), tensor));
        std::fs::write(&path, safetensors::serialize(renamed, None).unwrap()).unwrap();
        assert_eq!(Case::read(&case.shape, &path).unwrap().params, case.params);
        let other = Shape { name: "b".to_owned(), ..case.shape };
        let error = Case::read(&other, &path).unwrap_err().to_string();
        assert!(error.contains("no tensor lstm.weight_ih_l0 for b"), "{error}");
    }

    #[test]
    fn a_tensor_of_another_shape_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.safetensors");
        let mut case = Case::draw(&shape(SHAPES[0])).unwrap();
        case.batches.truncate(1);
        write_named(&case, &path);
        let error = Case::read(&Shape { batch: 4, ..case.shape }, &path).unwrap_err().to_string();
        assert!(error.contains("x has shape [5, 3, 2], a needs [5, 4, 2]"), "{error}");
    }
}
