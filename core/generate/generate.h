// Writes text with a model, one token after the other.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/generate/model_reader.h"
#include "core/generate/sampling.h"
#include "core/step/training_state.h"

namespace moe {

// Why a text ended.
enum class TextEnd {
  length,       // as many tokens were written as asked for
  end_token,    // the model wrote GenerateOptions::end, which is not part of the text
  visitor,      // the visitor returned false
  context,      // the context is full
  interrupted,  // GenerateOptions::stop
};
const char* name_of(TextEnd end);

struct GenerateOptions {
  int64_t tokens = 200;  // at most, for each text
  SamplingOptions sampling{};
  uint64_t seed = 1;
  std::optional<int32_t> end{};  // a token that ends the text
  // When a text fills the context: true drops its older half and reads the other half again, as a text that begins
  // there; false ends it. A model with a context memory has no such limit.
  bool slides = true;
  ReaderOptions reader{};
  // Called by every rank before each token; must return the same on all of them. If it returns true, all texts end.
  std::function<bool()> stop{};
};

struct WrittenText {
  std::vector<int32_t> tokens;  // of the prompt and those that were written
  // Texts with the same prompt, seed and stream are the same; the tokens of different streams are drawn independently.
  uint32_t stream = 0;
  int64_t drawn = 0;  // tokens that were written
  TextEnd end = TextEnd::length;

  // Used by TextWriter: the window that the model sees begins at this token, and so many of it have been read.
  int64_t begin = 0, known = 0;
};

// Called after each token that was written to texts[index]; false ends this text.
using TokenVisitor = std::function<bool(size_t index, int32_t token)>;

class TextWriter {
 public:
  // Throws UsageError for a context that is longer than the positions that the model has learned.
  TextWriter(TrainingState& state, const GenerateOptions& options);

  // Continues all texts, options.reader.rows of them at a time. Each has at least one token. A token is a function of
  // the text before it, the seed, the stream and its number alone: neither of the other texts nor of the rows or the
  // number of threads. Collective over the expert group; every rank passes the same texts and gets the same results.
  // Throws DataError for a text that does not fit in the context unless it slides.
  void write(std::span<WrittenText> texts, const TokenVisitor& visit = {});
  // Continues one text that the previous call of this function wrote, to which tokens may have been appended since; or
  // a new one. What was read stays read.
  void write_on(WrittenText& text, const TokenVisitor& visit = {});

  const ModelReader& reader() const { return reader_; }

 private:
  struct Row {
    WrittenText* text = nullptr;
    size_t index = 0;
    int64_t last = 0;  // value of `drawn` at which it ends
  };
  void begin_texts(std::span<WrittenText> texts, size_t& next, std::vector<Row>& rows) const;
  // Whether there is room for one more token; moves the window where it may slide.
  bool has_room(WrittenText& text) const;
  // Reads what is new in each row's text and draws its next token; removes the rows of texts that end.
  void step(std::vector<Row>& rows, const TokenVisitor& visit);
  bool add_token(Row& row, int32_t token, const TokenVisitor& visit);

  TrainingState& state_;
  const GenerateOptions options_;
  const bool has_memory_;
  ModelReader reader_;
  TokenSampler sampler_;
};

// Continues `prompt` by itself, and returns what was written.
std::vector<int32_t> generate(TrainingState& state, const std::vector<int32_t>& prompt, const GenerateOptions& options);

}  // namespace moe
