// moe-data: prepares corpora and describes them.
#include <cstdio>

#include "core/base/failure.h"
#include "core/base/log.h"
#include "core/base/output.h"
#include "core/base/text.h"
#include "data/data_commands.h"

int main(int argc, char** argv) {
  moe::log::initialise(0, 1);
  moe::CommandLine app("Prepares text for training and describes corpora.", "moe-data");
  moe::add_data_commands(app);
  try {
    app.parse_or_throw(argc, argv);
    moe::check_output();
    return static_cast<int>(moe::ExitCode::done);
  } catch (...) {
    const moe::Failure failure = moe::current_failure();
    std::fprintf(stderr, "Error: %s\n", moe::shown(failure.message).c_str());
    return static_cast<int>(failure.code);
  }
}
