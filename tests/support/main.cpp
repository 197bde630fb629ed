#define CATCH_CONFIG_RUNNER
#include "tests/support/catch.h"

#include "core/base/log.h"

int main(int argc, char** argv) {
  moe::log::initialise(0, 1);
  moe::log::quiet_console();
  return Catch::Session().run(argc, argv);
}
