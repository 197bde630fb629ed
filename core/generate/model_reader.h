// Reads texts into a model, token by token or many at once, and gives the logits of what comes next. What was read of a
// text stays in a key-value cache, or in the model's context memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/nn/key_value_cache.h"
#include "core/step/local_batch.h"
#include "core/step/training_state.h"

namespace moe {

// A token of a forward pass: of which text, and its index there.
struct ReadToken {
  int64_t text = 0, index = 0;
};

struct ReaderOptions {
  int64_t rows = 1;     // texts that are read at a time
  int64_t context = 0;  // most tokens of a text that the model sees; without meaning for a model with a context memory
  int64_t chunk = 0;    // most tokens of a forward pass, for which the state was planned
  bool cache = true;    // false: the whole text is read again for each token
  // If set, called after each forward pass with its tokens, in the order of its rows; routing is observed then.
  std::function<void(std::span<const ReadToken>)> visit{};
};

// Why a token's experts depend on the tokens that are read with it, so that a text must be read as a whole; empty if
// they do not.
std::string why_read_whole(const Model& model);

class ModelReader {
 public:
  ModelReader(TrainingState& state, const ReaderOptions& options);

  // A text of which the first `known` tokens were read before into the same row, and nothing else since.
  struct Unread {
    int64_t row = 0;
    std::span<const int32_t> tokens{};
    int64_t known = 0;            // 0: the row begins a new text
    int64_t text = 0, first = 0;  // for ReaderOptions::visit: the text's number, and the index of its first token here
  };
  // Reads the rest of each text, at least one token. Returns the logits (texts, logits_width()) for the tokens after
  // them, in f32 on the host, valid until the next call. Rows must differ. Collective over the expert group, with the
  // same texts. No bit of a text's result depends on the other texts on the CPU in f32; nor on how it was cut into
  // calls, unless the model has a context memory, where results agree to rounding.
  std::span<const float> read(std::span<const Unread> texts);
  int64_t logits_width() const { return width_; }

  // Whether texts are kept; otherwise each call reads them from their beginning, one by one.
  bool keeps() const { return keeps_; }
  // Why not although it was asked for; empty if there is no reason.
  const std::string& why_not() const { return why_not_; }
  size_t cache_bytes() const { return cache_ ? cache_->bytes() : 0; }

 private:
  // A forward pass over tokens [start, start + time) of a text.
  struct Piece {
    const Unread& text;
    int64_t start;
  };
  // One forward pass over `time` tokens of each piece.
  TokenBatch forward(std::span<const Piece> pieces, int64_t time, const ContextMemory* memory = nullptr);
  // Writes the logits of rows of the last forward pass.
  void copy_logits(int64_t first, int64_t rows, std::span<float> to);
  void read_alone(const Unread& text, std::span<float> to);
  void read_singles(std::span<const Piece> pieces, std::span<const size_t> places);
  void read_with_memory(const Unread& text, std::span<float> to);

  TrainingState& state_;
  const ReaderOptions options_;
  bool keeps_;
  std::string why_not_;
  int64_t width_ = 0;
  double weights_per_token_ = 0;  // that a token is multiplied by
  std::optional<KeyValueCache> cache_;
  // Of each row of a model with a context memory: the memory, and how many tokens of the text are in it.
  struct Row {
    ContextMemory memory;
    int64_t remembered = 0;
  };
  std::vector<Row> rows_;
  BatchBuffers buffers_;
  std::vector<int32_t> ids_, targets_, row_ids_, starts_;
  std::vector<ReadToken> tokens_;
  std::vector<float> logits_, copied_;
};

}  // namespace moe
