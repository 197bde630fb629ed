// scripts/search, started as a user starts it.
#include <filesystem>
#include <fstream>

#include "core/base/text.h"
#include "tests/apps/study_place.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

struct SearchPlace : TemporaryFolder {
  SearchPlace() {
    std::ofstream(*this / "base.yaml")
        << "parallel: {threads: 1}\nmodel: {layers: 1, d_model: 16, attention: {heads: 2}}\nmoe: {experts: 4, d_ff: "
           "16}\ndata: {sequence: 16, synthetic: {states: 16, train_tokens: 20000, validation_tokens: 2000}}\n"
           "train: {batch: 4}\nlog: {every: 5}\nevaluate: {every: 0, tokens: 500}\n";
  }
  Arguments command(const Arguments& more) const {
    return Arguments{MOE_SCRIPTS "/search", "-q", "-o", *this / "found", "-s", "1 2", "-b", *this / "base.yaml"} + more;
  }
  Finished search(const Arguments& more) const { return run_child(command(more), with_programs()); }
};

TEST_CASE("scripts/search halves its candidates round by round, and resumes") {
  SearchPlace place;
  const Arguments grid{"-t",
                       "6",
                       "--keep",
                       "2",
                       "moe.router.k=1|2|9",
                       "moe.router.softmax=all",
                       "moe.router.renormalise=false",
                       "train.learning_rate.from=1e-3|1e-9"};
  const Finished first = place.search(grid);
  INFO(first.err);
  REQUIRE(first.code == 0);
  // 9 of 4 experts is not a valid model. Of four candidates two remain for twice the length, and one of them wins.
  CHECK_THAT(first.err, Catch::Contains("left out: k=9,softmax=all,renormalise=false,from=1e-3"));
  CHECK_THAT(first.err, Catch::Contains("round 1: 4 candidates, 6 each"));
  CHECK_THAT(first.err, Catch::Contains("round 2: 2 candidates, 12 each"));
  CHECK(fs::exists(place / "found/round-2/compare.html"));
  CHECK_THAT(read_file(place / "found/round-2/compare.html"), Catch::Contains("Quality against cost"));
  // With a learning rate of 0 nothing is learned.
  const std::vector<std::string> lines = split(read_file(place / "found/search.txt"), '\n');
  REQUIRE(lines.size() >= 4);
  CHECK_THAT(first.out, Catch::Contains(lines[1]));
  for (const size_t i : {1, 2}) {
    CHECK(lines[i].rfind("3 ", 0) == (i == 1 ? 0 : std::string::npos));
    CHECK_THAT(lines[i], Catch::Contains("from=1e-3"));
  }
  const std::string metrics = place / "found/round-1/k=1,softmax=all,renormalise=false,from=1e-3-seed1/metrics.jsonl";
  const auto trained = fs::last_write_time(metrics);
  const Finished again = place.search(grid);
  CHECK(again.code == 0);
  CHECK(again.out == first.out);
  CHECK(fs::last_write_time(metrics) == trained);
}

TEST_CASE("scripts/search refuses invalid searches before it trains") {
  SearchPlace place;
  for (const Arguments& wrong :
       {Arguments{"-t", "6"}, Arguments{"-t", "6", "moe.router.k=2"}, Arguments{"-t", "6", "moe.router.k"},
        Arguments{"-t", "x", "moe.router.k=1|2"}, Arguments{"-t", "6", "moe.balance.0.coefficient=1|2"},
        Arguments{"-t", "6", "--keep", "1", "moe.router.k=2|3"}}) {
    const Finished result = place.search(wrong);
    INFO(result.err);
    CHECK(result.code == 2);
    CHECK_FALSE(fs::exists(place / "found/round-1"));
  }
  const Finished none = place.search({"-t", "6", "moe.router.k=8|9"});
  CHECK(none.code == 1);
  CHECK_THAT(none.err, Catch::Contains("at least two are needed"));
}

TEST_CASE("two processes share a search and print the same table") {
  const SearchPlace place;
  const Arguments command = place.command({"-t", "6", "--keep", "2", "moe.router.k=2|3|4"});
  ChildProcess first(command, with_programs()), second(command, with_programs());
  const Finished a = first.wait(), b = second.wait();
  INFO(a.err << b.err);
  CHECK(a.code == 0);
  CHECK(b.code == 0);
  CHECK(a.out == b.out);
  CHECK(split(a.out, '\n').size() == 5);  // a title, three candidates, and the end of the last line
}
