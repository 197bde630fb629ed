#include "core/retrieval/rank_rows.h"

#include <algorithm>
#include <span>
#include <utility>

#include "core/base/integer.h"

namespace moe {

template <class T>
static std::vector<T> gathered_on_first(Communicator& world, std::vector<T> rows, int64_t width) {
  const auto ranks = as_index(world.size()), rank = as_index(world.rank());
  if (ranks == 1) return rows;
  std::vector<double> counts(ranks);
  counts[rank] = static_cast<double>(std::ssize(rows) / width);
  world.all_reduce_sum(as_tensor(std::span(counts)));
  std::vector<int64_t> received(ranks), sent(ranks);
  sent[0] = static_cast<int64_t>(counts[rank]);
  int64_t all = 0;
  if (rank == 0) {
    for (size_t r = 0; r < ranks; ++r) all += received[r] = static_cast<int64_t>(counts[r]);
  }
  std::vector<T> result(as_index(all * width));
  const auto as_rows = [&](std::vector<T>& list, int64_t count) {
    return as_tensor(std::span(list)).reshape(Shape{count, width});
  };
  world.all_to_all(as_rows(result, all), received, as_rows(rows, sent[0]), sent);
  return result;
}

std::vector<float> gathered_rows(Communicator& world, std::vector<float> rows, int64_t width) {
  return gathered_on_first(world, std::move(rows), width);
}
std::vector<int32_t> gathered_rows(Communicator& world, std::vector<int32_t> rows, int64_t width) {
  return gathered_on_first(world, std::move(rows), width);
}
std::vector<int64_t> gathered_rows(Communicator& world, const std::vector<int64_t>& rows) {
  if (world.size() == 1) return rows;
  const std::vector<double> all = gathered_on_first(world, std::vector<double>(rows.begin(), rows.end()), 1);
  return {all.begin(), all.end()};
}

}  // namespace moe
