#include "core/checkpoint/checkpoint_tensors.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>

#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/damage.h"
#include "core/checkpoint/state_file.h"
#include "core/checkpoint/tensor_file.h"
#include "core/tensor/device.h"

namespace moe {

std::vector<std::string> state_names(const Optimizer& optimizer) {
  std::vector<std::string> names;
  for (const OptimizerStateKind& kind : optimizer.state_kinds()) names.push_back(kind.name);
  return names;
}

std::string checkpoint_tensor_file(const std::string& folder, const std::string& name, int index, int count) {
  const std::string suffix = count == 1 ? "" : fmt::format("-{:05}-of-{:05}", index + 1, count);
  return folder + "/" + name + suffix + ".safetensors";
}

// The model's and the optimizer's tensors that this rank holds: its experts, and on the first rank all others.
static void write_held_tensors(const std::string& folder, const Optimizer& optimizer, const ProcessGroups& groups) {
  const int parts = groups.expert->size(), part = groups.expert->rank();
  std::vector<NamedTensor> model, optimizer_states;
  for (const ParameterGroup group : kParameterGroups) {
    if (group != ParameterGroup::expert && part != 0) continue;
    optimizer.visit_exact_values(group, [&](const NamedTensor& t) { model.push_back(t); });
    if (group == ParameterGroup::untrained) continue;
    for (size_t kind = 0; kind < optimizer.state_kinds().size(); ++kind) {
      optimizer.visit_state(group, kind, [&](const NamedTensor& t) {
        optimizer_states.push_back({optimizer.state_kinds()[kind].name + "." + t.name, t.tensor});
      });
    }
  }
  write_tensor_file(checkpoint_tensor_file(folder, "model", part, parts), model);
  if (!optimizer.state_kinds().empty())
    write_tensor_file(checkpoint_tensor_file(folder, "optimizer", part, parts), optimizer_states);
}

// A tensor of a file that is made of parts of several ranks.
struct CollectedTensor {
  std::string name;
  ParameterGroup group;
  std::optional<size_t> kind;  // of the optimizer's state; none: `value` itself, which this rank has
  NamedTensor value;           // of the parameter
  bool in_file;                // of this rank; otherwise it only gives its part
};

static std::vector<float> collect(const Optimizer& optimizer, const CollectedTensor& t) {
  const Tensor whole = t.kind ? optimizer.collect(t.group, *t.kind, t.value) : t.value.tensor;
  std::vector<float> values(as_index(whole.size()));
  if (whole.dtype == DType::bf16 && whole.device == Device::cpu) {
    std::transform(whole.as<BFloat16>(), whole.as<BFloat16>() + whole.size(), values.begin(), to_float);
    return values;
  }
  MOE_CHECK(whole.dtype == DType::f32, "a collected tensor of {}", name_of(whole.dtype));
  if (whole.device == Device::cuda) {
    if (!values.empty()) cuda::copy_now(values.data(), whole.data, whole.bytes(), cuda::Direction::to_host);
  } else {
    std::copy_n(whole.as<float>(), whole.size(), values.begin());
  }
  return values;
}

// Writes a file of tensors that are collected one at a time, in an order that is the same for all ranks that take part.
// A rank that cannot write takes part until the end, because the others count on it; returns its error.
static std::exception_ptr write_collected(const std::string& path, const Optimizer& optimizer,
                                          const std::vector<CollectedTensor>& tensors) {
  size_t next = 0;
  const auto give_until = [&](size_t end) {
    while (next < end) collect(optimizer, tensors[next++]);
  };
  std::vector<StreamedTensor> streamed;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const CollectedTensor& t = tensors[i];
    if (!t.in_file) continue;
    streamed.push_back({t.name, t.value.tensor.shape, [&, i] {
                          give_until(i);
                          ++next;
                          return collect(optimizer, tensors[i]);
                        }});
  }
  std::exception_ptr error;
  try {
    if (!streamed.empty()) write_tensor_file(path, streamed);
  } catch (...) {
    error = std::current_exception();
  }
  give_until(tensors.size());
  return error;
}

