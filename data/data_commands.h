// The subcommands of moe-data.
#pragma once
#include "core/base/command_line.h"

namespace moe {

// Adds `prepare`, `info`, `verify`, `export` and `synthetic` to the program. Each runs while the command line is parsed
// and throws the errors of error.h. Results are printed to stdout.
void add_data_commands(CommandLine& app);

}  // namespace moe
