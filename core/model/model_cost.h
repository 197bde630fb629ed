// What a step of a model computes and holds, by part: the input of plans for other machines.
#pragma once
#include <vector>

#include "core/model/model.h"

namespace moe {

// FLOPs are those of forward, of one token or assignment; backward has twice as many.
struct BlockCost {
  double attention = 0;                                 // with its projections
  double feed_forward = 0;                              // a dense layer or shared experts
  double assignment = 0;                                // of an assignment, in its expert
  double assignments = 0;                               // of a token in a training step
  double experts = 0;                                   // 0 for a dense block
  double shared_parameters = 0, expert_parameters = 0;  // of all experts
};

struct ModelCost {
  std::vector<BlockCost> blocks;
  bool sums_first = false;      // with several micro-batches all of forward is computed once before (balance losses)
  double head = 0;              // of a token
  double width = 0;             // elements of a row
  double first_parameters = 0;  // whose gradients backward completes before all blocks: the head
  double last_parameters = 0;   // and after them: the embedding
};

// Of a model with all experts on one rank, for samples of `time` tokens.
ModelCost cost_of(const ParameterStore& parameters, const Model& model, int64_t time);

}  // namespace moe
