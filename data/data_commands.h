// The subcommands of moe-data.
#pragma once
#include <CLI/CLI.hpp>

namespace moe {

// Adds `prepare`, `info`, `export` and `synthetic` to the program. Each runs while the command line is parsed, and
// throws the errors of error.h. Results go to stdout.
void add_data_commands(CLI::App& app);

}  // namespace moe
