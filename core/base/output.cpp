#include "core/base/output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "core/base/check.h"

namespace moe {

void check_output() {
  errno = 0;
  std::cout.flush();
  if (std::fflush(stdout) == 0 && !std::ferror(stdout) && std::cout) return;
  raise<CheckpointError>("cannot write to standard output: {}", errno != 0 ? std::strerror(errno) : "a write failed");
}

}  // namespace moe
