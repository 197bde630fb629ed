#include "core/convert/from_hf.h"

#include <algorithm>
#include <set>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/convert/hf_layout.h"
#include "core/convert/hf_tokenizer.h"
#include "core/convert/imported_run.h"
#include "core/convert/new_folder.h"

namespace moe {

namespace {

constexpr int64_t kLongestSequence = 2048;

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

void check_tensors(const ForeignTensors& tensors, const TensorMap& map, const NamedAsInLayout& names,
                   const PlainModel& model) {
  std::set<std::string> unused;
  for (const std::string& name : tensors.names()) unused.insert(name);
  for (const TheirTensor& tensor : map.theirs) {
    const std::string name = names.stored(tensor.name);
    if (!tensors.contains(name)) {
      // Zeros that the layout always has in our exports, and that others may leave out.
      const bool needed = std::any_of(tensor.pieces.begin(), tensor.pieces.end(),
                                      [](const Piece& piece) { return !piece.ours.empty(); });
      if (!needed) continue;
    }
    if (const Dims& found = tensors.dims(name); found != tensor.dims) {
      raise<CheckpointError>("{}: {} has the shape {}; by config.json it has {}", tensors.folder(), name,
                             to_string(found), to_string(tensor.dims));
    }
    unused.erase(name);
  }
  std::erase_if(unused, [&](const std::string& name) { return follows_from_others(name, model); });
  if (unused.empty()) return;
  raise<CheckpointError>("{} holds {}{}, for which this layout has no place", tensors.folder(), *unused.begin(),
                         unused.size() > 1 ? fmt::format(" and {} more tensors", unused.size() - 1) : "");
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
  check_tensors(tensors, map, names, imported.model);

  HfImport result{.layout = layout.name, .unread = config.unread()};
  for (const OurTensor& tensor : map.ours) result.parameters += elements(tensor.dims);
  const int64_t positions = imported.model.positions;
  imported.sequence = options.sequence > 0 ? options.sequence : std::min(positions, kLongestSequence);
  if (imported.model.learned_positions) imported.sequence = positions;
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
