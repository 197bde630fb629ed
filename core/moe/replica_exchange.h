// Keeps the copies of a layer's experts (core/moe/replicas.h) equal to the experts: new weights go from an expert's
// home to the ranks with a copy, and the copies' gradients go home, where they are added. Copies have no optimizer
// state.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "core/moe/replicas.h"
#include "core/nn/parameter.h"

namespace moe {

class ReplicaExchange {
 public:
  // `layer`: index of the block, by which traffic is recorded.
  ReplicaExchange(std::shared_ptr<Communicator> group, int layer) : group_(std::move(group)), layer_(layer) {}

  // Which copies there are, and the stacks of the layer's experts with room for them; null ones are skipped.
  struct Copies {
    const ExpertMap& map;
    const Replicas& replicas;
    std::span<Parameter* const> stacks;
  };
  // Sets the copies' weights to those of the experts. Collective over the expert group.
  void send_weights(Context& ctx, const Copies& copies);
  // Adds the copies' gradients of this step to those of the experts and sets them to zero. An expert's own gradient
  // comes first, then those of its copies, in an order that depends on the copies alone. Collective likewise.
  void add_gradients(Context& ctx, const Copies& copies);

 private:
  // Calls exchange(stack, begin, count) for pieces of the entries of every stack, for every number of a copy on its
  // rank. While planning, once for the largest piece of each stack.
  template <class Exchange>
  void for_pieces(Context& ctx, const Copies& copies, Exchange exchange);

  std::shared_ptr<Communicator> group_;
  int layer_;
  // Of the copies with the present number, which each rank has at most one of.
  std::vector<int64_t> copies_of_mine_;  // (ranks) 1 for a rank that has a copy of this rank's expert
  std::vector<int64_t> home_of_mine_;    // (ranks) 1 for the home of this rank's copy
  std::vector<int64_t> expert_;          // (ranks) the place of that expert in this rank's stacks
};

}  // namespace moe
