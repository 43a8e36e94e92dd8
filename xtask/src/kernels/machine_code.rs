//! What the compiler says about kernels, and what their machine code shows.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// One kernel on one architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Registers of a thread.
    pub(super) registers: u32,
    /// Bytes of static shared memory of a block; the dynamic part is asked for at the launch.
    pub(super) shared: u32,
    /// Bytes of registers stored to and loaded from memory for want of more.
    pub(super) spills: u32,
    /// Bytes of stack of a thread.
    pub(super) stack: u32,
    /// Accesses to local memory (`LDL`, `STL`) inside loops.
    pub(super) local_in_loops: u32,
    /// Memory fences (`MEMBAR`).
    pub(super) fences: u32,
    /// Those inside loops.
    pub(super) fences_in_loops: u32,
    /// Products of matrices on tensor cores.
    pub(super) tensor_products: u32,
}

/// Products on tensor cores: by a warp (floats, doubles), by a warp group, by a thread for its block.
const TENSOR_PRODUCTS: [&str; 5] = ["HMMA", "DMMA", "HGMMA", "UTCHMMA", "UTCQMMA"];

/// Reports by the name of the kernel, out of the log of ptxas and the disassembly.
///
/// # Errors
/// If a kernel of the log is not in the disassembly: then one of them is not understood.
pub(super) fn read(log: &str, disassembly: &str) -> Result<BTreeMap<String, Report>> {
    let mut reports = resources(log);
    let mut functions = functions(disassembly);
    for (kernel, report) in &mut reports {
        let lines =
            functions.remove(kernel).with_context(|| format!("{kernel} is not in the disassembly"))?;
        let code = Code::new(&lines);
        report.local_in_loops = code.count_in_loops(&["LDL", "STL"]);
        report.fences = code.count(&["MEMBAR"]);
        report.fences_in_loops = code.count_in_loops(&["MEMBAR"]);
        report.tensor_products = code.count(&TENSOR_PRODUCTS);
    }
    Ok(reports)
}

/// Registers, memory and spills, as `--ptxas-options=-v` prints them.
fn resources(log: &str) -> BTreeMap<String, Report> {
    let mut reports = BTreeMap::<String, Report>::new();
    let mut kernel = None;
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or_default().to_owned();
            reports.insert(name.clone(), Report::default());
            kernel = Some(name);
        }
        // Functions that a kernel calls follow it and count for it.
        let Some(report) = kernel.as_ref().and_then(|name| reports.get_mut(name)) else { continue };
        let before = |what: &str| -> u32 {
            let number = line.split(what).next().filter(|head| head.len() < line.len());
            number.and_then(|head| head.split_whitespace().next_back()?.parse().ok()).unwrap_or(0)
        };
        if line.contains("bytes stack frame") {
            report.stack = report.stack.max(before(" bytes stack frame"));
            report.spills += before(" bytes spill stores") + before(" bytes spill loads");
        }
        if line.contains("Used ") {
            report.registers = before(" registers");
            report.shared = before(" bytes smem");
            report.stack = report.stack.max(before(" bytes cumulative stack size"));
        }
    }
    reports
}

/// The lines of each function of a disassembly: `.text.NAME:` starts one.
fn functions(disassembly: &str) -> BTreeMap<String, Vec<&str>> {
    let mut functions = BTreeMap::<String, Vec<&str>>::new();
    let mut current = None;
    for line in disassembly.lines() {
        if let Some(name) = line.strip_prefix(".text.").and_then(|rest| rest.strip_suffix(':')) {
            current = Some(name.to_owned());
        } else if line.starts_with("//---") {
            current = None;
        } else if let Some(name) = &current {
            functions.entry(name.clone()).or_default().push(line.trim());
        }
    }
    functions
}

/// The instructions of a function, and which of them lie in loops.
struct Code<'a> {
    /// Name of each instruction with its modifiers, `"LDG.E"`.
    names: Vec<&'a str>,
    /// Whether each can be reached from itself.
    looped: Vec<bool>,
}

impl<'a> Code<'a> {
    fn new(lines: &[&'a str]) -> Self {
        let mut labels = BTreeMap::new();
        let (mut names, mut branches, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines {
            if let Some(label) = line.strip_suffix(':') {
                labels.insert(label, names.len());
            }
            let Some((_, text)) = line.strip_prefix("/*").and_then(|rest| rest.split_once("*/")) else {
                continue;
            };
            let mut words = text.split_whitespace().skip_while(|word| word.starts_with('@') || *word == "{");
            let Some(name) = words.next() else { continue };
            let ends =
                ["BRA", "EXIT", "RET"].iter().any(|stem| name.starts_with(stem)) && !text.contains('@');
            next.push(if ends { vec![] } else { vec![names.len() + 1] });
            if name.starts_with("BRA") {
                let target = text.split_once("`(").and_then(|(_, rest)| rest.split(')').next());
                branches.extend(target.map(|target| (names.len(), target)));
            }
            names.push(name.trim_end_matches(';'));
        }
        let branches = branches.into_iter().filter_map(|(from, target)| Some((from, *labels.get(target)?)));
        let branches: Vec<(usize, usize)> = branches.filter(|(_, to)| *to < names.len()).collect();
        next.push(vec![]);
        branches.iter().for_each(|&(from, to)| next[from].push(to));
        let mut before = vec![vec![]; next.len()];
        next.iter().enumerate().for_each(|(from, next)| next.iter().for_each(|&to| before[to].push(from)));
        // A way back has a backward branch in it: all between its target and itself goes round.
        let mut looped = vec![false; names.len()];
        for (from, to) in branches.into_iter().filter(|(from, to)| to <= from) {
            let (ahead, behind) = (reached(to, &next), reached(from, &before));
            let between = ahead.iter().zip(&behind).map(|(ahead, behind)| *ahead && *behind);
            looped.iter_mut().zip(between).for_each(|(looped, between)| *looped |= between);
        }
        Self { names, looped }
    }

    fn count(&self, stems: &[&str]) -> u32 {
        tally(self.names.iter().copied(), stems)
    }

    fn count_in_loops(&self, stems: &[&str]) -> u32 {
        let inside = self.names.iter().zip(&self.looped).filter(|(_, looped)| **looped);
        tally(inside.map(|(name, _)| *name), stems)
    }
}

/// What can be reached from a place by these edges, itself too.
fn reached(from: usize, edges: &[Vec<usize>]) -> Vec<bool> {
    let mut seen = vec![false; edges.len()];
    let mut open = vec![from];
    while let Some(place) = open.pop() {
        if !std::mem::replace(&mut seen[place], true) {
            open.extend(&edges[place]);
        }
    }
    seen
}

/// Instructions whose name without modifiers is one of `stems`.
fn tally<'a>(names: impl Iterator<Item = &'a str>, stems: &[&str]) -> u32 {
    names.filter(|name| name.split('.').next().is_some_and(|stem| stems.contains(&stem))).map(|_| 1).sum()
}

#[cfg(test)]
mod unit {
    use super::*;

