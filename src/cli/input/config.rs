//! Settings of a project: `asyncprof.toml`, and `[tool.asyncprof]` of `pyproject.toml`, in this folder or the nearest above it
//! up to the root of the working copy. They become the defaults of the options, so that the command line and the environment
//! override them.
//!
//! INVARIANT: an option that can be set has a variable `ASYNCPROF_SOME_NAME`, and its key is `some-name`. So there is one
//! list: the definitions in `args`.

use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use crate::cli::failure::{Exit, Failure, note};

const OWN_FILE: &str = "asyncprof.toml";
const SHARED_FILE: &str = "pyproject.toml";
/// What marks the root of a working copy.
const ROOT_MARKS: [&str; 4] = [".git", ".hg", ".jj", ".svn"];
/// What every variable begins with.
const PREFIX: &str = "ASYNCPROF_";

/// The root of the working copy that a folder is in, else the folder itself.
pub(crate) fn root_of(folder: &Path) -> &Path {
    let is_root = |folder: &&Path| ROOT_MARKS.iter().any(|mark| folder.join(mark).exists());
    folder.ancestors().find(is_root).unwrap_or(folder)
}

/// A setting and the file it comes from.
#[derive(Clone, Debug, PartialEq)]
struct Setting {
    /// The command that it is for; `None` for all commands with this option.
    command: Option<String>,
    key: String,
    value: Value,
    file: PathBuf,
}

/// The command line's definition with the project's settings as defaults.
pub(crate) fn apply(command: Command, folder: &Path) -> Result<Command, Failure> {
    let mut command = command;
    let commands: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for setting in settings(folder, &commands)? {
        command = set(command, &setting)?;
    }
    Ok(command)
}

/// All settings that apply in a folder, those of `asyncprof.toml` last: later ones override.
fn settings(folder: &Path, commands: &[String]) -> Result<Vec<Setting>, Failure> {
    let mut found = Vec::new();
    if let Some((file, table)) = nearest(folder, SHARED_FILE, read_shared)? {
        found.extend(list(&file, table, commands));
    }
    if let Some((file, table)) = nearest(folder, OWN_FILE, read_own)? {
        found.extend(list(&file, table, commands));
    }
    Ok(found)
}

/// A table named after a command holds settings for this command only; they follow the general ones.
fn list(file: &Path, table: Table, commands: &[String]) -> Vec<Setting> {
    let (mut for_all, mut for_one) = (Vec::new(), Vec::new());
    for (key, value) in table {
        match value {
            Value::Table(table) if commands.contains(&key) => {
                for_one.extend(table.into_iter().map(|(name, value)| Setting {
                    command: Some(key.clone()),
                    key: name,
                    value,
                    file: file.to_owned(),
                }))
            }
            value => for_all.push(Setting { command: None, key, value, file: file.to_owned() }),
        }
    }
    for_all.extend(for_one);
    for_all
}

/// The first table that is found on the way up, and the file it is in.
fn nearest(
    folder: &Path,
    file: &str,
    read: fn(&Path) -> Result<Option<Table>, Failure>,
) -> Result<Option<(PathBuf, Table)>, Failure> {
    for folder in folder.ancestors() {
        let path = folder.join(file);
        if let Some(table) = read(&path)? {
            return Ok(Some((path, table)));
        }
        if ROOT_MARKS.iter().any(|mark| folder.join(mark).exists()) {
            break;
        }
    }
    Ok(None)
}

fn read_own(path: &Path) -> Result<Option<Table>, Failure> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    match text.parse::<Table>() {
        Ok(table) => Ok(Some(table)),
        Err(error) => Err(Failure::new(Exit::Usage, describe(&error, &text)).about(path)),
    }
}

fn read_shared(path: &Path) -> Result<Option<Table>, Failure> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    let mut table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            // It belongs to other tools first: a broken one must not prevent watching a process.
            note(&format!("{} is not used: {}", path.display(), describe(&error, &text)));
            return Ok(None);
        }
    };
    let ours = table.get_mut("tool").and_then(|tools| tools.as_table_mut()?.remove("asyncprof"));
    match ours {
        None => Ok(None),
        Some(Value::Table(ours)) => Ok(Some(ours)),
        Some(other) => {
            let what = format!("tool.asyncprof is not a table but {}", other.type_str());
            Err(Failure::new(Exit::Usage, what).about(path))
        }
    }
}

