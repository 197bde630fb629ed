// What the programs' command lines share.
#pragma once
#include <CLI/CLI.hpp>
#include <optional>

#include "comm/mpi_session.h"
#include "core/base/build_info.h"

namespace moe {

// Parses; returns the exit code when the program has nothing more to do (--help, --version, a usage error). Only rank 0
// prints.
inline std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv, const MpiSession& session) {
  app.set_version_flag("--version", version());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool good = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    if (session.world()->rank() == 0) app.exit(error);
    return static_cast<int>(good ? ExitCode::done : ExitCode::usage);
  }
  return std::nullopt;
}

// For programs that look at a trained model. f32 by default, so that figures do not depend on where they were made.
inline void add_device_options(CLI::App& app, std::string& device, std::string& precision) {
  app.add_option("--device", device, "auto (a GPU where there is one), cpu or cuda")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--precision", precision, "f32, bf16 (faster on a GPU) or auto")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "f32", "bf16"}));
}

}  // namespace moe
