#include "core/convert/to_hf.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/convert/export_source.h"
#include "core/convert/hf_tokenizer.h"
#include "core/convert/model_card.h"
#include "core/checkpoint/new_folder.h"
#include "core/convert/our_tensors.h"

namespace moe {

namespace {

std::vector<TensorToWrite> tensors_to_write(const TensorMap& map, const OurTensors& ours, NumberFormat format) {
  std::vector<TensorToWrite> tensors;
  for (const TheirTensor& tensor : map.theirs) {
    // The bias decides between experts by small differences of scores, and transformers keeps it in f32.
    const bool exact = tensor.use == TensorUse::selection_bias;
    tensors.push_back({tensor.name, tensor.dims, exact ? NumberFormat::f32 : format, [&tensor, &ours] {
                         return their_values(tensor, [&](const std::string& name) { return ours.read(name); });
                       }});
  }
  return tensors;
}

void set_tokens(Json& config, const HfTokenizer& tokenizer) {
  config["bos_token_id"] = nullptr;
  config["eos_token_id"] = tokenizer.end_id ? Json(*tokenizer.end_id) : Json();
  config["pad_token_id"] = tokenizer.pad_id ? Json(*tokenizer.pad_id) : Json();
}

void write_json(const std::string& path, const Json& json) {
  write_text_synced(path, json_text(json, 2) + "\n");
}

}  // namespace

HfExport to_hf(const std::string& checkpoint, const std::string& out, const HfExportOptions& options) {
  const ExportSource source = open_export_source(checkpoint);
  if (options.approximate)
    require_nearest(source.form);
  else
    require_exact(source.form, "--approximate leaves out what can be left out, and measures the difference");
  const PlainModel& model = source.form.model;
  const HfLayout& layout = choose_layout(model, options.layout);
  const TensorMap map = map_tensors(model, layout.names);
  const OurTensors ours(checkpoint, source.form);
  ours.check(map, options.approximate);
  const HfTokenizer tokenizer = hf_tokenizer(source.description, model.positions);

  HfExport result{.checkpoint = checkpoint, .layout = layout.name, .left_out = source.form.refusals};
  result.tokenizer_refusal = tokenizer.refusal;
  result.tokenizer_warning = tokenizer.warning;
  result.tensors = std::ssize(map.theirs);
  for (const TheirTensor& tensor : map.theirs) result.parameters += elements(tensor.dims);

  NewFolder folder(out);
  write_foreign_tensors(folder.path(), tensors_to_write(map, ours, options.format), options.shard_bytes);
  Json config = hf_config(layout, model, options.format);
  set_tokens(config, tokenizer);
  write_json(folder.path() + "/config.json", config);
  Json generation = {{"do_sample", true}, {"temperature", source.config.sample.temperature}};
  set_tokens(generation, tokenizer);
  write_json(folder.path() + "/generation_config.json", generation);
  if (tokenizer.refusal.empty()) {
    write_json(folder.path() + "/tokenizer.json", tokenizer.tokenizer);
    write_json(folder.path() + "/tokenizer_config.json", tokenizer.config);
  }
  write_text_synced(folder.path() + "/README.md",
                    model_card({source.config, source.state, checkpoint, layout, source.form, tokenizer,
                                result.parameters, options.format}));
  folder.finish();
  return result;
}

int64_t parse_bytes(const std::string& text) {
  static constexpr struct {
    const char* name;
    double bytes;
  } kUnits[] = {{"", 1},     {"B", 1},        {"KB", 1e3},     {"MB", 1e6},
                {"GB", 1e9}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
  double amount = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), amount);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  for (const auto& known : kUnits) {
    if (status == std::errc() && unit == known.name && amount * known.bytes >= 1 && amount * known.bytes < 0x1p60)
      return static_cast<int64_t>(amount * known.bytes);
  }
  raise<UsageError>("'{}' is no size; expected a number of bytes such as 500MB or 5GiB", text);
}

}  // namespace moe
