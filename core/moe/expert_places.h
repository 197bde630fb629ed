// Where the experts of a layer are in the list of the places of all ranks, rank after rank, by which assignments are
// sorted and sent. A rank's places are its own experts in ascending order, then its room for copies of others.
#pragma once
#include <cstdint>
#include <vector>

#include "core/moe/replicas.h"
#include "core/tensor/context.h"

namespace moe {

class ExpertPlaces {
 public:
  ExpertPlaces() = default;  // expert e is at place e
  // Expert e is at place homes[e], and there are no copies.
  ExpertPlaces(std::vector<int32_t> homes);
  // Each rank has room for up to `room_on_each` copies. The memory that of() needs does not depend on how many there
  // are.
  ExpertPlaces(const ExpertMap& map, const Replicas& replicas, int64_t room_on_each);

  // The number of places of each of `ranks`.
  static std::vector<int64_t> counts(int64_t experts, int64_t ranks, int64_t replicas);

  int64_t experts() const { return static_cast<int64_t>(homes_.size()); }  // 0 for experts in order

  // From now on what was at place p is at place to[p].
  void renumber(const std::vector<int32_t>& to);

  // indices (tokens, k) i32 of experts -> the places to which their assignments are sent, in `scratch` or `indices`
  // itself. With copies, tokens are divided by their index in the step's global batch (place_on_copies), from
  // ctx.first_token on. `only_homes`: copies are not used.
  ConstTensor of(Context& ctx, ScratchScope& scratch, ConstTensor indices, bool only_homes = false);

 private:
  std::vector<int32_t> homes_;           // (experts); empty: in order
  std::vector<int32_t> first_, places_;  // see place_on_copies; empty: no room for copies
};

}  // namespace moe
