//! Configuration files, flags and output folders that cannot be.

use super::{all_fail, file};

#[test]
fn wrong_settings() {
    let with = "forecast good.csv --config bad.toml --out out --force";
    all_fail(&[
        ("missing file", &|_| {}, with, 2, "bad.toml: cannot be read"),
        (
            "unknown key",
            &file("bad.toml", "lr = 0.01\n\nhiden = 3\n"),
            with,
            2,
            "bad.toml, line 3: unknown key 'hiden'; did you mean 'hidden'?",
        ),
        (
            "wrong type",
            &file("bad.toml", "epochs = \"many\"\n"),
            with,
            2,
            "bad.toml, line 1: epochs = \"many\", but must be a whole number from 1 to 1000000",
        ),
        (
            "impossible size",
            &file("bad.toml", "# sizes\nhidden = 0\n"),
            with,
            2,
            "bad.toml, line 2: hidden = 0, but must be a whole number from 1 to 16384",
        ),
        (
            "impossible share",
            &file("bad.toml", "dropout = 1.5\n"),
            with,
            2,
            "bad.toml, line 1: dropout = 1.5, but must be a number from 0 to below 1",
        ),
        ("no TOML", &file("bad.toml", "hidden: 3\n"), with, 2, "bad.toml, line 1: not TOML: "),
        (
            "a wrong flag",
            &|_| {},
            "train good.csv --hidden 0 --out out --force",
            2,
            "invalid value '0' for '--hidden <UNITS>': must be a whole number from 1 to 16384",
        ),
        (
            "an infinite rate",
            &|_| {},
            "train good.csv --lr inf --out out --force",
            2,
            "invalid value 'inf' for '--lr <RATE>': must be a number above 0",
        ),
        ("an unknown flag", &|_| {}, "train good.csv --hiden 3", 2, "a similar argument exists: '--hidden'"),
        ("an unknown rule", &|_| {}, "train good.csv --optimizer adm", 2, "a similar value exists: 'adam'"),
        (
            "nothing to forecast",
            &|_| {},
            "forecast --horizon 3",
            2,
            "name a CSV file, or a run folder with --model",
        ),
        (
            "results that exist",
            &|_| {},
            "forecast good.csv --out out",
            2,
            "model.safetensors exists already; name another folder with --out, or pass --force to replace it",
        ),
        (
            "a file as folder",
            &|_| {},
            "train good.csv --out good.csv",
            2,
            "good.csv exists and is not a folder",
        ),
        (
            "a device that is not there",
            &|_| {},
            "train good.csv --device cuda:999 --out out --force",
            5,
            "error: --device cuda:999: ",
        ),
        (
            "a device of another name",
            &|_| {},
            "forecast good.csv --device gpu --out out --force",
            2,
            "invalid value 'gpu' for '--device <DEVICE>': must be auto, cpu, cuda or cuda:N, where N is the number of \
             a GPU",
        ),
        (
            "a device with a word",
            &|_| {},
            "eval run good.csv --device cuda:x",
            2,
            "'cuda:x' for '--device <DEVICE>'",
        ),
        ("a device below 0", &|_| {}, "repro 000 --device cuda:-1", 2, "'cuda:-1' for '--device <DEVICE>'"),
        (
            "a device in a file",
            &|place| place.write("device.toml", "seed = 1\ndevice = \"cuda:\"\n"),
            "train good.csv --config device.toml --out out --force",
            2,
            "device.toml, line 2: device = \"cuda:\", but must be auto, cpu, cuda or cuda:N",
        ),
        (
            "threads of a GPU",
            &|place| place.write("device.toml", "device = \"cuda\"\n"),
            "train good.csv --config device.toml --threads 2 --out out --force",
            2,
            "--threads is about the CPU, but the device is cuda; leave one of them out",
        ),
    ]);
}
