#include "core/convert/to_hf.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/convert/hf_tokenizer.h"
#include "core/convert/model_card.h"
#include "core/convert/new_folder.h"
#include "core/convert/our_tensors.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/record/run_folder.h"
#include "core/tasks/task.h"

namespace moe {

namespace {

// What is exported: a checkpoint and its model in shared terms.
struct Source {
  std::string checkpoint;
  RunState state;
  TrainConfig config;
  Json description;  // Task::description()
  PlainForm form;
};

Source open_source(const std::string& checkpoint) {
  Source source;
  source.checkpoint = checkpoint;
  source.state = load_run_state(checkpoint);
  source.config = with_saved_experts(load_run_config(checkpoint), source.state.experts, checkpoint);
  const TaskKind& task = tasks().at(source.config.task);
  source.description = read_description(source.config.task, checkpoint);
  const SampleShape sample = task.shape(source.config, source.description, checkpoint + "/" + task.file);
  const auto update = static_cast<uint64_t>(std::max<int64_t>(source.state.step - 1, 0));
  source.form = plain_form(source.config, sample.vocab, source.state.length, update);
  return source;
}

// Throws unless the model is exact, or is to be approximated and can be.
void require_form(const PlainForm& form, bool approximate) {
  if (form.refusals.empty()) return;
  if (!approximate) {
    raise<UsageError>(
        "no layout of other programs computes the same as this model: {}. --approximate leaves out what "
        "can be left out, and measures the difference",
        to_words(form.refusals));
  }
  for (const Refusal& r : form.refusals) {
    if (!r.has_nearest) raise<UsageError>("{}: {}; there is nothing near to it", r.key, r.reason);
  }
}

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
  const Source source = open_source(checkpoint);
  require_form(source.form, options.approximate);
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
