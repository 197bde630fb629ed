// moe-data: makes corpora and shows what they hold.
#include <cstdio>
#include <exception>

#include "core/base/build_info.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "data/data_commands.h"

int main(int argc, char** argv) {
  moe::log::initialise(0, 1);
  CLI::App app("Prepares text for training and shows what a corpus holds.", "moe-data");
  app.set_version_flag("--version", moe::version());
  moe::add_data_commands(app);
  try {
    app.parse(argc, argv);
    return static_cast<int>(moe::ExitCode::done);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::fprintf(stderr, "Error: %s (moe-data --help shows what there is)\n", error.what());
    return static_cast<int>(moe::ExitCode::usage);
  } catch (const moe::Error& error) {
    std::fprintf(stderr, "Error: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "Error: %s\n", error.what());
    return static_cast<int>(moe::ExitCode::internal);
  }
}
