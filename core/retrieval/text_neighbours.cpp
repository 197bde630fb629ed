#include "core/retrieval/text_neighbours.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/integer.h"
#include "core/retrieval/rank_rows.h"

namespace moe {

namespace {

constexpr int64_t kQueriesAtOnce = 4096;

// The tokens of this rank: those that wait for a search, and those with their neighbours.
class Collected {
 public:
  Collected(const KeyStore& store, std::span<const StoreSearch> searches, int64_t k)
      : store_(store), searches_(searches), found_(searches.size()) {
    for (TokenNeighbours& found : found_) found.k = k;
  }

  void add(KeyedTokens& tokens) {
    if (tokens.size() == 0) return;
    if (tokens.width != store_.width()) {
      raise<CheckpointError>("{} has keys of {} numbers, the model of {}", store_.folder(), store_.width(),
                             tokens.width);
    }
    const auto append = [](auto& list, const auto& more) { list.insert(list.end(), more.begin(), more.end()); };
    append(waiting_.keys, tokens.keys);
    append(waiting_.next, tokens.next);
    append(waiting_.nats, tokens.nats);
    append(waiting_.positions, tokens.positions);
    if (waiting_.size() >= kQueriesAtOnce) search();
  }

  void search() {
    if (waiting_.size() == 0) return;
    for (size_t i = 0; i < searches_.size(); ++i) {
      TokenNeighbours& found = found_[i];
      const NearestEntries nearest =
          nearest_entries(store_, *searches_[i].search, waiting_.keys, found.k, searches_[i].candidates);
      found.distances.insert(found.distances.end(), nearest.distances.begin(), nearest.distances.end());
      for (const int64_t id : nearest.ids) found.followers.push_back(id < 0 ? -1 : store_.next(id));
    }
    const auto append = [](auto& list, const auto& more) { list.insert(list.end(), more.begin(), more.end()); };
    TokenNeighbours& first = found_.front();  // what all searches have in common
    append(first.targets, waiting_.next);
    append(first.nats, waiting_.nats);
    append(first.positions, waiting_.positions);
    waiting_ = {};
  }

  // Collective; see TextNeighbours.
  std::vector<TokenNeighbours> gathered(Communicator& world);

 private:
  const KeyStore& store_;
  std::span<const StoreSearch> searches_;
  KeyedTokens waiting_;
  std::vector<TokenNeighbours> found_;
};

// The rows of a list in another order.
template <class T>
std::vector<T> in_order(const std::vector<T>& list, const std::vector<size_t>& order, int64_t width = 1) {
  std::vector<T> result;
  result.reserve(list.size());
  for (const size_t row : order) {
    const auto begin = list.begin() + static_cast<int64_t>(row) * width;
    result.insert(result.end(), begin, begin + width);
  }
  return result;
}

std::vector<TokenNeighbours> Collected::gathered(Communicator& world) {
  search();
  TokenNeighbours& first = found_.front();
  const auto targets = gathered_rows(world, std::move(first.targets));
  const auto nats = gathered_rows(world, std::move(first.nats));
  const auto positions = gathered_rows(world, first.positions);
  std::vector<size_t> order(positions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return positions[a] < positions[b]; });
  for (TokenNeighbours& found : found_) {
    found.distances = in_order(gathered_rows(world, std::move(found.distances), found.k), order, found.k);
    found.followers = in_order(gathered_rows(world, std::move(found.followers), found.k), order, found.k);
    found.targets = in_order(targets, order);
    found.nats = in_order(nats, order);
    found.positions = in_order(positions, order);
  }
  return std::move(found_);
}

}  // namespace

TextNeighbours find_neighbours(TrainingState& state, const ProcessGroups& groups, Communicator& world,
                               const EvaluationSet& set, int64_t sequences, const KeyStore& store,
                               std::span<const StoreSearch> searches, int64_t k) {
  Collected collected(store, searches, k);
  TextNeighbours result;
  result.model =
      read_keys(state, groups, set, store.facts().key, sequences, [&](KeyedTokens& tokens) { collected.add(tokens); });
  result.found = collected.gathered(world);
  return result;
}

}  // namespace moe
