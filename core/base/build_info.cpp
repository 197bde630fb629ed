#include "core/base/build_info.h"

#include <fmt/core.h>

namespace moe {

std::string version() {
  return fmt::format("{} ({})", MOE_VERSION, MOE_GIT_COMMIT);
}

std::string build_info(const std::string& cuda) {
  return fmt::format("version: {}\ncommit: {}\nbuild type: {}\ncompiler: {}\ncpu architecture: {}\ncuda: {}\n",
                     MOE_VERSION, MOE_GIT_COMMIT, MOE_BUILD_TYPE, MOE_COMPILER, MOE_CPU_ARCH[0] ? MOE_CPU_ARCH : "any",
                     cuda);
}

}  // namespace moe
