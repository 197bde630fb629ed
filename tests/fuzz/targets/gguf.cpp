// GGUF files, as moe-convert from-gguf reads them: metadata, tensors, vocabulary, and the model that they describe.
#include "core/convert/gguf_file.h"

#include "core/convert/gguf_layout.h"
#include "core/convert/gguf_tensors.h"
#include "core/convert/gguf_vocabulary.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const GgufFile file(scratch_file("model.gguf", input));
  tokenizer_of(file, 300);
  for (const std::string& name : file.names()) file.read(name);
  const GgufLayout& layout = layout_of(file);
  const PlainModel model = read_model(layout, file);
  if (model.layers * (model.experts.count + 1) <= 1000) map_gguf(layout, model, false);
}

static std::vector<std::string> seeds() {
  std::vector<std::string> result;
  PlainModel m;
  m.vocab = 3, m.layers = 1, m.d_model = 4, m.heads = 1, m.kv_heads = 1, m.d_head = 4, m.d_ff = 2, m.positions = 8;
  m.is_moe = {true};
  m.experts.count = 2, m.experts.d_ff = 2, m.experts.routing.k = 1;
  for (const GgufLayout& layout : gguf_layouts()) {
    std::vector<GgufEntry> metadata = gguf_metadata(layout, m, "seed", GgufFormat::f32);
    for (GgufEntry& entry : gguf_vocabulary({{"name", "byte"}}, 300).metadata) metadata.push_back(std::move(entry));
    const auto values = [] { return std::vector<float>(64, 0.5f); };
    write_gguf(scratch_folder() + "/written.gguf", metadata,
               {{"token_embd.weight", {2, 32}, GgufFormat::q8_0, values},
                {"blk.0.ffn_up.weight", {64}, GgufFormat::f16, values}});
    result.push_back(file_content(scratch_folder() + "/written.gguf"));
  }
  return result;
}

static const FuzzTarget target{"gguf", read_input, seeds};

}  // namespace moe
