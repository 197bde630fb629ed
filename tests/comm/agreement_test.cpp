#include "comm/agreement.h"

#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"

using namespace moe;

TEST_CASE("all ranks get the text of the lowest rank that has one") {
  std::vector<RankText> found(4);
  const auto run = [&](const std::vector<std::string>& texts) {
    test::run_ranks(4, [&](const std::shared_ptr<Communicator>& ranks) {
      found[static_cast<size_t>(ranks->rank())] = first_text(*ranks, texts[static_cast<size_t>(ranks->rank())]);
    });
    for (const RankText& text : found) CHECK((text.rank == found[0].rank && text.text == found[0].text));
    return found[0];
  };
  CHECK(run({"", "", "", ""}).text.empty());
  CHECK(run({"", "", "Größe\n\xff", "other"}).text == "Größe\n\xff");
  CHECK(run({"", "", "x", "other"}).rank == 2);
  CHECK(run({"first", "", "", "last"}).text == "first");
  CHECK(run({"", "", "", "last"}).rank == 3);
}
