// parallel.overlap through the programs.
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("a run whose rows travel in parts has the weights of one that waits, and says once if it has fewer parts") {
  const Arguments settings = {"moe.experts=4", "moe.shared_experts=1", "train.steps=4"};
  TemporaryFolder waiting, parts;
  const auto times_in = [](const std::string& text, const std::string& words) {
    size_t count = 0;
    for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
    return count;
  };
  const Finished without = done(mpirun(2) + tiny_train(waiting.path(), settings));
  const Finished fewer = done(mpirun(2) + tiny_train(parts.path(), settings + Arguments{"parallel.overlap=4"}));
  CHECK(times_in(without.out + without.err, "parallel.overlap") == 0);
  CHECK(times_in(fewer.out + fewer.err, "rows travel in 2 parts where parallel.overlap asks for 4") == 1);
  CHECK(largest_difference(last_checkpoint(waiting.path()), last_checkpoint(parts.path())) == 0);
  CHECK(metrics_difference(waiting / "run", parts / "run") == "");
}
