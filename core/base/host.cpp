#include "core/base/host.h"

#include <fmt/core.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace moe {

std::string host_name() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 && *name ? name : "unknown";
}

std::string unique_token() {
  static std::atomic<int64_t> count = 0;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("{}-{}-{}-{}", host_name(), ::getpid(),
                     std::chrono::duration_cast<std::chrono::nanoseconds>(now).count(), ++count);
}

}  // namespace moe