/// The message on one line, with the line number in the file.
fn describe(error: &toml::de::Error, text: &str) -> String {
    let message = error.message().replace('\n', ", ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

fn read_text(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        // A folder on the way up belongs to another user.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(Failure::new(Exit::Usage, format!("cannot be read: {error}")).about(path)),
    }
}

/// Makes a setting the default of every option it applies to.
fn set(command: Command, setting: &Setting) -> Result<Command, Failure> {
    let failed = |message: String| Failure::new(Exit::Usage, message).about(&setting.file);
    let key = setting.key.replace('_', "-");
    let mut matches = 0;
    let is_for = |command: &Command| setting.command.as_deref().is_none_or(|name| name == command.get_name());
    // In its command's table an option also has its own name, where its variable has a longer one.
    let is_key = |arg: &&Arg| match key_of(arg) {
        Some(known) => known == key || (setting.command.is_some() && arg.get_long() == Some(&key)),
        None => false,
    };
    let mut command = in_each_command(command, &mut |command| {
        let Some(arg) = command.get_arguments().filter(|_| is_for(&command)).find(is_key) else {
            return Ok(command);
        };
        matches += 1;
        let value = text_of(arg, &setting.value).map_err(|problem| failed(format!("{key}: {problem}")))?;
        let id = arg.get_id().clone();
        // A default lives as long as the program.
        let value: &'static str = value.leak();
        Ok(command.mut_arg(id, |arg| arg.default_value(value)))
    })?;
    if matches > 0 {
        return Ok(command);
    }
    let known = known_keys(&mut command, setting.command.as_deref());
    let hint = match nearest_key(&key, &known) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("known settings: {}", known.join(", ")),
    };
    let of = setting.command.as_ref().map(|command| format!(" of {command}")).unwrap_or_default();
    Err(failed(format!("there is no setting {}{of}", setting.key)).hint(hint))
}

/// Changes the top command and every subcommand.
fn in_each_command(
    command: Command,
    change: &mut dyn FnMut(Command) -> Result<Command, Failure>,
) -> Result<Command, Failure> {
    let mut command = change(command)?;
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let mut failure = None;
        command = command.mut_subcommand(name, |sub| {
            let untouched = sub.clone();
            change(sub).unwrap_or_else(|error| {
                failure = Some(error);
                untouched
            })
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    Ok(command)
}

/// The key of an option, `None` when it cannot be set.
fn key_of(arg: &Arg) -> Option<String> {
    let name = arg.get_env()?.to_str()?.strip_prefix(PREFIX)?;
    Some(name.to_ascii_lowercase().replace('_', "-"))
}

fn known_keys(command: &mut Command, of: Option<&str>) -> Vec<String> {
    let is_asked_for = |command: &&Command| of.is_none_or(|name| name == command.get_name());
    let mut keys: Vec<String> = (command.get_arguments().filter(|_| of.is_none()))
        .chain(command.get_subcommands().filter(is_asked_for).flat_map(Command::get_arguments))
        .filter_map(key_of)
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

fn nearest_key<'k>(key: &str, known: &'k [String]) -> Option<&'k String> {
    /// Less similar than this is another word, not a typo.
    const ALIKE: f64 = 0.75;
    let alike = |known: &String| strsim::jaro_winkler(key, known);
    known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|nearest| alike(nearest) >= ALIKE)
}

/// A value as it would be given on the command line, if the option accepts it.
fn text_of(arg: &Arg, value: &Value) -> Result<String, String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return match value {
            Value::Boolean(on) => Ok(on.to_string()),
            other => Err(format!("it must be true or false, not {}", other.type_str())),
        };
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        other => return Err(format!("it must be a string or a number, not {}", other.type_str())),
    };
    let option = format!("--{}={text}", arg.get_long().unwrap_or_default());
    match Command::new("setting").arg(arg.clone()).try_get_matches_from(["setting", &option]) {
        Ok(_) => Ok(text),
        Err(error) => Err(match error.source() {
            Some(source) => source.to_string(),
            None => first_paragraph(&error.to_string()),
        }),
    }
}

