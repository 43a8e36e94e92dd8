//! Phases of a training step: gathered as a list of commands, recorded once as a graph, replayed.
//!
//! The code of a phase runs every time, so that what it keeps on the host is right after every phase that did
//! not fail; only what it asks of the device is gathered instead of done. If the same commands at the same addresses were gathered
//! before, their graph is replayed; else it is recorded. A recording can therefore never be stale, and
//! every shape of a batch finds its own.

use crate::Runtime;
use crate::runtime::{Address, Arg, Gemm, Launch};
use lstm_tensor::Result;
use std::ops::Range;
use std::sync::Arc;
use std::thread::ThreadId;

/// Recordings that are kept; the one that was not used for longest goes first.
const KEPT: usize = 64;

/// Something that the device does in its stream's order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// A kernel, with the place of its arguments among those of its list.
    Launch(Launch, Range<usize>),
    Gemm(Gemm),
    Copy {
        from: Address,
        to: Address,
        bytes: usize,
    },
    Clear {
        to: Address,
        bytes: usize,
    },
}

impl Command {
    /// Asks it of the device.
    ///
    /// # Safety
    /// That of the method of [`Runtime`] that it names; `args` are those of all launches of its list.
    pub(crate) unsafe fn run<R: Runtime>(&self, runtime: &R, args: &[Arg]) -> Result<()> {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Launch(launch, range) => runtime.launch(launch, &args[range.clone()]),
                Self::Gemm(product) => runtime.gemm(product),
                Self::Copy { from, to, bytes } => runtime.copy(*from, *to, *bytes),
                Self::Clear { to, bytes } => runtime.clear(*to, *bytes),
            }
        }
    }
}

/// Commands in their order.
#[derive(Clone, Debug, Default, PartialEq)]
struct List {
    commands: Vec<Command>,
    args: Vec<Arg>,
}

impl List {
    fn push(&mut self, command: Command, args: &[Arg]) {
        let command = match command {
            Command::Launch(launch, _) => {
                Command::Launch(launch, self.args.len()..self.args.len() + args.len())
            }
            other => other,
        };
        self.args.extend_from_slice(args);
        self.commands.push(command);
    }

    fn clear(&mut self) {
        self.commands.clear();
        self.args.clear();
    }
}

/// The phase that is being gathered, and what has been recorded.
pub(crate) struct Phases<R: Runtime> {
    list: List,
    /// Memory of the commands, by its address: it must live until they have been asked for.
    memory: Vec<(Address, Arc<R::Memory>)>,
    /// The thread that gathers.
    owner: Option<ThreadId>,
    /// In the order of their last use.
    recorded: Vec<(List, R::Graph)>,
    recordings: u64,
}

impl<R: Runtime> Default for Phases<R> {
    fn default() -> Self {
        Self { list: List::default(), memory: Vec::new(), owner: None, recorded: Vec::new(), recordings: 0 }
    }
}

impl<R: Runtime> Phases<R> {
    /// Whether this thread's commands are being gathered.
    pub(crate) fn gathers(&self) -> bool {
        self.owner == Some(std::thread::current().id())
    }

    /// How often a phase had to be recorded.
    pub(crate) fn recordings(&self) -> u64 {
        self.recordings
    }

    /// Starts to gather what this thread asks for; false if that is going on already, here or elsewhere.
    pub(crate) fn start(&mut self) -> bool {
        let free = self.owner.is_none();
        self.owner.get_or_insert_with(|| std::thread::current().id());
        free
    }

    /// Adds a command.
    pub(crate) fn push(&mut self, command: Command, args: &[Arg]) {
        self.list.push(command, args);
    }

    /// Keeps memory that a command uses, while commands are being gathered.
    pub(crate) fn keep(&mut self, address: Address, memory: &Arc<R::Memory>) {
        if self.gathers()
            && let Err(place) = self.memory.binary_search_by_key(&address.0, |(known, _)| known.0)
        {
            self.memory.insert(place, (address, Arc::clone(memory)));
        }
    }

    /// Ends gathering and forgets what was gathered.
    pub(crate) fn forget(&mut self) {
        self.owner = None;
        self.list.clear();
        self.memory.clear();
    }

    /// Does what was gathered.
    pub(crate) fn replay(&mut self, runtime: &R) -> Result<()> {
        if self.list.commands.is_empty() {
            return Ok(());
        }
        let (list, graph) = match self.recorded.iter().rposition(|(list, _)| *list == self.list) {
            Some(found) => self.recorded.remove(found),
            None => {
                let graph = self.record(runtime)?;
                self.recordings += 1;
                if self.recorded.len() == KEPT {
                    self.recorded.remove(0);
                }
                (self.list.clone(), graph)
            }
        };
        // SAFETY: the commands are those that were gathered just now, whose memory is kept.
        let done = unsafe { runtime.replay(&graph) };
        self.recorded.push((list, graph));
        done
    }

    fn record(&self, runtime: &R) -> Result<R::Graph> {
        runtime.begin_capture()?;
        let List { commands, args } = &self.list;
        // SAFETY: who gave a command vouched for it, and its memory is kept.
        let asked = commands.iter().try_for_each(|command| unsafe { command.run(runtime, args) });
        let graph = runtime.end_capture();
        asked?;
        graph
    }
}
