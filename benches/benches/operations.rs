//! `cargo bench -p lstm-benches`: time per operation on all threads.
#![allow(clippy::expect_used, reason = "an operation that fails has no time")]
#![allow(missing_docs, reason = "criterion's macros write functions")]

use criterion::{Criterion, criterion_group, criterion_main};
use lstm_benches::operations::{
    Operation, Size, activation, gemm, stack_backward, stack_forward, stream_step, training_step,
};
use lstm_cpu::Cpu;
use lstm_tensor::{Result, Unary};

fn measure(criterion: &mut Criterion, name: &str, operation: Result<Operation<'_>>) {
    let mut operation = operation.expect("sizes of a bench are valid");
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| operation().expect("the operation succeeded before"));
    });
}

fn operations(criterion: &mut Criterion) {
    let cpu = Cpu::new(0).expect("threads can be started");
    // Batch, steps, inputs, hidden units, layers.
    for (rows, steps, input, hidden, layers) in
        [(32, 30, 1, 128, 1), (32, 30, 1, 128, 5), (50, 100, 1, 100, 1), (50, 25, 1, 10, 1)]
    {
        let size = Size::new(rows, steps, input, hidden, layers);
        let name = |what: &str| format!("{what}/{rows}x{steps}x{input}, {layers} of {hidden}");
        measure(criterion, &name("stack_forward"), stack_forward::<f32>(&cpu, &size));
        measure(criterion, &name("stack_backward"), stack_backward::<f32>(&cpu, &size));
        measure(criterion, &name("training_step"), training_step::<f32>(&cpu, &size));
    }
    let size = Size::new(97, 100, 1, 51, 2);
    measure(criterion, "training_step/97x100x1, 2 of 51, f64", training_step::<f64>(&cpu, &size));
    for hidden in [32, 128, 512] {
        let size = Size::new(1, 1, 1, hidden, 1);
        measure(criterion, &format!("stream_step/{hidden}"), stream_step::<f32>(&cpu, &size));
    }
    for sizes @ [m, n, k] in [[16, 512, 128], [960, 512, 128], [512, 128, 960]] {
        measure(criterion, &format!("gemm/{m}x{n}x{k}"), gemm::<f32>(&cpu, sizes));
    }
    for (name, op) in [("tanh", Unary::Tanh), ("sigmoid", Unary::Sigmoid)] {
        measure(criterion, &format!("{name}/65536, f32"), activation::<f32>(&cpu, op, 1 << 16));
        measure(criterion, &format!("{name}/65536, f64"), activation::<f64>(&cpu, op, 1 << 16));
    }
}

criterion_group!(benches, operations);
criterion_main!(benches);
