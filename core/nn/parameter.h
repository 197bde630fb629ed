// Parameters, and the buffers that hold them: `shared` (replicated on every rank, reduced over the world), `expert`
// (each rank's own experts, reduced over the ranks that hold the same ones) and `untrained` (replicated; initialised
// and saved like the others, but without gradient: frozen weights, and state that a rule updates alike on every rank).
#pragma once
#include <array>
#include <deque>
#include <memory>
#include <string>

#include "core/tensor/context.h"

namespace moe {

enum class ParameterGroup { shared, expert, untrained };
inline constexpr std::array kTrainedGroups{ParameterGroup::shared, ParameterGroup::expert};
inline constexpr std::array kParameterGroups{ParameterGroup::shared, ParameterGroup::expert, ParameterGroup::untrained};

// What a parameter is a part of.
enum class ParameterRole {
  embedding,          // of tokens and patches
  position,           // learned positions in a sequence
  relative_position,  // learned distances
  class_token,
  head,
  norm,
  attention,
  feed_forward,  // of a dense block
  shared_expert,
  expert,  // routed
  router,  // routers, and what strategies learn besides them
};
// Which matrix or bias of a feed-forward layer or expert it is.
enum class FeedForwardPart { none, input_weight, input_bias, output_weight, output_bias };

struct ParameterPlace {
  ParameterRole role = ParameterRole::embedding;
  int layer = -1;  // the block; -1: outside of blocks
  FeedForwardPart part = FeedForwardPart::none;
};

struct Initialisation {
  enum class Kind { constant, normal, uniform } kind = Kind::normal;
  double value = 0;  // the constant, the standard deviation, or the limit
};

// What copies of an expert have of an entry that belongs to it: the same, or equal parts of it.
enum class PerExpert { no, alike, divided };

struct Parameter {
  // A name in the checkpoint. A stack of experts has "{}" in the place of the expert's global index, and dimension 0 of
  // its shape counts the local experts, of which the first is global expert `first_expert`.
  std::string name;
  Shape shape;
  ParameterGroup group = ParameterGroup::shared;
  Initialisation initialisation;
  bool decay = true;  // takes part in weight decay: matrices, not norms
  int64_t first_expert = 0;
  bool lookup = false;  // rows are looked up, not multiplied: costs no operations
  // Besides stacks of experts: dimension 0 counts the layer's experts too, and its entries go where they go when their
  // number changes (core/moe/expert_mapping.h).
  PerExpert per_expert = PerExpert::no;

  ParameterPlace place{};  // set by ParameterStore::add

  Tensor value{}, gradient{};  // views into the group's buffer; an untrained parameter has no gradient
  // What the gradient holds is of an earlier step: the next to add to it overwrites it instead. The experts' gradients
  // are large and have one writer; clearing them would cost two passes over them in each step.
  bool gradient_is_old = false;
};

// A table (rows, columns) whose rows are looked up.
Parameter lookup_table(const std::string& name, int64_t rows, int64_t columns, double init_std);

// The learned input of a class token (d_model), without weight decay.
Parameter class_token_row(int64_t d_model, double init_std);

// A bias (n), zero at first, without weight decay.
Parameter bias_vector(const std::string& name, int64_t n, ParameterGroup group = ParameterGroup::shared);

// One expert's part of an expert stack, or a shared parameter as it is: what a checkpoint stores by name.
struct NamedTensor {
  std::string name;
  Tensor tensor;
  const Parameter* parameter = nullptr;
  int64_t expert = -1;  // of a stack: its global index
};

struct ParameterBuffer {
  Tensor value, gradient;   // (elements)
  int64_t num_decayed = 0;  // elements [0, num_decayed) take weight decay
};

class ParameterStore {
 public:
  ParameterStore() = default;
  ParameterStore(const ParameterStore&) = delete;

  // Before allocate(). The reference stays valid.
  Parameter& add(const ParameterPlace& place, Parameter parameter);

  // Lays all parameters out in the buffers, as `dtype` (untrained ones: of at least f32), and sets gradients, of at
  // least f32, to zero. In planning mode only counts. Without gradients nothing can be trained.
  void allocate(Context& ctx, DType dtype, bool with_gradients = true);
  void initialise(Context& ctx, uint64_t seed);

  // After a step whose optimizer left the group's gradients alone.
  void mark_gradients_old(ParameterGroup group);
  // Clears those that are still old: nothing was added to them in this step.
  void clear_old_gradients(Context& ctx);

  ParameterBuffer& buffer(ParameterGroup group) { return buffers_[static_cast<size_t>(group)]; }
  const std::deque<Parameter>& parameters() const { return parameters_; }

  // Every parameter under its checkpoint name; `part` picks the matching range of any tensor that is laid out like the
  // group's buffer (the values, the gradients, an optimizer moment).
  template <class Visit>
  void for_each_named(ParameterGroup group, Tensor like_buffer, Visit visit) const;

  size_t parameter_bytes() const;
  size_t gradient_bytes() const;

 private:
  std::deque<Parameter> parameters_;
  std::array<ParameterBuffer, kParameterGroups.size()> buffers_;
  std::unique_ptr<Arena> values_, gradients_;
};

// Where in a buffer a view into it begins, in elements.
inline int64_t element_offset(const Tensor& view, const Tensor& buffer) {
  return (static_cast<char*>(view.data) - static_cast<char*>(buffer.data)) / static_cast<int64_t>(size_of(view.dtype));
}

// The name of global expert `expert` in a stack's name.
std::string expert_name(const std::string& stack_name, int64_t expert);

template <class Visit>
void ParameterStore::for_each_named(ParameterGroup group, Tensor like_buffer, Visit visit) const {
  const ParameterBuffer& buffer = buffers_[static_cast<size_t>(group)];
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
      const int64_t expert = parameter.first_expert + e;
      visit(NamedTensor{expert_name(parameter.name, expert), one, &parameter, expert});
    }
  }
}

}  // namespace moe
