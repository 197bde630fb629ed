#include "core/nn/parameter.h"

#include <numeric>
#include <utility>

#include "core/base/integer.h"
#include "core/base/name_hash.h"
#include "core/ops/elementwise.h"
#include "core/ops/initialise.h"

namespace moe {

static constexpr int64_t kAlignElements = 16;  // parameters start at vector boundaries; the gaps stay zero

Parameter lookup_table(const std::string& name, int64_t rows, int64_t columns, double init_std) {
  Parameter table{.name = name,
                  .shape = Shape{rows, columns},
                  .group = ParameterGroup::shared,
                  .initialisation = {Initialisation::Kind::normal, init_std}};
  table.lookup = true;
  return table;
}

Parameter class_token_row(int64_t d_model, double init_std) {
  return {.name = "class_token.weight",
          .shape = Shape{d_model},
          .group = ParameterGroup::shared,
          .initialisation = {Initialisation::Kind::normal, init_std},
          .decay = false};
}

Parameter bias_vector(const std::string& name, int64_t n, ParameterGroup group) {
  return {.name = name,
          .shape = Shape{n},
          .group = group,
          .initialisation = {Initialisation::Kind::constant, 0},
          .decay = false};
}

std::string expert_name(const std::string& stack_name, int64_t expert) {
  std::string name = stack_name;
  name.replace(name.find("{}"), 2, fmt::format("{}", expert));
  return name;
}

Shape Parameter::copies_shape() const {
  return shape.rank() == 3 ? Shape{num_copies, shape[1], shape[2]} : Shape{num_copies, shape[1]};
}

Parameter& ParameterStore::add(const ParameterPlace& place, Parameter parameter) {
  parameter.place = place;
  MOE_CHECK(!values_, "parameter {} is added after allocate()", parameter.name);
  MOE_CHECK((parameter.group == ParameterGroup::expert) == (parameter.name.find("{}") != std::string::npos),
            "{}: exactly the names of expert stacks must contain {{}} for the expert's index", parameter.name);
  if (parameter.group == ParameterGroup::expert) {
    if (parameter.experts.empty()) {
      parameter.experts.resize(as_index(parameter.shape[0]));
      std::iota(parameter.experts.begin(), parameter.experts.end(), 0);
    }
    MOE_CHECK(std::ssize(parameter.experts) == parameter.shape[0], "{}: indices of {} experts for {}", parameter.name,
              parameter.experts.size(), parameter.shape[0]);
  }
  return parameters_.emplace_back(std::move(parameter));
}

void ParameterStore::allocate(Context& ctx, DType dtype, bool with_gradients) {
  auto padded = [](int64_t n) { return round_up(n, kAlignElements); };
  std::array<int64_t, kParameterGroups.size()> sizes{};
  for (const Parameter& p : parameters_) sizes[as_index(p.group)] += padded(p.shape.size());
  // Untrained parameters have no f32 master copy, and rules change them by steps that bf16 would round away.
  auto dtype_of = [&](ParameterGroup group) { return group == ParameterGroup::untrained ? wide(dtype) : dtype; };
  size_t value_bytes = 512, gradient_bytes = 512;
  for (const ParameterGroup group : kParameterGroups) {
    const auto elements = static_cast<size_t>(sizes[as_index(group)]);
    value_bytes += elements * size_of(dtype_of(group));
    if (group != ParameterGroup::untrained) gradient_bytes += elements * size_of(wide(dtype));
  }
  constexpr size_t kArenaBoundary = 64;
  for (const Parameter& p : parameters_) {
    if (p.num_copies == 0) continue;
    const auto elements = static_cast<size_t>(p.copies_shape().size());
    value_bytes += elements * size_of(dtype) + kArenaBoundary;
    gradient_bytes += elements * size_of(wide(dtype)) + kArenaBoundary;
  }
  auto make = [&](const char* name, size_t bytes) {
    return std::make_unique<Arena>(ctx.planning ? Arena::planning(name, ctx.device)
                                                : Arena(name, ctx.device, bytes, ctx.managed));
  };
  values_ = make("parameters", value_bytes);
  gradients_ = make("gradients", with_gradients ? gradient_bytes : 0);
  for (const ParameterGroup group : kParameterGroups) {
    ParameterBuffer& target = buffer(group);
    const bool has_gradients = with_gradients && group != ParameterGroup::untrained;
    const Shape size{sizes[as_index(group)]};
    target.value = values_->allocate(size, dtype_of(group));
    if (has_gradients) target.gradient = gradients_->allocate(size, wide(dtype));
    int64_t begin = 0;
    for (const bool decay : {true, false}) {
      for (Parameter& p : parameters_) {
        if (p.group != group || p.decay != decay) continue;
        p.value = target.value.slice(begin, p.shape.size()).reshape(p.shape);
        if (has_gradients) p.gradient = target.gradient.slice(begin, p.shape.size()).reshape(p.shape);
        begin += padded(p.shape.size());
      }
      if (decay) target.num_decayed = begin;
    }
    fill_zero(ctx, target.value);
    if (has_gradients) fill_zero(ctx, target.gradient);
  }
  allocate_copies(ctx, dtype, with_gradients);
}

void ParameterStore::allocate_copies(Context& ctx, DType dtype, bool with_gradients) {
  for (Parameter& p : parameters_) {
    if (p.num_copies == 0) continue;
    p.copies = values_->allocate(p.copies_shape(), dtype);
    fill_zero(ctx, p.copies);
    copies_bytes_ += p.copies.bytes();
    if (!with_gradients) continue;
    p.copies_gradient = gradients_->allocate(p.copies_shape(), wide(dtype));
    fill_zero(ctx, p.copies_gradient);
    copies_bytes_ += p.copies_gradient.bytes();
  }
}

static void initialise_one(Context& ctx, Tensor x, const Initialisation& init, uint64_t seed, const std::string& name) {
  const RandomKey key = named_key(seed, RandomPurpose::initialisation, name);
  switch (init.kind) {
    case Initialisation::Kind::constant:
      return fill_constant(ctx, x, init.value);
    case Initialisation::Kind::normal:
      return fill_normal(ctx, x, init.value, key);
    case Initialisation::Kind::uniform:
      return fill_uniform(ctx, x, init.value, key);
  }
}

void ParameterStore::initialise(Context& ctx, uint64_t seed) {
  for (const Parameter& p : parameters_) {
    if (p.group != ParameterGroup::expert) {
      initialise_one(ctx, p.value, p.initialisation, seed, p.name);
      continue;
    }
    for (int64_t e = 0; e < p.shape[0]; ++e) {
      initialise_one(ctx, p.value.slice(e, 1), p.initialisation, seed, expert_name(p.name, p.experts[as_index(e)]));
    }
  }
}

void ParameterStore::mark_gradients_old(ParameterGroup group) {
  for (Parameter& p : parameters_) p.gradient_is_old |= p.group == group;
}

void ParameterStore::clear_old_gradients(Context& ctx) {
  for (Parameter& p : parameters_) {
    if (std::exchange(p.gradient_is_old, false)) fill_zero(ctx, p.gradient);
  }
}

void ParameterStore::clear_old_gradients(Context& ctx, int64_t begin, int64_t count) {
  const ParameterBuffer& experts = buffer(ParameterGroup::expert);
  for (Parameter& p : parameters_) {
    if (p.group != ParameterGroup::expert || !p.gradient_is_old) continue;
    const int64_t first = element_offset(p.gradient, experts.gradient);
    if (first >= begin + count || first + p.shape.size() <= begin) continue;
    p.gradient_is_old = false;
    fill_zero(ctx, p.gradient);
  }
}

size_t ParameterStore::gradient_bytes() const {
  return buffers_[0].gradient ? buffers_[0].gradient.bytes() + buffers_[1].gradient.bytes() : 0;
}

size_t ParameterStore::parameter_bytes() const {
  size_t bytes = 0;
  for (const ParameterBuffer& buffer : buffers_) bytes += buffer.value.bytes();
  return bytes;
}

}  // namespace moe
