// Encodes documents in parallel and writes them to a corpus folder in their order.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus_folder_writer.h"
#include "data/document_hashes.h"

namespace moe {

// Pieces of text come in their order. Short documents are collected and encoded by all threads, one document each;
// long ones are encoded piece by piece, each piece by all threads. Neither changes an id. Memory does not depend on the
// length of documents or on their number.
class DocumentWriter {
 public:
  // `mark`: token ids that follow each complete document.
  DocumentWriter(CorpusFolderWriter& folder, std::vector<int32_t> mark) : folder_(folder), mark_(std::move(mark)) {}

  struct Piece {
    int split = 0;
    std::string_view text;
    int64_t offset = 0;   // its position in the input
    int64_t source = 0;   // the file that it comes from
    bool begins = false;  // a document begins with it, and the one before is complete
  };
  // The first piece of a split begins a document, although the mark does not end the one that the splits divide.
  // Throws DataError, with the name of the source, for text that cannot be encoded.
  void add(const Piece& piece);
  // Completes the last document. Call it once.
  void finish();
  // The documents of a split, cut ones too, and those among them whose text is that of a document of the first split.
  // After finish().
  DocumentCounts counts(int split) const;
  // Bytes of text of a split, without marks of replies. After finish().
  int64_t bytes(int split) const { return bytes_[static_cast<size_t>(split)]; }

 private:
  struct Waiting {
    int split = 0;
    std::string text;
    int64_t offset = 0, source = 0;
    bool is_complete = false;
    bool in_reply = false;  // of a conversation: it begins within a reply
  };
  void write_long(std::string_view text, int64_t offset, bool ends);
  void end_document(bool is_complete);
  void write_waiting();

  CorpusFolderWriter& folder_;
  DocumentHasher hasher_;  // of the current document
  std::array<std::vector<uint64_t>, 3> hashes_;
  std::vector<int32_t> mark_;
  std::vector<Waiting> waiting_;  // the last one is the current document, unless that is long
  size_t num_waiting_ = 0;        // used elements of waiting_, which keep their memory
  int64_t waiting_bytes_ = 0;
  int64_t source_ = 0;  // of the current document
  int split_ = -1;      // of the current document; -1: none
  std::array<int64_t, 3> bytes_ = {};
  bool in_reply_ = false;  // the text so far ends within a reply
  bool is_long_ = false;   // the current document is written piece by piece
};

}  // namespace moe