// The same for an optimizer whose state is divided among ranks. Called by all ranks.
static void write_collected_tensors(const std::string& folder, const ParameterStore& parameters,
                                    const Optimizer& optimizer, const ProcessGroups& groups) {
  const int parts = groups.expert->size(), part = groups.expert->rank();
  std::vector<CollectedTensor> model, states;
  for (const ParameterGroup group : kParameterGroups) {
    const bool trained = group != ParameterGroup::untrained;
    const bool in_file = groups.data->rank() == 0 && (group == ParameterGroup::expert || part == 0);
    const Tensor values = const_cast<ParameterStore&>(parameters).buffer(group).value;
    const auto add = [&](std::vector<CollectedTensor>& to, const std::string& prefix, std::optional<size_t> kind) {
      if (!kind && !in_file) return;  // nothing to give
      parameters.for_each_named(group, values, [&](const NamedTensor& t) {
        to.push_back({prefix + t.name, group, kind, t, in_file});
      });
    };
    add(model, "", trained && optimizer.has_master() ? std::optional(Optimizer::kMaster) : std::nullopt);
    for (size_t kind = 0; trained && kind < optimizer.state_kinds().size(); ++kind) {
      add(states, optimizer.state_kinds()[kind].name + ".", kind);
    }
  }
  const std::exception_ptr errors[] = {
      write_collected(checkpoint_tensor_file(folder, "model", part, parts), optimizer, model),
      write_collected(checkpoint_tensor_file(folder, "optimizer", part, parts), optimizer, states)};
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

void write_tensors(const std::string& folder, const ParameterStore& parameters, const Optimizer& optimizer,
                   const ProcessGroups& groups) {
  if (optimizer.is_sharded()) return write_collected_tensors(folder, parameters, optimizer, groups);
  if (groups.data->rank() == 0) write_held_tensors(folder, optimizer, groups);
}

// An optimizer's kind and options determine its states.
static void check_optimizer(const std::string& path, const Optimizer& optimizer) {
  const std::vector<std::string> stored =
      read_checked_state(path).value("optimizer_states", RunState().optimizer_states);
  const std::vector<std::string> wanted = state_names(optimizer);
  if (stored == wanted) return;
  const auto in_words = [](const std::vector<std::string>& names) {
    return names.empty() ? std::string("nothing") : join(names, " and ");
  };
  raise<CheckpointError>(
      "{} was written with another optimizer: it kept {} of each parameter, the configured one keeps {}. Set optimizer "
      "as that run had it, or start a new run from its weights (init.from)",
      path, in_words(stored), in_words(wanted));
}

// A weight that is no number makes every figure one; the figures' reader would look for the reason in the wrong place.
static void require_finite(const std::string& path, const std::string& name, const ConstTensor& tensor) {
  if (tensor.dtype != DType::f32) return;
  const std::span<const float> values(tensor.as<float>(), static_cast<size_t>(tensor.size()));
  const auto wrong = std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
  if (wrong == values.end()) return;
  raise<DivergedError>("{}: {} holds {} at element {} of {}", path, name, *wrong, wrong - values.begin(),
                       values.size());
}

void load_tensors(const std::string& path, ParameterStore& parameters, const Optimizer* optimizer) {
  if (optimizer) check_optimizer(path, *optimizer);
  const TensorFolder model(path, "model");
  for (const ParameterGroup group : kParameterGroups) {
    parameters.for_each_named(group, parameters.buffer(group).value, [&](const NamedTensor& t) {
      model.read(t.name, t.tensor);
      if (group != ParameterGroup::untrained) require_finite(path, t.name, model.at(t.name));
    });
  }
  if (!optimizer) return;
  for (const ParameterGroup group : kTrainedGroups) {
    if (!optimizer->has_master()) continue;
    optimizer->fill_state(group, Optimizer::kMaster, [&](const NamedTensor& t) { model.read(t.name, t.tensor); });
  }
  if (optimizer->state_kinds().empty()) return;
  const TensorFolder states(path, "optimizer");
  for (const ParameterGroup group : kTrainedGroups) {
    for (size_t kind = 0; kind < optimizer->state_kinds().size(); ++kind) {
      const std::string& name = optimizer->state_kinds()[kind].name;
      optimizer->fill_state(group, kind, [&](const NamedTensor& t) { states.read(name + "." + t.name, t.tensor); });
    }
  }
}

}  // namespace moe
