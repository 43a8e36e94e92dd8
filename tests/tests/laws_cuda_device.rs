//! What only the CUDA backend promises: the same bits under every schedule, no trust in what scratch memory
//! held, phases that replay what they did, and launches as routing lists them.
#![allow(clippy::unwrap_used, reason = "a broken assumption ends the test")]

use lstm_cuda::Cuda;
use lstm_cuda::routing::{Meeting, Pass, Path, Route, Size, hot};
use lstm_cuda::runtime::Room;
use lstm_cuda_emu::{Emulator, Schedule};
use lstm_tensor::{
    Backend, BatchShape, Bias, Binary, Control, Error, Float, KernelChoice, LayerSpec, LossArgs, LossKind,
    Mode, Operand, Plan, Result, Rule, Span, StackSpec, State, Storage, View, ViewMut, Weights, control_slot,
};
use lstm_testkit::case::{Kind, StackCase};
use lstm_testkit::laws::{self, hold};
use lstm_testkit::run::{By, Run, buffer, fetch};
use lstm_testkit::strategies::{StackOptions, filled, stack, values};
use lstm_testkit::tolerance::{Expected, distance};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Device = Cuda<Emulator>;

fn device(schedule: Schedule) -> Device {
    Cuda::new(Emulator::new(schedule)).unwrap()
}

fn run<'a, F: Float>(cuda: &'a Device, case: &StackCase) -> Result<Run<'a, Device, F>> {
    Run::new(cuda, case, Mode::Train, KernelChoice::Fused)
}

fn whole<B: Backend, F: Float>(buffer: &B::Buffer<F>) -> Span {
    Span::dense(0, 1, buffer.len())
}

/// Fills everything that a pass may only write.
fn poison<F: Float>(run: &mut Run<'_, Device, F>) -> Result<()> {
    let tape = &mut run.scratch.tape;
    let outputs = [&mut run.y, &mut run.last.h, &mut run.last.c, &mut run.d_x];
    let scratch = [&mut tape.gates, &mut tape.cell, &mut tape.hidden];
    let initial = [&mut run.d_initial.h, &mut run.d_initial.c];
    for buffer in outputs.into_iter().chain(scratch).chain(initial).chain(&mut run.scratch.workspace) {
        let all = whole::<Device, F>(buffer);
        run.backend.fill(F::from_f64(f64::NAN), ViewMut::new(buffer, all))?;
    }
    Ok(())
}

/// Bits of a pass forward and backward, and of sums over its output.
fn bits<F: Float>(
    cuda: &Device,
    (case, choice): (&StackCase, KernelChoice),
    poisoned: bool,
) -> Result<Vec<Vec<u64>>> {
    let mut run = Run::<_, F>::new(cuda, case, Mode::Train, choice)?;
    if poisoned {
        poison(&mut run)?;
    }
    run.forward(By::Backend)?;
    run.backward(By::Backend)?;
    let mut control = Control::new(cuda)?;
    cuda.clip(Some(0.5), Some(0.1), &mut run.d_params, &mut control)?;
    let bits = |buffer: &_| Ok(fetch::<Device, F>(cuda, buffer)?.into_iter().map(f64::to_bits).collect());
    let mut all: Vec<Vec<u64>> =
        [&run.y, &run.last.h, &run.last.c, &run.d_x, &run.d_initial.h, &run.d_initial.c, &run.d_params]
            .into_iter()
            .map(bits)
            .collect::<Result<_>>()?;
    let mut numbers = [0.0; control_slot::COUNT];
    cuda.download(&control.values, 0, &mut numbers)?;
    all.push(numbers.map(f64::to_bits).to_vec());
    Ok(all)
}

const ANY: StackOptions = StackOptions { dropout: true, ..StackOptions::ANY };

/// A race shows as a difference between schedules.
#[test]
fn schedules_give_the_same_bits() {
    let plain = device(Schedule::InOrder);
    hold((stack(ANY), any::<u32>()), |(case, seed)| {
        for choice in [KernelChoice::Fused, KernelChoice::Persistent] {
            let of = (&case, choice);
            let want = bits::<f32>(&plain, of, false)?;
            for schedule in [Schedule::Reverse, Schedule::Skewed(seed)] {
                prop_assert_eq!(&bits::<f32>(&device(schedule), of, false)?, &want, "{:?}", schedule);
            }
        }
        Ok(())
    });
}

