// Functions shared by the programs' command lines.
#pragma once
#include <optional>

#include "comm/mpi_session.h"
#include "core/base/command_line.h"

namespace moe {

// Parses the command line. Returns the exit code when the program has nothing more to do (--help, --version, a usage
// error). Only rank 0 prints.
inline std::optional<int> parse_command_line(CommandLine& app, int argc, char** argv, const MpiSession& session) {
  return app.parse(argc, argv, session.world()->rank() == 0);
}

// For programs that read a trained model, which choose the device by choose_device_for().
inline void add_device_options(CommandLine& app, std::string& device, std::string& precision) {
  app.add_option("--device", device, "auto (a GPU where there is one), cpu or cuda")
      .capture_default_str()
      .one_of({"auto", "cpu", "cuda"});
  app.add_option("--precision", precision, "run (as the run was configured), f32, bf16 or auto")
      .capture_default_str()
      .one_of({"run", "auto", "f32", "bf16"});
}

}  // namespace moe
