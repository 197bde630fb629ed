#include "comm/process_groups.h"

#include <mutex>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"

namespace moe::test {

namespace {

struct Place {
  int expert_rank, expert_size, data_rank, data_size;
  int64_t first_expert, num_experts;
  bool operator==(const Place&) const = default;
};

std::vector<Place> places(int num_ranks, int64_t expert_parallel, int64_t experts, const std::vector<int>& hosts = {}) {
  std::vector<Place> result(static_cast<size_t>(num_ranks));
  run_ranks(
      num_ranks,
      [&](std::shared_ptr<Communicator> world) {
        const ProcessGroups groups = ProcessGroups::make(world, expert_parallel, experts);
        const Share local = groups.local_experts(experts);
        result[as_index(world->rank())] = {groups.expert->rank(), groups.expert->size(), groups.data->rank(),
                                           groups.data->size(),   local.begin,           local.count};
      },
      hosts);
  return result;
}

}  // namespace

TEST_CASE("neighbouring ranks share the experts, ranks with the same experts form a data group") {
  CHECK(places(4, 2, 5) ==
        std::vector<Place>{{0, 2, 0, 2, 0, 2}, {1, 2, 0, 2, 2, 3}, {0, 2, 1, 2, 0, 2}, {1, 2, 1, 2, 2, 3}});
}

TEST_CASE("an expert group that spans even hosts has its ranks on a host, and rails between hosts") {
  const std::vector<int> hosts = {5, 2, 2, 5, 2, 5};
  std::vector<std::vector<int>> found(hosts.size());
  run_ranks(
      6,
      [&](std::shared_ptr<Communicator> world) {
        const ProcessGroups groups = ProcessGroups::make(world, 6, 6);
        const auto rank = as_index(world->rank());
        const HostLayout& layout = groups.layout;
        found[rank] = {static_cast<int>(layout.host[rank]),
                       static_cast<int>(layout.index[rank]),
                       groups.inside->rank(),
                       groups.inside->size(),
                       groups.rail->rank(),
                       groups.rail->size(),
                       groups.rail->host_of(0),
                       groups.rail->host_of(1)};
      },
      hosts);
  // Hosts are numbered in the order of their first ranks; a rail's ranks are in the order of the group's.
  CHECK(found[0] == std::vector<int>{0, 0, 0, 3, 0, 2, 5, 2});
  CHECK(found[1] == std::vector<int>{1, 0, 0, 3, 1, 2, 5, 2});
  CHECK(found[2] == std::vector<int>{1, 1, 1, 3, 0, 2, 2, 5});
  CHECK(found[3] == std::vector<int>{0, 1, 1, 3, 1, 2, 2, 5});
  CHECK(found[4] == std::vector<int>{1, 2, 2, 3, 0, 2, 2, 5});
  CHECK(found[5] == std::vector<int>{0, 2, 2, 3, 1, 2, 2, 5});
}

TEST_CASE("an expert group on one host, or on uneven hosts, has no rails") {
  for (const std::vector<int>& hosts : {std::vector{0, 0, 1, 1}, std::vector{0, 0, 0, 1}}) {
    const bool is_even = hosts[2] == 1;
    std::vector<std::string> wrong(4);
    run_ranks(
        4,
        [&](std::shared_ptr<Communicator> world) {
          const ProcessGroups groups = ProcessGroups::make(world, is_even ? 2 : 4, 8);
          if (groups.inside || groups.rail) wrong[as_index(world->rank())] = "has rails";
          if (groups.layout.uneven.empty() != is_even) wrong[as_index(world->rank())] += groups.layout.uneven;
        },
        hosts);
    CHECK(wrong == std::vector<std::string>(4));
  }
}

TEST_CASE("planned groups have the hosts of real ones") {
  const ProcessGroups planned = ProcessGroups::planned({.ranks = 8, .per_host = 2}, 4);
  CHECK(planned.expert->size() == 4);
  CHECK(planned.data->size() == 2);
  CHECK(planned.layout.hosts == 2);
  CHECK(planned.inside->size() == 2);
  CHECK(planned.rail->size() == 2);
  CHECK_FALSE(ProcessGroups::planned({.ranks = 8, .per_host = 4}, 4).rail);
  CHECK_FALSE(ProcessGroups::planned({.ranks = 12, .per_host = 3}, 4).rail);
}

TEST_CASE("the number of expert-parallel ranks is chosen") {
  const auto chosen = [](int num_ranks, int64_t experts) { return places(num_ranks, 0, experts)[0].expert_size; };
  CHECK(chosen(1, 8) == 1);
  CHECK(chosen(4, 8) == 4);
  CHECK(chosen(4, 4) == 4);
  CHECK(chosen(4, 3) == 2);  // 3 does not divide 4
  CHECK(chosen(6, 5) == 3);
  CHECK(chosen(3, 2) == 1);
  CHECK(chosen(4, 1) == 1);
  CHECK(chosen(4, 0) == 1);  // a model without experts
}

TEST_CASE(
    "by default the experts are shared within a host, by a number of ranks that divides the ranks of every host") {
  const auto chosen = [](const std::vector<int>& hosts, int64_t experts) {
    return places(static_cast<int>(hosts.size()), 0, experts, hosts)[0].expert_size;
  };
  CHECK(chosen({0, 0, 1, 1}, 8) == 2);
  CHECK(chosen({0, 1, 0, 1}, 8) == 2);
  CHECK(chosen({0, 1}, 8) == 1);
  CHECK(chosen({0, 0, 0, 0, 1, 1}, 8) == 2);
  CHECK(chosen({0, 0, 0, 1, 1}, 8) == 1);
  CHECK(chosen({0, 0, 0, 0, 1, 1, 1, 1}, 3) == 2);
}

TEST_CASE("expert groups are taken from the ranks by host, wherever neighbours are") {
  // Ranks 0, 2 are on one host, 1, 3 on the other.
  CHECK(places(4, 2, 5, {0, 1, 0, 1}) ==
        std::vector<Place>{{0, 2, 0, 2, 0, 2}, {0, 2, 1, 2, 0, 2}, {1, 2, 0, 2, 2, 3}, {1, 2, 1, 2, 2, 3}});
  // A width that was asked for may span hosts.
  for (const Place& place : places(4, 4, 8, {0, 1, 0, 1})) CHECK(place.expert_size == 4);
}

TEST_CASE("impossible groups are refused") {
  CHECK_THROWS_WITH(places(4, 3, 8), Catch::Contains("3") && Catch::Contains("4 ranks"));
  CHECK_THROWS_WITH(places(4, 4, 3), Catch::Contains("4 ranks") && Catch::Contains("3 experts"));
  CHECK_THROWS_AS(places(2, 4, 8), UsageError);
}

TEST_CASE("shares are contiguous, complete and differ by at most one") {
  for (const int64_t total : {0, 1, 5, 8, 33}) {
    for (const int64_t parts : {1, 2, 3, 4, 7}) {
      int64_t next = 0;
      for (int64_t i = 0; i < parts; ++i) {
        const Share share = share_of(total, parts, i);
        CHECK(share.begin == next);
        CHECK((share.count == total / parts || share.count == total / parts + 1));
        next += share.count;
      }
      CHECK(next == total);
    }
  }
}

TEST_CASE("a single process holds all experts") {
  const ProcessGroups groups = ProcessGroups::single();
  CHECK(groups.world->size() == 1);
  CHECK(groups.local_experts(7).count == 7);
}

}  // namespace moe::test
