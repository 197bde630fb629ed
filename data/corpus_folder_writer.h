// Writes a prepared folder: decides whether there is anything to do, collects the files under a temporary name and
// renames the complete folder to its final name.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus_manifest.h"
#include "data/document_index.h"
#include "data/interrupted_preparation.h"
#include "data/output_lock.h"
#include "data/token_writer.h"
#include "data/tokenizer.h"

namespace moe {

// The ids of a whole text, and their measures where the corpus stores them.
struct EncodedText {
  std::vector<int32_t> ids;
  TokenMeasures measures;
  int64_t uncovered = 0;  // bytes after the last id that no token covers
  int64_t bytes = 0;      // of the text
  // Of a conversation: where spans of ids begin, with 1 for replies and 0 for others; otherwise empty.
  std::vector<Document> spans;
};

class CorpusFolderWriter {
 public:
  // `source`: inputs and options; equal sources give equal corpora. Waits while another process writes the same folder.
  // Throws DataError when `folder` exists and may not be replaced.
  CorpusFolderWriter(const std::string& folder, Json source, bool force);
  CorpusFolderWriter(const CorpusFolderWriter&) = delete;
  CorpusFolderWriter& operator=(const CorpusFolderWriter&) = delete;
  ~CorpusFolderWriter();

  bool already_prepared() const { return already_prepared_; }

  // Takes over what a preparation of the same source left when it was killed: returns its tokenizer, with which begin()
  // is to be called; null if there is nothing of use.
  std::unique_ptr<Tokenizer> take_interrupted();
  // Whether the interrupted preparation had encoded the next document of the split, with this text; then fills
  // `encoded`. After begin().
  bool take_document(int split, std::string_view text, EncodedText& encoded);
  // Passes over its next document, which is encoded again.
  void pass_document(int split);

  // `of_text`: the tokens stand for bytes of text. Their measures are stored where the tokenizer's ids do not determine
  // them.
  void begin(std::unique_ptr<Tokenizer> tokenizer, bool of_text = true);
  // The names of the files that documents come from; begin_document() has their indices.
  void set_sources(std::vector<std::string> names) { sources_ = std::move(names); }
  // Documents of a held-out split, for the description.
  void set_counts(int split, const DocumentCounts& counts) { writers_[static_cast<size_t>(split)].counts = counts; }
  const std::string& source_name(int64_t source) const { return sources_.at(static_cast<size_t>(source)); }
  // The texts are conversations, of which the replies are scored. Call it before begin().
  void set_chats() { of_chats_ = true; }
  bool of_chats() const { return of_chats_; }
  // What is written next begins a document. The text before it must have ended.
  void begin_document(int split, int64_t source);
  // Encodes a whole text. Threads may call it at the same time.
  EncodedText encode(std::string_view text, int64_t offset) const;
  // The same of a conversation with its marks (chat_template.h). `in_reply`: it begins within a reply.
  EncodedText encode_chat(std::string_view text, int64_t offset, bool in_reply) const;
  void write(int split, const EncodedText& text);
  // Encodes `text`, which continues the split (an index of kSplitNames). `offset`: the position of `text` in the input.
  // `ends`: the next text is another one; otherwise what depends on the next text is encoded with it.
  void write(int split, std::string_view text, int64_t offset, bool ends);
  // Writes tokens that do not stand for text.
  void write(int split, std::span<const int32_t> tokens);
  void finish(const std::string& name, const std::array<std::optional<int64_t>, 3>& raw_bytes,
              std::optional<double> entropy_rate);

 private:
  struct SplitWriter;
  void remove_temporary();
  void write_measures(SplitWriter& writer, TokenMeasures& measures, int64_t uncovered);
  void finish_split(size_t split, std::optional<int64_t> raw_bytes, CorpusManifest& manifest);

  std::string folder_;
  std::string temporary_;
  OutputLock lock_;
  Json source_;
  bool already_prepared_ = false;
  bool replace_ = false;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<InterruptedPreparation> interrupted_;
  struct SplitWriter {
    std::unique_ptr<TokenWriter> tokens, lengths, unknown;  // the last two: null where ids give them, or without text
    int64_t waiting = 0;                                    // bytes that no token includes yet
    std::unique_ptr<DocumentIndexWriter> scored;            // null unless of conversations
    std::unique_ptr<DocumentIndexWriter> documents;         // null without sources
    std::optional<DocumentCounts> counts;
    UnknownText unknown_text;
    std::string kept;         // the end of the text so far, which is encoded with what follows
    int64_t kept_offset = 0;  // its position in the input
    bool continues = false;   // a part of the text has been encoded
  };
  std::array<SplitWriter, 3> writers_;
  bool of_text_ = true, of_chats_ = false;
  std::vector<std::string> sources_;
  std::vector<int32_t> ids_;  // of the latest text
  TokenMeasures measures_;    // likewise
};

}  // namespace moe
