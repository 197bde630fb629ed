#include "core/base/host.h"

#include <unistd.h>

namespace moe {

std::string host_name() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 && *name ? name : "unknown";
}

}  // namespace moe
