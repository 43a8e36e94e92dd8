//! Learns to continue a sine: 20 values in, the next one out.
use lstm_cpu::Cpu;
use lstm_nn::{InitSpec, Loss, Model, Network, Readout, TrainOptions, TrainPass};
use lstm_optim::{Optimizer, OptimizerConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const STEPS: usize = 20;
    const BATCH: usize = 16;
    let cpu = Cpu::new(0)?;
    let network = Network::new(1).lstm(32).head(Readout::Last, 1);
    let mut model = Model::<Cpu, f32>::new(&cpu, network, &InitSpec::torch(), 1)?;
    let mut grads = model.gradients(&cpu)?;
    let mut pass = TrainPass::new(&cpu, &model, STEPS, BATCH, TrainOptions::new(Loss::mse()))?;
    let mut adam = Optimizer::new(&cpu, &OptimizerConfig::adam(0.01), model.params().layout())?;
    let rows: Vec<u32> = (0..BATCH as u32).collect();
    let mut loss = f64::INFINITY;
    for step in 0..300u32 {
        let sine = |t: usize, row: usize| (0.3 * t as f32 + 0.39 * row as f32 + step as f32).sin();
        let x: Vec<f32> = (0..STEPS * BATCH).map(|i| sine(i / BATCH, i % BATCH)).collect();
        let y: Vec<f32> = (0..BATCH).map(|row| sine(STEPS, row)).collect();
        pass.accumulate(&cpu, &model, &mut grads, &x, &y, (step, &rows), BATCH)?;
        adam.apply(&cpu, model.params_mut(), &mut grads, BATCH)?;
        loss = pass.take_loss(&cpu)?;
    }
    println!("mean squared error after 300 steps: {loss:.6}");
    if loss < 1e-3 { Ok(()) } else { Err("the sine was not learned".into()) }
}
