#include "data/corpus_folder_writer.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "data/chat_template.h"
#include "data/content_hash.h"

namespace moe {

namespace fs = std::filesystem;

constexpr int64_t kLongestPart = 1 << 24;   // bytes that are kept at most, where a text has no end of a word
constexpr int64_t kLongestToken = 1 << 16;  // bytes, so that lengths fit into 16 bits

static std::string file_name(std::string_view split) {
  return std::string(split) + ".bin";
}
static std::string lengths_name(std::string_view split) {
  return std::string(split) + ".lengths";
}
static std::string unknown_name(std::string_view split) {
  return std::string(split) + ".unknown";
}
static std::string scored_name(std::string_view split) {
  return std::string(split) + ".scored";
}
static std::string documents_name(std::string_view split) {
  return std::string(split) + ".documents";
}

// The first file in `folder` that a preparation does not write, or "".
static std::string foreign_file(const std::string& folder) {
  std::set<std::string> ours = {"corpus.json", "corpus.json.partial", InterruptedPreparation::kRequestFile};
  for (const std::string_view split : kSplitNames) {
    for (const std::string& name :
         {file_name(split), lengths_name(split), unknown_name(split), documents_name(split), scored_name(split)}) {
      ours.insert(name);
      ours.insert(name + ".partial");
    }
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (const std::string name = entry.path().filename().string(); !ours.contains(name)) return name;
  }
  return "";
}

static std::string without_slash(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder;
}

CorpusFolderWriter::CorpusFolderWriter(const std::string& folder, Json source, bool force)
    : folder_(without_slash(fs::path(folder).lexically_normal().string())),
      temporary_(folder_ + ".partial"),
      lock_(folder_, temporary_),
      source_(std::move(source)) {
  if (!fs::exists(folder_)) return;
  if (!fs::is_directory(folder_)) raise<DataError>("{} exists and is not a folder", folder_);
  if (fs::is_empty(folder_)) return;
  if (!CorpusManifest::exists_in(folder_)) {
    raise<DataError>("{} exists and is not a prepared corpus (no corpus.json); it is left unchanged", folder_);
  }
  const CorpusManifest manifest = CorpusManifest::read(folder_);
  const bool complete = std::all_of(manifest.splits.begin(), manifest.splits.end(),
                                    [&](const auto& split) { return fs::exists(folder_ + "/" + split.file); });
  if (manifest.source == source_ && complete && !force) {
    already_prepared_ = true;
    return;
  }
  if (!force) {
    raise<DataError>("{} holds a corpus with {}; use --force to replace it", folder_,
                     complete ? "other inputs or options" : "missing files");
  }
  if (const std::string foreign = foreign_file(folder_); !foreign.empty()) {
    raise<DataError>("{} also holds {}, which is not part of a prepared corpus; it is left unchanged", folder_,
                     foreign);
  }
  replace_ = true;
}

CorpusFolderWriter::~CorpusFolderWriter() {
  if (!tokenizer_) return;
  writers_ = {};
  remove_temporary();
}

void CorpusFolderWriter::remove_temporary() {
  std::error_code ignored;
  if (fs::exists(temporary_) && foreign_file(temporary_).empty()) fs::remove_all(temporary_, ignored);
}

std::unique_ptr<Tokenizer> CorpusFolderWriter::take_interrupted() {
  if (fs::exists(temporary_) && !foreign_file(temporary_).empty()) return nullptr;
  interrupted_ = InterruptedPreparation::take(temporary_, folder_ + ".interrupted", source_);
  return interrupted_ ? interrupted_->tokenizer() : nullptr;
}

bool CorpusFolderWriter::take_document(int split, std::string_view text, EncodedText& encoded) {
  if (!interrupted_ || !interrupted_->take_document(split, text, encoded.ids)) return false;
  encoded.bytes = std::ssize(text);
  return true;
}

void CorpusFolderWriter::pass_document(int split) {
  if (interrupted_) interrupted_->pass_document(split);
}

void CorpusFolderWriter::begin(std::unique_ptr<Tokenizer> tokenizer, bool of_text) {
  remove_temporary();  // left by a preparation of something else that was killed
  std::error_code error;
  fs::create_directories(temporary_, error);
  if (error) raise<DataError>("cannot create {}: {}", temporary_, error.message());
  tokenizer_ = std::move(tokenizer);
  of_text_ = of_text;
  if (of_text) InterruptedPreparation::write_request(temporary_, source_, *tokenizer_);
  if (interrupted_ && !of_chats_) interrupted_->open(*tokenizer_);
  const bool keeps_measures = of_text && !tokenizer_->bytes_by_id().has_value();
  for (size_t i = 0; i < writers_.size(); ++i) {
    const std::string folder = temporary_ + "/";
    writers_[i].tokens = std::make_unique<TokenWriter>(folder + file_name(kSplitNames[i]), tokenizer_->vocab_size());
    if (of_chats_) writers_[i].scored = std::make_unique<DocumentIndexWriter>(folder + scored_name(kSplitNames[i]));
    if (!sources_.empty()) {
      writers_[i].documents = std::make_unique<DocumentIndexWriter>(folder + documents_name(kSplitNames[i]));
    }
    if (!keeps_measures) continue;
    writers_[i].lengths = std::make_unique<TokenWriter>(folder + lengths_name(kSplitNames[i]), kLongestToken);
    writers_[i].unknown = std::make_unique<TokenWriter>(folder + unknown_name(kSplitNames[i]), kLongestToken);
  }
}

void CorpusFolderWriter::begin_document(int split, int64_t source) {
  SplitWriter& writer = writers_[as_index(split)];
  MOE_CHECK(writer.kept.empty() && !writer.continues, "a document begins before the text before it ended");
  if (writer.documents) writer.documents->add({writer.tokens->num_tokens(), source});
}

EncodedText CorpusFolderWriter::encode(std::string_view text, int64_t offset) const {
  EncodedText encoded;
  const TextPart part{.offset = offset};
  encoded.bytes = std::ssize(text);
  TokenMeasures* const measures = writers_[0].lengths ? &encoded.measures : nullptr;
  encoded.uncovered = tokenizer_->encode_part(text, part, encoded.ids, measures).uncovered;
  return encoded;
}

EncodedText CorpusFolderWriter::encode_chat(std::string_view text, int64_t offset, bool in_reply) const {
  EncodedText encoded;
  TokenMeasures* const measures = writers_[0].lengths ? &encoded.measures : nullptr;
  // The line end that ends a document is no part of a reply that does, so that the mark follows the reply.
  if (text.size() >= 2 && text.substr(text.size() - 2) == "\x03\n") text.remove_suffix(1);
  bool continues = false;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find_first_of(kReplyMarks));
    if (!part.empty()) {
      const auto begin = std::ssize(encoded.ids);
      const TextPart place{.continues = continues, .ends = true, .offset = offset};
      TokenMeasures own;
      const EncodedPart done = tokenizer_->encode_part(part, place, encoded.ids, measures ? &own : nullptr);
      if (measures && !own.lengths.empty()) {
        own.lengths.front() += static_cast<int32_t>(std::exchange(encoded.uncovered, 0));
        measures->lengths.insert(measures->lengths.end(), own.lengths.begin(), own.lengths.end());
        measures->unknown.insert(measures->unknown.end(), own.unknown.begin(), own.unknown.end());
      }
      encoded.uncovered += done.uncovered;
      encoded.bytes += std::ssize(part);
      // A text's first token is predicted by none.
      if (begin == 0) encoded.spans.push_back({0, 0});
      if (std::ssize(encoded.ids) > begin) encoded.spans.push_back({std::max<int64_t>(begin, 1), in_reply ? 1 : 0});
      continues = true;
    }
    if (part.size() == text.size()) break;
    in_reply = text[part.size()] == kReplyBegins;
    text.remove_prefix(part.size() + 1);
    offset += std::ssize(part) + 1;
  }
  return encoded;
}

