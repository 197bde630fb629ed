#include "core/convert/from_hf.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/convert/hf_layout.h"
#include "core/convert/hf_tokenizer.h"
#include "core/convert/imported_run.h"
#include "core/checkpoint/new_folder.h"

namespace moe {

namespace {

// Their tensors under the names of the layout. Some GPT-2 files have a prefix, others not.
class NamedAsInLayout {
 public:
  NamedAsInLayout(const ForeignTensors& tensors, const TensorMap& map) : tensors_(tensors) {
    const std::string& first = map.theirs.front().name;
    if (!tensors.contains(first) && tensors.contains("transformer." + first)) prefix_ = "transformer.";
  }
  std::string stored(const std::string& name) const { return prefix_ + name; }
  bool contains(const std::string& name) const { return tensors_.contains(stored(name)); }

 private:
  const ForeignTensors& tensors_;
  std::string prefix_;
};

// Tensors that a file may have besides the model's weights: tables that follow from the configuration, and the head
// where it is the embedding.
bool follows_from_others(const std::string& name, const PlainModel& model) {
  for (const char* ending : {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"}) {
    if (name.ends_with(ending)) return true;
  }
  return model.tied && name == "lm_head.weight";
}

// Zeros that the layout always has in our exports may be absent in others'.
std::vector<ExpectedTensor> expected_tensors(const TensorMap& map, const NamedAsInLayout& names) {
  std::vector<ExpectedTensor> expected;
  for (const TheirTensor& tensor : map.theirs)
    expected.push_back({names.stored(tensor.name), tensor.dims, tensor.is_zero()});
  return expected;
}

// Of the tensors that do not follow from others.
std::vector<std::string> names_in(const ForeignTensors& tensors, const PlainModel& model) {
  std::vector<std::string> names = tensors.names();
  std::erase_if(names, [&](const std::string& name) { return follows_from_others(name, model); });
  return names;
}

PlainModel model_of(const HfLayout& layout, const HfConfig& config, const ForeignTensors& tensors) {
  try {
    return read_model(layout, config, tensors);
  } catch (const JsonError& error) {
    raise<CheckpointError>("{}: {}", config.path(), error.what());
  }
}

}  // namespace

HfImport from_hf(const std::string& folder, const std::string& out, const HfImportOptions& options) {
  const HfConfig config(folder + "/config.json");
  const HfLayout& layout = layout_of(config);
  const ForeignTensors tensors(folder);
  ImportedModel imported;
  imported.model = model_of(layout, config, tensors);
  const TensorMap map = map_tensors(imported.model, layout.names);
  const NamedAsInLayout names(tensors, map);
  check_tensors(folder, expected_tensors(map, names), names_in(tensors, imported.model),
                [&](const std::string& name) -> const Dims& { return tensors.dims(name); });

  HfImport result{.layout = layout.name, .unread = config.unread()};
  for (const OurTensor& tensor : map.ours) result.parameters += elements(tensor.dims);
  imported.sequence = imported_sequence(options.sequence, imported.model);
  result.sequence = imported.sequence;
  imported.tensors = map.ours;
  const ImportedTokenizer tokenizer = imported_tokenizer(folder, imported.model.vocab);
  imported.tokenizer = tokenizer.description;
  imported.tokens = tokenizer.tokens;
  result.tokenizer = imported.tokenizer.at("name").get<std::string>();
  result.tokenizer_missing = tokenizer.why_external;
  imported.origin = fmt::format("{} of {}", layout.name, folder);
  imported.read = [&](const OurTensor& tensor) {
    return our_values(tensor, map, [&](const std::string& theirs) { return tensors.read(names.stored(theirs)); });
  };
  NewFolder target(out);
  write_imported_run(imported, target.path(), out);
  target.finish();
  return result;
}

}  // namespace moe