/// clap's message about a value, without its advice to ask for help.
fn first_paragraph(message: &str) -> String {
    let lines = message.lines().take_while(|line| !line.is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::super::args::{self, Cli};
    use super::*;

    /// A folder with these files, and what `attach 1` reads in `below` it.
    fn attach_in(files: &[(&str, &str)], below: &str) -> Result<args::watch::AttachArgs, Failure> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let command = apply(Cli::command(), &folder.path().join(below))?;
        let cli = Cli::from_arg_matches(&command.get_matches_from(["asyncprof", "attach", "1", "--task-rate", "3"]));
        match cli.unwrap().command {
            args::Command::Attach(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_become_defaults_and_the_command_line_goes_before_them() {
        let files = [(OWN_FILE, "rate = '2khz'\ntask_rate = 7\nblocking = true\nduration = 1.5\n")];
        let args = attach_in(&files, "").unwrap();
        assert_eq!((args.watch.rate, args.watch.task_rate, args.watch.stops.blocking), (2_000.0, 3.0, true));
        assert_eq!(args.watch.duration, Some(std::time::Duration::from_millis(1_500)));
    }

    #[test]
    fn what_is_set_is_not_what_was_said() {
        let flame = attach_in(&[(OWN_FILE, "threads = true\nidle = true\nby = 'wall'\n")], "").unwrap().flame;
        assert!(flame.threads && flame.idle && flame.by == crate::profile::By::Wall);
        assert_eq!(flame.given, Default::default());
    }

    #[test]
    fn asyncprof_toml_goes_before_pyproject_key_by_key() {
        let shared = "[project]\nname = 'x'\n[tool.asyncprof]\nrate = 50\nstall = '20ms'\n";
        let args = attach_in(&[(OWN_FILE, "rate = 60"), (SHARED_FILE, shared)], "").unwrap();
        assert_eq!((args.watch.rate, args.watch.stall.as_millis()), (60.0, 20));
    }

    #[test]
    fn the_nearest_file_counts_and_none_above_the_root_of_the_working_copy() {
        let files =
            [("a/b/asyncprof.toml", "rate = 1"), ("a/asyncprof.toml", "rate = 2"), ("asyncprof.toml", "rate = 3")];
        assert_eq!(attach_in(&files, "a/b").unwrap().watch.rate, 1.0);
        assert_eq!(attach_in(&files[1..], "a/b").unwrap().watch.rate, 2.0);
        let marked = [("a/.git/HEAD", ""), ("a/b/x", ""), ("asyncprof.toml", "rate = 3")];
        assert_eq!(attach_in(&marked, "a/b").unwrap().watch.rate, 1_000.0);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest() {
        let failure = attach_in(&[(OWN_FILE, "task-rat = 7")], "").unwrap_err();
        assert!(failure.message.ends_with("there is no setting task-rat"), "{failure:?}");
        assert_eq!(failure.hint.as_deref(), Some("did you mean task-rate?"));
        let failure = attach_in(&[(SHARED_FILE, "[tool.asyncprof]\nzzz = 7")], "").unwrap_err();
        assert!(failure.hint.unwrap().starts_with("known settings: "));
    }

    #[test]
    fn a_value_that_the_option_would_refuse_is_refused_with_its_range() {
        for (text, part) in [
            ("rate = '0'", "rate: it must be 0.1 to 1000000"),
            ("stall = 100", "stall: it needs a unit: 100ms or 100s"),
            ("report-format = 'xml'", "[possible values: text, json, md, html]"),
            ("blocking = 1", "blocking: it must be true or false, not integer"),
            ("rate = [1]", "rate: it must be a string or a number, not array"),
            ("stall = '1s'\nrate = \n", "asyncprof.toml: line 2: "),
        ] {
            let failure = attach_in(&[(OWN_FILE, text)], "").unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(part), "{text}: {}", failure.message);
        }
    }

    #[test]
    fn a_table_named_like_a_command_is_for_this_command_alone() {
        let check = |text: &str| -> Result<args::check::CheckArgs, Failure> {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(OWN_FILE), text).unwrap();
            let command = apply(Cli::command(), folder.path())?;
            let cli = Cli::from_arg_matches(&command.get_matches_from(["asyncprof", "check", "a.aprof"])).unwrap();
            match cli.command {
                args::Command::Check(args) => Ok(*args),
                other => panic!("{other:?}"),
            }
        };
        let args = check("max-stalls = 4\n[check]\nmax-stalls = 3\nmax_stall = '50ms'\nformat = 'md'\n").unwrap();
        assert_eq!((args.budgets.max_stalls, args.output.format.name), (Some(3), "md"));
        assert_eq!(args.budgets.max_stall.unwrap().as_millis(), 50);
        let failure = check("[check]\nmax-orphan = 0\n").unwrap_err();
        assert!(failure.message.ends_with("there is no setting max-orphan of check"), "{failure:?}");
        assert_eq!(failure.hint.as_deref(), Some("did you mean max-orphans?"));
        assert!(check("[check]\nreport-format = 'md'\n").is_err(), "it is no option of check");
        let args = attach_in(&[(OWN_FILE, "[check]\nrate = 7\n")], "").unwrap();
        assert_eq!(args.watch.rate, 1_000.0);
        let shared = "[tool.asyncprof.check]\nmax-busy = '80%'\n";
        assert!(attach_in(&[(SHARED_FILE, shared)], "").is_ok());
    }

    #[test]
    fn a_broken_pyproject_does_not_keep_anybody_from_looking() {
        assert!(attach_in(&[(SHARED_FILE, "[project")], "").is_ok());
        assert!(attach_in(&[(SHARED_FILE, "[tool]\nasyncprof = 3")], "").is_err());
    }
}
