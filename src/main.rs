//! The `asyncprof` program: hands the command line to the library and exits with its answer.

fn main() -> asyncprof::cli::Exit {
    asyncprof::cli::main()
}

// A sixth faster than the C library's on a dump of 10,000 tasks (scripts/bench-dump).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