    const LOG: &str = "\
ptxas info    : 272 bytes gmem, 16 bytes cmem[4]
ptxas info    : Compiling entry function 'power' for 'sm_80'
ptxas info    : Function properties for power
ptxas         .     16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 256 bytes smem, 448 bytes cmem[0]
ptxas info    : Compile time = 51.282 ms
ptxas info    : Function properties for __internal_accurate_pow
ptxas         .     24 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Compiling entry function 'plain' for 'sm_80'
ptxas info    : Function properties for plain
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 7 registers, used 0 barriers
";

    const DISASSEMBLY: &str = "\
//--------------------- .text.power --------------------------
\t.section\t.text.power,\"ax\",@progbits
power:
.text.power:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   STL.128 [R1], R12 ;
        /*0020*/              @!P0 BRA `(.L_x_1) ;
.L_x_0:
        /*0030*/                   LDL R11, [R11] ;
        /*0040*/               @P1 BRA `(.L_x_0) ;
.L_x_1:
        /*0050*/                   MEMBAR.SC.GPU ;
        /*0060*/                   LDL.64 R2, [R1] ;
        /*0070*/                   EXIT ;
//--------------------- .text.plain --------------------------
plain:
.text.plain:
        /*0000*/                   EXIT ;
.L_x_2:
        /*0010*/                   BRA `(.L_x_2);
";

    /// A wait whose repetition lies behind the end of the kernel, as ptxas writes what is rare.
    const WAIT: &str = "\
.text.wait:
.L_x_0:
        /*0000*/              @!P1 BRA `(.L_x_2) ;
.L_x_1:
        /*0010*/                   CCTL.IVALL ;
        /*0020*/               @P2 BRA `(.L_x_0) ;
        /*0030*/                   MEMBAR.ALL.GPU ;
        /*0040*/                   EXIT ;
.L_x_2:
        /*0050*/                   SYNCS.PHASECHK.TRANS64.TRYWAIT P1, [R4+UR6], R5 ;
        /*0060*/              @!P1 BRA `(.L_x_2) ;
        /*0070*/                   BRA `(.L_x_1) ;
";

    #[test]
    fn only_what_can_come_again_is_in_a_loop() {
        let lines: Vec<&str> = WAIT.lines().map(str::trim).collect();
        let code = Code::new(&lines);
        assert_eq!((code.count(&["MEMBAR"]), code.count_in_loops(&["MEMBAR"])), (1, 0));
        assert_eq!((code.count_in_loops(&["CCTL"]), code.count_in_loops(&["SYNCS"])), (1, 1));
    }

    #[test]
    fn log_and_disassembly_are_read() {
        let reports = read(LOG, DISASSEMBLY).unwrap();
        let power = Report {
            registers: 32,
            shared: 256,
            spills: 12,
            stack: 24,
            local_in_loops: 1,
            fences: 1,
            fences_in_loops: 0,
            tensor_products: 0,
        };
        assert_eq!(reports["power"], power);
        assert_eq!(reports["plain"], Report { registers: 7, ..Report::default() });
    }

    #[test]
    fn a_kernel_that_is_not_disassembled_is_an_error() {
        assert!(read(LOG, "").is_err());
    }

    /// Out of a kernel with `mma.sync.m16n8k16` in bf16, as NVRTC 13.0 compiled it for sm_90a.
    const PRODUCT: &str = "\
.text.product:
        /*01c0*/                   LDG.E R11, desc[UR4][R26.64+0xc] ;
        /*01d0*/                   HMMA.16816.F32.BF16 R4, R4, R8, R12 ;
        /*0260*/                   HMMA.16816.F32.BF16 R8, R8, R16, R4 ;
        /*06f0*/                   STG.E desc[UR4][R22.64+0xc], R15 ;
        /*0700*/                   EXIT ;
";

    #[test]
    fn products_on_tensor_cores_are_counted() {
        let log = "ptxas info    : Compiling entry function 'product' for 'sm_90a'\n";
        assert_eq!(read(log, PRODUCT).unwrap()["product"].tensor_products, 2);
        let without: Vec<&str> = PRODUCT.lines().filter(|line| !line.contains("HMMA")).collect();
        assert_eq!(read(log, &without.join("\n")).unwrap()["product"].tensor_products, 0);
    }
}
