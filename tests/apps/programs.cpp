#include "tests/apps/programs.h"

#include "tests/support/catch.h"

namespace moe {

Finished done(const Arguments& arguments) {
  const Finished result = run_child(arguments);
  INFO(result.err);
  REQUIRE(result.code == 0);
  return result;
}

}  // namespace moe
