//! Text as people move it: logs, tables, documents and reads of a sequencer, made from a seed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Draws for the text, by splitmix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of these, the earlier ones more often.
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let count = u64::try_from(from.len()).unwrap_or(1);
        let place = self.below(count).min(self.below(count));
        from[usize::try_from(place).unwrap_or(0)]
    }
}

const PATHS: [&str; 8] = [
    "/api/v1/items",
    "/index.html",
    "/static/app.js",
    "/api/v1/users",
    "/login",
    "/favicon.ico",
    "/api/v2/search",
    "/health",
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
    "curl/8.5.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
];
const STATIONS: [&str; 6] = ["harbour", "summit", "airport", "old-town", "valley", "lighthouse"];
const WORDS: [&str; 12] = [
    "the",
    "of",
    "measured",
    "sample",
    "result",
    "and",
    "sensor",
    "value",
    "under",
    "pressure",
    "temperature",
    "station",
];

/// Writes one line, or one record, of a kind of text.
type Scribe = fn(&mut dyn Write, &mut Draw, u64) -> io::Result<()>;

/// The kinds by the name of their file.
const KINDS: [(&str, Scribe); 4] = [
    ("access.log", log),
    ("stations.csv", table),
    ("documents.json", document),
    ("reads.fastq", read),
];

/// Plants four files of text, `bytes` together or a line more.
pub(crate) fn plant_text(root: &Path, bytes: u64) -> Result<(), String> {
    let plant = || -> io::Result<()> {
        fs::create_dir_all(root)?;
        for (seed, (name, scribe)) in (1..).zip(KINDS) {
            let mut file =
                Counted { inner: BufWriter::new(File::create(root.join(name))?), bytes: 0 };
            let (mut draw, mut line) = (Draw(seed), 0);
            while file.bytes < bytes / 4 {
                scribe(&mut file, &mut draw, line)?;
                line += 1;
            }
            file.flush()?;
        }
        Ok(())
    };
    plant().map_err(|error| format!("{}: {error}", root.display()))
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += u64::try_from(written).unwrap_or(0);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn log(out: &mut dyn Write, draw: &mut Draw, line: u64) -> io::Result<()> {
    let seconds = line / 7;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    writeln!(
        out,
        "10.{}.{}.{} - - [14/Mar/2026:{hour:02}:{minute:02}:{second:02} +0000] \
         \"GET {}?id={} HTTP/1.1\" {} {} \"-\" \"{}\"",
        draw.below(4),
        draw.below(16),
        draw.below(256),
        draw.pick(&PATHS),
        draw.below(100_000),
        draw.pick(&[200, 200, 304, 404, 500]),
        draw.below(50_000),
        draw.pick(&AGENTS),
    )
}

fn table(out: &mut dyn Write, draw: &mut Draw, line: u64) -> io::Result<()> {
    let (day, minute) = (line / 1440 % 28 + 1, line % 1440);
    writeln!(
        out,
        "2026-03-{day:02}T{:02}:{:02}:00Z,{},{}.{},{}.{},{},{}",
        minute / 60,
        minute % 60,
        draw.pick(&STATIONS),
        draw.below(30),
        draw.below(10),
        980 + draw.below(50),
        draw.below(10),
        draw.below(360),
        draw.pick(&["ok", "ok", "ok", "drift"]),
    )
}

fn document(out: &mut dyn Write, draw: &mut Draw, line: u64) -> io::Result<()> {
    write!(out, "{{\"id\":{line},\"station\":\"{}\",\"tags\":[", draw.pick(&STATIONS))?;
    write!(out, "\"{}\",\"{}\"],\"text\":\"", draw.pick(&WORDS), draw.pick(&WORDS))?;
    for _ in 0..8 + draw.below(16) {
        write!(out, "{} ", draw.pick(&WORDS))?;
    }
    writeln!(
        out,
        "\",\"value\":{}.{:04},\"valid\":{}}}",
        draw.below(100),
        draw.below(10_000),
        draw.below(9) > 0
    )
}

/// Reads of 100 bases out of a genome that repeats itself, as the real ones do.
fn read(out: &mut dyn Write, draw: &mut Draw, line: u64) -> io::Result<()> {
    let start = draw.below(200_000);
    let mut bases = [0; 100];
    for (place, base) in (start..).zip(&mut bases) {
        *base = b"ACGT"[usize::try_from(Draw(place).next() % 4).unwrap_or(0)];
    }
    writeln!(out, "@SIM:7:{}:{line}:{} 1:N:0:ATCACG", line / 5_000 % 64, draw.below(20_000))?;
    out.write_all(&bases)?;
    out.write_all(b"\n+\n")?;
    let mut quality = [b'F'; 100];
    for _ in 0..draw.below(12) {
        let place = usize::try_from(draw.below(100)).unwrap_or(0);
        quality[place] = draw.pick(b":,#");
    }
    out.write_all(&quality)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_each_time_and_as_long_as_it_should_be() {
        let directory = tempfile::tempdir().expect("a directory");
        let [first, second] = ["a", "b"].map(|name| directory.path().join(name));
        plant_text(&first, 40_000).expect("text");
        plant_text(&second, 40_000).expect("text");
        for (name, _) in KINDS {
            let text = fs::read(first.join(name)).expect("a file");
            assert!((10_000..10_400).contains(&text.len()), "{name}: {}", text.len());
            assert!(text == fs::read(second.join(name)).expect("a file"), "{name}");
            assert!(text.is_ascii() && text.ends_with(b"\n"), "{name}");
        }
    }
}
