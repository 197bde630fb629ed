#include "core/base/check.h"

#include <cstring>

namespace moe {

void fail_check(const char* file, int line, const char* condition, fmt::string_view format, fmt::format_args args) {
  const char* relative = file;
  for (const char* folder : {"/core/", "/comm/", "/data/", "/cuda/", "/apps/", "/tests/"}) {
    if (const char* found = std::strstr(file, folder)) relative = found + 1;
  }
  throw InternalError(fmt::format("{} [{}, {}:{}]", fmt::vformat(format, args), condition, relative, line));
}

}  // namespace moe
