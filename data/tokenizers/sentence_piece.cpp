#include "data/tokenizers/sentence_piece.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include "core/base/base64.h"
#include "core/base/check.h"
#include "core/base/json.h"
#include "data/posix_file.h"

#if MOE_HAS_SENTENCEPIECE
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#endif

namespace moe {

bool SentencePieceTokenizer::is_vocabulary(const std::string& path) {
  constexpr char kFirstPiece = '\x0A';
  if (!std::filesystem::is_regular_file(path)) return false;
  char first = 0;
  return PosixFile::open(path).read(&first, 1) == 1 && first == kFirstPiece;
}

#if MOE_HAS_SENTENCEPIECE

namespace {

constexpr std::string_view kBlank = "\xE2\x96\x81";  // U+2581, which represents a blank in pieces
constexpr size_t kSentenceBytes = 2000;              // longer lines are split for learning, because the library skips
                                                     // them
constexpr int64_t kLearnedBytes = int64_t{64} << 20;

void require(const sentencepiece::util::Status& status, std::string_view what) {
  if (!status.ok()) raise<DataError>("{}: {}", what, status.ToString());
}

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(std::vector<std::string> all) : all_(std::move(all)) {}
  bool done() const override { return next_ == all_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return all_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::vector<std::string> all_;
  size_t next_ = 0;
};

// Calls visit with the lines of the text. Long lines are split before a blank.
void for_each_sentence(const TrainingText& text, const std::function<void(std::string_view)>& visit) {
  text([&](std::string_view piece) {
    while (!piece.empty()) {
      const size_t line = piece.find('\n');
      size_t end = std::min(line, piece.size());
      if (end > kSentenceBytes) {
        const size_t blank = piece.rfind(' ', kSentenceBytes);
        end = blank == piece.npos || blank == 0 ? kSentenceBytes : blank;
      }
      if (end > 0) visit(piece.substr(0, end));
      piece.remove_prefix(std::min(piece.size(), end + (end == line ? 1 : 0)));
    }
  });
}

std::string learn(const TrainingText& text, int64_t vocab_size) {
  int64_t bytes = 0, number = 0;
  for_each_sentence(text, [&](std::string_view sentence) { bytes += static_cast<int64_t>(sentence.size()); });
  const int64_t every = 1 + bytes / kLearnedBytes;
  std::vector<std::string> sentences;
  for_each_sentence(text, [&](std::string_view sentence) {
    if (number++ % every == 0) sentences.emplace_back(sentence);
  });
  Sentences iterator(std::move(sentences));
  std::string model;
  // A fixed number of threads: each sums its own share, so another number would give other rounding.
  require(sentencepiece::SentencePieceTrainer::Train({{"vocab_size", std::to_string(vocab_size)},
                                                      {"hard_vocab_limit", "false"},
                                                      {"normalization_rule_name", "identity"},
                                                      {"remove_extra_whitespaces", "false"},
                                                      {"add_dummy_prefix", "false"},
                                                      {"byte_fallback", "true"},
                                                      {"unk_id", "0"},
                                                      {"eos_id", "1"},
                                                      {"bos_id", "-1"},
                                                      {"num_threads", "4"},
                                                      {"minloglevel", "2"}},
                                                     &iterator, &model),
          fmt::format("SentencePiece cannot learn {} pieces from this text", vocab_size));
  return model;
}

}  // namespace

struct SentencePieceTokenizer::Model {
  std::string bytes;
  sentencepiece::SentencePieceProcessor processor;
  bool blank_before_line = false;  // the model adds it, and decoding removes it
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string model) : model_(std::make_unique<Model>()) {
  model_->bytes = std::move(model);
  require(model_->processor.LoadFromSerializedProto(model_->bytes), "not a SentencePiece model");
  if (model_->processor.eos_id() < 0)
    throw DataError("the SentencePiece model has no </s>, which is needed to end lines");
  const std::vector<std::string> pieces = model_->processor.EncodeAsPieces("a");
  model_->blank_before_line = !pieces.empty() && pieces.front().starts_with(kBlank);
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::unique_ptr<Tokenizer> SentencePieceTokenizer::make(const TrainingText& text, const TokenizerOptions& options) {
  refuse_foreign(options, "sentencepiece", "vocabulary vocab_size");
  if (options.vocabulary.empty() == (options.vocab_size == 0))
    throw UsageError("the tokenizer 'sentencepiece' needs either a .model file or the size of a vocabulary to learn");
  if (options.vocab_size < 0) raise<UsageError>("a vocabulary of {} pieces; expected at least 1", options.vocab_size);
  if (options.vocabulary.empty()) return std::make_unique<SentencePieceTokenizer>(learn(text, options.vocab_size));
  return naming(options.vocabulary,
                [&] { return std::make_unique<SentencePieceTokenizer>(read_text_file(options.vocabulary)); });
}

int64_t SentencePieceTokenizer::vocab_size() const {
  return model_->processor.GetPieceSize();
}

Json SentencePieceTokenizer::to_json() const {
  return {{"name", name()}, {"model", to_base64(model_->bytes)}};
}

std::optional<int32_t> SentencePieceTokenizer::end_of_document() const {
  return model_->processor.eos_id();
}

int64_t SentencePieceTokenizer::encode_text(std::string_view text, int64_t, std::vector<int32_t>& ids,
                                            TokenMeasures* measures) const {
  const sentencepiece::SentencePieceProcessor& processor = model_->processor;
  int64_t waiting = 0;  // bytes that no piece covers, such as blanks that the model drops; they are added to the next
                        // piece
  const auto add = [&](int32_t id, int64_t bytes, int64_t unknown) {
    ids.push_back(id);
    if (measures) {
      measures->lengths.push_back(static_cast<int32_t>(waiting + bytes));
      measures->unknown.push_back(static_cast<int32_t>(unknown));
    }
    waiting = 0;
  };
  while (!text.empty()) {
    const size_t line = text.find('\n');
    const std::string_view sentence = text.substr(0, line);
    const sentencepiece::ImmutableSentencePieceText pieces =
        processor.EncodeAsImmutableProto({sentence.data(), sentence.size()});
    uint32_t done = 0;
    for (size_t i = 0; i < pieces.pieces_size(); ++i) {
      const auto piece = pieces.pieces(static_cast<int>(i));
      const auto id = static_cast<int32_t>(piece.id());
      add(id, piece.end() - done, processor.IsUnknown(id) ? piece.end() - piece.begin() : 0);
      done = piece.end();
    }
    waiting += static_cast<int64_t>(sentence.size()) - done;
    text.remove_prefix(sentence.size());
    if (line == sentence.npos) break;
    add(processor.eos_id(), 1, 0);
    text.remove_prefix(1);
  }
  return waiting;
}

void SentencePieceTokenizer::append_bytes(int32_t id, std::string& bytes) const {
  const sentencepiece::SentencePieceProcessor& processor = model_->processor;
  const std::string& piece = processor.IdToPiece(id);
  if (id == processor.eos_id()) {
    bytes += '\n';
  } else if (processor.IsByte(id)) {  // <0x41>
    bytes += static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16));
  } else if (processor.IsUnknown(id)) {
    bytes += "\xEF\xBF\xBD";  // U+FFFD: the unknown token
  } else if (!processor.IsControl(id)) {
    bool begins_line = model_->blank_before_line && (bytes.empty() || bytes.back() == '\n');
    for (size_t i = 0; i < piece.size(); begins_line = false) {
      const bool blank = piece.compare(i, kBlank.size(), kBlank) == 0;
      if (blank && !begins_line) bytes += ' ';
      if (!blank) bytes += piece[i];
      i += blank ? kBlank.size() : 1;
    }
  }
}

#else

struct SentencePieceTokenizer::Model {};

[[noreturn]] static void refuse() {
  throw DataError("this program was built without SentencePiece");
}
SentencePieceTokenizer::SentencePieceTokenizer(std::string) {
  refuse();
}
SentencePieceTokenizer::~SentencePieceTokenizer() = default;
std::unique_ptr<Tokenizer> SentencePieceTokenizer::make(const TrainingText&, const TokenizerOptions&) {
  refuse();
}
int64_t SentencePieceTokenizer::vocab_size() const {
  refuse();
}
Json SentencePieceTokenizer::to_json() const {
  refuse();
}
std::optional<int32_t> SentencePieceTokenizer::end_of_document() const {
  refuse();
}
int64_t SentencePieceTokenizer::encode_text(std::string_view, int64_t, std::vector<int32_t>&, TokenMeasures*) const {
  refuse();
}
void SentencePieceTokenizer::append_bytes(int32_t, std::string&) const {
  refuse();
}

#endif

std::unique_ptr<Tokenizer> SentencePieceTokenizer::from_json(const Json& description) {
  return std::make_unique<SentencePieceTokenizer>(from_base64(description.at("model").get<std::string>()));
}

}  // namespace moe
