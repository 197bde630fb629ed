#include "core/convert/from_gguf.h"

#include <algorithm>
#include <list>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/convert/gguf_tensors.h"
#include "core/convert/gguf_vocabulary.h"
#include "core/convert/imported_run.h"
#include "core/checkpoint/new_folder.h"

namespace moe {

namespace {

// Reads tensors of a file in the order of rows of ours. Keeps the last few, because each expert of ours is a part of
// the same two or three tensors.
class Reader {
 public:
  Reader(const GgufFile& file, const GgufMap& gguf) : file_(file), gguf_(gguf) {}

  std::vector<float> read(const std::string& name) {
    for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
      if (kept->first != name) continue;
      kept_.splice(kept_.begin(), kept_, kept);
      return kept_.front().second;
    }
    kept_.emplace_front(name, load(name));
    if (kept_.size() > kMostKept) kept_.pop_back();
    return kept_.front().second;
  }

 private:
  static constexpr size_t kMostKept = 3;  // the matrices of an expert

  std::vector<float> load(const std::string& name) const {
    if (!file_.contains(name)) return zeros(name);
    const std::vector<float> values = file_.read(name);
    const auto turned = gguf_.turned.find(name);
    if (turned == gguf_.turned.end()) return values;
    return separate_halves(values, turned->second, file_.dims(name).front());
  }
  // A bias of choices that a file leaves out.
  std::vector<float> zeros(const std::string& name) const {
    for (const TheirTensor& tensor : gguf_.map.theirs) {
      if (tensor.name == name) return std::vector<float>(as_index(elements(tensor.dims)));
    }
    return {};
  }

  const GgufFile& file_;
  const GgufMap& gguf_;
  std::list<std::pair<std::string, std::vector<float>>> kept_;
};

// A tensor without which the model is complete: zeros that the layout wants, and a bias of zeros.
bool may_be_absent(const TheirTensor& tensor) {
  return tensor.use == TensorUse::selection_bias || tensor.is_zero();
}

std::vector<ExpectedTensor> expected_tensors(const GgufMap& gguf) {
  std::vector<ExpectedTensor> expected;
  for (const TheirTensor& tensor : gguf.map.theirs)
    expected.push_back({tensor.name, gguf.dims(tensor), may_be_absent(tensor)});
  return expected;
}

// Of the tensors that do not follow from others.
std::vector<std::string> names_in(const GgufFile& file, const PlainModel& model) {
  std::vector<std::string> names = file.names();
  std::erase(names, "rope_freqs.weight");
  if (model.tied) std::erase(names, "output.weight");
  return names;
}

// A shared expert of zeros was only written because the architecture wants one.
void drop_absent_shared(const GgufFile& file, const GgufLayout& layout, PlainModel& model) {
  if (!layout.wants_shared) return;
  for (const std::string& name : file.names()) {
    if (name.find("_shexp.") == std::string::npos) continue;
    const std::vector<float> values = file.read(name);
    if (std::any_of(values.begin(), values.end(), [](float x) { return x != 0; })) return;
  }
  model.experts.shared_d_ff = 0;
}

}  // namespace

GgufImport from_gguf(const std::string& path, const std::string& out, int64_t sequence) {
  const GgufFile file(path);
  const GgufLayout& layout = layout_of(file);
  ImportedModel imported;
  imported.model = read_model(layout, file);
  drop_absent_shared(file, layout, imported.model);
  const GgufMap gguf = map_gguf(layout, imported.model, false);
  check_tensors(path, expected_tensors(gguf), names_in(file, imported.model),
                [&](const std::string& name) -> const Dims& { return file.dims(name); });
  imported.sequence = imported_sequence(sequence, imported.model);
  imported.tensors = gguf.map.ours;
  const GgufTokenizer tokenizer = tokenizer_of(file, imported.model.vocab);
  imported.tokenizer = tokenizer.description;
  imported.tokens = tokenizer.tokens;
  imported.origin = fmt::format("{} of {}", layout.name, path);
  Reader reader(file, gguf);
  imported.read = [&](const OurTensor& tensor) {
    return our_values(tensor, gguf.map, [&](const std::string& theirs) { return reader.read(theirs); });
  };
  GgufImport result{.layout = layout.name,
                    .tokenizer = imported.tokenizer.at("name").get<std::string>(),
                    .tokenizer_missing = tokenizer.why_external,
                    .sequence = imported.sequence,
                    .unread = file.unread(layout.name + ".")};
  for (const OurTensor& tensor : gguf.map.ours) result.parameters += elements(tensor.dims);
  NewFolder target(out);
  write_imported_run(imported, target.path(), out);
  target.finish();
  return result;
}

}  // namespace moe
