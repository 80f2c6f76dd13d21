//! The `asyncprof` program: hands the command line to the library and exits with its answer.

fn main() -> asyncprof::cli::Exit {
    asyncprof::cli::main()
}
