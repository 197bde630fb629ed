// MOE_CHECK: checks contracts between parts of our own code (shapes, dtypes, call order). For user mistakes throw a
// class of error.h instead, with a message that helps the user.
#pragma once
// Not fmt/format.h, which takes twice as long to compile; the formatting code is in fmt's library.
#include <fmt/core.h>

#include "core/base/error.h"

#define MOE_CHECK(condition, ...)                                                          \
  do {                                                                                     \
    if (!(condition)) ::moe::fail_check_with(__FILE__, __LINE__, #condition, __VA_ARGS__); \
  } while (false)

namespace moe {

// Throws InternalError "message [condition, file:line]".
[[noreturn]] void fail_check(const char* file, int line, const char* condition, fmt::string_view format,
                             fmt::format_args args);

// Keeps the code at each check small: it only collects the arguments.
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