void CorpusFolderWriter::write(int split, const EncodedText& text) {
  SplitWriter& writer = writers_[as_index(split)];
  for (const Document& span : text.spans) writer.scored->add({writer.tokens->num_tokens() + span.begin, span.source});
  measures_ = text.measures;
  write_measures(writer, measures_, text.uncovered);
  writer.tokens->write(text.ids);
}

void CorpusFolderWriter::write(int split, std::string_view text, int64_t offset, bool ends) {
  SplitWriter& writer = writers_[as_index(split)];
  if (writer.kept.empty()) writer.kept_offset = offset;
  writer.kept += text;
  ends = ends || static_cast<int64_t>(writer.kept.size()) > kLongestPart;
  ids_.clear();
  measures_ = {};
  const TextPart part{.continues = writer.continues, .ends = ends, .offset = writer.kept_offset};
  const EncodedPart done = tokenizer_->encode_part(writer.kept, part, ids_, writer.lengths ? &measures_ : nullptr);
  writer.continues = !ends && (writer.continues || done.bytes > 0);
  writer.kept.erase(0, done.bytes);
  writer.kept_offset += static_cast<int64_t>(done.bytes);
  write_measures(writer, measures_, done.uncovered);
  writer.tokens->write(ids_);
}

void CorpusFolderWriter::write_measures(SplitWriter& writer, TokenMeasures& measures, int64_t uncovered) {
  if (!writer.lengths) return;
  std::vector<int32_t>& lengths = measures.lengths;
  if (!lengths.empty()) lengths.front() += static_cast<int32_t>(std::exchange(writer.waiting, 0));
  writer.waiting += uncovered;
  for (const int32_t length : lengths) {
    if (length >= kLongestToken) raise<DataError>("a token of {} bytes is too long; is the input text?", length);
  }
  writer.lengths->write(lengths);
  writer.unknown->write(measures.unknown);
  for (const int32_t bytes : measures.unknown) {
    writer.unknown_text.bytes += bytes;
    writer.unknown_text.tokens += bytes > 0;
  }
}

