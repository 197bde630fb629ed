// MOE_CHECK: a broken contract between two pieces of our own code (shapes, dtypes, call order). User mistakes throw
// a class of error.h instead, with a sentence that helps the user.
#pragma once
#include <spdlog/fmt/fmt.h>

#include "core/base/error.h"

#define MOE_CHECK(condition, ...)                                                                    \
  do {                                                                                               \
    if (!(condition)) ::moe::fail_check(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)

namespace moe {

// Throws InternalError "message [condition, file:line]".
[[noreturn]] void fail_check(const char* file, int line, const char* condition, const std::string& message);

// Throws E with a message formatted by fmt.
template <class E, class... Args>
[[noreturn]] void raise(fmt::format_string<Args...> format, Args&&... args) {
  throw E(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace moe
