#include "comm/rank_texts.h"

#include <mutex>

#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"

using namespace moe;
using namespace moe::test;

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

TEST_CASE("every rank gets the texts of all ranks, of any bytes and lengths") {
  std::mutex mutex;
  run_ranks(3, [&](std::shared_ptr<Communicator> world) {
    std::string bytes(static_cast<size_t>(5 * world->rank()), '\xff');
    bytes += '\0';
    const auto texts = gather_texts(*world, bytes);
    const std::scoped_lock lock(mutex);
    REQUIRE(texts.size() == 3);
    for (size_t rank = 0; rank < 3; ++rank) {
      CHECK(texts[rank].size() == 5 * rank + 1);
      CHECK(texts[rank].find_first_not_of('\xff') == 5 * rank);
    }
  });
}
