// What an exception that ends a program means to its user.
#pragma once
#include <string>

#include "core/base/error.h"

namespace moe {

struct Failure {
  ExitCode code;
  std::string message;
};

// For the exception that is being handled. Exceptions of other types than std::exception are thrown again.
Failure current_failure();

}  // namespace moe
