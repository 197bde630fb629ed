#include "data/sampler.h"

#include <algorithm>
#include <set>
#include <vector>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "data/keyed_permutation.h"
#include "tests/support/catch.h"

namespace moe {
namespace {

std::vector<int64_t> permuted(int64_t size, uint64_t epoch) {
  const KeyedPermutation permutation(size, {42, RandomPurpose::sampling, 0, epoch});
  std::vector<int64_t> images;
  for (int64_t i = 0; i < size; ++i) images.push_back(permutation(i));
  return images;
}

}  // namespace

TEST_CASE("a keyed permutation is a bijection that changes with its key") {
  for (const int64_t size : {1, 2, 3, 7, 16, 17, 1000, 4096, 4097}) {
    INFO(size);
    std::vector<int64_t> images = permuted(size, 0);
    if (size >= 7) CHECK(images != permuted(size, 1));
    if (size >= 1000) {  // far from the identity: about one fixed point is expected
      int64_t fixed = 0;
      for (int64_t i = 0; i < size; ++i) fixed += images[as_index(i)] == i;
      CHECK(fixed < 10);
    }
    std::sort(images.begin(), images.end());
    for (int64_t i = 0; i < size; ++i) REQUIRE(images[as_index(i)] == i);
  }
}

TEST_CASE("all orders of three are equally likely") {
  std::vector<int> counts(27, 0);
  for (uint64_t epoch = 0; epoch < 6000; ++epoch) {
    const auto images = permuted(3, epoch);
    ++counts[as_index(images[0] * 9 + images[1] * 3 + images[2])];
  }
  std::erase(counts, 0);
  REQUIRE(counts.size() == 6);
  for (const int count : counts) CHECK((count > 800 && count < 1200));
}

TEST_CASE("an epoch visits each window once, on its own grid") {
  for (const int64_t num_tokens : {9, 10, 16, 17, 1000, 8193}) {
    const int64_t length = 8;
    const Sampler sampler({num_tokens, length, 1, 3});
    INFO(num_tokens);
    CHECK(sampler.num_windows() >= (num_tokens - 1) / length - 1);
    std::set<int64_t> offsets;
    for (int64_t epoch = 0; epoch < 20; ++epoch) {
      std::set<int64_t> starts;
      for (int64_t i = 0; i < sampler.num_windows(); ++i) {
        int64_t start = -1;
        sampler.sample(epoch * sampler.num_windows() + i, std::span(&start, 1));
        REQUIRE(start >= 0);
        REQUIRE(start + length < num_tokens);
        starts.insert(start);
      }
      CHECK(static_cast<int64_t>(starts.size()) == sampler.num_windows());
      for (const int64_t start : starts) CHECK(start % length == *starts.begin());
      offsets.insert(*starts.begin());
    }
    if (num_tokens > 16) CHECK(offsets.size() > 3);
  }
}

TEST_CASE("the samples do not depend on how they are grouped into steps") {
  const Sampler ones({5000, 16, 1, 9});
  const Sampler twelves({5000, 16, 12, 9});
  const Sampler other_seed({5000, 16, 12, 10});
  std::vector<int64_t> starts(12);
  std::vector<int64_t> other(12);
  bool differs = false;
  for (int64_t step = 0; step < 60; ++step) {  // more than two epochs
    twelves.sample(step, starts);
    other_seed.sample(step, other);
    differs |= starts != other;
    for (int64_t i = 0; i < 12; ++i) {
      int64_t start = 0;
      ones.sample(step * 12 + i, std::span(&start, 1));
      CHECK(start == starts[as_index(i)]);
    }
  }
  CHECK(differs);
  CHECK(twelves.epoch(0) == 0);
  CHECK(twelves.epoch(60) > 2);
}

TEST_CASE("a corpus shorter than a window is a data error with both lengths") {
  CHECK_THROWS_WITH(Sampler({64, 64, 1, 0}), Catch::Contains("64 tokens") && Catch::Contains("needs 65"));
  CHECK_THROWS_AS(Sampler({0, 1, 1, 0}), DataError);
  CHECK(Sampler({65, 64, 1, 0}).num_windows() == 1);
}

}  // namespace moe
