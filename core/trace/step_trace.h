// The routing of one step, token by token: RUN/trace/training/step-00000100.safetensors. docs/tracing.md documents the
// arrays. Tokens are in the order of the step's global batch, whatever the ranks and micro-batches were.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/trace/array_file.h"

namespace moe {

inline constexpr int32_t kNoExpert = -1;  // an empty slot

// What the choices of one MoE block were.
struct LayerTrace {
  int64_t block = 0;               // index of the block
  int64_t experts = 0;             // that the router chose from
  int64_t slots = 0;               // choices per token: as many as the token with the most has
  std::vector<int32_t> chosen{};   // (tokens, slots), kNoExpert for an empty slot
  std::vector<float> weights{};    // (tokens, slots): the weights of their outputs before a capacity drops any
  std::vector<int32_t> dropped{};  // (tokens, slots): 1 for a choice that a capacity dropped; empty without a capacity
  std::vector<float> logits{};     // (tokens, experts); empty unless they were asked for
  std::vector<float> inputs{};     // (tokens, d_model): what the router reads; never in a file

  int32_t expert(int64_t token, int64_t slot) const { return chosen[static_cast<size_t>(token * slots + slot)]; }
  float weight(int64_t token, int64_t slot) const { return weights[static_cast<size_t>(token * slots + slot)]; }
  bool is_dropped(int64_t token, int64_t slot) const {
    return !dropped.empty() && dropped[static_cast<size_t>(token * slots + slot)] != 0;
  }
};

// What the header says of a step and of the run that it belongs to.
struct TraceFacts {
  int64_t step = 0;          // number of updates after the step, as in metrics.jsonl
  std::string of{};          // training or validation
  std::string data{};        // content hash of the split
  int64_t seed = 0;          // of the order of the samples
  int64_t samples = 0;       // of the whole step or evaluation
  int64_t sequence = 0;      // places of a sample, padding included
  bool is_complete = false;  // all tokens of the samples are in the file

  bool operator==(const TraceFacts&) const = default;
};

struct StepTrace {
  TraceFacts facts;
  std::vector<int32_t> ids{};        // (tokens): the inputs; empty where tokens have no ids
  std::vector<int32_t> next{};       // (tokens): the tokens that are predicted, -1 where none is scored
  std::vector<int32_t> samples{};    // (tokens): row in the global batch
  std::vector<int32_t> positions{};  // (tokens): place in the row
  std::vector<int64_t> offsets{};    // (tokens): place in the split; empty where samples are no windows of a text
  // (tokens): file of the split in which the sample begins; empty where all begin in one.
  std::vector<int32_t> sources{};
  // (tokens): 0 in a retrieved prefix, 1 in the window after it; empty without prefixes; never in a file.
  std::vector<int32_t> parts{};
  std::vector<int32_t> labels{};  // (tokens): class of the sample; empty without classes; never in a file
  std::vector<LayerTrace> layers{};

  int64_t tokens() const { return static_cast<int64_t>(positions.size()); }
};

// The smallest type that holds a layer's experts and the mark of an empty slot, which is the type's largest value, or
// -1 of i32.
ArrayType expert_type(int64_t experts);
int64_t expert_bytes(int64_t experts);

// The content of the file. Slots that no token of a layer fills are left out.
std::string to_file(const StepTrace& trace);

// A file whose arrays are read when they are asked for. Throws DataError for a file that is damaged or no trace.
class StepTraceFile {
 public:
  explicit StepTraceFile(const std::string& path);

  const TraceFacts& facts() const { return facts_; }
  int64_t tokens() const { return tokens_; }
  int64_t num_layers() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t block(int64_t layer) const { return blocks_[static_cast<size_t>(layer)]; }
  int64_t experts(int64_t layer) const { return experts_[static_cast<size_t>(layer)]; }
  // Everything but the layers.
  StepTrace tokens_only() const;
  LayerTrace layer(int64_t layer, bool with_logits) const;
  // Everything.
  StepTrace all() const;

 private:
  std::vector<int32_t> integers(const std::string& name, int64_t width) const;

  ArrayFile file_;
  TraceFacts facts_;
  int64_t tokens_ = 0;
  std::vector<int64_t> blocks_, experts_;
};

// `of`: training or validation.
std::string trace_folder(const std::string& run, const std::string& of);
std::string trace_path(const std::string& run, const std::string& of, int64_t step);
// The steps that the run has traces of, ascending.
std::vector<int64_t> traced_steps(const std::string& run, const std::string& of);

}  // namespace moe
