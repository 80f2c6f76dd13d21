//! `asyncprof completions` and `asyncprof man`, from the definitions of the options.

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::cli::failure::{Exit, Failure};
use crate::cli::input::args::Cli;
use crate::cli::output::destination::to_stdout;

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "asyncprof", &mut script);
    to_stdout(|out| out.write_all(&script))?;
    Ok(Exit::Fine)
}

/// All commands on one page, so that an option is found without knowing its command.
pub(crate) fn page() -> Result<Exit, Failure> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(command.clone()).render(&mut page).and_then(|()| {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let man = clap_mangen::Man::new(sub.clone());
            writeln!(page, ".SH {}", sub.get_display_name().unwrap_or_default().replace('-', " ").to_uppercase())?;
            man.render_description_section(&mut page)?;
            man.render_synopsis_section(&mut page)?;
            man.render_options_section(&mut page)?;
        }
        Ok(())
    });
    written.map_err(|error| Failure::internal(format!("cannot make the manual page: {error}")))?;
    to_stdout(|out| out.write_all(&page))?;
    Ok(Exit::Fine)
}
