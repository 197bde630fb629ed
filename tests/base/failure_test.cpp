#include "core/base/failure.h"

#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include "tests/support/catch.h"

using namespace moe;

template <class Exception>
static Failure failure_of(const Exception& exception) {
  try {
    throw exception;
  } catch (...) {
    return current_failure();
  }
}

TEST_CASE("an exception that ends a program has an exit code and a message") {
  CHECK(failure_of(UsageError("no such option")).code == ExitCode::usage);
  CHECK(failure_of(UsageError("no such option")).message == "no such option");
  CHECK(failure_of(std::bad_alloc()).code == ExitCode::device);
  CHECK(failure_of(std::bad_alloc()).message == "out of memory");
  CHECK(failure_of(std::runtime_error("a fault")).code == ExitCode::internal);
  CHECK(failure_of(std::runtime_error("a fault")).message == "a fault");
  CHECK(failure_of(std::length_error("vector")).code == ExitCode::device);
  CHECK(failure_of(std::filesystem::filesystem_error("x", std::error_code())).code == ExitCode::checkpoint);
  CHECK_THROWS_AS(failure_of(1), int);
}
