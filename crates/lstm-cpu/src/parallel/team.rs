//! A team of threads that waits for work, spinning a little before it sleeps.
//!
//! A pass over an LSTM is a chain of many short parallel loops; a loop here costs a few microseconds and
//! allocates nothing.
#![allow(unsafe_code, reason = "tasks borrow from the caller's stack; see SAFETY in Team::run")]

use lstm_tensor::{Error, Result};
use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How often an idle thread looks for work before it sleeps: a fifth of a millisecond, where a pause takes 40 ns as on a
/// Xeon of 2023. To wake one takes some tens of microseconds there, half of them on the thread that has the work.
const SPINS: usize = 5000;
/// The same where there are more threads than cores, and waiting takes away from work.
const CROWDED: usize = 100;

/// The caller's thread and its helpers.
pub(crate) struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the caller whose loop is running.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Shared {
    slot: Mutex<Slot>,
    /// A new job or the end.
    wake: Condvar,
    /// The last helper left a job.
    left: Condvar,
    /// Number of jobs so far; written under the lock, spun on without.
    epoch: AtomicU64,
    /// Helpers inside the current job; written under the lock, spun on without.
    inside: AtomicUsize,
    /// Of every thread's share of the tasks the next one to be taken.
    next: Vec<Next>,
    /// How often a waiting thread looks before it sleeps.
    spins: usize,
    /// One bit per thread that ever took a task of a parallel loop, the caller's first.
    used: AtomicU64,
}

/// On a cache line of its own: every thread counts in its own share first.
#[derive(Default)]
#[repr(align(128))]
struct Next(AtomicUsize);

#[derive(Default)]
struct Slot {
    job: Option<Job>,
    sleeping: usize,
    quit: bool,
    panic: Option<Box<dyn Any + Send>>,
}

#[derive(Clone, Copy)]
struct Job {
    task: &'static (dyn Fn(usize) + Sync),
    tasks: usize,
}

impl Job {
    /// Tasks that a thread of `threads` begins with.
    fn share(&self, number: usize, threads: usize) -> Range<usize> {
        self.tasks * number / threads..self.tasks * (number + 1) / threads
    }
}

impl Team {
    /// A team of `threads`, the caller's included.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let next = (0..threads).map(|_| Next::default()).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let spins = if threads > cores { CROWDED } else { SPINS };
        let shared = Arc::new(Shared { next, spins, ..Shared::default() });
        let mut team = Self { shared, helpers: Vec::new(), turn: Mutex::new(()) };
        for number in 1..threads {
            let shared = Arc::clone(&team.shared);
            let helper = std::thread::Builder::new()
                .name(format!("lstm-cpu-{number}"))
                .spawn(move || shared.help(number))
                .map_err(|error| Error::Device { op: "start a thread", message: error.to_string() })?;
            team.helpers.push(helper);
        }
        Ok(team)
    }

    pub(crate) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Number of threads that ever took a task of a parallel loop (counted up to 64).
    pub(crate) fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed).count_ones() as usize
    }

    /// Calls `task` with every number below `tasks`, each once, on any threads. In loops of as many tasks a
    /// thread begins with the same ones each time, since what they read may still be in its cache; then it
    /// helps the others.
    ///
    /// A loop inside a task, or a second caller while a loop is running, works alone.
    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let turn = if tasks > 1 && !self.helpers.is_empty() { self.turn.try_lock().ok() } else { None };
        if turn.is_none() {
            return (0..tasks).for_each(task);
        }
        // SAFETY: helpers reach the task through `slot.job` only, and count themselves in `inside` in the
        // same critical section. `Finish` clears the job and waits for `inside` to become 0 before this
        // function returns or unwinds, so nobody uses the reference after the borrow that it extends.
        let task =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task) };
        let job = Job { task, tasks };
        let mut slot = self.shared.lock();
        slot.job = Some(job);
        for (number, next) in self.shared.next.iter().enumerate() {
            next.0.store(job.share(number, self.threads()).start, Ordering::Relaxed);
        }
        self.shared.epoch.fetch_add(1, Ordering::Release);
        let sleeping = slot.sleeping;
        drop(slot);
        if sleeping > 0 {
            self.shared.wake.notify_all();
        }
        let finish = Finish(&self.shared);
        self.shared.work(job, 0);
        drop(finish);
        let panic = self.shared.lock().panic.take();
        drop(turn);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.lock().quit = true;
        self.shared.wake.notify_all();
        self.shared.epoch.fetch_add(1, Ordering::Release);
        for helper in self.helpers.drain(..) {
            // A helper cannot panic: its tasks' panics are caught and handed to the caller.
            let _ = helper.join();
        }
    }
}

/// Closes the current job when dropped.
struct Finish<'a>(&'a Shared);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.lock().job = None;
        for _ in 0..self.0.spins {
            if self.0.inside.load(Ordering::Acquire) == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        let mut slot = self.0.lock();
        while self.0.inside.load(Ordering::Acquire) > 0 {
            slot = self.0.left.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes tasks until none is left.
    fn work(&self, job: Job, number: usize) {
        let mut took = false;
        let threads = self.next.len();
        for whose in (number..threads).chain(0..number) {
            let share = job.share(whose, threads);
            loop {
                let task = self.next[whose].0.fetch_add(1, Ordering::Relaxed);
                if task >= share.end {
                    break;
                }
                took = true;
                (job.task)(task);
            }
        }
        if took {
            self.used.fetch_or(1 << number.min(63), Ordering::Relaxed);
        }
    }

    /// Life of a helper.
    fn help(&self, number: usize) {
        let mut seen = 0;
        loop {
            for _ in 0..self.spins {
                if self.epoch.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut slot = self.lock();
            while self.epoch.load(Ordering::Acquire) == seen && !slot.quit {
                slot.sleeping += 1;
                slot = self.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
                slot.sleeping -= 1;
            }
            if slot.quit {
                return;
            }
            seen = self.epoch.load(Ordering::Acquire);
            let Some(job) = slot.job else { continue };
            self.inside.fetch_add(1, Ordering::AcqRel);
            drop(slot);
            let result = catch_unwind(AssertUnwindSafe(|| self.work(job, number)));
            let mut slot = self.lock();
            if let Err(panic) = result {
                slot.panic = Some(panic);
            }
            if self.inside.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.left.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in 1..=4 {
            let team = Team::new(threads).unwrap();
            for tasks in [0, 1, 2, 3, 50] {
                for _ in 0..200 {
                    let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    team.run(tasks, &|i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn several_threads_take_part() {
        let team = Team::new(2).unwrap();
        let meeting = std::sync::Barrier::new(2);
        team.run(2, &|_| {
            meeting.wait();
        });
        assert_eq!(team.used(), 2);
    }

    #[test]
    fn loops_may_nest() {
        let team = Team::new(3).unwrap();
        let sum = AtomicUsize::new(0);
        team.run(4, &|i| {
            team.run(4, &|j| {
                sum.fetch_add(i * j, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 36);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_survives() {
        let team = Team::new(2).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| team.run(8, &|i| assert!(i != 5))));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        team.run(8, &|i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 28);
    }
}
