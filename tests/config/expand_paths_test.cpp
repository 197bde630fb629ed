#include "core/config/expand_paths.h"

#include <cstdlib>

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

TEST_CASE("home folders and variables in paths are replaced, and unset ones refused") {
  setenv("HOME", "/home/me", 1);
  setenv("MOE_TEST_X", "value", 1);
  unsetenv("MOE_TEST_UNSET");
  const auto expanded = [](const std::string& path) { return expand_path(path, "data.path"); };
  CHECK(expanded("~") == "/home/me");
  CHECK(expanded("~/corpora/x") == "/home/me/corpora/x");
  CHECK(expanded("a~b/~") == "a~b/~");
  CHECK(expanded("$MOE_TEST_X/${MOE_TEST_X}s/$MOE_TEST_X-1") == "value/values/value-1");
  CHECK(expanded("cost$$") == "cost$");
  CHECK(expanded("plain/path") == "plain/path");
  for (const char* wrong : {"$MOE_TEST_UNSET/x", "${MOE_TEST_UNSET}", "$", "a$/b", "${}", "${MOE_TEST_X", "~other/x"}) {
    INFO(wrong);
    CHECK_THROWS_WITH(expanded(wrong), Catch::Contains("data.path"));
    CHECK_THROWS_AS(expanded(wrong), UsageError);
  }
  TrainConfig config = config_from(
      "{name: $MOE_TEST_X, folder: ~/runs, data: {path: $MOE_TEST_X/a, tokenizer: ~/t, labelled: {vocabulary: ~/v}}, "
      "init: {from: ~/i}, curriculum: {from: ~/c}}");
  expand_paths(config);
  CHECK(config.run_folder() == "/home/me/runs/value");
  CHECK(config.data.path == "value/a");
  for (const std::string* path :
       {&config.data.tokenizer, &config.data.labelled.vocabulary, &config.init.from, &config.curriculum.from}) {
    CHECK(path->rfind("/home/me/", 0) == 0);
  }
}