void CorpusFolderWriter::write(int split, std::span<const int32_t> tokens) {
  SplitWriter& writer = writers_[as_index(split)];
  writer.tokens->write(tokens);
  const std::vector<int32_t> zeros(writer.lengths ? tokens.size() : 0, 0);
  for (TokenWriter* const measure : {writer.lengths.get(), writer.unknown.get()}) {
    if (measure) measure->write(zeros);
  }
}

// Completes the files of a split, unless it is empty, and describes them.
void CorpusFolderWriter::finish_split(size_t index, std::optional<int64_t> raw_bytes, CorpusManifest& manifest) {
  SplitWriter writer = std::exchange(writers_[index], {});
  const int64_t num_tokens = writer.tokens->num_tokens();
  if (num_tokens == 0) return;
  const std::string_view name = kSplitNames[index];
  writer.tokens->finish();
  CorpusManifest::Split& split = manifest.splits.emplace_back();
  split.name = name;
  split.file = file_name(name);
  split.num_tokens = num_tokens;
  split.raw_bytes = raw_bytes;
  split.payload_hash = format_hash(writer.tokens->payload_hash());
  if (writer.lengths) {
    writer.lengths->finish();
    split.lengths_file = lengths_name(name);
    split.lengths_hash = format_hash(writer.lengths->payload_hash());
  }
  if (of_text_) split.unknown = writer.unknown_text;
  if (writer.unknown_text.tokens > 0) {
    writer.unknown->finish();
    split.unknown_file = unknown_name(name);
    split.unknown_hash = format_hash(writer.unknown->payload_hash());
  }
  if (writer.scored) {
    writer.scored->finish(num_tokens);
    split.scored_file = scored_name(name);
    split.scored_hash = format_hash(writer.scored->payload_hash());
  }
  if (writer.documents) {
    writer.documents->finish(num_tokens);
    split.num_documents = writer.documents->size();
    split.documents_file = documents_name(name);
    split.documents_hash = format_hash(writer.documents->payload_hash());
    if (writer.counts) split.documents_in_training = writer.counts->in_training;
  }
}

void CorpusFolderWriter::finish(const std::string& name, const std::array<std::optional<int64_t>, 3>& raw_bytes,
                                std::optional<double> entropy_rate) {
  if (writers_[0].tokens->num_tokens() == 0)
    raise<DataError>("the training text has no tokens for the tokenizer '{}'; is it only blanks?", tokenizer_->name());
  CorpusManifest manifest;
  manifest.name = name;
  manifest.tokenizer = tokenizer_->to_json();
  manifest.vocab_size = tokenizer_->vocab_size();
  manifest.source = source_;
  manifest.entropy_rate = entropy_rate;
  manifest.sources = sources_;
  for (size_t i = 0; i < writers_.size(); ++i) finish_split(i, raw_bytes[i], manifest);
  manifest.write(temporary_);
  if (interrupted_ && interrupted_->taken() > 0)
    log::info("{} documents had been encoded by the preparation that was interrupted", interrupted_->taken());
  interrupted_.reset();
  fs::remove(temporary_ + "/" + InterruptedPreparation::kRequestFile);
  if (replace_) {
    const std::string old = folder_ + ".replaced";
    rename_durably(folder_, old);
    rename_durably(temporary_, folder_);
    fs::remove_all(old);
  } else {
    rename_durably(temporary_, folder_);
  }
  tokenizer_.reset();
}

}  // namespace moe
