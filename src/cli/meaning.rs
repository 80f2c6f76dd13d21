//! Options that say nothing about what is to be written: told, rather than passed over, where they stand on the command line.
//! It must not know how anything is written.

use super::args::{ByName, FlameArgs, ReportFormat};
use super::product::Product;
use super::{Exit, Failure};

/// An option about stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    By,
    Threads,
    Idle,
}

impl About {
    fn name(self) -> &'static str {
        match self {
            Self::By => "--by",
            Self::Threads => "--threads",
            Self::Idle => "--idle",
        }
    }

    /// Whether a product is another one with this option.
    fn changes(self, product: Product) -> bool {
        match product {
            Product::Flamegraph(by) | Product::Collapsed(by) => self != Self::Idle || by != ByName::Await,
            Product::Speedscope(_) | Product::Pprof(_) => true,
            // The page has its stacks by all.
            Product::Report(ReportFormat::Html) => self != Self::By,
            Product::Report(_) => false,
        }
    }
}

/// Looks whether each option that was given changes any of the products, before anything is done for them. `what` is what they
/// are called together.
pub(super) fn check(flame: FlameArgs, products: &[Product], what: &str) -> Result<(), Failure> {
    let given = [(About::By, flame.said.by), (About::Threads, flame.said.threads), (About::Idle, flame.said.idle)];
    for (option, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
        if products.iter().any(|product| option.changes(*product)) {
            continue;
        }
        let name = option.name();
        // With another way to weigh time it would.
        if products.iter().any(|product| About::Threads.changes(*product)) && option == About::Idle {
            return Err(Failure::new(Exit::Usage, format!("{name} has no meaning with --by await"))
                .hint("loops that are idle are seen with --by run or --by wall"));
        }
        return Err(Failure::new(Exit::Usage, format!("{name} has no meaning for {what}"))
            .hint("it is about time added up by stack, as .svg, .folded, .speedscope.json and .pb.gz have it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use clap::Parser as _;

    fn flame(options: &[&str]) -> FlameArgs {
        let arguments = [&["asyncprof", "export", "x.aprof"], options].concat();
        match Cli::parse_from(arguments).command {
            Command::Export(args) => args.flame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_option_that_is_given_has_to_change_something() {
        let text = Product::Report(ReportFormat::Text);
        let page = Product::Report(ReportFormat::Html);
        let (runs, waits) = (Product::Flamegraph(ByName::Run), Product::Collapsed(ByName::Await));
        for (options, products, message) in [
            (&["--by", "run"][..], &[text, runs][..], None),
            (&["--by", "run"], &[text, page], Some("--by has no meaning for it")),
            (&["-t", "-i"], &[page], None),
            (&["-t"], &[waits], None),
            (&["-t"], &[], Some("--threads has no meaning for it")),
            (&["-i"], &[waits], Some("--idle has no meaning with --by await")),
            (&["-i"], &[waits, Product::Pprof(ByName::Await)], None),
            (&["-i"], &[text], Some("--idle has no meaning for it")),
            (&["--full-task-names"], &[text], None),
            (&[], &[], None),
        ] {
            let failure = check(flame(options), products, "it").err();
            assert_eq!(failure.as_ref().map(|failure| &*failure.message), message, "{options:?}");
            assert!(failure.is_none_or(|failure| failure.exit == Exit::Usage && failure.hint.is_some()));
        }
    }
}
