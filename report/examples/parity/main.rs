//! Writes a page of comparisons that were never made: `cargo run -p onr-report --example parity -- FILE [LAYERS]`.

mod made_up;

use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let file = args.next().ok_or("which file is to be written?")?;
    let layers = args.next().map_or(Ok(8), |n| n.parse())?;
    fs::write(file, made_up::page(layers).html())?;
    Ok(())
}
