//! The device: its threads and its instruction set.

use crate::parallel::Team;
use crate::simd::Simd;
use lstm_tensor::{Error, Result};

/// A CPU with a team of threads.
///
/// Results are the same, bit for bit, for every number of threads. Several callers may share one `Cpu`;
/// while one of them has the team, the others work alone.
///
/// ```
/// use lstm_cpu::Cpu;
/// use lstm_tensor::Backend;
///
/// let cpu = Cpu::new(2)?;
/// let mut buffer = cpu.alloc::<f32>(3)?;
/// cpu.upload(&[1.0, 2.0], &mut buffer, 1)?;
/// assert_eq!(buffer.as_slice(), [0.0, 1.0, 2.0]);
/// # Ok::<(), lstm_tensor::Error>(())
/// ```
pub struct Cpu {
    pub(crate) team: Team,
    pub(crate) simd: Simd,
}

impl Cpu {
    /// A CPU that uses `threads` threads, 0 for all there are, and the widest instructions there are.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than 1024 threads, [`Error::Device`] if they cannot be started.
    pub fn new(threads: usize) -> Result<Self> {
        Self::with_simd(threads, Simd::detect())
    }

    /// As [`Cpu::new`], with a given instruction set.
    ///
    /// # Errors
    /// As [`Cpu::new`]; [`Error::Unsupported`] if the processor lacks the set.
    pub fn with_simd(threads: usize, simd: Simd) -> Result<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            1..=1024 => threads,
            _ => {
                let value = threads.to_string();
                return Err(Error::Invalid { what: "threads", value, must: "at most 1024" });
            }
        };
        Ok(Self { team: Team::new(threads)?, simd: simd.checked()? })
    }

    /// Number of threads, the caller's included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Number of threads that have taken part in a parallel loop so far, counted up to 64.
    #[must_use]
    pub fn workers_used(&self) -> usize {
        self.team.used()
    }

    /// The instruction set.
    #[must_use]
    pub fn simd(&self) -> Simd {
        self.simd
    }
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cpu").field("threads", &self.threads()).field("simd", &self.simd).finish()
    }
}
