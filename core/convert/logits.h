// The logits of a stored model for given token ids, to compare them with those of other programs.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/reload/load_run.h"

namespace moe {

using TokenSequences = std::vector<std::vector<int32_t>>;

// Sequences of token ids: a JSON list of lists. Throws DataError for anything else and for empty sequences.
TokenSequences read_sequences(const std::string& path);

// The ids of a text file by the tokenizer of a checkpoint. Throws DataError for a text that it cannot encode.
std::vector<int32_t> encode_file(const std::string& checkpoint, const std::string& path);

// The logits (tokens, vocab) in f32 after each token of a sequence, computed alone. Throws DataError for ids outside of
// the vocabulary and for a sequence that is longer than the model was loaded for.
std::vector<float> logits_of(LoadedRun& run, const std::vector<int32_t>& ids);

// Loads the model on the CPU in f32, or on `device`, for sequences of at most `longest` tokens.
LoadedRun load_for_logits(const std::string& run_or_checkpoint, const std::string& which, int64_t longest,
                          const std::string& device);

// Writes the logits of each sequence as a tensor "logits.N" of a safetensors file.
void write_logits(LoadedRun& run, const TokenSequences& sequences, const std::string& path);

}  // namespace moe