/// Outputs, tape and workspaces may hold anything beforehand.
#[test]
fn nothing_is_read_before_it_is_written() {
    let cuda = device(Schedule::InOrder);
    hold(stack(ANY), |case| {
        for choice in [KernelChoice::Fused, KernelChoice::Persistent] {
            let of = (&case, choice);
            prop_assert_eq!(bits::<f64>(&cuda, of, true)?, bits::<f64>(&cuda, of, false)?);
        }
        Ok(())
    });
}

/// A training run with everything that its two phases read and write.
struct Training<'a> {
    run: Run<'a, Device, f32>,
    target: lstm_cuda::CudaBuffer<Emulator, f32>,
    value: lstm_cuda::CudaBuffer<Emulator, f64>,
    control: Control<Device>,
    slots: Vec<lstm_cuda::CudaBuffer<Emulator, f32>>,
}

const RULE: Rule = Rule::Adam {
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.01,
    decoupled: true,
    tf_epsilon: false,
};

impl<'a> Training<'a> {
    fn new(cuda: &'a Device, case: &StackCase) -> Result<Self> {
        let mut run = run::<f32>(cuda, case)?;
        let (len, params) = (run.y.len(), run.d_params.len());
        run.d_y = Some(cuda.alloc(len)?);
        Ok(Self {
            target: buffer::<Device, f32>(cuda, &values(1, 0, len, 1.0))?,
            value: cuda.alloc(1)?,
            control: Control::new(cuda)?,
            slots: vec![cuda.alloc(params)?, cuda.alloc(params)?],
            run,
        })
    }

    /// What changes from step to step; uploaded, so no part of a phase.
    fn advance(&mut self, step: u32) -> Result<()> {
        let cuda = self.run.backend;
        if let Some(draw) = &mut self.run.draw {
            cuda.upload(&[step], &mut draw.step, 0)?;
        }
        cuda.upload(&[0.05, f64::from(step + 1)], &mut self.control.values, control_slot::RATE)
    }

    /// Both phases of a step.
    fn step(&mut self) -> Result<()> {
        let Self { run, target, value, control, slots } = self;
        let cuda = run.backend;
        let all = whole::<Device, f32>(&run.d_params);
        cuda.fill(0.0, ViewMut::new(&mut run.d_params, all))?;
        run.forward(By::Backend)?;
        let span = whole::<Device, f32>(&run.y);
        let args = LossArgs {
            kind: LossKind::Squared,
            scale: 1.0 / span.cols as f64,
            prediction: View::new(&run.y, span),
            target: View::new(target, span),
            row_weights: None,
        };
        let Some(d_y) = &mut run.d_y else { unreachable!("made in `new`") };
        cuda.loss(args, ViewMut::new(d_y, span), value)?;
        run.backward(By::Backend)?;
        cuda.clip(None, Some(1.0), &mut run.d_params, control)?;
        cuda.update(&RULE, run.params.values_mut(), &run.d_params, slots, control)?;
        cuda.prepare(&run.plan, &run.params, &mut run.packed)
    }

    fn bits(&self) -> Result<Vec<u64>> {
        let cuda = self.run.backend;
        let mut loss = [0.0f64];
        cuda.download(&self.value, 0, &mut loss)?;
        let params = fetch::<Device, f32>(cuda, self.run.params.values())?;
        Ok(params.into_iter().chain(loss).map(f64::to_bits).collect())
    }
}

/// A training step as a phase allocates nothing, asks nothing back, is recorded once, and does what it does
/// when it runs at once.
#[test]
fn replay_is_eager() {
    let cuda = device(Schedule::Skewed(3));
    hold(stack(StackOptions { layers: 2, steps: 4, ..ANY }), |case| {
        let (mut eager, mut replayed) = (Training::new(&cuda, &case)?, Training::new(&cuda, &case)?);
        let recordings = cuda.recordings();
        for step in 0..3 {
            eager.advance(step)?;
            eager.step()?;
            replayed.advance(step)?;
            cuda.phase(|_| replayed.step())?;
            prop_assert_eq!(replayed.bits()?, eager.bits()?, "after step {}", step);
        }
        prop_assert_eq!(cuda.recordings(), recordings + 1);
        Ok(())
    });
}

