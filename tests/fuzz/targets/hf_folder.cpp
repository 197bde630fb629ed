// Folders of Hugging Face models, as moe-convert from-hf reads them: config.json, tokenizer.json and tensors.
#include "core/convert/hf_layout.h"
#include "core/convert/hf_tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 3);
  const HfConfig config(scratch_file("config.json", files[0]));
  scratch_file("tokenizer.json", files[1]);
  scratch_file("model.safetensors", files[2]);
  imported_tokenizer(scratch_folder(), 300);
  const ForeignTensors tensors(scratch_folder());
  for (const std::string& name : tensors.names()) tensors.read(name);
  const HfLayout& layout = layout_of(config);
  const PlainModel model = read_model(layout, config, tensors);
  if (model.layers * (model.experts.count + 1) <= 1000) map_tensors(model, layout.names);
  config.unread();
}

static std::vector<std::string> seeds() {
  std::vector<std::string> result;
  const auto values = [] { return std::vector<float>(4, 0.5f); };
  write_foreign_tensors(scratch_folder(),
                        {{"model.embed_tokens.weight", {2, 2}, NumberFormat::f16, values},
                         {"model.layers.0.mlp.shared_expert_gate.weight", {1, 4}, NumberFormat::bf16, values}},
                        1 << 20);
  const std::string tensors = file_content(scratch_folder() + "/model.safetensors");
  const std::string shape =
      R"("vocab_size": 3, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 8,
      "num_experts": 2, "num_local_experts": 2, "n_routed_experts": 2, "num_experts_per_tok": 1, "intermediate_size": 4,
      "moe_intermediate_size": 4, "shared_expert_intermediate_size": 4, "n_layer": 1, "n_embd": 4, "n_head": 2,
      "n_positions": 8, "mlp_only_layers": [0], "rope_parameters": {"rope_type": "llama3", "factor": 2,
      "low_freq_factor": 1, "high_freq_factor": 4, "rope_theta": 1e4})";
  for (const HfLayout& layout : hf_layouts()) {
    result.push_back(joined({R"({"model_type": ")" + layout.name + R"(", )" + shape + "}",
                             R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
                             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "added_tokens": []})",
                             tensors}));
  }
  return result;
}

static const FuzzTarget target{"hf_folder", read_input, seeds};

}  // namespace moe
