#include "core/base/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string_view>

#include "core/base/check.h"

namespace moe {

void check_output() {
  errno = 0;
  std::cout.flush();
  if (std::fflush(stdout) == 0 && !std::ferror(stdout) && std::cout) return;
  raise<CheckpointError>("cannot write to standard output: {}", errno != 0 ? std::strerror(errno) : "a write failed");
}

bool is_capable_terminal(int descriptor) {
  const char* terminal = std::getenv("TERM");
  return isatty(descriptor) && terminal && *terminal && std::string_view(terminal) != "dumb";
}

bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  return is_capable_terminal(STDOUT_FILENO) && !(no_colour && *no_colour);
}

}  // namespace moe
