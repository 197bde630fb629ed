#include "core/base/output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <utility>

#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("only a terminal whose TERM is known and not dumb gets escape sequences") {
  const int controller = posix_openpt(O_RDWR | O_NOCTTY);
  if (controller < 0 || grantpt(controller) != 0 || unlockpt(controller) != 0) {
    WARN("not tested: no pseudo terminal can be opened here");
    return;
  }
  const int terminal = open(ptsname(controller), O_RDWR | O_NOCTTY), file = open("/dev/null", O_WRONLY);
  for (const auto& [term, capable] :
       {std::pair("xterm-256color", true), {"linux", true}, {"dumb", false}, {"", false}}) {
    INFO(term);
    setenv("TERM", term, 1);
    CHECK(is_capable_terminal(terminal) == capable);
    CHECK_FALSE(is_capable_terminal(file));
  }
  unsetenv("TERM");
  CHECK_FALSE(is_capable_terminal(terminal));
  close(terminal), close(controller), close(file);
}
