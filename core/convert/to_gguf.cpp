#include "core/convert/to_gguf.h"

#include "core/base/check.h"
#include "core/checkpoint/files.h"
#include "core/convert/export_source.h"
#include "core/convert/gguf_tensors.h"
#include "core/convert/gguf_vocabulary.h"
#include "core/convert/our_tensors.h"

namespace moe {

namespace {

// The format of a tensor in a file whose matrices have `format`. What decides between experts, and what is small, is
// exact; llama.cpp wants f32 there, too.
GgufFormat format_of(const TheirTensor& tensor, GgufFormat format) {
  if (tensor.use != TensorUse::matrix && tensor.use != TensorUse::expert) return GgufFormat::f32;
  const bool divides = tensor.columns() % kGgufBlock == 0;
  return format == GgufFormat::q8_0 && !divides ? GgufFormat::f16 : format;
}

std::vector<GgufTensor> tensors_to_write(const GgufMap& gguf, const OurTensors& ours, GgufFormat format) {
  std::vector<GgufTensor> tensors;
  for (const TheirTensor& tensor : gguf.map.theirs) {
    const auto turned = gguf.turned.find(tensor.name);
    const int64_t heads = turned == gguf.turned.end() ? 0 : turned->second;
    tensors.push_back({tensor.name, gguf.dims(tensor), format_of(tensor, format), [&tensor, &ours, heads] {
                         std::vector<float> values =
                             their_values(tensor, [&](const std::string& name) { return ours.read(name); });
                         return heads > 0 ? neighbouring_pairs(values, heads, tensor.dims[0]) : values;
                       }});
  }
  return tensors;
}

}  // namespace

GgufExport to_gguf(const std::string& checkpoint, const std::string& out, const GgufExportOptions& options) {
  if (file_exists(out)) raise<CheckpointError>("{} exists; name another file", out);
  const ExportSource source = open_export_source(checkpoint);
  require_exact(source.form);
  const PlainModel& model = source.form.model;
  const GgufLayout& layout = choose_gguf_layout(model, options.layout);
  const GgufMap gguf = map_gguf(layout, model, true);
  const OurTensors ours(checkpoint, source.form);
  ours.check(gguf.map, false);
  const GgufVocabulary vocabulary = gguf_vocabulary(source.description, model.vocab);
  std::vector<GgufEntry> metadata = gguf_metadata(layout, model, source.config.name, options.format);
  metadata.insert(metadata.end(), vocabulary.metadata.begin(), vocabulary.metadata.end());
  std::vector<GgufTensor> tensors = tensors_to_write(gguf, ours, options.format);
  if (model.rope_scaling.kind == "llama3") {
    tensors.push_back({"rope_freqs.weight", {model.d_head / 2}, GgufFormat::f32, [&] { return rope_factors(model); }});
  }
  write_gguf(out, metadata, tensors);
  GgufExport result{.layout = layout.name,
                    .tensors = std::ssize(tensors),
                    .vocabulary_missing = vocabulary.missing,
                    .note = vocabulary.note};
  for (const GgufTensor& tensor : tensors) result.parameters += elements(tensor.dims);
  return result;
}

}  // namespace moe
