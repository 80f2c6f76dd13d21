//! A recording in every output: the input is the content of its blocks, each after its kind and its length (two bytes). What
//! can be read is analysed, written in every format, compared with itself and judged.

use std::io::{Write, sink};

use asyncprof::detect::analysis::Analysis;
use asyncprof::detect::check::{Circumstances, Run};
use asyncprof::detect::difference::{Difference, Watch};
use asyncprof::profile::By;
use asyncprof::profile::recording::Reader;
use asyncprof::render::export::{self, End, Step};
use asyncprof::render::report::{self, Report, html};
use asyncprof::render::{Options, difference, flamegraph};

use super::blocks::{beginning, block};

/// LIMIT: blocks of one input.
const BLOCKS: u32 = 16;

/// The input as a recording.
fn recording(mut input: &[u8]) -> Vec<u8> {
    let mut file = beginning().to_vec();
    for number in 1..=BLOCKS {
        let Some((&[kind, low, high], rest)) = input.split_first_chunk() else { break };
        let (content, rest) = rest.split_at(usize::from(u16::from_le_bytes([low, high])).min(rest.len()));
        file.extend(block(1 + kind % 3, number, content).into_iter().flatten());
        input = rest;
    }
    file
}

/// Runs the target.
pub fn run(input: &[u8]) {
    let file = recording(input);
    let Ok(mut reader) = Reader::new(&file[..]) else { return };
    let header = reader.header().clone();
    let mut analysis = Analysis::new(header.clone());
    let mut outputs: [Box<dyn Write>; 3] = [Box::new(sink()), Box::new(sink()), Box::new(sink())];
    let begin = [export::begin_firefox, export::begin_perfetto, export::begin_json_lines];
    let exporters = begin.iter().zip(&mut outputs).map(|(begin, out)| begin(&header, out));
    let mut exporters: Vec<_> = exporters.collect::<Result<_, _>>().expect(NOWHERE);
    while let Some(Ok(batch)) = reader.next_batch() {
        let alerts = analysis.absorb(&batch).expect("the reader has checked every index against its table");
        let step = Step { batch: &batch, analysis: &analysis, alerts: &alerts };
        exporters.iter_mut().for_each(|exporter| exporter.take(&step).expect(NOWHERE));
    }
    let ongoing = analysis.finish();
    let complete = true;
    for exporter in exporters {
        let _ = exporter.finish(&End { analysis: &analysis, ongoing: &ongoing, complete }).expect(NOWHERE);
    }
    write_all(&analysis, complete);
}

/// Why writing cannot fail.
const NOWHERE: &str = "nothing can fail when writing to nowhere";

fn write_all(analysis: &Analysis, complete: bool) {
    let (report, options, out) = (Report { analysis, complete }, Options::default(), &mut sink());
    report::write_text(&report, &options, out).expect(NOWHERE);
    report::write_markdown(&report, &options, out).expect(NOWHERE);
    report::write_json(&report, out).expect(NOWHERE);
    html::write(&report, &html::Sources::default(), out).expect(NOWHERE);
    let profile = analysis.profile();
    for by in [By::Run, By::Await, By::Wall] {
        flamegraph::write_collapsed(profile, by, out).expect(NOWHERE);
        flamegraph::write(profile, by, "it", analysis.is_biased(), out).expect(NOWHERE);
        flamegraph::write_difference(profile, profile, 1.0, by, "it", out).expect(NOWHERE);
        export::write_speedscope(profile, by, "it", out).expect(NOWHERE);
        export::write_pprof(analysis.header(), analysis.duration_ns(), profile, by, out).expect(NOWHERE);
    }
    let watch = Watch { analysis, complete };
    let found = Difference::between(&watch, &watch);
    let comparison =
        difference::Comparison { difference: &found, base: watch, head: watch, base_name: "base", head_name: "head" };
    difference::write_json(&comparison, out).expect(NOWHERE);
    difference::write_text(&comparison, &options, out).expect(NOWHERE);
    difference::write_markdown(&comparison, &options, out).expect(NOWHERE);
    let _ = Run::of(analysis, 100_000_000, Circumstances::default());
}
