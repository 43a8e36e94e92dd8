//! What the emulator finds in kernels that break CUDA's rules.
#![allow(unsafe_code, reason = "launches; each block says why it is sound")]

use lstm_cuda::Runtime;
use lstm_cuda::runtime::{Arg, Launch, Room};
use lstm_cuda_emu::{Emulator, Schedule};
use lstm_tensor::Result;

const SCHEDULES: [Schedule; 3] = [Schedule::InOrder, Schedule::Reverse, Schedule::Skewed(5)];

/// What a launch of 64 threads answers.
fn answer(kernel: &'static str, schedule: Schedule, args: &[Arg]) -> String {
    let launch = Launch { kernel, grid: [1; 3], block: [64, 1, 1], shared: 256, cooperative: false };
    // SAFETY: the kernels called here take numbers, or fail before they start.
    let result = unsafe { Emulator::new(schedule).launch(&launch, args) };
    result.map_or_else(|error| error.to_string(), |()| "nothing".into())
}

#[test]
fn broken_rules_are_named() {
    for schedule in SCHEDULES {
        for (kernel, finding) in [
            ("emulator_barrier_left", "deadlock: 32 of 64 threads"),
            ("emulator_barriers_differ", "threads of a block wait at sync_threads in"),
            ("emulator_masks_differ", "at shuffle_down in"),
        ] {
            let answer = answer(kernel, schedule, &[Arg::new(32u32)]);
            assert!(answer.contains(kernel) && answer.contains(finding), "{schedule:?}: {answer}");
        }
    }
}

#[test]
fn arguments_are_compared_with_parameters() {
    let answer = |kernel, args: &[Arg]| answer(kernel, Schedule::InOrder, args);
    assert!(answer("emulator_none", &[]).contains("no kernel is called emulator_none"));
    assert!(answer("emulator_barrier_left", &[]).contains("0 arguments, the kernel takes 1"));
    let wide = answer("emulator_barrier_left", &[Arg::new(32u64)]);
    assert!(wide.contains("argument 0 has 8 bytes, the kernel takes 4"), "{wide}");
}

/// What a kernel of 64 threads writes.
fn written(kernel: &'static str, schedule: Schedule) -> Result<[f32; 64]> {
    let device = Emulator::new(schedule);
    let memory = device.allocate(256)?;
    let launch = Launch { kernel, grid: [1; 3], block: [64, 1, 1], shared: 256, cooperative: false };
    let mut bytes = [0; 256];
    // SAFETY: the kernels called here write 64 floats to the memory they are given.
    unsafe {
        device.launch(&launch, &[Arg::new(device.address(&memory))])?;
        device.download(device.address(&memory), &mut bytes)?;
    }
    Ok(std::array::from_fn(|i| f32::from_ne_bytes([0, 1, 2, 3].map(|byte| bytes[4 * i + byte]))))
}

#[test]
fn shared_memory_starts_as_nan() {
    assert!(written("emulator_shared_unwritten", Schedule::InOrder).unwrap().iter().all(|y| y.is_nan()));
}

#[test]
fn races_differ_between_schedules() {
    let bits = |schedule| written("emulator_race", schedule).unwrap().map(f32::to_bits);
    assert_ne!(bits(Schedule::InOrder), bits(Schedule::Reverse));
}

/// What two blocks of a cluster write, 64 threads each.
fn sent(schedule: Schedule, wait: u32) -> Result<Vec<u32>> {
    let device = Emulator::new(schedule);
    let memory = device.allocate(512)?;
    let launch = Launch {
        kernel: "emulator_sent",
        grid: [2, 1, 1],
        block: [64, 1, 1],
        shared: 8 + 256,
        cooperative: false,
    };
    let mut bytes = [0; 512];
    // SAFETY: the kernel writes 128 numbers to the memory it is given.
    unsafe {
        device.launch(&launch, &[Arg::new(device.address(&memory)), Arg::new(wait)])?;
        device.download(device.address(&memory), &mut bytes)?;
    }
    Ok(bytes.as_chunks().0.iter().map(|bytes| u32::from_ne_bytes(*bytes)).collect())
}

#[test]
fn what_blocks_of_a_cluster_send_arrives() {
    let expected: Vec<u32> = (64..128).rev().chain((0..64).rev()).collect();
    for schedule in SCHEDULES {
        assert_eq!(sent(schedule, 1).unwrap(), expected, "{schedule:?}");
    }
}

