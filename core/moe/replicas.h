// Copies of experts on other ranks of their expert group than their own (parallel.replicas): each rank has room for a
// few copies, and an expert's tokens are divided equally between its own rank, its home, and the ranks with a copy.
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/base/function_ref.h"
#include "core/moe/expert_map.h"
#include "core/moe/place_experts.h"

namespace moe {

// Number of copies that a rank has room for if it shall have `replicas` and is the home of `count` of the experts: it
// needs no copies of its own experts.
inline int64_t room_for_copies(int64_t experts, int64_t count, int64_t replicas) {
  return experts - count < replicas ? experts - count : replicas;
}

class Replicas {
 public:
  Replicas() = default;  // none
  // `copies`: for each rank, the experts that it has copies of, in ascending order. Throws InternalError unless fits().
  Replicas(const ExpertMap& map, std::vector<std::vector<int32_t>> copies, int64_t replicas);
  // Whether each rank has at most `replicas` copies, none of its own experts, and none twice.
  static bool fits(const ExpertMap& map, std::span<const std::vector<int32_t>> copies, int64_t replicas);

  bool empty() const { return number_ == 0; }
  int64_t number() const { return number_; }  // of copies on all ranks
  // The experts that a rank has copies of. A rank's copy number i is behind its own experts in its list of places.
  std::span<const int32_t> on(int64_t rank) const {
    return copies_.empty() ? std::span<const int32_t>{} : copies_[static_cast<size_t>(rank)];
  }
  const std::vector<std::vector<int32_t>>& of_ranks() const { return copies_; }
  // (experts) The number of ranks that compute an expert: 1 without copies.
  std::vector<int64_t> holders(int64_t experts) const;
  bool operator==(const Replicas&) const = default;

 private:
  std::vector<std::vector<int32_t>> copies_;
  int64_t number_ = 0;
};

// The rows of each rank if those of an expert are divided equally among the ranks that hold it.
std::vector<double> rows_of_ranks(const ExpertMap& map, const Replicas& replicas, std::span<const double> rows);
// The rows of the busiest rank, relative to the mean over the ranks; 1 without rows.
double busiest_over_mean(const ExpertMap& map, const Replicas& replicas, std::span<const double> rows);

// Chooses the copies for a map by the rows of the experts. Again and again the busiest rank's expert with the most rows
// there gets another copy, on the rank with the fewest rows that has room and does not hold it. What is chosen are the
// first of these copies with which the busiest rank has the fewest rows.
Replicas choose_replicas(const ExpertMap& map, std::span<const double> rows, int64_t replicas);

// Chooses a map and copies for it together. `choose` returns a map for an input; it is called with the rows that an
// expert's home keeps and those of the copies, and copies are chosen for its map, a few times from `now` and from no
// copies. The present map and copies are kept, or else the first result taken, unless another is better by more than 1
// % of the mean; where pairs were measured, the map follows them and is not kept for its rows alone.
struct PlacedReplicas {
  ExpertMap map;
  Replicas replicas;
};
PlacedReplicas place_with_replicas(const PlacementInput& input, const Replicas& now, int64_t replicas,
                                   FunctionRef<ExpertMap(const PlacementInput&)> choose);

}  // namespace moe
