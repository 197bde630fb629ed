// The errors that a user can cause or encounter. Each class has the exit code of the process (listed in
// docs/errors.md).
#pragma once
#include <stdexcept>
#include <string>

namespace moe {

enum class ExitCode : int {
  done = 0,
  internal = 1,         // a fault in the program
  usage = 2,            // command line or configuration
  data = 3,             // corpus or token files
  checkpoint = 4,       // missing, damaged or incompatible checkpoint; a run folder that cannot be written
  device = 5,           // device, memory or communication
  diverged = 6,         // loss or gradient is no longer finite
  expert_collapse = 7,  // stopped by the collapse alarm (moe.alarm.action: stop)
  interrupted = 130,    // SIGINT
  terminated = 143,     // SIGTERM
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ~Error() override;  // in error.cpp, so that the class is compiled once
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

template <ExitCode kCode>
class ErrorOf : public Error {
 public:
  explicit ErrorOf(const std::string& message) : Error(kCode, message) {}
};

using InternalError = ErrorOf<ExitCode::internal>;
using UsageError = ErrorOf<ExitCode::usage>;
using DataError = ErrorOf<ExitCode::data>;
using CheckpointError = ErrorOf<ExitCode::checkpoint>;
using DeviceError = ErrorOf<ExitCode::device>;
using DivergedError = ErrorOf<ExitCode::diverged>;
using CollapseError = ErrorOf<ExitCode::expert_collapse>;

}  // namespace moe
