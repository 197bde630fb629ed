#define CATCH_CONFIG_RUNNER
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/base/log.h"
#include "core/tensor/device.h"
#include "tests/support/catch.h"
#include "tests/support/test_context.h"

// --device cpu|cuda, before Catch's own arguments, selects the device for all tests. Returns 77, which ctest shows as
// skipped, when there is no such device.
int main(int argc, char** argv) {
  moe::log::initialise(0, 1);
  moe::log::quiet_console();
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--device") != 0) continue;
    if (std::strcmp(argv[i + 1], "cuda") == 0) {
      if (moe::cuda::device_count() == 0) {
        std::printf("skipped: %s\n", moe::cuda::why_no_device().c_str());
        return 77;
      }
      moe::test::use_device(moe::Device::cuda);
    }
    std::copy(argv + i + 2, argv + argc, argv + i);
    argc -= 2;
    break;
  }
  return Catch::Session().run(argc, argv);
}
