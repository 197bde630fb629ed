#include "core/convert/our_tensors.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/moe/logit_router.h"

namespace moe {

namespace {

// (rows, inner) times the transpose of (columns, inner), summed in f64.
std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, int64_t inner) {
  const int64_t rows = std::ssize(a) / inner, columns = std::ssize(b) / inner;
  std::vector<float> c(as_index(rows * columns));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < columns; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < inner; ++i)
        sum += static_cast<double>(a[as_index(r * inner + i)]) * static_cast<double>(b[as_index(j * inner + i)]);
      c[as_index(r * columns + j)] = static_cast<float>(sum);
    }
  }
  return c;
}

// Each row of `values` holds several rows of this width -> their mean, one row for each.
std::vector<float> mean_of_parts(const std::vector<float>& values, int64_t parts, int64_t width) {
  const int64_t rows = std::ssize(values) / (parts * width);
  std::vector<float> means(as_index(rows * width));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      double sum = 0;
      for (int64_t p = 0; p < parts; ++p) sum += static_cast<double>(values[as_index((r * parts + p) * width + i)]);
      means[as_index(r * width + i)] = static_cast<float>(sum / static_cast<double>(parts));
    }
  }
  return means;
}

}  // namespace

OurTensors::OurTensors(const std::string& checkpoint, const PlainForm& form)
    : checkpoint_(checkpoint), tensors_(checkpoint, "model") {
  for (const auto& [block, plan] : form.routers) fold_router(fmt::format("blocks.{}.moe", block), plan, form.model);
}

std::vector<float> OurTensors::stored(const std::string& name) const {
  const ConstTensor tensor = tensors_.at(name);
  return {tensor.as<float>(), tensor.as<float>() + tensor.size()};
}

void OurTensors::fold_router(const std::string& layer, const RouterPlan& plan, const PlainModel& model) {
  const std::string router = layer + ".router", weight = router + ".weight", learned = router + ".temperature";
  Folded folded;
  switch (plan.matrix) {
    case RouterMatrix::weight:
      folded = {{weight}, [this, weight] { return stored(weight); }};
      break;
    case RouterMatrix::zeros:
      folded.values = [n = model.experts.count * model.d_model] { return std::vector<float>(as_index(n)); };
      break;
    case RouterMatrix::mean_of_heads: {
      const std::string heads = router + ".heads.weight";
      folded.uses = {heads};
      folded.values = [this, heads, width = model.d_model] {
        return mean_of_parts(stored(heads), tensors_.at(heads).dim(1) / width, width);
      };
      break;
    }
    case RouterMatrix::hypernetwork: {
      const std::string embedding = router + ".embedding", input = router + ".hyper.input.weight",
                        output = router + ".hyper.output.weight";
      folded.uses = {embedding, input, output};
      folded.values = [this, embedding, input, output] {
        const int64_t width = tensors_.at(input).dim(1), hidden = tensors_.at(input).dim(0);
        std::vector<float> inner = product(stored(embedding), stored(input), width);
        for (float& x : inner) x = std::max(x, 0.0f);
        return product(inner, stored(output), hidden);
      };
      break;
    }
  }
  if (plan.learned_temperature) folded.uses.push_back(learned);
  if (plan.learned_temperature || plan.temperature != 1) {
    folded.values = [this, learned, plan, plain = folded.values] {
      const double temperature = plan.learned_temperature
                                     ? std::max(static_cast<double>(stored(learned).at(0)), kTemperatureFloor)
                                     : plan.temperature;
      std::vector<float> values = plain();
      for (float& x : values) x = static_cast<float>(static_cast<double>(x) / temperature);
      return values;
    };
  }
  folded_.emplace(weight, std::move(folded));
}

std::vector<float> OurTensors::read(const std::string& name) const {
  const auto found = folded_.find(name);
  return found == folded_.end() ? stored(name) : found->second.values();
}

void OurTensors::check(const TensorMap& map, bool approximate) const {
  std::set<std::string> unused;
  for (const auto& [name, tensor] : tensors_.tensors()) unused.insert(name);
  const auto use = [&](const std::string& name) {
    if (!tensors_.contains(name)) raise<CheckpointError>("{} holds no tensor {}", checkpoint_, name);
    unused.erase(name);
  };
  for (const OurTensor& tensor : map.ours) {
    const auto found = folded_.find(tensor.name);
    if (found != folded_.end()) {
      for (const std::string& name : found->second.uses) use(name);
      continue;
    }
    use(tensor.name);
    const ConstTensor stored = tensors_.tensors().at(tensor.name);
    if (stored.size() != elements(tensor.dims)) {
      raise<CheckpointError>("{}: {} has the shape {}, expected {}", checkpoint_, tensor.name, stored.shape.to_string(),
                             to_string(tensor.dims));
    }
  }
  std::erase_if(unused, [](const std::string& name) {
    return std::any_of(training_tensors().begin(), training_tensors().end(),
                       [&](const char* ending) { return name.ends_with(ending); });
  });
  if (unused.empty() || approximate) return;
  raise<CheckpointError>("{} holds {}, for which the layout has no place", checkpoint_,
                         join({unused.begin(), unused.end()}, ", "));
}

}  // namespace moe
