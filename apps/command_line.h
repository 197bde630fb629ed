// What the programs' command lines share.
#pragma once
#include <optional>

#include "comm/mpi_session.h"
#include "core/base/command_line.h"

namespace moe {

// Parses; returns the exit code when the program has nothing more to do (--help, --version, a usage error). Only rank 0
// prints.
inline std::optional<int> parse_command_line(CommandLine& app, int argc, char** argv, const MpiSession& session) {
  return app.parse(argc, argv, session.world()->rank() == 0);
}

// For programs that look at a trained model. f32 by default, so that figures do not depend on where they were made.
inline void add_device_options(CommandLine& app, std::string& device, std::string& precision) {
  app.add_option("--device", device, "auto (a GPU where there is one), cpu or cuda")
      .capture_default_str()
      .one_of({"auto", "cpu", "cuda"});
  app.add_option("--precision", precision, "f32, bf16 (faster on a GPU) or auto")
      .capture_default_str()
      .one_of({"auto", "f32", "bf16"});
}

}  // namespace moe
