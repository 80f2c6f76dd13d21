//! Whose code a file is: the program's, an installed package's, or Python's own, judged by its path alone.

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

/// The frame that stands for the step from a coroutine's stack to that of a greenlet, which is not written in Python: its
/// file.
pub const GREENLET_FILE: &str = "<greenlet>";
/// Its function.
pub const GREENLET_SWITCH: &str = "greenlet.switch";

/// Classifies a code object by its file name.
pub fn origin_of(file: &str) -> Origin {
    if file.starts_with("<frozen ") {
        return Origin::Python;
    }
    if file == GREENLET_FILE || file.contains("/site-packages/") || file.contains("/dist-packages/") {
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
            (GREENLET_FILE, Origin::Package),
            ("", Origin::Program),
        ] {
            assert_eq!(origin_of(file), origin, "{file}");
        }
    }
}
