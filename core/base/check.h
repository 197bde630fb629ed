// MOE_CHECK: a broken contract between two pieces of our own code (shapes, dtypes, call order). User mistakes throw
// a class of error.h instead, with a sentence that helps the user.
#pragma once
#include <fmt/core.h>  // not fmt/format.h, which takes twice as long to read; the formatting itself is in fmt's library

#include "core/base/error.h"

#define MOE_CHECK(condition, ...)                                                          \
  do {                                                                                     \
    if (!(condition)) ::moe::fail_check_with(__FILE__, __LINE__, #condition, __VA_ARGS__); \
  } while (false)

namespace moe {

// Throws InternalError "message [condition, file:line]".
[[noreturn]] void fail_check(const char* file, int line, const char* condition, fmt::string_view format,
                             fmt::format_args args);

// Keeps the code where a check stands small: it only collects the arguments.
template <class... Args>
[[noreturn]] void fail_check_with(const char* file, int line, const char* condition, fmt::format_string<Args...> format,
                                  Args&&... args) {
  fail_check(file, line, condition, format, fmt::make_format_args(args...));
}

// Throws E with a message formatted by fmt.
template <class E, class... Args>
[[noreturn]] void raise(fmt::format_string<Args...> format, Args&&... args) {
  throw E(fmt::vformat(format, fmt::make_format_args(args...)));
}

}  // namespace moe