/// A phase belongs to the thread that runs it: what another one asks meanwhile is done at once, once, and a panic
/// ends the phase.
#[test]
fn a_phase_takes_in_nothing_of_another_thread() {
    let cuda = device(Schedule::InOrder);
    let one = Span::dense(0, 1, 1);
    let mut ours = buffer::<Device, f32>(&cuda, &[0.0]).unwrap();
    let mut theirs = buffer::<Device, f32>(&cuda, &[0.0]).unwrap();
    let add =
        |to: &mut _| cuda.zip(Binary::Add, Operand::Here(one), Operand::Here(one), ViewMut::new(to, one));
    cuda.fill(1.0, ViewMut::new(&mut theirs, one)).unwrap();
    for step in 1..=3 {
        cuda.phase(|cuda| {
            cuda.fill(step as f32, ViewMut::new(&mut ours, one))?;
            std::thread::scope(|scope| scope.spawn(|| add(&mut theirs)).join().unwrap())?;
            let theirs = std::thread::scope(|scope| {
                scope.spawn(|| fetch::<Device, f32>(cuda, &theirs)).join().unwrap()
            })?;
            assert_eq!(theirs, [2f64.powi(step)], "done at once, and once");
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(fetch::<Device, f32>(&cuda, &ours).unwrap(), [f64::from(step)]);
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cuda.phase(|cuda| {
            cuda.fill(9.0, ViewMut::new(&mut ours, one))?;
            assert_eq!(cuda.recordings(), u64::MAX, "on purpose");
            Ok::<_, Error>(())
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(fetch::<Device, f32>(&cuda, &ours).unwrap(), [3.0], "nothing of it was done");
}

/// What cannot be part of a phase is refused, nothing of the phase is done, and the backend works on.
#[test]
fn what_waits_cannot_be_part_of_a_phase() {
    let cuda = device(Schedule::InOrder);
    let y = buffer::<Device, f32>(&cuda, &[1.0, 2.0]).unwrap();
    let mut spoiled = buffer::<Device, f32>(&cuda, &[3.0, 4.0]).unwrap();
    let mut cuda_index = cuda.alloc::<u32>(1).unwrap();
    let mut host = [0.0f32; 2];
    type Operation<'a> = &'a mut dyn FnMut(&Device) -> Result<()>;
    let refused: [Operation<'_>; 4] = [
        &mut |cuda| cuda.download(&y, 0, &mut host),
        &mut |cuda| cuda.alloc::<f32>(1).map(|_| ()),
        &mut |cuda| cuda.synchronize(),
        &mut |cuda| cuda.upload(&[0u32], &mut cuda_index, 0),
    ];
    for waits in refused {
        let outcome = cuda.phase(|cuda| {
            cuda.fill(7.0, ViewMut::new(&mut spoiled, Span::dense(0, 1, 2)))?;
            waits(cuda)
        });
        assert!(matches!(outcome, Err(Error::Device { .. })));
    }
    cuda.download(&spoiled, 0, &mut host).unwrap();
    assert_eq!(host, [3.0, 4.0]);
    cuda.download(&y, 0, &mut host).unwrap();
    assert_eq!(host, [1.0, 2.0]);
}

/// Stacks that lead to every route: with masks and without, with all operands and with few, with a sequence
/// that a tape of 1024 rows does not hold.
fn routed() -> Vec<StackCase> {
    let plain = || LayerSpec::new(3);
    let masked = vec![plain().dropout(0.1, 0.2), plain()];
    let few = vec![plain().bias(Bias::None), plain()];
    let mut cases: Vec<StackCase> = [
        (StackSpec::new(2, vec![plain(), LayerSpec::new(5)]), BatchShape::new(3, 2)),
        (StackSpec::new(2, masked).dropout_between(0.3), BatchShape::new(3, 2)),
        (StackSpec::new(1, few), BatchShape::new(3, 513)),
        (StackSpec::new(2, vec![plain()]), BatchShape::new(1, 2)),
    ]
    .into_iter()
    .map(|(spec, shape)| filled(spec, shape, 1.0, 5))
    .collect();
    let bare = |case: &StackCase| StackCase { initial: None, d_y: None, ..case.clone() };
    cases.extend(cases.iter().map(bare).collect::<Vec<_>>());
    cases
}

/// Devices without clusters, as an A100, with narrow ones, as an RTX 5090, and with wide ones, as an H100.
const ROOMS: [Room; 3] = [
    Room { shared: 163 << 10, cluster: 1, blocks: 108 },
    Room { shared: 99 << 10, cluster: 8, blocks: 170 },
    Room { shared: 227 << 10, cluster: 16, blocks: 132 },
];

/// Layers of each size that the persistent path tells apart on such a device, and one that it leaves to the steps, as it has
/// no kernel for it or the device could not run its blocks at once.
fn of_all_sizes<F: Float>(room: Room, steps: usize) -> StackCase {
    let sizes: &[usize] = match (size_of::<F>(), room.cluster) {
        // The grid takes no single step.
        _ if steps == 1 => &[40, 20, 33, 100, 10, 70, 130, 9, 260, 9, 520],
        (8, _) => &[40, 20, 33, 10, 9, 500, 9, 520],
        (_, 1) => &[40, 20, 33, 100, 10, 70, 9, 500, 9, 700, 9, 850, 9, 870],
        (_, 8) => &[40, 20, 33, 10, 70, 130, 9, 500, 9, 700, 9, 1000, 9, 1030],
        _ => &[40, 20, 33, 10, 70, 130, 9, 260, 9, 700, 9, 1000, 9, 1030],
    };
    // Of large layers two steps of one row already take the oracle seconds.
    let layers = sizes.iter().map(|hidden| LayerSpec::new(*hidden));
    filled(StackSpec::new(2, layers.collect()), BatchShape::new(steps, 1), 1.0, 6)
}

/// Launches of each route.
type Launched = BTreeMap<Route, BTreeSet<&'static str>>;

/// Runs a case by all routes of a choice that serve it and compares its numbers with the oracle's.
fn follow<F: Float>(
    case: &StackCase,
    choice: KernelChoice,
    room: Room,
    launched: &mut Launched,
) -> Result<()> {
    let cuda: Device = Cuda::new(Emulator::new(Schedule::Skewed(11)).with_room(room))?;
    let expected = Expected::new::<F>(case)?;
    let mut run = Run::<_, F>::new(&cuda, case, Mode::Train, choice)?;
    // What uploading the case has launched belongs to no pass.
    let _ = cuda.runtime().take_launched();
    let mut note = |plan: &Plan, pass| {
        launched.entry(Route::of::<F>(plan, pass, room)).or_default().extend(cuda.runtime().take_launched());
    };
    run.forward(By::Backend)?;
    note(&run.plan, Pass::Train);
    run.backward(By::Backend)?;
    note(&run.plan, Pass::Backward);
    let (name, error) = expected.judge(&run.outcome()?);
    assert!(error <= 1.0, "{name} in {} by {choice:?}: {error} tolerances", F::NAME);
    if case.spec.has_dropout() { Ok(()) } else { infer::<F>(case, (choice, room), &expected, launched) }
}

/// The same for inference alone.
fn infer<F: Float>(
    case: &StackCase,
    (choice, room): (KernelChoice, Room),
    expected: &Expected,
    launched: &mut Launched,
) -> Result<()> {
    let cuda: Device = Cuda::new(Emulator::new(Schedule::Skewed(11)).with_room(room))?;
    let mut note = |plan: &Plan, pass| {
        launched.entry(Route::of::<F>(plan, pass, room)).or_default().extend(cuda.runtime().take_launched());
    };
    let close = |what: &str, got: &[f64], want: &[f64]| {
        let error = distance(Kind::Value, got, want) / expected.tolerance;
        assert!(error <= 1.0, "{what} in {} by {choice:?}: {error} tolerances", F::NAME);
    };
    let mut run = Run::<_, F>::new(&cuda, case, Mode::Infer, choice)?;
    let _ = cuda.runtime().take_launched();
    run.forward(By::Backend)?;
    note(&run.plan, Pass::Infer);
    close("inference", &fetch::<_, F>(&cuda, &run.y)?, &expected.outcome.y);
    if case.steps() == 1 {
        let Run { plan, params, packed, x, y, scratch, initial, .. } = &mut run;
        let mut none = State::zeros(&cuda, &plan.spec, case.rows())?;
        let _ = cuda.runtime().take_launched();
        let weights = Weights { params, packed };
        cuda.step(plan, weights, x, initial.as_mut().unwrap_or(&mut none), y, scratch)?;
        note(plan, Pass::Step);
        close("a step", &fetch::<_, F>(&cuda, y)?, &expected.outcome.y);
    }
    Ok(())
}

/// What a route launches is what the table says, and the table lists every route.
#[test]
fn routes_launch_what_their_table_says() {
    let mut launched = Launched::new();
    for case in routed() {
        for choice in [KernelChoice::Auto, KernelChoice::Fused, KernelChoice::Reference] {
            follow::<f32>(&case, choice, ROOMS[0], &mut launched).unwrap();
            follow::<f64>(&case, choice, ROOMS[0], &mut launched).unwrap();
        }
    }
    for room in ROOMS {
        let by = (KernelChoice::Persistent, room);
        for case in routed() {
            follow::<f32>(&case, by.0, room, &mut launched).unwrap();
            follow::<f64>(&case, by.0, room, &mut launched).unwrap();
        }
        for steps in [1, 2] {
            follow::<f32>(&of_all_sizes::<f32>(room, steps), by.0, room, &mut launched).unwrap();
            follow::<f64>(&of_all_sizes::<f64>(room, steps), by.0, room, &mut launched).unwrap();
        }
        // Three times around the ring; many rows on large layers would take the emulator minutes.
        let layers = [20, 66].map(LayerSpec::new).to_vec();
        let long = filled(StackSpec::new(2, layers), BatchShape::new(70, 32), 1.0, 6);
        let (single, double) = (Expected::new::<f32>(&long).unwrap(), Expected::new::<f64>(&long).unwrap());
        infer::<f32>(&long, by, &single, &mut launched).unwrap();
        infer::<f64>(&long, by, &double, &mut launched).unwrap();
    }
    let names = |route: Route| route.kernels().into_iter().map(|kernel| kernel.name).collect();
    let table: Launched = Route::all().into_iter().map(|route| (route, names(route))).collect();
    for (route, names) in &launched {
        // Of many rows, and under masks, only small layers were run.
        if route.path == Path::Persistent && (route.dropout || route.size == Size::Ring) {
            assert!(names.is_subset(&table[route]), "{route:?}: {names:?}");
        } else {
            assert_eq!(table.get(route), Some(names), "{route:?}");
        }
    }
    assert_eq!(launched.len(), table.len(), "routes that nothing led to");
}

/// Layers up to the largest that a block holds, with inputs that its kernel multiplies and with more; on a cluster; on the grid.
#[test]
fn sequences_in_one_launch_are_the_reference() {
    let sizes = (1..=20usize, 1..=140usize, 1..=64usize, 1..=5usize, 1..=3usize, any::<u64>());
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((inputs, first, second, steps, rows, seed) in sizes, room in prop::sample::select(&ROOMS[..]))| {
        let stack = StackSpec::new(inputs, vec![LayerSpec::new(first), LayerSpec::new(second).bias(Bias::One)]);
        let case = filled(stack, BatchShape::new(steps, rows), 1.0, seed);
        follow::<f32>(&case, KernelChoice::Persistent, room, &mut Launched::new())?;
        follow::<f64>(&case, KernelChoice::Persistent, room, &mut Launched::new())?;
    });
}

/// More rows than the grid takes and fewer, with all operands and with few; f32 on a device without clusters, f64 on any.
/// Under every schedule the bits are the same.
#[test]
fn grids_give_the_reference_and_the_same_bits() {
    let large = filled(StackSpec::new(3, vec![LayerSpec::new(300)]), BatchShape::new(3, 5), 1.0, 8);
    follow::<f64>(&large, KernelChoice::Persistent, ROOMS[2], &mut Launched::new()).unwrap();
    let sizes = (129..=150usize, 1..=4usize, 1..=34usize, any::<u64>(), any::<u32>(), any::<bool>());
    let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((units, steps, rows, seed, schedule, bare) in sizes)| {
        let case = filled(StackSpec::new(3, vec![LayerSpec::new(units)]), BatchShape::new(steps, rows), 1.0, seed);
        let case = if bare { StackCase { initial: None, d_y: None, ..case } } else { case };
        let choice = KernelChoice::Persistent;
        follow::<f32>(&case, choice, ROOMS[0], &mut Launched::new())?;
        follow::<f64>(&case, choice, ROOMS[2], &mut Launched::new())?;
        let device = |schedule| Cuda::new(Emulator::new(schedule).with_room(ROOMS[0])).unwrap();
        let want = bits::<f32>(&device(Schedule::InOrder), (&case, choice), true)?;
        for schedule in [Schedule::Reverse, Schedule::Skewed(schedule)] {
            prop_assert_eq!(&bits::<f32>(&device(schedule), (&case, choice), true)?, &want, "{:?}", schedule);
        }
    });
}

/// What blocks of a cluster send lands early or late.
#[test]
fn clusters_give_the_same_bits_under_every_schedule() {
    let sizes = (65..=140usize, 1..=6usize, 1..=2usize, any::<u64>(), any::<u32>());
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((units, steps, rows, seed, schedule) in sizes)| {
        let case = filled(StackSpec::new(3, vec![LayerSpec::new(units)]), BatchShape::new(steps, rows), 1.0, seed);
        let of = (&case, KernelChoice::Persistent);
        let want = bits::<f32>(&device(Schedule::InOrder), of, true)?;
        for schedule in [Schedule::Reverse, Schedule::Skewed(schedule), Schedule::Skewed(!schedule)] {
            prop_assert_eq!(&bits::<f32>(&device(schedule), of, true)?, &want, "{:?}", schedule);
        }
    });
    // Sixteen blocks, whose inboxes go through rounds of both parities.
    let wide = filled(StackSpec::new(1, vec![LayerSpec::new(257)]), BatchShape::new(6, 2), 1.0, 3);
    let of = (&wide, KernelChoice::Persistent);
    let want = bits::<f32>(&device(Schedule::InOrder), of, true).unwrap();
    for schedule in [Schedule::Reverse, Schedule::Skewed(5)] {
        assert_eq!(bits::<f32>(&device(schedule), of, true).unwrap(), want, "{schedule:?}");
    }
}

/// Where a block cannot have the shared memory that a layer's weights need, the layer takes a launch per step.
#[test]
fn layers_too_large_for_a_block_of_this_device_take_steps() {
    let spec = StackSpec::new(2, vec![LayerSpec::new(100)]);
    let case = filled(spec, BatchShape::new(3, 2), 1.0, 4);
    let expected = Expected::new::<f32>(&case).unwrap();
    for (kib, kernel) in [(48, "cell_forward_f32"), (160, "sequence_inside_f32_128")] {
        let room = Room { shared: kib << 10, cluster: 1, blocks: 8 };
        let cuda: Device = Cuda::new(Emulator::new(Schedule::InOrder).with_room(room)).unwrap();
        let mut run = Run::<_, f32>::new(&cuda, &case, Mode::Train, KernelChoice::Persistent).unwrap();
        let _ = cuda.runtime().take_launched();
        run.forward(By::Backend).unwrap();
        assert_eq!(cuda.runtime().take_launched(), BTreeSet::from([kernel]));
        run.backward(By::Backend).unwrap();
        let (name, error) = expected.judge(&run.outcome().unwrap());
        assert!(error <= 1.0, "{name}: {error} tolerances");
    }
}

#[test]
fn auto_is_the_path_that_is_preferred() {
    let case = filled(StackSpec::new(2, vec![LayerSpec::new(5)]), BatchShape::new(3, 2), 1.0, 4);
    for (preferred, kernel) in
        [(KernelChoice::Auto, "cell_forward_f32"), (KernelChoice::Persistent, "sequence_inside_f32_32")]
    {
        let cuda = device(Schedule::InOrder).preferring(preferred);
        let mut run = Run::<_, f32>::new(&cuda, &case, Mode::Infer, KernelChoice::Auto).unwrap();
        let _ = cuda.runtime().take_launched();
        run.forward(By::Backend).unwrap();
        assert_eq!(cuda.runtime().take_launched(), BTreeSet::from([kernel]));
    }
}

/// The laws have launched every kernel of the hot list but those for large layers, which have laws of their own.
#[test]
fn laws_launch_every_hot_kernel() {
    let cuda = device(Schedule::Skewed(13));
    laws::stack::all_pairings_are_the_reference::<_, f32>(&cuda);
    laws::stack::all_pairings_are_the_reference::<_, f64>(&cuda);
    laws::dropout::masked_pairings_are_the_reference::<_, f32>(&cuda);
    laws::dropout::masked_pairings_are_the_reference::<_, f64>(&cuda);
    let mut large = Launched::new();
    for room in ROOMS {
        let choice = KernelChoice::Persistent;
        follow::<f32>(&of_all_sizes::<f32>(room, 1), choice, room, &mut large).unwrap();
        follow::<f64>(&of_all_sizes::<f64>(room, 1), choice, room, &mut large).unwrap();
    }
    let mut launched = cuda.runtime().take_launched();
    launched.extend(large.into_values().flatten());
    let needed = hot().into_values().filter(|kernel| kernel.meeting != Meeting::Grid);
    let missing: Vec<_> = needed.filter(|kernel| !launched.contains(kernel.name)).collect();
    assert!(missing.is_empty(), "never launched: {missing:?}");
}
