// Parameters and the buffers that hold them. Groups: `shared` (replicated on every rank, gradients reduced over the
// world), `expert` (each rank holds its experts, gradients reduced over the ranks that hold the same ones) and
// `untrained` (replicated; initialised and saved like the others, but without gradient: frozen weights, and state that
// a rule updates identically on every rank).
#pragma once
#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "core/tensor/context.h"

namespace moe {

enum class ParameterGroup { shared, expert, untrained };
inline constexpr std::array kTrainedGroups{ParameterGroup::shared, ParameterGroup::expert};
inline constexpr std::array kParameterGroups{ParameterGroup::shared, ParameterGroup::expert, ParameterGroup::untrained};

// The kind of module that a parameter belongs to.
enum class ParameterRole {
  embedding,          // token and patch embeddings
  position,           // learned absolute positions
  relative_position,  // learned relative positions
  class_token,
  head,
  norm,
  attention,
  feed_forward,  // in a dense block
  shared_expert,
  expert,  // a routed expert
  router,  // routers, and other parameters of strategies
};
// The matrix or bias of a feed-forward layer or expert.
enum class FeedForwardPart { none, input_weight, input_bias, output_weight, output_bias };

struct ParameterPlace {
  ParameterRole role = ParameterRole::embedding;
  int layer = -1;  // index of the block; -1: outside of blocks
  FeedForwardPart part = FeedForwardPart::none;
};

struct Initialisation {
  enum class Kind { constant, normal, uniform } kind = Kind::normal;
  double value = 0;  // the constant, the standard deviation, or the limit
};

// What copies of an expert get of an entry that belongs to the expert: the same value, or equal parts of it.
enum class PerExpert { no, alike, divided };

struct Parameter {
  // The name in the checkpoint. In a stack of experts the name contains "{}" for the expert's global index, and
  // dimension 0 of the shape counts the local experts, whose global indices are `experts`
  // (ParameterStore::add sets 0, 1, ... where they are not given).
  std::string name;
  Shape shape;
  ParameterGroup group = ParameterGroup::shared;
  Initialisation initialisation;
  bool decay = true;  // subject to weight decay: matrices, not norms
  std::vector<int64_t> experts{};
  bool lookup = false;  // rows are looked up, not multiplied: no floating-point operations
  // For parameters other than expert stacks: dimension 0 also counts the layer's experts, and its entries are mapped
  // with the experts when their number changes (core/moe/expert_mapping.h).
  PerExpert per_expert = PerExpert::no;

  ParameterPlace place{};  // set by ParameterStore::add

  Tensor value{}, gradient{};  // views into the group's buffer; an untrained parameter has no gradient
  // The gradient holds values of an earlier step, which the next accumulation must overwrite. The experts' gradients
  // are large and have one writer; clearing them would cost two passes over them in each step.
  bool gradient_is_old = false;

  // In a stack of experts: room for copies of experts that other ranks hold (core/moe/expert_copies.h), with the shape
  // (num_copies, ...) of the stack's entries. It lies outside of the buffers, so that optimizers, reductions and
  // checkpoints have only the experts themselves.
  int64_t num_copies = 0;
  Tensor copies{}, copies_gradient{};
  Shape copies_shape() const;
};

// A table (rows, columns) whose rows are looked up.
Parameter lookup_table(const std::string& name, int64_t rows, int64_t columns, double init_std);

// The learned input of a class token (d_model), without weight decay.
Parameter class_token_row(int64_t d_model, double init_std);

// A bias (n), initialised to zero, without weight decay.
Parameter bias_vector(const std::string& name, int64_t n, ParameterGroup group = ParameterGroup::shared);

// A tensor that a checkpoint stores by name: one expert's part of an expert stack, or a whole shared parameter.
struct NamedTensor {
  std::string name;
  Tensor tensor;
  const Parameter* parameter = nullptr;
  int64_t expert = -1;  // in a stack: the expert's global index
};

struct ParameterBuffer {
  Tensor value, gradient;   // (elements)
  int64_t num_decayed = 0;  // elements [0, num_decayed) are subject to weight decay
};

class ParameterStore {
 public:
  ParameterStore() = default;
  ParameterStore(const ParameterStore&) = delete;

  // Must be called before allocate(). The reference stays valid.
  Parameter& add(const ParameterPlace& place, Parameter parameter);

  // Places all parameters in the buffers with dtype `dtype` (untrained ones: at least f32) and sets the gradients (at
  // least f32) to zero, and makes the room for copies. In planning mode it only counts memory. Without gradients the
  // parameters cannot be trained.
  void allocate(Context& ctx, DType dtype, bool with_gradients = true);
  void initialise(Context& ctx, uint64_t seed);

  // Called after a step in which the optimizer did not clear the group's gradients.
  void mark_gradients_old(ParameterGroup group);
  // Clears gradients that are still marked old, because nothing was added to them in this step.
  void clear_old_gradients(Context& ctx);
  // The same for the experts' parameters that overlap these elements of their buffer.
  void clear_old_gradients(Context& ctx, int64_t begin, int64_t count);

  ParameterBuffer& buffer(ParameterGroup group) { return buffers_[as_index(group)]; }
  const std::deque<Parameter>& parameters() const { return parameters_; }

  // Visits every parameter of the group under its checkpoint name, with the matching range of `like_buffer`: any tensor
  // that is laid out like the group's buffer (the values, the gradients, an optimizer moment).
  template <class Visit>
  void for_each_named(ParameterGroup group, Tensor like_buffer, Visit visit) const;

  size_t parameter_bytes() const;
  size_t gradient_bytes() const;
  size_t copies_bytes() const { return copies_bytes_; }  // of the room for copies and their gradients

 private:
  void allocate_copies(Context& ctx, DType dtype, bool with_gradients);

  std::deque<Parameter> parameters_;
  std::array<ParameterBuffer, kParameterGroups.size()> buffers_;
  std::unique_ptr<Arena> values_, gradients_;
  size_t copies_bytes_ = 0;
};

// Offset of a view in its buffer, in elements.
inline int64_t element_offset(const Tensor& view, const Tensor& buffer) {
  return (static_cast<char*>(view.data) - static_cast<char*>(buffer.data)) / static_cast<int64_t>(size_of(view.dtype));
}

// A stack's name with the index of global expert `expert`.
std::string expert_name(const std::string& stack_name, int64_t expert);

template <class Visit>
void ParameterStore::for_each_named(ParameterGroup group, Tensor like_buffer, Visit visit) const {
  const ParameterBuffer& buffer = buffers_[as_index(group)];
  for (const Parameter& parameter : parameters_) {
    if (parameter.group != group) continue;
    const int64_t begin = element_offset(parameter.value, buffer.value);
    const Tensor whole = like_buffer.slice(begin, parameter.shape.size()).reshape(parameter.shape);
    if (group != ParameterGroup::expert) {
      visit(NamedTensor{parameter.name, whole, &parameter});
      continue;
    }
    for (int64_t e = 0; e < parameter.shape[0]; ++e) {
      Tensor one = whole.slice(e, 1);
      one.shape =
          parameter.shape.rank() == 3 ? Shape{parameter.shape[1], parameter.shape[2]} : Shape{parameter.shape[1]};
      const int64_t expert = parameter.experts[as_index(e)];
      visit(NamedTensor{expert_name(parameter.name, expert), one, &parameter, expert});
    }
  }
}

}  // namespace moe
