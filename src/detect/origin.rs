//! Whose code a frame belongs to: the program, an installed package, or Python itself, judged by its file path alone.

use crate::model::Snapshot;
use crate::model::snapshot::{Frame, FrameId};

/// The owner of a piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The standard library and modules frozen into the interpreter.
    Python,
    /// An installed package.
    Package,
    /// The program itself.
    Program,
}

/// Classifies a code object by its file name.
pub fn origin_of(file: &str) -> Origin {
    if file.starts_with("<frozen ") {
        return Origin::Python;
    }
    if file.contains("/site-packages/") || file.contains("/dist-packages/") {
        return Origin::Package;
    }
    if is_under_library_folder(file) { Origin::Python } else { Origin::Program }
}

/// `…/lib/python3.12/asyncio/…`, `…/lib64/python3.9/…` or the zipped library `…/lib/python312.zip/…`.
fn is_under_library_folder(file: &str) -> bool {
    ["/lib/python", "/lib64/python"].into_iter().any(|folder| {
        file.split(folder).skip(1).any(|rest| {
            let version = rest.split('/').next().unwrap_or_default();
            rest.len() > version.len()
                && version.starts_with('3')
                && version
                    .trim_end_matches(".zip")
                    .trim_end_matches('t')
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
    })
}

/// The frame to show to the program's author: the innermost of their own code, otherwise of a package, otherwise the
/// innermost.
pub fn find_culprit<'s>(snapshot: &'s Snapshot, stack: &[FrameId]) -> Option<&'s Frame> {
    culprit_of(stack.iter().map(|&id| snapshot.frame(id)))
}

/// The same for frames, outermost first.
pub fn culprit_of<'f>(frames: impl IntoIterator<Item = &'f Frame>) -> Option<&'f Frame> {
    // `max_by_key` keeps the last of equal elements, which is the innermost frame.
    frames.into_iter().max_by_key(|frame| match is_generated(frame) {
        true => Origin::Python,
        false => origin_of(&frame.file),
    })
}

/// Whether no one wrote this code: methods of dataclasses, named tuples, attrs and the like, which a library has built
/// from a text. A whole program can be such a text too (`python -c`, a console); its functions have names of their own.
fn is_generated(frame: &Frame) -> bool {
    let Some(name) = frame.file.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else { return false };
    let function = frame.function.rsplit('.').next().unwrap_or_default();
    let is_special = function.len() > 4 && function.starts_with("__") && function.ends_with("__");
    match name {
        "string" => is_special,
        "stdin" | "console" | "input" => false,
        name => !name.starts_with("ipython-input") && !name.starts_with("python-input"),
    }
}

/// `function (file:line)`, or without the line if it is not known.
pub fn describe(frame: &Frame) -> String {
    match frame.line {
        Some(line) => format!("{} ({}:{line})", frame.function, frame.file),
        None => format!("{} ({})", frame.function, frame.file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell_whose_code_a_frame_is() {
        for (file, origin) in [
            ("<frozen importlib._bootstrap>", Origin::Python),
            ("/usr/lib/python3.11/asyncio/locks.py", Origin::Python),
            ("/usr/lib64/python3.9/selectors.py", Origin::Python),
            ("/opt/py/lib/python3.13t/asyncio/tasks.py", Origin::Python),
            ("/usr/lib/python312.zip/asyncio/tasks.py", Origin::Python),
            ("/usr/lib/python3/dist-packages/aiohttp/client.py", Origin::Package),
            ("/app/.venv/lib/python3.12/site-packages/aiohttp/client.py", Origin::Package),
            ("/app/main.py", Origin::Program),
            ("/srv/lib/python_tools/main.py", Origin::Program),
            ("/srv/lib/python3.12", Origin::Program),
            ("main.py", Origin::Program),
            ("<string>", Origin::Program),
            ("", Origin::Program),
        ] {
            assert_eq!(origin_of(file), origin, "{file}");
        }
    }
}
