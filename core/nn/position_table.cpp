#include "core/nn/position_table.h"

#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"

namespace moe {

PositionTable::PositionTable(ParameterStore& parameters, int64_t time, int64_t d_model, double init_std)
    : table_(parameters.add({ParameterRole::position}, lookup_table("positions.weight", time, d_model, init_std))) {}

void PositionTable::forward(Context& ctx, Tensor hidden, int64_t time, ConstTensor begins, ConstTensor starts) {
  MOE_CHECK(time <= table_.shape[0], "sequences have {} positions, but only {} are learned", time, table_.shape[0]);
  saved_.ids = ctx.allocate(Shape{hidden.dim(0)}, DType::i32);
  position_ids(ctx, saved_.ids, time, begins, starts);
  ScratchScope scratch(ctx);
  const Tensor rows = scratch.allocate(hidden.shape);
  embedding_forward(ctx, rows, table_.value, saved_.ids);
  add(ctx, hidden, hidden, rows);
}

void PositionTable::backward(Context& ctx, ConstTensor d_hidden) {
  embedding_backward(ctx, table_.gradient, d_hidden, saved_.ids);
}

}  // namespace moe
