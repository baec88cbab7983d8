use std::process::ExitCode;

fn main() -> ExitCode {
    relabeld::cli::run()
}