#[test]
fn what_nobody_waits_for_is_noticed() {
    let error = sent(Schedule::InOrder, 0).unwrap_err().to_string();
    assert!(error.contains("bytes arrive at a block that has ended"), "{error}");
}

#[test]
fn clusters_wider_than_the_device_allows_are_refused() {
    let narrow = Emulator::new(Schedule::InOrder).with_room(Room { shared: 1 << 10, cluster: 1, blocks: 1 });
    let launch = Launch {
        kernel: "emulator_nothing_sent",
        grid: [2, 1, 1],
        block: [64, 1, 1],
        shared: 64,
        cooperative: false,
    };
    // SAFETY: the kernel takes a number.
    let answer = unsafe { narrow.launch(&launch, &[Arg::new(4u32)]) }.unwrap_err().to_string();
    assert!(answer.contains("no clusters of so many blocks"), "{answer}");
}

#[test]
fn misused_inboxes_are_named() {
    for schedule in SCHEDULES {
        for (kernel, blocks, finding) in [
            ("emulator_nothing_sent", 2, "deadlock: 128 of 128 threads"),
            ("emulator_expected_twice", 2, "a round of an inbox begins before the last has ended"),
            ("emulator_inbox_closed", 2, "an inbox that nobody has opened"),
            ("emulator_inbox_closed", 3, "no whole number of clusters"),
        ] {
            let launch =
                Launch { kernel, grid: [blocks, 1, 1], block: [64, 1, 1], shared: 64, cooperative: false };
            // SAFETY: the kernels take a number.
            let result = unsafe { Emulator::new(schedule).launch(&launch, &[Arg::new(4u32)]) };
            let answer = result.unwrap_err().to_string();
            assert!(answer.contains(kernel) && answer.contains(finding), "{schedule:?}: {answer}");
        }
    }
}

/// What three blocks of 64 threads write that read what the next one has written; each waits for `heard` of them.
fn passed_on(schedule: Schedule, heard: u32, cooperative: bool) -> Result<Vec<u32>> {
    let device = Emulator::new(schedule).with_room(Room { shared: 64, cluster: 1, blocks: 3 });
    let memory = device.allocate(4 + 4 * 2 * 192)?;
    let (told, words) = (device.address(&memory), device.address(&memory).plus(4));
    let launch =
        Launch { kernel: "emulator_passed_on", grid: [3, 1, 1], block: [64, 1, 1], shared: 64, cooperative };
    let mut bytes = vec![0; 4 * 192];
    // SAFETY: the kernel counts in the number and writes twice 192 behind it.
    unsafe {
        device.clear(told, 4)?;
        device.launch(&launch, &[Arg::new(told), Arg::new(words), Arg::new(heard)])?;
        device.download(words.plus(bytes.len()), &mut bytes)?;
    }
    Ok(bytes.as_chunks().0.iter().map(|bytes| u32::from_ne_bytes(*bytes)).collect())
}

#[test]
fn blocks_of_a_grid_wait_for_each_other() {
    let expected: Vec<u32> = (64..192).chain(0..64).collect();
    for schedule in SCHEDULES {
        assert_eq!(passed_on(schedule, 3, true).unwrap(), expected, "{schedule:?}");
        let deadlock = passed_on(schedule, 4, true).unwrap_err().to_string();
        assert!(deadlock.contains("deadlock: 192 of 192 threads"), "{deadlock}");
        let alone = passed_on(schedule, 3, false).unwrap_err().to_string();
        assert!(alone.contains("the launch must be cooperative"), "{alone}");
    }
    let too_few = (0..8).any(|seed| passed_on(Schedule::Skewed(seed), 1, true).unwrap() != expected);
    assert!(too_few, "who waits for one block alone reads what another has not written");
    let narrow = Emulator::new(Schedule::InOrder).with_room(Room { shared: 64, cluster: 1, blocks: 2 });
    let launch = Launch {
        kernel: "emulator_passed_on",
        grid: [3, 1, 1],
        block: [64, 1, 1],
        shared: 64,
        cooperative: true,
    };
    // SAFETY: it fails before it starts.
    let answer = unsafe { narrow.launch(&launch, &[Arg::new(0u64), Arg::new(0u64), Arg::new(3u32)]) };
    let answer = answer.unwrap_err().to_string();
    assert!(answer.contains("cannot run so many blocks at once"), "{answer}");
}
